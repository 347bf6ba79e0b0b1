"""The house keeps its walls: imports point one way, and heavy packages stay in their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ablate

PACKAGE = Path(ablate.__file__).parent
SHARED = {"errors", "recipe", "outcome", "paths", "interface", "search", "tables", "loading"}
MAY_IMPORT = {
    "study": SHARED,
    "core": SHARED,
    "storage": SHARED,
    "engine": SHARED | {"study", "core", "storage"},
    # Schedules are drawn in the report; `core.schedules` and the settings models are numpy and pydantic only.
    "report": SHARED | {"study", "core", "storage"},
    "cli": SHARED | {"study", "core", "storage", "engine", "report"},
}
ROOM_OF_PACKAGE = {
    "torch": {"core"},
    "torchvision": {"core"},
    "optuna": {"storage"},
    "sqlalchemy": {"storage"},
    "pandas": {"report"},
    "seaborn": {"report"},
    "matplotlib": {"report"},
    "typer": {"cli"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Every module named in an import statement of `path`, wherever it stands, except under TYPE_CHECKING."""
    found: set[str] = set()
    skipped: set[int] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            skipped.update(id(inner) for inner in ast.walk(node))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def room_of(path: Path) -> str:
    """The folder of a module inside the package, or its stem at top level."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    allowed = MAY_IMPORT.get(room, SHARED) | {room}
    inner = {name.split(".")[1] for name in imports_of(path) if name.startswith("ablate.")}
    inner -= {"__version__"}
    assert inner <= allowed, f"{path} imports {sorted(inner - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_stay_in_their_rooms(path: Path) -> None:
    for name in {name.partition(".")[0] for name in imports_of(path)}:
        rooms = ROOM_OF_PACKAGE.get(name)
        assert rooms is None or room_of(path) in rooms, f"{path} imports {name}"


def module_graph() -> dict[str, set[str]]:
    """Module -> modules of ablate it imports anywhere in its text."""
    names = {}
    for path in FILES:
        dotted = ".".join(("ablate", *path.relative_to(PACKAGE).with_suffix("").parts))
        names[dotted.removesuffix(".__init__")] = path
    return {
        name: {found for found in imports_of(path) if found in names and found != name} for name, path in names.items()
    }


def test_there_is_no_import_cycle() -> None:
    graph = module_graph()
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name in done:
            return
        for following in graph[name]:
            visit(following, (*trail, name))
        done.add(name)

    for name in graph:
        if name != "ablate":
            visit(name, ())


def test_importing_the_package_is_cheap() -> None:
    code = "import ablate, sys; print([name for name in ('torch', 'optuna', 'pandas', 'numpy') if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_readable_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_built_in_hash_never_decides_a_number(path: Path) -> None:
    """`hash()` of a string differs between processes, so it may not seed, name or order anything."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "hash"]

"""The house keeps its walls: imports point one way, wing by wing, and heavy packages stay in their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import ablate

PACKAGE = Path(ablate.__file__).parent

SHARED = "errors code_text json_values recipe outcome paths interface search beta_tables loading human_units"
CORE = (
    "core core.functions core.shared core.schedules core.settings core.data core.programs core.diffusion core.dip "
    "core.scores"
)
BELOW_ENGINE = f"{SHARED} study study.reading storage {CORE} core.command.spec"
ENGINE = f"{BELOW_ENGINE} engine engine.rules engine.display engine.records engine.workers engine.clusters"
BELOW_REPORT = f"{SHARED} study storage core.schedules core.settings core.replay.noise_tables"
# In their order.
REPORT = "report report.statistics report.data report.sources report.text report.formats report.figures report.html "

MAY_IMPORT = {
    # Words that everybody shares; they import one another.
    "": SHARED,
    # WHAT is asked
    "study": SHARED,
    "study.reading": f"{SHARED} study core.command.spec",
    # HOW a trial is computed
    "core": SHARED,
    "core.functions": SHARED,
    "core.shared": f"{SHARED} core.functions",
    "core.command.spec": SHARED,  # what a study file says of a command
    "core.command": f"{SHARED} core.shared core.command.spec",
    "core.schedules": f"{SHARED} core.shared",
    "core.settings": f"{SHARED} core.shared core.schedules",
    "core.data": f"{SHARED} core.shared",
    "core.programs": f"{SHARED} core core.shared core.settings",
    "core.diffusion": f"{SHARED} core.shared core.schedules core.settings core.data core.programs",
    "core.dip": f"{SHARED} core.shared core.schedules core.settings core.data core.programs",
    "core.scores": f"{SHARED} core.shared core.schedules core.settings core.data core.programs core.diffusion core.dip",
    "core.ddpm_dip.stages": f"{SHARED} {CORE}",
    "core.ddpm_dip.methods": f"{SHARED} {CORE} core.ddpm_dip.stages",
    "core.ddpm_dip.tasks": f"{SHARED} {CORE} core.ddpm_dip.stages core.ddpm_dip.methods",
    "core.ddpm_dip": f"{SHARED} {CORE} core.ddpm_dip.stages core.ddpm_dip.methods core.ddpm_dip.tasks",
    "core.replay.noise_tables": SHARED,  # numbers only: figures draw them
    "core.replay": f"{SHARED} {CORE} core.replay.noise_tables",
    # WHAT is remembered
    "storage": SHARED,
    # WHAT happens next
    "engine.rules": BELOW_ENGINE,
    "engine.display": f"{BELOW_ENGINE} engine.rules",
    "engine.records": f"{BELOW_ENGINE} engine.rules",
    "engine.workers": f"{BELOW_ENGINE} engine.rules engine.records",
    "engine.clusters": f"{BELOW_ENGINE} engine.rules engine.records engine.workers",
    "engine": ENGINE,
    # WHAT it means
    "report.statistics": BELOW_REPORT,
    "report.data": f"{BELOW_REPORT} report.statistics",
    "report.sources": f"{BELOW_REPORT} report.statistics report.data",
    "report.text": f"{BELOW_REPORT} report.statistics report.data",
    "report.formats": f"{BELOW_REPORT} report.statistics report.data report.text",
    "report.figures": f"{BELOW_REPORT} report.statistics report.data report.text report.formats",
    "report.html": f"{BELOW_REPORT} report.statistics report.data report.text report.formats report.figures",
    "report": f"{BELOW_REPORT} {REPORT}",
    # WHAT the user sees and types, from Python and at a terminal
    "display": ENGINE,
    "tracking": f"{SHARED} study storage engine.display",
    "api": f"{ENGINE} {REPORT} display tracking",
    "cli.commands": f"{ENGINE} {REPORT} display tracking api cli",
    "cli": f"{ENGINE} {REPORT} display tracking api cli.commands",
    "cli.reference": f"{ENGINE} {REPORT} display tracking api cli core.ddpm_dip core.command.spec",
}
"""Wing -> the wings that its modules may import; its own modules always."""

ROOM_OF_PACKAGE = {
    "torch": "core",
    "torchvision": "core",
    "optuna": "storage",
    "sqlalchemy": "storage",
    "pandas": "report api",
    "seaborn": "report",
    "matplotlib": "report",
    "typer": "cli",
}
MOST_MODULES = 24
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


IMPORTS = {path: imports_of(path) for path in FILES}
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def wing_of(module: str) -> str:
    """The wing that a module (named without ``ablate.``) belongs to: the longest name in the table that holds it."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in MAY_IMPORT), "")


def inner_imports(path: Path) -> set[str]:
    """The modules of ablate that `path` imports, without ``ablate.``."""
    names = {name.removeprefix("ablate.") for name in IMPORTS[path] if name.startswith("ablate.")}
    return {name for name in names if name in MODULES}


def test_imports_point_one_way_wing_by_wing() -> None:
    wrong = []
    for module, path in MODULES.items():
        if module in ("__init__", "__main__"):
            continue
        wing = wing_of(module)
        allowed = {*MAY_IMPORT[wing].split(), wing}
        packages = {name for name in inner_imports(path) if MODULES[name].name == "__init__.py"}
        for name in inner_imports(path):
            # `from ablate.engine.rules import moves` names the package too: what counts is the module.
            if name in packages and any(other.startswith(f"{name}.") for other in inner_imports(path)):
                continue
            target = wing_of(name) or name
            if target not in allowed:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_heavy_packages_stay_in_their_rooms_and_built_in_hash_decides_no_number() -> None:
    """`hash()` of a string differs between processes, so it may not seed, name or order anything."""
    wrong = []
    for module, path in MODULES.items():
        for name in {name.partition(".")[0] for name in IMPORTS[path]} & ROOM_OF_PACKAGE.keys():
            if module.partition(".")[0] not in ROOM_OF_PACKAGE[name].split():
                wrong.append(f"{module} imports {name}")
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        if any(isinstance(call.func, ast.Name) and call.func.id == "hash" for call in calls):
            wrong.append(f"{module} calls hash()")
    assert wrong == []
    code = "import ablate, sys; print([name for name in ('torch', 'optuna', 'pandas', 'numpy') if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_there_is_no_import_cycle() -> None:
    graph = {module: inner_imports(path) - {module} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name in done:
            return
        for following in graph[name]:
            visit(following, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_every_wing_says_what_is_in_it_and_stays_small_enough_to_overlook() -> None:
    counts = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > MOST_MODULES} == {}
    for folder in counts:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert text, folder
        wing = ".".join(folder.relative_to(PACKAGE).parts)
        assert not wing or "\nImports: " in text, f"{wing} does not say what it may import"

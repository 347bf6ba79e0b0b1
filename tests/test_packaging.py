"""What is installed: every imported package is declared and pinned, and the wheel holds what the checkout holds."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ablate.study.examples import example_names, example_text

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {"PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml", "mlflow": "mlflow-skinny"}
"""Import name -> name on the package index, where they differ."""
SUPPORT = {"cmaes", "optuna-dashboard"}
"""Declared for others: a sampler of Optuna, a program beside ablate."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> dict[str, Requirement]:
    """The dependencies, and those of the extras, by name."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    found = [Requirement(text) for text in texts]
    return {normal(one.name): one for one in found if one.name != "ablate"}


USERS_EXTRAS = ("search", "ray", "mlflow", "tensorboard", "dashboard", "fid", "notebook", "wandb")


def imported() -> dict[str, set[str]]:
    """Package on the index -> the modules of ablate that import it, lazily or not."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "ablate").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for top in {name.partition(".")[0] for name in names} - {"ablate", *sys.stdlib_module_names}:
                found.setdefault(normal(DISTRIBUTIONS.get(top, top)), set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_imported_package_is_declared() -> None:
    """A package that only another one brings along may be gone with that one's next version."""
    known = declared(*USERS_EXTRAS)
    missing = {package: sorted(files) for package, files in imported().items() if package not in known}
    assert missing == {}


def test_every_declared_package_is_used() -> None:
    assert declared(*USERS_EXTRAS).keys() - imported().keys() == SUPPORT


def test_every_declared_package_has_a_tested_version_in_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {normal(name): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}
    wrong = {
        name: pins.get(name, "no version")
        for name, requirement in declared(*PROJECT["optional-dependencies"]).items()
        if not requirement.specifier.contains(pins.get(name, "0"), prereleases=True)
    }
    assert wrong == {}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the wheel holds that pip would build of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("ablate", "studies"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    (built,) = (folder / "dist").iterdir()
    with zipfile.ZipFile(built) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_the_studies(wheel: dict[str, bytes]) -> None:
    held = {name: content for name, content in wheel.items() if not name.partition("/")[0].endswith("info")}
    package = {f"ablate/{name}": content for name, content in files_below(ROOT / "ablate").items()}
    studies = {f"ablate/examples/{name}": content for name, content in files_below(ROOT / "studies").items()}
    assert held == package | studies


def test_the_examples_are_the_studies_of_the_repository() -> None:
    """From a checkout or from a wheel."""
    found = {f"{name}.yaml": example_text(name).encode() for name in example_names()}
    assert found == files_below(ROOT / "studies")
    assert resources.files("ablate").joinpath("py.typed").is_file()

"""The template that ``ablate init`` writes, and the cost of importing this room."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from ablate.core.shared.registry import core_class
from ablate.study.reading.load_study import load_study

TEMPLATE = files("ablate.study") / "template.yaml"
SHOWN = ("grid", "zip", "leave-one-out", "only-one", "factorial", "path", "search", "tune", "report", "budget")
COMMENTED_DESIGN = re.compile(rf"^# ((?:{'|'.join(SHOWN)}):.*(?:\n#   .*)*)", re.MULTILINE)


def test_the_template_is_a_valid_study() -> None:
    with as_file(TEMPLATE) as path:
        study = load_study(path, resolve_core=core_class)
    assert study.core == "ddpm-dip"
    assert study.design == "vary+arms"
    assert study.warnings == ()


@pytest.mark.parametrize("key", SHOWN)
def test_what_the_template_shows_in_comments_works(key: str, tmp_path: Path) -> None:
    """Each commented example, with its comment signs removed, is accepted."""
    text = TEMPLATE.read_text(encoding="utf-8")
    examples = {found.group(1).partition(":")[0]: found for found in COMMENTED_DESIGN.finditer(text)}
    shown = examples[key]
    path = tmp_path / "study.yaml"
    path.write_text(text[: shown.start()] + re.sub(r"(?m)^# ?", "", shown.group()) + text[shown.end() :])
    before = len(load_study(Path(str(TEMPLATE)), resolve_core=core_class).arms)
    study = load_study(path, resolve_core=core_class)
    accepted = key == "report" or study.budget or study.searches or len(study.arms) > before
    assert accepted


def test_importing_this_room_stays_cheap() -> None:
    """Neither torch nor optuna nor pandas is needed to say what is wrong with a study file."""
    code = (
        "import sys, pkgutil, importlib, ablate.study as room\n"
        "for module in pkgutil.iter_modules(room.__path__): importlib.import_module('ablate.study.' + module.name)\n"
        "print([name for name in ('torch', 'optuna', 'pandas', 'numpy', 'scipy', 'typer') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

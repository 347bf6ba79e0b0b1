"""docs/how-to/designs.md: every example is read, gives the arms that the page names, and runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ablate.cli.app import main
from ablate.core.shared.registry import core_class
from ablate.study.reading.designs import READERS
from ablate.study.reading.load_study import load_study
from ablate.study.reading.search_sections import SECTIONS

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "designs.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^## ([^\n]+)\n(?:(?!^## ).)*?```yaml\n(.*?)```\n\n(.*?)(?=\n\n|\Z)", PAGE, re.MULTILINE | re.DOTALL
)
STAND_IN = '''
from ablate import Outcome, OutcomeKind
from ablate.core.shared.registry import core_class

BuiltIn = core_class("ddpm-dip")


class StandIn(BuiltIn):
    """Has the built-in core's settings, and measures in no time."""

    def run(self, recipes, context):
        for recipe in recipes:
            context.curve(recipe, 100, psnr=20.0)
            value = 20.0 + recipe.seed % 7 + int(recipe.digest[:4], 16) / 65536
            values = {metric.name: value for metric in self.metrics}
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=values, seconds=0.1)
'''


def test_every_design_has_an_example() -> None:
    titles = ", ".join(title for title, _, _ in EXAMPLES)
    assert {name for name in (*READERS, *SECTIONS) if name not in titles} == set()


@pytest.mark.parametrize(("text", "after"), [found[1:] for found in EXAMPLES], ids=[found[0] for found in EXAMPLES])
def test_an_example_gives_the_arms_that_the_page_names(text: str, after: str, tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(text)
    study = load_study(path, resolve_core=core_class)
    named = set(re.findall(r"`([^`]+)`", after))
    assert {arm.name for arm in study.arms[1:]} <= named
    assert study.warnings == ()


@pytest.mark.slow
@pytest.mark.parametrize("text", [found[1] for found in EXAMPLES], ids=[found[0] for found in EXAMPLES])
def test_an_example_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the built-in core's settings and a stand-in for its computation."""
    (tmp_path / "standin.py").write_text(STAND_IN)
    (tmp_path / "example.yaml").write_text(f"core: standin:StandIn\n{text}")
    monkeypatch.chdir(tmp_path)
    code = 0
    try:
        main(["run", "example.yaml", "--slots", "1", "--gpus", "none", "--no-figures", "--quiet"])
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    finally:
        sys.modules.pop("standin", None)
    assert code == 0

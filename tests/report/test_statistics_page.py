"""The page on statistics and the simulation behind it stay true to the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ablate.report.statistics import design_warnings
from ablate.report.statistics.model import MORE_COLUMNS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_the_example_runs_as_printed(tmp_path: Path) -> None:
    code = next(iter(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)))
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split()[0] == "better"


def test_every_further_column_of_the_arms_table_is_explained() -> None:
    part = PAGE.split("### Columns of arms.csv", 1)[1].split("###", 1)[0]
    explained = {name for cell in re.findall(r"^\| ([a-z_, ]+) \|", part, re.MULTILINE) for name in cell.split(", ")}
    assert explained - {"column"} == set(MORE_COLUMNS)


def test_every_lint_is_named() -> None:
    source = Path(design_warnings.__file__).read_text(encoding="utf-8")
    codes = set(re.findall(r"Lint\(\"([a-z-]+)\"", source))
    assert len(codes) > 8
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_the_simulation_runs() -> None:
    """With few replications: every table of the page is printed."""
    script = ROOT / "benchmarks" / "verdict_statistics.py"
    command = [sys.executable, "-W", "error", str(script), "--scale", "0.003"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for title in ("One arm.", "Coverage of 95 %", "Eight arms", "Whole studies", "Smallest difference"):
        assert title in out
        assert title in PAGE

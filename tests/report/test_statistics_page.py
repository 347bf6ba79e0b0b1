"""The page on statistics and the simulation behind it stay true to the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ablate.report.statistics import design_warnings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "statistics.md").read_text(encoding="utf-8")


def test_the_example_runs_as_printed(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "results-from-elsewhere.md").read_text(encoding="utf-8")
    code = next(iter(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split()[0] == "better"


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

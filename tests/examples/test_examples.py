"""The examples run as they stand, to a verdict, from any place."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DEADLINE_S = 240.0
EXTRA_OF = {"hydra": "test", "lightning": "examples", "sklearn": "test"}
"""What an example needs -> the extra that has it. Lightning is large: without it, its example is skipped."""


def run(file: Path, results: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a study file with the Python of this test as ``python``, from a folder that is not the study's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "ablate", "run", str(file), "--results", str(results), "--no-figures", *options]
    return subprocess.run(
        command,
        cwd=results.parent,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def trials(results: Path, study: str) -> list[dict[str, str]]:
    with (results / study / "trials.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize(
    ("name", "arm", "metric"),
    [
        ("argparse/moons", "adam=false", "accuracy"),
        ("hydra/waves", "scales=[16]", "rmse"),
        pytest.param("lightning/spirals", "optimizer=sgd", "accuracy", marks=pytest.mark.slow),
        ("shell/descent", "momentum=0.5", "loss"),
        ("sklearn/digits", "penalty=0.1", "accuracy"),
    ],
)
def test_an_example_runs_to_a_verdict(tmp_path: Path, name: str, arm: str, metric: str) -> None:
    package = name.partition("/")[0]
    if package in EXTRA_OF:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'ablate[{EXTRA_OF[package]}]'")
    said = run(EXAMPLES / f"{name}.yaml", tmp_path / "results", "--arms", arm, "--seeds", "2", "--slots", "2")
    assert said.returncode == 0, said.stderr
    assert "warning" not in said.stderr
    study = Path(name).name
    found = trials(tmp_path / "results", study)
    assert sorted((row["arm"], row["seed"], row["outcome"]) for row in found) == sorted(
        (one, seed, "measured") for one in ("baseline", arm) for seed in "01"
    )
    values = [float(row[metric]) for row in found]
    assert len(set(values)) == 4, "every seed and every arm has a number of its own"
    assert (tmp_path / "results" / study / "report.html").is_file()


def test_the_shell_example_tells_divergence_by_its_exit_code(tmp_path: Path) -> None:
    said = run(EXAMPLES / "shell" / "descent.yaml", tmp_path / "results", "--arms", "rate=0.2", "--seeds", "2")
    assert said.returncode == 0, said.stderr
    outcomes = {(row["arm"], row["outcome"]) for row in trials(tmp_path / "results", "descent")}
    assert outcomes == {("baseline", "measured"), ("rate=0.2", "diverged")}


def test_the_notebook_runs_to_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / "notebook" / "sparse.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "what it shows is made anew by every reader"
    NotebookClient(notebook, timeout=DEADLINE_S, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell["source"]: cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"}
    (run,) = (outputs for source, outputs in shown.items() if "ablate.run" in source)
    table = run[-1]["data"]["text/html"]
    assert "momentum=false" in table
    assert "worse" in table
    (report,) = (outputs for source, outputs in shown.items() if "ablate.report" in source)
    assert "momentum=false is worse" in report[-1]["data"]["text/html"]
    found = json.loads((tmp_path / "results" / "recover" / "report.json").read_text(encoding="utf-8"))
    verdicts = {(row["arm"], row["verdict"]) for row in found["comparison"]["rows"]}
    assert ("momentum=false", "worse") in verdicts

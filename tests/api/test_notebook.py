"""A study in a real notebook kernel: progress in one output, a comparison as a table."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = (
    "import ablate\nresults = ablate.run('steps.yaml', slots=1, gpus='none')",
    "results.comparison",
    "results",
    "ablate.plan('steps.yaml', seeds=5, gpus='none')",
    "ablate.report(results, figures=False)",
)


@pytest.mark.usefixtures("project")
def test_a_study_runs_in_a_notebook(project: Path) -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS]  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(project)}}).execute()
    run, comparison, results, plan, report = (cell["outputs"] for cell in notebook["cells"])
    shown = [output for output in run if output["output_type"] == "display_data"]
    assert len(shown) == 1, "one output that is replaced, not a hundred"
    assert "12/12" in shown[0]["data"]["text/plain"]
    assert "Ctrl-C" not in shown[0]["data"]["text/plain"]
    assert "<pre" in shown[0]["data"]["text/html"]
    assert "<table>" in comparison[0]["data"]["text/html"]
    assert "lr=0.5" in comparison[0]["data"]["text/html"]
    assert "StudyResults steps" in results[0]["data"]["text/html"]
    assert "to run 8" in plan[0]["data"]["text/plain"]
    assert "Written to" in report[-1]["data"]["text/html"]


FUNCTION_CELLS = (
    "import ablate\nSCALE = 2.0",
    "def train(*, lr: float = 0.1, layers: list[int] = [8], seed: int) -> dict[str, float]:\n"
    "    return {'acc': SCALE * lr + sum(layers) / 100 + seed / 1000}",
    "results = ablate.run(train, vary={'lr': [0.2], 'layers': [[4, 4, 4]]}, seeds=3, metrics={'acc': 'max:1%'}, "
    "slots=1, gpus='none', progress='none')",
    "print(results.study.core, results.trials.groupby('arm').acc.mean().round(4).to_dict())",
)


def test_a_function_of_a_notebook_is_a_study(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in FUNCTION_CELLS]  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (printed,) = notebook["cells"][-1]["outputs"]
    assert printed["text"] == "__main__:train {'baseline': 0.281, 'layers=[4, 4, 4]': 0.321, 'lr=0.2': 0.481}\n"

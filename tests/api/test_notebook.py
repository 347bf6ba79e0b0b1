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

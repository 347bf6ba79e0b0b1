"""Which pages are generated, and what writes each of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from ablate.cli.reference import commands, factors, metrics, python_api, results, study_file
from ablate.engine.rules import states_doc
from ablate.report.formats import json_schema


def schema_text() -> str:
    """Return the JSON Schema of report.json."""
    return json.dumps(json_schema.schema(), indent=1, ensure_ascii=False) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/cli.md": commands.page,
    "reference/study-file.md": study_file.page,
    "reference/factors.md": factors.page,
    "reference/metrics.md": metrics.page,
    "reference/results.md": results.page,
    "reference/python-api.md": python_api.page,
    "reference/report.schema.json": schema_text,
    "explanation/states.md": states_doc.page,
}
"""Path below ``docs/`` -> what returns its text."""

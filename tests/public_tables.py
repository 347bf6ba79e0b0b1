"""Published tables as tests and a benchmark read them: every comparison, and what `ablate report --csv` makes of it."""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.report.data.foreign_results import read_results
from ablate.report.data.frames import compare_study
from ablate.report.statistics.model import Comparison
from ablate.study.verdict_method import Method

TABLES = Path(__file__).parent / "data" / "public"


def cases() -> list[dict[str, Any]]:
    """Every comparison: table, data set, baseline, metric, test, and what was published."""
    found: list[dict[str, Any]] = json.loads((TABLES / "cases.json").read_text(encoding="utf-8"))
    return found


def write_table(case: dict[str, Any], place: Path) -> Path:
    """Write the part of a table that a case is about, as ``arm,seed,metric``; return the file.

    Where every data set has one number, the data sets are the replicates.
    """
    metric = case["metric"].partition(":")[0]
    with (TABLES / case["file"]).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if case["dataset"] in (None, row.get("dataset"))]
    sets = list(dict.fromkeys(row.get("dataset") for row in rows))
    if len(sets) > 1:
        rows = [{**row, "seed": str(sets.index(row["dataset"]))} for row in rows]
    path = place / f"{case['file'].removesuffix('.csv')}-part.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "seed", metric])
        writer.writerows([row["arm"], row["seed"], row[metric]] for row in rows)
    return path


def compared(case: dict[str, Any]) -> Comparison:
    """Compare as ``ablate report --csv FILE --baseline ... --metric ... --test ...`` does."""
    with tempfile.TemporaryDirectory() as place:
        study, rows = read_results(write_table(case, Path(place)), baseline=case["baseline"], metrics=[case["metric"]])
    return compare_study(replace(study, method=Method(test=case["test"])), rows)

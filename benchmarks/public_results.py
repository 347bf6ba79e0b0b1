"""Tables that others published, read by `ablate report --csv`, beside what other statistics packages say of them.

    python -m benchmarks.public_results --peers PYTHON > table.md

PYTHON is that of an environment with rliable, autorank, deepsig and scikit-posthocs. The tables and where they come
from are in tests/data/public. Every number is computed anew; what is printed is in docs/evidence/public-results.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.report.data.foreign_results import read_results
from ablate.report.data.frames import compare_study
from ablate.report.statistics.model import Comparison
from ablate.report.text import numerals
from ablate.study.verdict_method import Method

TABLES = Path(__file__).parents[1] / "tests" / "data" / "public"
SIDE = Path(__file__).parent / "peers" / "side_statistics.py"
HEADER = (
    "table", "arm", "n", "ablate", "difference [95 %]", "p (Holm)", "P(arm higher), rliable", "eps_min, deepsig",
    "autorank", "scikit-posthocs",
)  # fmt: skip


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


def asked(comparison: Comparison, case: dict[str, Any]) -> dict[str, Any]:
    """What the other packages are given: values in which higher is better."""
    sign = 1 if comparison.primary.direction == "max" else -1
    values = {arm: [sign * value for _, value in sorted(comparison.row(arm).values.items())] for arm in comparison.arms}
    return {"name": case["name"], "baseline": case["baseline"], "paired": case["test"] == "paired", "values": values}


def lines(comparison: Comparison, case: dict[str, Any], others: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """One line per arm."""
    for arm in comparison.arms[1:]:
        row, seen = comparison.row(arm), others[arm]
        n = (
            f"{row.n}"
            if row.n == comparison.row(case["baseline"]).n
            else f"{row.n}, {comparison.row(case['baseline']).n}"
        )
        yield (
            case["name"], arm, n, str(row.verdict), numerals.difference_text(row, comparison.primary),
            numerals.p_text(row.p_holm), seen["rliable"], seen["deepsig"], seen["autorank"], seen["posthocs"],
        )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--peers", required=True, help="python of an environment with the other packages")
    peers = parser.parse_args().peers
    found = [(case, compared(case)) for case in cases()]
    question = json.dumps([asked(comparison, case) for case, comparison in found])
    said = subprocess.run([peers, str(SIDE)], input=question, capture_output=True, text=True, check=True).stdout
    answers = json.loads(said.splitlines()[-1])
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for (case, comparison), others in zip(found, answers["cases"], strict=True):
        for line in lines(comparison, case, others):
            print(f"| {' | '.join(line)} |")
    print(f"\n{', '.join(f'{name} {version}' for name, version in answers['versions'].items())}")


if __name__ == "__main__":
    main()

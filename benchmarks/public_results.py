"""Tables that others published, read by `ablate report --csv`, beside what other statistics packages say of them.

    python -m benchmarks.public_results --peers PYTHON > table.md

PYTHON is that of an environment with rliable, autorank, deepsig and scikit-posthocs. The tables and where they come
from are in tests/data/public. Every number is computed anew; what is printed is in docs/evidence/public-results.md.
"""

from __future__ import annotations

import argparse
import json
import runpy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ablate.report.statistics.model import Comparison
from ablate.report.text import numerals

# By its place: a package called tests may be installed.
_TABLES = runpy.run_path(str(Path(__file__).parents[1] / "tests" / "public_tables.py"))
cases: Callable[[], list[dict[str, Any]]] = _TABLES["cases"]
compared: Callable[[dict[str, Any]], Comparison] = _TABLES["compared"]
SIDE = Path(__file__).parent / "peers" / "side_statistics.py"
HEADER = (
    "table", "arm", "n", "ablate", "difference [95 %]", "p (Holm)", "P(arm higher), rliable", "eps_min, deepsig",
    "autorank", "scikit-posthocs",
)  # fmt: skip


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

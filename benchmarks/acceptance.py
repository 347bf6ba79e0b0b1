"""Run every acceptance check by name and print one table: what, expected, measured, whether it holds.

    python -m benchmarks.acceptance                 # quick checks, about two CPU minutes
    python -m benchmarks.acceptance --slow          # with small trainings and fits, about ten CPU minutes
    python -m benchmarks.acceptance --full          # with all chains and 128x128 fits, about forty
    python -m benchmarks.acceptance --only G1 I2    # some of them
    python -m benchmarks.acceptance --json acceptance.json --page docs/evidence/acceptance.md

A check is a test marked ``@pytest.mark.acceptance("S1")``; what it hands to `record_property` is a row here. So nothing
is measured that is not also asserted, and nothing is asserted twice. `--page` replaces the table of the page.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.core.shared.numerics import device_name

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_KINDS = {"quick": "acceptance and not slow and not full and not gpu"}
_KINDS["slow"] = "acceptance and not full and not gpu"
_KINDS["full"] = "acceptance and not gpu"


@dataclass
class Row:
    """One line of the table."""

    name: str
    what: str
    expected: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    ok: bool = True


class Collector:
    """A pytest plugin: keeps what marked tests measured and whether they passed."""

    def __init__(self, only: set[str]) -> None:
        self.only = only
        self.names: dict[str, str] = {}
        self.rows: dict[tuple[str, str], Row] = {}
        self.tests: dict[str, int] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note every test's name, and leave out what was not asked for."""
        for item in items:
            marker = item.get_closest_marker("acceptance")
            if marker is not None:
                self.names[item.nodeid] = marker.args[0]
        if self.only:
            items[:] = [item for item in items if self.names.get(item.nodeid) in self.only]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the properties of a finished test; a test that hands nothing in still counts for its name."""
        name = self.names.get(report.nodeid)
        if name is None or (report.when != "call" and report.passed):
            return
        self.tests[name] = self.tests.get(name, 0) + 1
        facts = [(what, values) for what, values in report.user_properties if isinstance(values, tuple)]
        for what, (expected, measured) in facts or [(_title(report.nodeid), ("holds", "holds"))]:
            row = self.rows.setdefault((name, what), Row(name, what.replace("|", "\\|")))
            row.expected.append(_text(expected))
            row.measured.append(_text(measured) if report.passed else "failed")
            row.ok &= report.passed


def _title(nodeid: str) -> str:
    """The test's name as words."""
    return nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(_text(part) for part in value)
    if isinstance(value, (int, str)):
        return str(value).replace("|", "\\|")
    return f"{float(value):.4g}"


def order(name: str) -> tuple[int, int]:
    """Schedules, process, samplers, images (DIP), U-Net, metrics, replay; then by number."""
    return "SPGIUMR".index(name[0]), int(name[1:])


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| name | what | expected | measured | holds |", "|---|---|---|---|---|"]
    for row in rows:
        expected, measured = (
            "; ".join(texts) if len(set(texts)) > 1 else texts[0] for texts in (row.expected, row.measured)
        )
        lines.append(f"| {row.name} | {row.what} | {expected} | {measured} | {'yes' if row.ok else '**no**'} |")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processor": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> int:
    """Run, print, write; return 1 when a check does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--slow", action="store_const", const="slow", dest="kind", help="with small trainings and fits")
    kinds.add_argument("--full", action="store_const", const="full", dest="kind", help="with everything a CPU can do")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these checks alone")
    parser.add_argument("--json", type=Path, help="write rows and machine here")
    parser.add_argument("--page", type=Path, help="replace the table of this page")
    asked = parser.parse_args()
    kind = asked.kind or "quick"
    torch.set_num_threads(1)
    collector = Collector(set(asked.only))
    began = time.perf_counter()
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header", "-m", _KINDS[kind]]
    code = pytest.main([*options, str(ROOT / "tests" / "core")], plugins=[collector])
    rows = sorted(collector.rows.values(), key=lambda row: order(row.name))
    where = machine()
    text = table(rows)
    print(f"\n{text}\n\n{len(collector.tests)} checks, {sum(collector.tests.values())} tests,", end=" ")
    print(f"{time.perf_counter() - began:.0f} s on {where['processor']}, torch {where['torch']}")
    if asked.json:
        found = {"kind": kind, "machine": where, "rows": [asdict(row) for row in rows]}
        asked.json.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    if asked.page:
        page = asked.page.read_text(encoding="utf-8")
        pattern = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
        asked.page.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", page), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())

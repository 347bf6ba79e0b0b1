"""The command line that `benchmarks/run` and `benchmarks/gpu` share."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.frame import Row, figure, machine, run_all, table


def main(benchmarks: Mapping[str, str], doc: str, *, budget_s: float) -> None:
    """Run the benchmarks named on the command line (name -> module with `rows`).

    Exit code 1 if numbers differ or a benchmark fails.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(benchmarks)}; all when left out")
    parser.add_argument(
        "--budget", type=float, default=budget_s, metavar="S", help="seconds in all (default %(default)s)"
    )
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), metavar="FILE", help="where JSON goes")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(benchmarks))
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(benchmarks)}")
    # One thread here too: the sides that run inside this process are measured as a worker would run them.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    chosen = {name: _rows(module) for name, module in benchmarks.items() if not asked.names or name in asked.names}
    print(", ".join(f"{name} {value}" for name, value in machine().items()), file=sys.stderr)
    found, failed = [], False
    for row in run_all(chosen, budget_s=asked.budget, json_path=asked.json):
        if isinstance(row, Row):
            found.append(row)
            print(
                f"{row.name}: {figure(row.theirs_took)} / {figure(row.ours_took)} {row.unit}",
                file=sys.stderr,
                flush=True,
            )
        else:
            failed = True
            print(row, file=sys.stderr, flush=True)
    print(table(found))
    if failed or not all(row.agrees for row in found):
        sys.exit(1)


def _rows(module: str):  # type: ignore[no-untyped-def]
    def rows(deadline: float):  # type: ignore[no-untyped-def]
        return importlib.import_module(f"benchmarks.{module}").rows(deadline)

    return rows

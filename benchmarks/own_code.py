"""Lines and minutes from a training of one's own to a verdict: with a class, as it once was necessary, and now.

For every example it counts the lines that somebody writes for ablate (not blank, no comment alone), and takes the
wall time of `ablate run` in an empty folder, both versions in turn on this machine::

    git archive 15ce952 | tar -x -C /tmp/before
    python -m benchmarks.own_code --before /tmp/before
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
CLASSES = Path(__file__).with_name("own_code_before")
STUDIES = {
    "argparse": "moons",
    "hydra": "waves",
    "lightning": "spirals",
    "shell": "descent",
    "sklearn": "digits",
    "notebook": "sparse",
}


def lines(texts: Iterable[str]) -> int:
    """Return how many lines are neither blank nor a comment alone."""
    every = (line.strip() for text in texts for line in text.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in every)


def notebook_cells() -> list[str]:
    """Return the code cells of the notebook: NumPy with the function, a try, and two that call ablate."""
    import nbformat

    notebook = nbformat.read(EXAMPLES / "notebook" / "sparse.ipynb", as_version=4)
    return [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def written(name: str, *, before: bool) -> int:
    """Return the lines that are there for ablate alone."""
    if before:
        return lines(path.read_text(encoding="utf-8") for path in (CLASSES / name).iterdir() if path.is_file())
    if name == "notebook":
        return lines(cell for cell in notebook_cells() if "ablate" in cell)
    return lines([(EXAMPLES / name / f"{STUDIES[name]}.yaml").read_text(encoding="utf-8")])


def seconds(name: str, folder: Path, tree: Path, *, before: bool) -> float:
    """Return the wall time from the files of an example to its report, in an empty folder."""
    shutil.copytree(EXAMPLES / name, folder)
    if before:
        (folder / f"{STUDIES[name]}.yaml").unlink(missing_ok=True)
        shutil.copytree(CLASSES / name, folder, dirs_exist_ok=True)
    command = [sys.executable, "-m", "ablate", "run", f"{STUDIES[name]}.yaml", "--slots", "2"]
    if name == "notebook":
        cells = notebook_cells()
        (folder / "recover.py").write_text(cells[0], encoding="utf-8")
        if not before:
            (folder / "cells.py").write_text("\n".join(cells), encoding="utf-8")
            command = [sys.executable, "cells.py"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    took = time.monotonic() - began
    if not list(folder.glob("results/*/report.html")):
        raise RuntimeError(f"{name}: no report")
    return took


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the tree of the earlier version")
    parser.add_argument("--only", nargs="*", default=list(STUDIES), choices=list(STUDIES))
    options = parser.parse_args()
    print(
        "| example | lines for ablate, before | after | minutes to the verdict, before | after |\n|---|---|---|---|---|"
    )
    for name in options.only:
        took = []
        for before, tree in ((True, options.before.absolute()), (False, ROOT)):
            with tempfile.TemporaryDirectory() as folder:
                took.append(seconds(name, Path(folder) / name, tree, before=before) / 60)
        counts = [written(name, before=before) for before in (True, False)]
        print(f"| {name} | {counts[0]} | {counts[1]} | {took[0]:.1f} | {took[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()

"""The founding report's section 3 as a whole: its own loop, run after run, against one `ablate run`. Wall time.

    python -m benchmarks.section3                  # 3,200 images: about ten minutes on two idle cores
    python -m benchmarks.section3 --images 640

Both sides compute the runs of ``section3.yaml``, from an empty folder and in new processes, on as many threads or
workers as each takes by itself: the loop those that torch takes, ablate one worker per core. Both score as the report
did, one image once (ablate cannot do it less than twice). Asked for: 6x.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.frame import ROOT, Row, in_process, machine, seconds, table
from benchmarks.rows_replay import TOLERANCE, epochs_of, in_words, losses_apart, section_3


def main() -> None:
    """Measure both sides once, for the report's runs and with the durations of its DIP."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3200, metavar="N", help="training images (default %(default)s)")
    images = parser.parse_args().images
    print(", ".join(f"{name} {value}" for name, value in machine().items()), file=sys.stderr)
    print(table([row(images)]))


def row(images: int) -> Row:
    """All runs of ``section3.yaml`` on `images` training images."""
    runs = section_3(durations=True)
    apart = max(losses_apart(kind) for kind in ("ddpm", "dip", "dip+ddpm"))
    return Row(
        name=f"section 3 and durations of its DIP, {len(runs)} runs of {images} images",
        unit="wall s",
        theirs=f"founding loop, {in_words(epochs_of(runs, shared=False))} epochs",
        theirs_took=seconds(lambda: founding(images)),
        ours=f"ablate run, {in_words(epochs_of(runs, shared=True))} epochs",
        ours_took=seconds(lambda: ablate(images)),
        agreement=f"losses with equal draws {apart:.1e} apart at most (asked: {TOLERANCE:g})",
        agrees=apart <= TOLERANCE,
        predicted="7x",
        reach=6.0,
        left_out="nothing: starts, scoring, checkpoints and storage are in both times, as far as a side has them",
    )


def founding(images: int) -> None:
    """One process of the founding loop that trains and scores one run after another."""
    runs = [dict(recipe.settings) for recipe in section_3(durations=True)]
    in_process("founding_runs", [str(images), json.dumps(runs)], dict(os.environ))


def ablate(images: int) -> None:
    """`ablate run` in an empty results folder."""
    scoring = ("test_images=1", "eval_draws=2")
    changes = [part for change in (f"train_images={images}", *scoring) for part in ("--set", change)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ablate", "run", "benchmarks/section3.yaml", "--name", "section3-timed"]
        where = ["--results", str(Path(folder) / "results")]
        subprocess.run([*command, *changes, *where], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

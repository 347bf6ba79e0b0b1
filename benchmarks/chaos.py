"""Kill whatever runs, at random moments, many times: a core of one's own, and a command.

    python -m benchmarks.chaos [--kills 200] [--seed N] [--folder DIR]

Half of the kills hit a study whose core is a class, half one whose core is a command; each is SIGKILL to a worker or to
the run itself, after one to five events. In the end every number has to be that of an undisturbed run, `ablate audit`
has to find nothing, and no process may be left. Exit code 1 if anything of this is not so.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import types
from pathlib import Path

# The tests are no package, and another package of that name may be installed: theirs here are these.
_TESTS = types.ModuleType("tests")
_TESTS.__path__ = [str(Path(__file__).resolve().parents[1] / "tests")]
sys.modules["tests"] = _TESTS

from tests.engine.conftest import wait_until_gone  # noqa: E402
from tests.engine.victim import COMMANDS, WALKS, Victim, victim  # noqa: E402


def chaos(folder: Path, text: str, kills: int, source: random.Random, steps: int) -> dict[str, bool]:
    """Run a study undisturbed and disturbed; return what was to be true, and whether it is."""
    text = text.replace("stride: 1.0}", f"stride: 1.0, steps: {steps}}}").replace("steps: 400", f"steps: {steps}")
    folder.mkdir()
    calm, killed = victim(folder / "calm", text, "walks"), victim(folder / "killed", text, "walks")
    began = time.monotonic()
    calm.undisturbed()
    alone_s = time.monotonic() - began
    began = time.monotonic()
    killed.disturbed(source, kills)
    print(
        f"{folder.name}: {killed.kills} kills, {killed.parents} of them of the run itself, "
        f"{len(killed.numbers())} trials; {alone_s:.0f} s undisturbed, {time.monotonic() - began:.0f} s disturbed, "
        f"{killed.steps()} steps walked instead of {calm.steps()}",
        flush=True,
    )
    return {
        "every kill happened": killed.kills == kills,
        "every number is that of the undisturbed run": killed.numbers() == calm.numbers() != {},
        "audit finds nothing": killed.faults() == [],
        "no process is left": _nothing_left(killed),
        "each kill costs a checkpoint interval per worker at most": killed.steps() <= calm.steps() + 40 * kills,
    }


def _nothing_left(killed: Victim) -> bool:
    return all(wait_until_gone(pid) for pid in [*killed.workers, *killed.commands()])


def main() -> None:
    """Run both studies, and say what is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="in all (default %(default)s)")
    parser.add_argument("--seed", type=int, default=14, metavar="N", help="of the moments (default %(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="new folder to keep; left out, nothing is kept")
    asked = parser.parse_args()
    source, half = random.Random(asked.seed), asked.kills // 2
    # A kill comes after three events on average, and a trial gives one every 0.2 s of its work.
    steps = max(400, 20 * round(asked.kills * 1.5))
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary) / "chaos"
        folder.mkdir()
        found = {
            "core": chaos(folder / "core", WALKS, asked.kills - half, source, steps),
            "command": chaos(folder / "command", COMMANDS, half, source, steps),
        }
    for study, facts in found.items():
        for fact, holds in facts.items():
            print(f"{study}: {fact}: {'yes' if holds else 'NO'}")
    if not all(all(facts.values()) for facts in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()

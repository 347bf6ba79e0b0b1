"""What every side runs: a trial that waits, and says when it began and ended. Only the standard library."""

from __future__ import annotations

import os
import time
from pathlib import Path


def trial(number: int, seconds: float) -> float:
    """Wait for `seconds`, and write begin and end (time.time) into $TRIALS; returns a score that depends on nothing."""
    began = time.time()
    if seconds:
        time.sleep(seconds)
    (Path(os.environ["TRIALS"]) / f"{number}-{os.getpid()}").write_text(f"{began!r} {time.time()!r}", encoding="ascii")
    return float(number)

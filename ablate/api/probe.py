"""``plan --probe``: run the beginning of one trial in a folder of its own, to see how fast this machine is."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from ablate.api.request import PreparedRun
from ablate.engine.display import display_events
from ablate.engine.workers.slots import Slot
from ablate.paths import ResultsPaths
from ablate.study.spec import Replicate

_LONGEST_S = 60.0
_SHORTEST_S = 3.0
"""Progress is believed after this long: the first steps of a trial are slow."""


def probe(prepared: PreparedRun, slot: Slot) -> float | None:
    """Return the seconds that the baseline's first trial would take on `slot`, from a part of it; None if unknown.

    Nothing is left behind: results, cache and storage of the probe are in a temporary folder. The trial is stopped as
    soon as its progress says how long it would take, at the latest after a minute.
    """
    from ablate.api.param_kinds import param_kinds
    from ablate.engine.run_study import RunOptions, run_study

    study = replace(prepared.study, budget={}, searches=(), arms=prepared.study.arms[:1])
    recipe = study.recipe(study.baseline, 0)
    watch = _Watch()
    with tempfile.TemporaryDirectory(prefix="ablate-probe-") as folder:
        results = ResultsPaths(Path(folder) / "results")
        run_study(
            study,
            prepared.core,
            [Replicate(study.baseline.name, 0, recipe)],
            results=results,
            storage_url=results.default_storage,
            slots=[slot],
            listen=watch.take,
            options=RunOptions(alive_s=1.0),
            kinds=param_kinds(prepared.core),
        )
    return watch.seconds


class _Watch:
    """Listens to the probe's run and stops it when it has said enough."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._began = time.monotonic()
        self._stopped = False

    def take(self, event: display_events.DisplayEvent) -> None:
        """Take in an event."""
        if isinstance(event, display_events.TrialFinished) and event.outcome.is_result:
            self.seconds = event.seconds
        if isinstance(event, display_events.TrialProgress) and event.left_s is not None:
            self.seconds = event.elapsed_s + event.left_s
            self._stop_after(_SHORTEST_S)
        self._stop_after(_LONGEST_S)

    def _stop_after(self, seconds: float) -> None:
        if not self._stopped and time.monotonic() - self._began > seconds:
            self._stopped = True
            os.kill(os.getpid(), signal.SIGTERM)  # what the run takes for a wish to stop in good order

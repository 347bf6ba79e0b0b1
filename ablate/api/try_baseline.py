"""``plan --try``: run the baseline's first seed for a moment, to see before a sweep whether its trials work at all."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.api.param_kinds import param_kinds
from ablate.api.request import PreparedRun
from ablate.engine.display import display_events
from ablate.engine.workers.slots import Slot
from ablate.outcome import OutcomeKind
from ablate.paths import ResultsPaths, TrialPaths
from ablate.study.spec import Replicate

LIMIT_S = 60.0
"""How long the baseline's first trial may take."""
_LAST_LINES = 10


@dataclass(frozen=True)
class BaselineTry:
    """How far the baseline's first trial came."""

    outcome: OutcomeKind
    """``stopped`` when it was still running at the limit."""
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    log: tuple[str, ...] = ()
    """The last lines of the trial's log."""
    progress: tuple[int, int] | None = None
    """Units done and in total as the trial said itself; None when it did not."""
    curve_points: int = 0

    @property
    def works(self) -> bool:
        """False when the trials of a sweep would fail as this one did. Divergence is a result."""
        return self.outcome.is_result or self.outcome is OutcomeKind.STOPPED

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {
            "outcome": self.outcome.value,
            "seconds": self.seconds,
            "metrics": dict(self.metrics),
            "error": self.error,
            "log": list(self.log),
            "progress": None if self.progress is None else list(self.progress),
            "curve_points": self.curve_points,
        }


def try_baseline(prepared: PreparedRun, slot: Slot, limit_s: float = LIMIT_S) -> BaselineTry:
    """Run the baseline's first seed on `slot` for at most `limit_s` seconds. Nothing is left behind.

    Results, cache and storage are in a temporary folder. Raises what the core's `require` raises.
    """
    from ablate.engine.run_study import RunOptions, run_study

    study = replace(prepared.study, budget={}, searches=(), arms=prepared.study.arms[:1])
    first = Replicate(study.baseline.name, study.first_seed, study.recipe(study.baseline, study.first_seed))
    watch = _Watch(limit_s)
    with tempfile.TemporaryDirectory(prefix="ablate-try-") as folder:
        results = ResultsPaths(Path(folder) / "results")
        run_study(
            study,
            prepared.core,
            [first],
            results=results,
            storage_url=results.default_storage,
            slots=[slot],
            listen=watch.take,
            options=RunOptions(alive_s=1.0),
            kinds=param_kinds(prepared.core),
        )
        return watch.found(results.study(study.name).trial(first.arm, first.seed))


class _Watch:
    """Listens to the run and stops it at the limit."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._began = time.monotonic()
        self._stopped = False
        self._progress: tuple[int, int] | None = None
        self._end: display_events.TrialFinished | None = None

    def take(self, event: display_events.DisplayEvent) -> None:
        """Take in an event."""
        if isinstance(event, display_events.TrialFinished):
            self._end = event
        if isinstance(event, display_events.TrialProgress) and event.total:
            self._progress = (event.done, event.total)
        if not self._stopped and time.monotonic() - self._began > self._limit_s:
            self._stopped = True
            os.kill(os.getpid(), signal.SIGTERM)  # what the run takes for a wish to stop in good order

    def found(self, trial: TrialPaths) -> BaselineTry:
        """Return what came of it; `trial` is its folder, as long as it is there."""
        end = self._end
        return BaselineTry(
            outcome=OutcomeKind.STOPPED if end is None else end.outcome,
            seconds=time.monotonic() - self._began if end is None else end.seconds,
            metrics={} if end is None else end.metrics,
            error=None if end is None else end.error,
            log=tuple(_lines(trial.log)[-_LAST_LINES:]),
            progress=self._progress,
            curve_points=len(_lines(trial.curve)),
        )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []

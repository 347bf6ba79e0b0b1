"""Trackers of a run: opened before anything starts, told while it goes on, given the verdicts at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ablate.errors import AblateError

if TYPE_CHECKING:
    from ablate.api.request import PreparedRun
    from ablate.engine.display.display_events import DisplayEvent
    from ablate.report.statistics.model import Row
    from ablate.tracking.background import BackgroundTracker, Tracked


class TrackedRuns:
    """The trackers that a run was asked to report to; a context manager around all its rounds."""

    def __init__(self, prepared: PreparedRun, waits: Callable[[str], None]) -> None:
        """Open every tracker; `waits` is told which one the end has to wait for.

        Raises AblateError where a tracker cannot be used.
        """
        self._waits = waits
        self.results: tuple[Tracked, ...] = ()
        """What became of each, once it is over."""
        self._trackers: Sequence[BackgroundTracker] = ()
        if prepared.request.track:
            self._trackers = _opened(prepared)

    def take(self, event: DisplayEvent) -> None:
        """Hand an event to every tracker; never waits and never raises."""
        for tracker in self._trackers:
            tracker.take(event)

    def tell_verdicts(self, prepared: PreparedRun) -> None:
        """Hand over the verdicts of what is stored now, where there are any."""
        if not self._trackers:
            return
        from ablate.report.data.frames import compare_study
        from ablate.tracking.tracker import ArmVerdict

        stored = prepared.place.study(prepared.study.name)
        with suppress(AblateError):  # what makes a comparison impossible is for the report to say
            comparison = compare_study(stored.study, stored.rows)
            rows = [comparison.row(arm) for arm in comparison.arms if arm != comparison.baseline]
            for row in rows:
                if row.verdict is not None:
                    verdict = ArmVerdict(str(row.verdict), _sentence(row))
                    for tracker in self._trackers:
                        tracker.verdict(row.arm, verdict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.results = tuple(tracker.close(self._waits) for tracker in self._trackers)


def _opened(prepared: PreparedRun) -> Sequence[BackgroundTracker]:
    from ablate.study.spec import levels_of
    from ablate.tracking.background import BackgroundTracker
    from ablate.tracking.choose import open_tracker, targets_of
    from ablate.tracking.tracker import TrackedStudy

    study = prepared.study
    curves = study.core_parameters.get("curves") or ()
    tracked = TrackedStudy(
        study.name,
        prepared.place.results.study(study.name),
        str(curves[0]["x"]) if curves else "images",
        {arm.name: levels_of(study, arm) for arm in study.arms},
    )
    # All are opened before the first is given a thread: where one cannot be used, nothing is left behind.
    opened = [open_tracker(target, tracked) for target in targets_of(prepared.request.track)]
    return [BackgroundTracker(tracker, tracked) for tracker in opened]


def _sentence(row: Row) -> str:
    """What a verdict rests on: ``psnr +0.12 [+0.05, +0.19], 5 seeds``."""
    if row.diff is None or row.ci_low is None or row.ci_high is None:
        return f"{row.metric}, {row.runs} runs, {row.diverged} diverged"
    return f"{row.metric} {row.diff:+.4g} [{row.ci_low:+.4g}, {row.ci_high:+.4g}], {row.pairs} seeds"

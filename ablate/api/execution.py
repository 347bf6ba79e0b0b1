"""Running what was prepared: searches first, then arms, and with ``until`` look after look."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.api.choices import Launchers
from ablate.api.param_kinds import param_kinds
from ablate.api.request import PreparedRun, Request, prepare, prepare_again
from ablate.api.stored_studies import latest
from ablate.api.tracked_runs import TrackedRuns
from ablate.display.interim_results import candidate_keys, results_of
from ablate.errors import MAX_OUTAGE_S, ExitCode
from ablate.study.spec import Study

if TYPE_CHECKING:
    from ablate.display.run_display import Display
    from ablate.display.run_state import RunView
    from ablate.engine.display.display_events import DisplayEvent
    from ablate.engine.records.repair import Repaired
    from ablate.engine.run_study import RunOptions, RunSummary
    from ablate.engine.workers.slots import Slot
    from ablate.tracking.background import Tracked


@dataclass(frozen=True)
class Audience:
    """Who is told how a run goes."""

    display: Callable[[PreparedRun], Display]
    """Makes what shows one round while it runs."""
    alive_s: float = 60.0
    """Time between signs of life."""
    begins: Callable[[PreparedRun], None] = lambda prepared: None
    """Called before each round."""
    ended: Callable[[PreparedRun, RunSummary], None] = lambda prepared, summary: None
    """Called after each round but the last."""
    waits: Callable[[str], None] = lambda tracker: None
    """Called with the kind of a tracker that has more to send when all else is over."""
    tracked: Callable[[Tracked], None] = lambda tracked: None
    """Called for each tracker when all is over, also when the run ends with an error."""


def view_of(prepared: PreparedRun) -> RunView:
    """Return the picture of a run before it starts: what is planned, and what is known already."""
    from ablate.display.run_state import RunView

    mine = {one.key for one in prepared.next_replicates} | candidate_keys(prepared.searches)
    planned = Counter(arm for arm, _ in mine)
    known = results_of(prepared.stored.study, latest(prepared.stored.rows)) if prepared.stored is not None else {}
    before = {key: result for key, result in known.items() if key in mine and result.kind is not None}
    watch = prepared.place.command("ablate", "status", prepared.study.name)
    return RunView(prepared.study, planned, began=time.time(), results=before, watch=watch)


def prepare_to_run(request: Request) -> tuple[PreparedRun, tuple[Slot, ...]]:
    """Return what is to run and where; what is not possible there is refused before anything starts."""
    from ablate.engine.compile_choice import compilation_of
    from ablate.engine.fuse_choice import fusion_of
    from ablate.tracking.choose import targets_of

    targets_of(request.track)
    prepared = prepare(request)
    slots = request.where.places()
    fusion_of(request.fuse, slots)
    here = request.where.launcher is Launchers.LOCAL
    compilation_of(request.compile, slots if here else ())  # another machine speaks for itself
    return prepared, slots


def execute(
    prepared: PreparedRun,
    slots: tuple[Slot, ...],
    audience: Audience,
    *,
    retry_failed: bool = False,
    fail_fast: bool = False,
    max_outage_s: float = MAX_OUTAGE_S,
) -> tuple[PreparedRun, RunSummary]:
    """Run until nothing that was asked for is left, or a round did not give all its results.

    Returns the last round and how it went. Raises as `ablate.engine.run_study.run_study` does, and AblateError, before
    anything has started, for a tracker that cannot be used.
    """
    trackers = TrackedRuns(prepared, audience.waits)
    try:
        with trackers:
            options = _options(
                prepared,
                slots,
                retry_failed=retry_failed,
                fail_fast=fail_fast,
                max_outage_s=max_outage_s,
                alive_s=audience.alive_s,
            )
            prepared, summary = _rounds(prepared, slots, audience, trackers, options)
            if summary.exit_code not in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
                trackers.tell_verdicts(prepared)
    finally:
        for tracked in trackers.results:
            audience.tracked(tracked)
    return prepared, summary


def _rounds(
    prepared: PreparedRun, slots: tuple[Slot, ...], audience: Audience, trackers: TrackedRuns, options: RunOptions
) -> tuple[PreparedRun, RunSummary]:
    """Run round after round; return the last one."""
    while True:
        audience.begins(prepared)
        summary = _round(prepared, slots, audience, trackers, options)
        following = _following(prepared, summary)
        if following is None:
            return prepared, summary
        audience.ended(prepared, summary)
        prepared = following


def _options(
    prepared: PreparedRun,
    slots: tuple[Slot, ...],
    *,
    retry_failed: bool,
    fail_fast: bool,
    max_outage_s: float,
    alive_s: float,
) -> RunOptions:
    from ablate.engine.compile_choice import compilation_of
    from ablate.engine.fuse_choice import fusion_of
    from ablate.engine.run_study import RunOptions

    return RunOptions(
        keep_old=prepared.request.keep_old,
        fusion=fusion_of(prepared.request.fuse, slots),
        compilation=compilation_of(prepared.request.compile, ()),
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        max_outage_s=max_outage_s,
        alive_s=alive_s,
        command=prepared.request.command(),
    )


def _round(
    prepared: PreparedRun, slots: tuple[Slot, ...], audience: Audience, trackers: TrackedRuns, options: RunOptions
) -> RunSummary:
    from ablate.engine.run_study import run_study

    with audience.display(prepared) as display:

        def listen(event: DisplayEvent) -> None:
            trackers.take(event)
            display.take(event)

        return run_study(
            prepared.study,
            prepared.core,
            prepared.next_replicates,
            results=prepared.place.results,
            storage_url=prepared.place.url,
            slots=slots,
            listen=listen,
            options=options,
            kinds=param_kinds(prepared.core),
            searches=prepared.searches,
            launcher=prepared.request.where.start(max_outage_s=options.max_outage_s),
        )


def _following(prepared: PreparedRun, summary: RunSummary) -> PreparedRun | None:
    """What the same request asks for next; None when it ends here."""
    if summary.exit_code not in (ExitCode.DONE, ExitCode.INCOMPLETE):
        return None
    if prepared.round is None and not prepared.searches:
        return None
    following = prepare_again(prepared)
    # A candidate that does not fit leaves its search complete, though the run was not all done.
    on = not following.searches if prepared.searches else summary.exit_code is ExitCode.DONE
    return following if on and following.plan.to_run else None


def record_changes(prepared: PreparedRun) -> bool:
    """Store what has changed in the study file since the last run; False when nothing has.

    A file that changes how verdicts are taken is not stored once the results are known: reports keep to what was
    declared before the run.
    """
    if prepared.stored is None or declares_other_verdicts(prepared):
        return False
    if _said(prepared.study) == _said(prepared.stored.study):
        return False
    from ablate.engine.run_study import record_study

    record_study(
        prepared.study,
        results=prepared.place.results,
        storage_url=prepared.place.url,
        kinds=param_kinds(prepared.core),
        command=prepared.request.command(),
    )
    return True


def repair_files(prepared: PreparedRun) -> Repaired:
    """Set damaged files of trials aside and write them again, where nothing is to run; see `repair`.

    Raises StudyLockedError when there are any while the study is being run, and ResultsError.
    """
    from ablate.engine.records.folders import writing
    from ablate.engine.records.lock import StudyLock
    from ablate.engine.records.repair import Repaired, find_damaged, repair

    stored, place = prepared.stored, prepared.place
    if stored is None or next(find_damaged(stored.study, stored.rows, stored.paths), None) is None:
        return Repaired()
    watch = place.command("ablate", "status", stored.study.name)
    with writing(stored.paths.folder), StudyLock(stored.paths.lock, watch):
        now = place.study(stored.study.name, "plain")
        return repair(now.study, now.rows, now.paths)


def declares_other_verdicts(prepared: PreparedRun) -> bool:
    """True when the study file's test, noise, correction or level are not those of the run."""
    stored = prepared.stored.study if prepared.stored is not None else prepared.study
    return (prepared.study.method, prepared.study.alpha) != (stored.method, stored.alpha)


def _said(study: Study) -> dict[str, object]:
    """All that a study file says, wherever it lies."""
    return {name: value for name, value in study.to_dict().items() if name != "file"}

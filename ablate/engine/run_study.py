"""Running a study: take the lock, take stock, let the loop run, and say how it went."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ablate.core.shared.registry import BUILT_IN
from ablate.engine.compile_choice import compilation_within, require_compilable, updates_waiting
from ablate.engine.display import display_events
from ablate.engine.display.announcer import Announcer, RunLog, TrialError
from ablate.engine.display.display_events import DisplayEvent
from ablate.engine.fuse_choice import Fusing, device_of, fusing_of, fusion_within, with_decisions
from ablate.engine.interrupts import Interrupts
from ablate.engine.loop import Loop, LoopPartners, LoopTimes, LoopWork
from ablate.engine.records.claim import Claim, check_unclaimed
from ablate.engine.records.folders import make_folders, write_study, writing
from ablate.engine.records.git import commit_of
from ablate.engine.records.lock import StudyLock, end_orphans
from ablate.engine.records.preregistration import declaration
from ablate.engine.records.recorder import Found, Recorder
from ablate.engine.records.repair import Repaired, repair
from ablate.engine.records.study_attributes import study_attributes
from ablate.engine.rules.events_actions import Planned
from ablate.engine.rules.limits import Policy
from ablate.engine.rules.machine import EngineState
from ablate.engine.rules.transitions import RETRIES
from ablate.engine.search_queue import SearchQueue
from ablate.engine.workers.launcher_api import Launcher, LocalLauncher
from ablate.engine.workers.messages import WorkerSetup
from ablate.engine.workers.pool import WorkerPool
from ablate.engine.workers.slots import Slot, devices_of, one_per_device
from ablate.errors import MAX_OUTAGE_S, AblateError, DamagedError, ExitCode, OutageError, StorageError
from ablate.interface import EAGER, SERIAL, Compilation, Core, Fusion, Stage
from ablate.json_values import JsonValue
from ablate.outcome import OutcomeKind
from ablate.paths import ResultsPaths, StudyPaths
from ablate.recipe import Recipe
from ablate.search import Search, second_objective
from ablate.storage.commands import command_at
from ablate.storage.outages import Patience
from ablate.storage.row_reading import MAY_HELP
from ablate.storage.rows import TrialRow, core_versions
from ablate.storage.store import ParamKind, Store
from ablate.study.changes import check_against_stored
from ablate.study.core_facts import CoreFacts
from ablate.study.core_version import check_version
from ablate.study.plan import require
from ablate.study.spec import BUDGET_UNITS, Replicate, Study
from ablate.study.stored_plan import study_of_text

LOCAL = LocalLauncher()


@dataclass(frozen=True)
class RunOptions:
    """How a run behaves; times in seconds."""

    stall_s: float = 1800.0
    """A worker without a sign of life for this long is killed, and its trial is tried again."""
    stop_s: float = 30.0
    """How long running trials get to save and stop."""
    checkpoint_s: float = 20.0
    """Shortest time between checkpoints."""
    alive_s: float = 60.0
    """Time between `Alive` events."""
    retry_failed: bool = False
    """Give trials that raised an exception one retry in this run (the next run tries them again anyway)."""
    fail_fast: bool = False
    """Stop at the first trial that ends without a result."""
    keep_old: bool = False
    """Let results of another version of the core stay beside those of this run."""
    max_outage_s: float = MAX_OUTAGE_S
    """How long the storage may be away before the run stops."""
    fusion: Fusion = SERIAL
    """Whether trainings of one shape run as one program; its width is also the most recipes of one batch."""
    compilation: Compilation = EAGER
    """Whether the networks of trainings are compiled."""
    command: str = ""
    """The command line, kept with the study."""


@dataclass(frozen=True)
class RunSummary:
    """How a run went."""

    study: str
    total: int
    """Replicates of the plan."""
    done: int
    """Replicates that have a result now."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Outcome kind -> replicates that ended so in this run."""
    errors: tuple[TrialError, ...] = ()
    seconds: float = 0.0
    slot_seconds: float = 0.0
    reason: str | None = None
    """Why it ended early; None when it did not."""
    exit_code: ExitCode = ExitCode.DONE


def run_study(
    study: Study,
    core: type[Core],
    replicates: Sequence[Replicate],
    *,
    results: ResultsPaths,
    storage_url: str,
    slots: Sequence[Slot],
    listen: Callable[[DisplayEvent], None],
    options: RunOptions,
    kinds: Mapping[str, ParamKind],
    searches: Sequence[Search] = (),
    launcher: Launcher = LOCAL,
) -> RunSummary:
    """Run what is missing of `replicates` and return when everything has an outcome or the run was stopped.

    `searches` are the searches of the study whose candidates are to be tried. `launcher` starts the workers.

    Only this process writes the storage. Call it from the main thread: it catches Ctrl-C, SIGTERM and SIGHUP. Raises
    StudyLockedError when the study is being run, StudyChangedError when it is not the stored one, ResultsError and
    StorageError when something cannot be written; whatever happened before is kept.
    """
    began = time.monotonic()
    require(core, study, replicates)
    if not searches:
        require_compilable(options.compilation, (stage for one in replicates for stage in core.stages(one.recipe)))
    timed = core.is_time(study.primary.name)
    options = replace(options, fusion=fusion_within(options.fusion, searching=bool(searches), timed=timed))
    if timed:
        slots = one_per_device(slots)  # a time is worth comparing only when nothing else runs on the device
    results = ResultsPaths(results.folder.absolute())
    paths = results.study(study.name)
    make_folders(results, paths)
    attributes = study_attributes(study, options.command, CoreFacts.of(core))
    watch = command_at(("ablate", "status"), results.folder, storage_url)
    with StudyLock(paths.lock, watch) as lock, Interrupts() as interrupts, _run_log(paths) as log:
        ended = end_orphans(lock.orphans)
        outage = _DuringOutage(study.name, listen, log, interrupts)
        patience = Patience(options.max_outage_s, outage.say, outage.pause)
        with _opened(storage_url, study, kinds, attributes, patience) as store:
            stored, rows = store.attributes(), store.rows()
            fusing = fusing_of(replicates, core, device_of(slots), options.fusion, stored, rows)
            options = replace(options, fusion=fusing.within)
            attributes |= with_decisions(stored, fusing)
            attributes |= declaration(study, (row.started_at for row in rows), stored)
            claim = Claim.of(results.folder)
            attributes |= claim.attribute()
            _check_stored(store, study, attributes)
            write_study(paths, study)
            recorder = Recorder(store, study, paths, replicates, commit_of(_home(study)), _own_stages(study, core))
            recorder.claim = claim
            _know_begun(recorder, SearchQueue(study, core, searches, rows))
            with writing(paths.folder):
                repaired, found = repair(study, rows, paths), recorder.take_stock()
            check_version(study, core, core_versions(store.rows()), keep_old=options.keep_old)
            search_queue = SearchQueue(study, core, searches, store.rows())
            answered = found.done.keys() | search_queue.too_large()
            planned = [
                *_planned(found.todo, core, search_queue, fusing, _failed_arms(rows)),
                *search_queue.planned(answered),
            ]
            waiting = updates_waiting((stage for one in planned for stage in one.stages), len(slots))
            fixed = not (searches or timed)
            compilation = compilation_within(options.compilation, study.name, waiting, fixed=fixed)
            total = len(replicates) + search_queue.total
            announcer = outage.announcer = Announcer(
                listen, log, study=study.name, total=total, done=len(answered), log_of=recorder.log_of
            )
            _tell_start(announcer, found, slots, paths, ended, repaired)
            policy = _policy(study, options, slots, keep_idle=launcher.keeps_idle)
            state = EngineState(planned, [slot.group for slot in slots], policy, devices_of(slots))
            setup = _worker_setup(study, core, results, options, fusing.keys, compilation)
            work = LoopWork(study.name, found.todo, planned, not study.core_parameters.get("curves"))
            times = LoopTimes(options.stop_s, options.alive_s)
            with launcher.opened(paths) as place:
                pool = outage.pool = WorkerPool(slots, paths, setup, lock, place, wake=interrupts.news)
                with closing(pool):
                    partners = LoopPartners(recorder, announcer, interrupts, search_queue, pool)
                    loop = Loop(state, work, partners, times)
                    reason = loop.run()
            with suppress(StorageError, OutageError):  # a storage that is gone has been told already
                recorder.sign_of_life(over=True)
        summary = _summary(study, announcer, loop, reason, time.monotonic() - began, interrupts)
        announcer.tell(_last_word(summary))
    if loop.fault is not None and not _left(loop.fault, interrupts):
        raise loop.fault
    return summary


def _worker_setup(
    study: Study,
    core: type[Core],
    results: ResultsPaths,
    options: RunOptions,
    fused: Iterable[str],
    compilation: Compilation,
) -> WorkerSetup:
    """What every worker of this run is told first; the core may write files for them."""
    paths = results.study(study.name)
    with writing(paths.folder):
        sent = core.for_workers(paths.folder)
    return WorkerSetup(
        core=study.core,
        parameters={**study.core_parameters, **sent},
        search=_home(study) if study.file else None,
        path=tuple(Path(entry).absolute() for entry in sys.path),
        results=results.folder,
        cache=results.cache,
        metrics=frozenset(metric.name for metric in study.metrics),
        primary=study.primary.name,
        checkpoint_s=options.checkpoint_s,
        fusion=options.fusion,
        fused=frozenset(fused),
        compilation=compilation,
    )


def _left(fault: AblateError, interrupts: Interrupts) -> bool:
    """True when a signal ended the wait for a storage that was away: then the run was stopped, and did not fail."""
    return isinstance(fault, OutageError) and bool(interrupts.received)


class _DuringOutage:
    """What a run does while its storage is away: says so, listens to its workers, and looks out for signals."""

    def __init__(self, study: str, listen: Callable[[DisplayEvent], None], log: RunLog, interrupts: Interrupts) -> None:
        self._study = study
        self._listen = listen
        self._log = log
        self._interrupts = interrupts
        self.announcer: Announcer | None = None
        """Says what is to be said, once it is there."""
        self.pool: WorkerPool | None = None
        """The workers, once there are any."""

    def say(self, text: str) -> None:
        """Say something worth a line."""
        if self.announcer is not None:
            self.announcer.note(text)
            return
        note = display_events.Note(at=time.time(), study=self._study, text=text)
        self._log.write(note)
        self._listen(note)

    def pause(self, seconds: float) -> bool:
        """Wait for `seconds`, or until a signal comes; return whether one has come."""
        if self.pool is None:
            return self._interrupts.pause(seconds)
        if not self._interrupts.received:
            self.pool.hold(seconds)
        return bool(self._interrupts.received)


def record_study(
    study: Study, *, results: ResultsPaths, storage_url: str, kinds: Mapping[str, ParamKind], command: str
) -> None:
    """Keep a study file that has changed, where all that it asks for is done already: a margin, a metric, an arm less.

    Raises as `run_study` does.
    """
    results = ResultsPaths(results.folder.absolute())
    paths = results.study(study.name)
    make_folders(results, paths)
    attributes = study_attributes(study, command)
    watch = command_at(("ablate", "status"), results.folder, storage_url)
    with StudyLock(paths.lock, watch) as lock, _opened(storage_url, study, kinds, attributes) as store:
        end_orphans(lock.orphans)
        attributes |= declaration(study, (row.started_at for row in store.rows()), store.attributes())
        _check_stored(store, study, attributes)
        write_study(paths, study)


def _opened(
    storage_url: str,
    study: Study,
    kinds: Mapping[str, ParamKind],
    attributes: Mapping[str, JsonValue],
    patience: Patience | None = None,
) -> Store:
    return Store.open(
        storage_url,
        study.name,
        kinds=kinds,
        primary=study.primary.name,
        direction=study.primary.direction,
        attributes=attributes,
        second=second_objective(study.searches),
        ranges=[searched for search in study.searches for searched in search.ranges],
        permit=partial(check_unclaimed, url=storage_url),
        patience=patience,
    )


def _run_log(paths: StudyPaths) -> RunLog:
    with writing(paths.folder):
        return RunLog(paths.run_log)


def _home(study: Study) -> Path:
    """The folder of the study file: a user's core lies beside it."""
    return Path(study.file).absolute().parent


def _own_stages(study: Study, core: type[Core]) -> Callable[[Recipe], Sequence[Stage]] | None:
    """The stages of a user's own core, which nobody but a run asks for; None for a core that is built in."""
    return None if study.core in BUILT_IN else core.stages


def _check_stored(store: Store, study: Study, attributes: Mapping[str, JsonValue]) -> None:
    """Refuse a study that is not the stored one, and bring what is stored about it up to date."""
    stored = store.attributes()
    text = stored.get("ablate.plan")
    if isinstance(text, str):
        try:
            has_results = any(row.outcome is not None and row.outcome.is_result for row in store.rows())
            check_against_stored(study_of_text(text), study, has_results=has_results)
        except DamagedError as error:
            raise StorageError(f"the stored plan of study {study.name!r} is damaged: {error}", hint=MAY_HELP) from error
    changed = {name: value for name, value in attributes.items() if stored.get(name) != value}
    if changed:
        store.set_attributes(changed)


def _know_begun(recorder: Recorder, search_queue: SearchQueue) -> None:
    """Let the book know the candidates that earlier runs began."""
    for one in search_queue.begun():
        recorder.add(one, search_queue.params(one.key), search_queue.attributes(one.key))


def _planned(
    todo: Sequence[Replicate], core: type[Core], search_queue: SearchQueue, fusing: Fusing, failed: Set[str]
) -> list[Planned]:
    """What placing needs to know of the arms' replicates; arms that `failed` before go last."""
    found = []
    for one in todo:
        if one.key not in search_queue:
            stages, memory_key = core.stages(one.recipe), core.memory_key(one.recipe)
            planned = Planned(one.key, one.recipe.digest, fusing.key_of(core, one), stages, memory_key)
            found.append(planned.put_last() if one.arm in failed else planned)
    return found


def _failed_arms(rows: Sequence[TrialRow]) -> frozenset[str]:
    """Arms of which a replicate's last attempt failed."""
    last = {(row.arm, row.seed): row.outcome for row in sorted(rows, key=lambda row: row.number)}
    return frozenset(arm for (arm, _), kind in last.items() if kind is OutcomeKind.FAILED)


def _policy(study: Study, options: RunOptions, slots: Sequence[Slot], *, keep_idle: bool) -> Policy:
    """What the pure state goes by."""
    return Policy(
        stall_s=options.stall_s,
        stop_s=options.stop_s,
        budget_s=sum(amount * BUDGET_UNITS[unit] for unit, amount in study.budget.items()) or None,
        batch=options.fusion.width,
        spread=device_of(slots) == "cpu",
        keep_idle=keep_idle,
        fail_fast=options.fail_fast,
        retries={**RETRIES, OutcomeKind.FAILED: 1} if options.retry_failed else RETRIES,
    )


def _tell_start(
    announcer: Announcer,
    found: Found,
    slots: Sequence[Slot],
    paths: StudyPaths,
    ended: Sequence[int],
    repaired: Repaired,
) -> None:
    """Tell what the run starts from."""
    announcer.tell(
        display_events.RunStarted(
            at=time.time(),
            total=announcer.total,
            done=announcer.done,
            to_run=announcer.total - announcer.done,
            slots=tuple(slot.name for slot in slots),
            devices=tuple(slot.device for slot in slots),
            log=str(paths.run_log),
        )
    )
    if ended:
        announcer.note(f"ended workers that were left from an earlier run: {', '.join(map(str, ended))}")
    if repaired != Repaired():
        announcer.note(str(repaired))
    if found.settled:
        announcer.note(f"trials of a killed run that resume from their last checkpoints: {found.settled}")
    for key, number, outcome, copied in found.recorded:
        announcer.found(key, number, outcome, copied=copied)


def _summary(
    study: Study, announcer: Announcer, loop: Loop, reason: str | None, seconds: float, interrupts: Interrupts
) -> RunSummary:
    code = ExitCode.DONE if announcer.done == announcer.total else ExitCode.INCOMPLETE
    if loop.fault is not None and not _left(loop.fault, interrupts):
        code = loop.fault.exit_code
    elif interrupts.received and code is not ExitCode.DONE:
        code = ExitCode.INTERRUPTED if interrupts.received[0] is signal.SIGINT else ExitCode.TERMINATED
    return RunSummary(
        study=study.name,
        total=announcer.total,
        done=announcer.done,
        counts=dict(announcer.counts),
        errors=tuple(announcer.errors),
        seconds=seconds,
        slot_seconds=loop.slot_seconds,
        reason=reason,
        exit_code=code,
    )


def _last_word(summary: RunSummary) -> display_events.RunFinished:
    return display_events.RunFinished(
        at=time.time(),
        total=summary.total,
        done=summary.done,
        counts=summary.counts,
        seconds=summary.seconds,
        slot_seconds=summary.slot_seconds,
        reason=summary.reason,
        exit_code=int(summary.exit_code),
    )

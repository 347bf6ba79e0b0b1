"""A worker: one long-lived process on one slot that computes batches until it is told to leave.

Started as ``python -m ablate.engine.workers.worker IN OUT PARENT``: two inherited pipe ends for messages, and the
process that must be alive. Or, on another machine, as ``... --connect TICKET``, where the ticket says how to reach the
engine. It writes files only: outcomes, curves, logs. Only the parent decides when to stop, so signals to the terminal's
process group are ignored; when the parent is gone, so is the worker, whatever it is doing. A cluster too may take its
place away: at SIGTERM or SIGUSR1 such a worker saves and leaves, and its trials go on elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from ablate.code_text import CODE, written
from ablate.core.shared.forking import die_with
from ablate.core.shared.registry import core_class
from ablate.engine.workers import peak_memory
from ablate.engine.workers.failures import Failure, breaks_device, classify, is_disk_full, summary
from ablate.engine.workers.fork_guard import ForkGuard
from ablate.engine.workers.framing import MessageStream, read_chunk, write_message
from ablate.engine.workers.handshake import (
    NO_ENGINE,
    NO_TICKET,
    WRONG_ENGINE,
    WRONG_VERSION,
    OtherVersion,
    Refused,
    Unreachable,
    node_name,
    report_to_engine,
)
from ablate.engine.workers.messages import (
    VERSION,
    BatchDone,
    Broken,
    Company,
    DiskFull,
    Evicted,
    FromWorker,
    Hello,
    Leave,
    OutcomeWritten,
    Prune,
    Ready,
    RunBatch,
    Stop,
    Unreadable,
    WorkerNote,
    WorkerSetup,
    decode_to_worker,
    other_version,
)
from ablate.engine.workers.outcome_checks import MetricChecks, outcomes_of
from ablate.engine.workers.output_capture import OutputCapture, calm_progress_bars
from ablate.engine.workers.slots import list_gpus, processor_name, visible_gpus
from ablate.engine.workers.trial_context import Send, WorkerTrialContext, append_log
from ablate.errors import AblateError, CompileError
from ablate.interface import Core
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import TrialPaths, write_json
from ablate.recipe import Recipe
from ablate.storage.rows import CORE_VERSION

PEAK = "peak_memory_mb"
"""Entry of an outcome's environment; a core that knows better than the worker writes it itself."""
TOGETHER = "trials_on_device"
"""Entry of an outcome's environment: most batches on the device at any time of this one, itself included."""
NODE, JOB = "node", "job"
"""Entries of an outcome's environment, on a cluster: where it ran, and in which of Slurm's jobs (job.step)."""
_IMPORTED: dict[str, Mapping[str, str]] = {}
"""Core -> its text when this process, or the one that it was forked from, imported it: the file may change later."""
Order: TypeAlias = Hello | RunBatch | Leave
"""What the thread that computes acts on, one after the other."""


@dataclass
class Wishes:
    """What the engine and the cluster want while a batch runs: one thread writes it down, another one reads it."""

    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the batch is to be stopped."""
    pruned: set[str] = field(default_factory=set)
    """Digests of recipes that their search gave up."""
    together: int = 1
    """The most batches on the device since this one began, itself included."""
    evicted: str = ""
    """How the cluster said that it takes this worker's place away; empty until then."""
    place: Mapping[str, str] = field(default_factory=dict)
    """Node and job of this worker, on a cluster."""

    def hear(self, message: RunBatch | Company | Prune | Stop) -> None:
        """Take what the engine says, in the order in which it says it."""
        match message:
            case RunBatch():
                self.together = message.together
            case Company():
                self.together = max(self.together, message.together)
            case Prune():
                self.pruned.add(message.digest)
            case Stop():
                self.stop.set()


class Worker:
    """Computes batches with one core on one slot."""

    def __init__(self, hello: Hello, send: Send, wishes: Wishes) -> None:
        """Take the slot and the core from the engine's first message; raises what importing the core raises."""
        self._hello = hello
        self._setup = hello.setup
        self._send = send
        self._wishes = wishes
        self._device_name = hello.device_name or name_of_device(hello.device)
        self._peak_mb: float | None = None
        self._code: Mapping[str, Mapping[str, str]] = {}
        self._output = OutputCapture()
        self._core: Core = import_core(self._setup)()
        self._context = WorkerTrialContext(
            device=hello.device,
            threads=hello.threads,
            cache=self._setup.cache,
            send=send,
            stop=wishes.stop,
            pruned=wishes.pruned,
            checkpoint_s=self._setup.checkpoint_s,
            wanted=self._setup.metrics,
            fusion=self._setup.fusion,
            compilation=self._setup.compilation,
        )
        self._checks = MetricChecks(self._core, self._setup.metrics, self._setup.primary)
        self._guard = ForkGuard(lambda text: send(WorkerNote(text)))

    def run(self, order: RunBatch) -> None:
        """Compute one batch: every recipe ends with an outcome file, unless the disk is full or nothing compiles."""
        began = time.monotonic()
        self._peak_mb = None
        peak_memory.start_measuring(self._hello.device)
        waiting = {one.recipe.digest: one.recipe for one in order.batch}
        self._code = {}
        spent = False
        try:
            with self._output.into([TrialPaths(one.folder).log for one in order.batch]):
                spent = self._compute(order, waiting, began)
        except CompileError as error:
            self._send(Broken(error.message, error.hint))
        except Exception as error:
            if not is_disk_full(error, self._setup.results):
                raise
            self._send(DiskFull(summary(error)))
        finally:
            self._context.end()
        if not (waiting and self._wishes.evicted):  # what has no outcome then goes on elsewhere
            self._send(BatchDone(spent, self._peak_mb))

    def _code_of(self, recipe: Recipe) -> dict[str, str]:
        """The text that the recipe is computed from now; a trial that goes on has that of its last attempt."""
        texts = {**_IMPORTED[self._setup.core], **self._core.texts_of(recipe)}
        return {CODE: written(texts)} if texts else {}

    def _compute(self, order: RunBatch, waiting: dict[str, Recipe], began: float) -> bool:
        """Run the core over a batch, whose recipes leave `waiting`; return whether this process should be replaced."""
        recipes = [one.recipe for one in order.batch]
        folders = {one.recipe.digest: TrialPaths(one.folder) for one in order.batch}
        self._context.begin(order, fused=self._core.batch_key(recipes[0]) in self._setup.fused)
        apply_threads(self._hello.threads)
        try:
            self._code = {digest: self._code_of(recipe) for digest, recipe in waiting.items()}
            for recipe, outcome in outcomes_of(self._core, recipes, self._core.run(recipes, self._context)):
                self._guard.leave_if_forked()
                self._settle(folders[recipe.digest], outcome, recipe, began)
                del waiting[recipe.digest]
        except BaseException as error:
            self._guard.leave_if_forked(error)
            if isinstance(error, CompileError) or is_disk_full(error, self._setup.results):
                raise
            failure = classify(error)
            if failure.kind is OutcomeKind.STOPPED and self._wishes.evicted:
                return False
            for recipe in waiting.values():
                self._fail(folders[recipe.digest], failure, recipe, began)
            waiting.clear()
            return breaks_device(error)
        return False

    def _settle(self, paths: TrialPaths, outcome: Outcome, recipe: Recipe, began: float) -> None:
        """Write a core's outcome as it counts, and say what is doubtful about it."""
        settled, said = self._checks.settled(outcome)
        for sentence in said:
            self._send(WorkerNote(sentence))
        if settled.kind is not outcome.kind:
            append_log(paths, f"{settled.kind}: {settled.error}")
        for note in settled.notes[len(outcome.notes) :]:
            append_log(paths, note)
        self._keep(paths, settled, recipe, began)

    def _keep(self, paths: TrialPaths, outcome: Outcome, recipe: Recipe, began: float) -> None:
        """Complete the core's outcome with what the worker knows, and write it."""
        elapsed_s = time.monotonic() - began
        known = {
            "threads": str(self._hello.threads),
            CORE_VERSION: self._core.version,
            **self._code.get(recipe.digest, {}),
            "python": _python(),
            TOGETHER: str(self._wishes.together),
            **self._wishes.place,
            **self._peak(outcome, recipe),
        }
        # Curves of functions and commands are over something else than images.
        curve_of_images = not self._setup.parameters.get("curves")
        images = self._context.images_seen(recipe, outcome.images_seen) if curve_of_images else outcome.images_seen
        kept = replace(
            outcome,
            recipe_digest=recipe.digest,
            images_seen=images,
            seconds=outcome.seconds or (self._context.spent(recipe).seconds if outcome.kind.is_result else elapsed_s),
            device=self._hello.device,
            device_name=outcome.device_name or self._device_name,
            environment={**known, **outcome.environment},
        )
        self._output.give(paths.log)
        write_json(paths.outcome, kept.to_dict())
        self._send(OutcomeWritten(recipe.digest))

    def _peak(self, outcome: Outcome, recipe: Recipe) -> dict[str, str]:
        """What is known of the peak of memory when an outcome is there: the batch's for the parent, all attempts'."""
        stated = outcome.environment.get(PEAK)
        peak_mb = float(stated) if stated is not None else peak_memory.peak_mb(self._hello.device)
        if peak_mb is None or not math.isfinite(peak_mb):
            return {}
        self._peak_mb = max(peak_mb, self._peak_mb or 0.0)
        before_mb = self._context.spent(recipe).peak_mb
        return {PEAK: f"{max(peak_mb, before_mb or 0.0):.0f}"}

    def _fail(self, paths: TrialPaths, failure: Failure, recipe: Recipe, began: float) -> None:
        """Write the outcome of a recipe whose computation raised."""
        if failure.kind is OutcomeKind.STOPPED and recipe.digest in self._wishes.pruned:
            failure = replace(failure, kind=OutcomeKind.PRUNED, error="pruned by its search")
        append_log(paths, f"{failure.kind}: {failure.error}")
        if failure.traceback:
            append_log(paths, failure.traceback)
        outcome = Outcome(
            kind=failure.kind,
            recipe_digest=recipe.digest,
            images_seen=failure.images_seen,
            error=failure.error,
            traceback=failure.traceback,
        )
        self._keep(paths, outcome, recipe, began)


def import_core(setup: WorkerSetup) -> type[Core]:
    """Import a core and what it imports when it runs; raises what importing the core raises."""
    calm_progress_bars()
    sys.path.extend(entry for entry in map(str, setup.path) if entry not in sys.path)
    core = core_class(setup.core, setup.search, setup.parameters)
    if setup.core not in _IMPORTED:
        _IMPORTED[setup.core] = core.texts()
    for name in core.imports:
        with contextlib.suppress(ImportError):  # its run says what is missing
            importlib.import_module(name)
    return core


def apply_threads(threads: int) -> None:
    """Hold torch to `threads`, if the core has imported it; before that, the environment does (OMP_NUM_THREADS)."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def listen(incoming: int, orders: queue.SimpleQueue[Order], wishes: Wishes, send: Send) -> None:
    """Read the engine's messages until they end; their end means that the engine is gone, and so this leaves."""
    stream = MessageStream(decode_to_worker)
    try:
        while data := read_chunk(incoming):
            for message in stream.feed(data):
                if isinstance(message, Unreadable):
                    send(_misunderstood(message.reason))
                    return
                if isinstance(message, RunBatch | Company | Prune | Stop):
                    wishes.hear(message)
                if isinstance(message, Hello | RunBatch | Leave):
                    orders.put(message)
    finally:
        # The group, because a core may have started processes of its own (data loaders).
        os.killpg(0, signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Serve until told to leave."""
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    wishes = Wishes()

    def evict(number: int, _: object) -> None:
        wishes.evicted = f"it received {signal.Signals(number).name}"
        wishes.stop.set()
        orders.put(Leave())

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler that does nothing, rather than SIG_IGN, which programs started by a core would inherit.
        signal.signal(number, lambda *_: None)
    if arguments[0] == "--connect":
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, evict)
        wishes.place = place_of(os.environ)
        connection = connect(Path(arguments[1]), *map(int, arguments[2:]))
        incoming = outgoing = connection.fileno()
    else:
        incoming, outgoing, parent = map(int, arguments)
        die_with(parent)
    lock, own = threading.Lock(), os.getpid()

    def send(message: FromWorker) -> None:
        # In a process that the core forked the lock may be held by a thread that is not there.
        with lock if os.getpid() == own else contextlib.nullcontext():
            try:
                write_message(outgoing, message)
            except OSError:  # nobody reads any more, or the way there is gone
                os._exit(1)

    threading.Thread(target=listen, args=(incoming, orders, wishes, send), daemon=True).start()
    serve(orders, send, wishes)
    if wishes.evicted:
        send(Evicted(wishes.evicted))


def serve(orders: queue.SimpleQueue[Order], send: Send, wishes: Wishes) -> None:
    """Compute the batches that are ordered, until the order is another one or the place is taken away."""
    hello = orders.get()
    if not isinstance(hello, Hello):
        return
    if hello.version != VERSION:
        send(_misunderstood(f"the engine runs {other_version(hello.version)}"))
        return
    try:
        worker = Worker(hello, send, wishes)
    except AblateError as error:
        send(Broken(error.message, error.hint))
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises
        traceback.print_exc()  # into the slot's log
        hint = "ablate makes the core's class without arguments; the traceback is in the log of the slot"
        send(Broken(f"core {hello.setup.core!r} cannot be started: {summary(error)}", hint))
        return
    send(Ready())
    while isinstance(order := orders.get(), RunBatch) and not wishes.evicted:
        worker.run(order)


def _misunderstood(reason: str) -> Broken:
    """The answer to an engine of another version, or to one whose messages cannot be read."""
    return Broken(
        f"a worker does not understand the engine: {reason}",
        "if ablate was reinstalled during the run, run the same command again",
    )


def connect(ticket: Path, parent: int | None = None) -> socket.socket:
    """Report to the engine that wrote `ticket`; leave with an exit code that tells why when that cannot be."""
    if parent is not None:
        die_with(parent)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # `listen` ends the whole group
    try:
        return report_to_engine(ticket)
    except OSError as error:
        problem, code = f"cannot use the ticket {ticket}: {error}", NO_TICKET
    except Unreachable as error:
        problem, code = str(error), NO_ENGINE
    except Refused as error:
        problem, code = str(error), WRONG_ENGINE
    except OtherVersion as error:
        problem, code = str(error), WRONG_VERSION
    print(problem, file=sys.stderr)  # noqa: T201 - into the slot's log
    raise SystemExit(code)


def place_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the node that this worker runs on, and Slurm's job or step where it is one."""
    job, step = environment.get("SLURM_JOB_ID", ""), environment.get("SLURM_STEP_ID", "")
    known = {JOB: f"{job}.{step}" if job and step.isdecimal() else job}
    return {NODE: node_name(), **{name: value for name, value in known.items() if value}}


def name_of_device(device: str) -> str:
    """Return the model of the device that this worker computes on."""
    if device == "cpu":
        return processor_name()
    return next((gpu.name for gpu in visible_gpus(list_gpus(), os.environ)), "GPU")


def _python() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


if __name__ == "__main__":
    main(sys.argv[1:])

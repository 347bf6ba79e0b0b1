"""A worker: one long-lived process on one slot that computes batches until it is told to leave.

Started as ``python -m ablate.engine.workers.worker IN OUT PARENT``: two inherited pipe ends for JSON lines, and the
process that must be alive. Or, on another machine, as ``... --connect TICKET``, where the ticket says how to reach the
engine. It writes files only: outcomes, curves, logs. Only the parent decides when to stop, so signals to the terminal's
process group are ignored; when the parent is gone, so is the worker, whatever it is doing. A cluster too may take its
place away: at SIGTERM or SIGUSR1 such a worker saves and leaves, and its trials go on elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablate.core.shared.registry import core_class
from ablate.engine.workers import peak_memory
from ablate.engine.workers.failures import Failure, breaks_device, classify, is_disk_full, summary
from ablate.engine.workers.handshake import NO_ENGINE, NO_TICKET, WRONG_ENGINE, Refused, Unreachable, report_to_engine
from ablate.engine.workers.messages import Lines, read_chunk, write_message
from ablate.engine.workers.slots import list_gpus, processor_name, visible_gpus
from ablate.engine.workers.trial_context import Send, WorkerTrialContext, append_log
from ablate.errors import AblateError, CompileError
from ablate.interface import Compilation, Core, Fusion
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import TrialPaths, write_json
from ablate.recipe import Recipe

_PR_SET_PDEATHSIG = 1
PEAK = "peak_memory_mb"
"""Entry of an outcome's environment; a core that knows better than the worker writes it itself."""
TOGETHER = "trials_on_device"
"""Entry of an outcome's environment: most batches on the device at any time of this one, itself included."""


@dataclass
class Company:
    """How many batches run on the device of this worker, its own included: the most since its batch began."""

    together: int = 1

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take what the parent says, in the order in which it says it: a new batch, or more company for this one."""
        together = int(message.get("together", 1))
        self.together = together if message["type"] == "run" else max(self.together, together)


@dataclass
class Eviction:
    """Says that the cluster takes this worker's place away, and how it said so; empty until then."""

    reason: str = ""


class Worker:
    """Computes batches with one core on one slot."""

    def __init__(
        self,
        hello: Mapping[str, Any],
        send: Send,
        stop: threading.Event,
        pruned: set[str],
        company: Company,
        eviction: Eviction,
    ) -> None:
        """Take the slot and the core from the parent's first message; raises what importing the core raises.

        `pruned` holds the digests of recipes that were given up; it grows while a batch is computed.
        """
        self._eviction = eviction
        self._device_name = hello["device_name"] or name_of_device(hello["device"])
        self._send = send
        self._stop = stop
        self._pruned = pruned
        self._hello = hello
        self._company = company
        self._peak_mb: float | None = None
        self._results = Path(hello["results"])
        sys.path.extend(entry for entry in hello["path"] if entry not in sys.path)
        search = hello["search"]
        self._core: Core = core_class(hello["core"], Path(search) if search else None)()
        self._report = WorkerTrialContext(
            device=hello["device"],
            threads=hello["threads"],
            cache=Path(hello["cache"]),
            send=send,
            stop=stop,
            pruned=pruned,
            checkpoint_s=hello["checkpoint_s"],
            wanted=frozenset(hello["metrics"]),
            fusion=Fusion(**hello["fusion"]),
            compilation=Compilation(**hello["compilation"]),
        )
        self._fused = frozenset(hello["fused"])

    def run(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Compute one batch: every recipe ends with an outcome file, unless the disk is full or nothing compiles."""
        recipes = [Recipe.from_dict(entry["recipe"]) for entry in entries]
        folders = {
            recipe.digest: TrialPaths(Path(entry["folder"])) for recipe, entry in zip(recipes, entries, strict=True)
        }
        began = time.monotonic()
        self._peak_mb = None
        peak_memory.start_measuring(self._hello["device"])
        waiting = {recipe.digest: recipe for recipe in recipes}
        spent = False
        try:
            spent = self._compute(recipes, folders, waiting, began)
        except CompileError as error:
            self._send({"type": "broken", "error": error.message, "hint": error.hint})
        except Exception as error:
            if not is_disk_full(error, self._results):
                raise
            self._send({"type": "full", "error": summary(error)})
        finally:
            self._report.end()
        if not (waiting and self._eviction.reason):  # what has no outcome then goes on elsewhere
            self._send({"type": "done", "spent": spent, "peak_mb": self._peak_mb})

    def _compute(
        self, recipes: list[Recipe], folders: Mapping[str, TrialPaths], waiting: dict[str, Recipe], began: float
    ) -> bool:
        """Run the core over `recipes`; return whether this process should be replaced."""
        self._report.begin(folders, fused=self._core.batch_key(recipes[0]) in self._fused)
        apply_threads(self._hello["threads"])
        try:
            for recipe, outcome in self._core.run(recipes, self._report):
                if waiting.pop(recipe.digest, None) is None:
                    raise ValueError(f"the core gave an outcome for a recipe it was not given: {recipe.digest[:12]}")
                self._keep(folders[recipe.digest], outcome, recipe, began)
            if waiting:
                raise ValueError(f"the core gave no outcome for {len(waiting)} of {len(recipes)} recipes")
        except (Exception, SystemExit) as error:
            if isinstance(error, CompileError) or is_disk_full(error, self._results):
                raise
            failure = classify(error)
            if failure.kind is OutcomeKind.STOPPED and self._eviction.reason:
                return False
            for recipe in waiting.values():
                self._fail(folders[recipe.digest], failure, recipe, began)
            waiting.clear()
            return breaks_device(error)
        return False

    def _keep(self, paths: TrialPaths, outcome: Outcome, recipe: Recipe, began: float) -> None:
        """Complete the core's outcome with what the worker knows, and write it."""
        known = {
            "threads": str(self._hello["threads"]),
            "core_version": self._core.version,
            "python": _python(),
            TOGETHER: str(self._company.together),
            **self._peak(outcome),
        }
        kept = replace(
            outcome,
            recipe_digest=recipe.digest,
            seconds=outcome.seconds or time.monotonic() - began,
            device=self._hello["device"],
            device_name=outcome.device_name or self._device_name,
            environment={**known, **outcome.environment},
        )
        write_json(paths.outcome, kept.to_dict())
        self._send({"type": "outcome", "digest": recipe.digest})

    def _peak(self, outcome: Outcome) -> dict[str, str]:
        """What is known of the batch's peak of memory when one of its outcomes is there, and keep it for the parent."""
        stated = outcome.environment.get(PEAK)
        peak_mb = float(stated) if stated is not None else peak_memory.peak_mb(self._hello["device"])
        if peak_mb is None:
            return {}
        self._peak_mb = max(peak_mb, self._peak_mb or 0.0)
        return {PEAK: f"{peak_mb:.0f}"}

    def _fail(self, paths: TrialPaths, failure: Failure, recipe: Recipe, began: float) -> None:
        """Write the outcome of a recipe whose computation raised."""
        if failure.kind is OutcomeKind.STOPPED and recipe.digest in self._pruned:
            failure = replace(failure, kind=OutcomeKind.PRUNED, error="given up by its search")
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


def apply_threads(threads: int) -> None:
    """Hold torch to `threads`, if the core has imported it; before that, the environment does (OMP_NUM_THREADS)."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies (Linux); leave at once if that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def listen(
    incoming: int,
    orders: queue.SimpleQueue[Mapping[str, Any]],
    stop: threading.Event,
    pruned: set[str],
    company: Company,
) -> None:
    """Read the parent's messages until they end; their end means that the parent is gone, and so this leaves."""
    lines = Lines()
    try:
        while data := read_chunk(incoming):
            for message in lines.feed(data):
                if message["type"] in ("run", "company"):
                    company.hear(message)
                if message["type"] == "stop":
                    stop.set()
                elif message["type"] == "prune":
                    pruned.add(message["digest"])
                elif message["type"] != "company":
                    orders.put(message)
    finally:
        # The group, because a core may have started processes of its own (data loaders).
        os.killpg(0, signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Serve until told to leave."""
    orders: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    stop, pruned, company, eviction = threading.Event(), set[str](), Company(), Eviction()

    def evict(number: int, _: object) -> None:
        eviction.reason = f"it was sent {signal.Signals(number).name}"
        stop.set()
        orders.put({"type": "leave"})

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler that does nothing, rather than SIG_IGN, which programs started by a core would inherit.
        signal.signal(number, lambda *_: None)
    if arguments[0] == "--connect":
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, evict)
        connection = connect(Path(arguments[1]), *map(int, arguments[2:]))
        incoming = outgoing = connection.fileno()
    else:
        incoming, outgoing, parent = map(int, arguments)
        die_with(parent)
    lock = threading.Lock()

    def send(message: Mapping[str, Any]) -> None:
        with lock:
            try:
                write_message(outgoing, message)
            except OSError:  # nobody reads any more, or the way there is gone
                os._exit(1)

    threading.Thread(target=listen, args=(incoming, orders, stop, pruned, company), daemon=True).start()
    serve(orders, send, stop, pruned, company, eviction)
    if eviction.reason:
        send({"type": "evicted", "reason": eviction.reason})


def serve(
    orders: queue.SimpleQueue[Mapping[str, Any]],
    send: Send,
    stop: threading.Event,
    pruned: set[str],
    company: Company,
    eviction: Eviction,
) -> None:
    """Compute the batches that are ordered, until the order is another one or the place is taken away."""
    hello = orders.get()
    if hello["type"] != "hello":
        return
    try:
        worker = Worker(hello, send, stop, pruned, company, eviction)
    except AblateError as error:
        send({"type": "broken", "error": error.message, "hint": error.hint})
        return
    send({"type": "ready"})
    while (order := orders.get())["type"] == "run" and not eviction.reason:
        worker.run(order["batch"])


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
    print(problem, file=sys.stderr)  # noqa: T201 - into the slot's log
    raise SystemExit(code)


def name_of_device(device: str) -> str:
    """Return the model of the device that this worker computes on."""
    if device == "cpu":
        return processor_name()
    return next((gpu.name for gpu in visible_gpus(list_gpus(), os.environ)), "GPU")


def _python() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


if __name__ == "__main__":
    main(sys.argv[1:])

"""Starting a worker process on a slot of this machine, and talking to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ablate
from ablate.core.shared.oom_kills import killed_for_memory
from ablate.engine.workers.framing import MessageStream, read_chunk, write_message
from ablate.engine.workers.messages import (
    Evicted,
    FromWorker,
    Heard,
    Hello,
    ToWorker,
    Unreadable,
    decode_from_worker,
)
from ablate.engine.workers.slots import Slot

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_KEEP_MEMORY = {
    # glibc gives freed memory back to the system and asks for it again at every step; keeping it halves a training
    # step on CPU. 32 MiB is the largest mmap threshold that glibc accepts.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(1024 * 1024 * 1024),
    "MALLOC_TOP_PAD_": str(64 * 1024 * 1024),
}
_KEEP_GPU_MEMORY = {
    # One growing piece of address space instead of blocks of fixed sizes: trials of other shapes in one worker do not
    # leave holes, and the memory of recorded graphs is given back.
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}
_GPU_MEMORY_NAMES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""Names under which a user may have chosen: the older one, and the one that newer versions of torch add."""
GONE_S = 5.0
"""How long the end of a process that has begun is waited for."""


@dataclass(frozen=True)
class End:
    """How a worker ended."""

    reason: str
    out_of_memory: bool = False
    """True when it was killed while the system killed processes for lack of memory."""
    evicted: bool = False
    """True when a cluster took its place away (a time limit, a pre-emption): no fault of what ran there."""


class PipedWorker(ABC):
    """One worker of this machine: its two pipes and its log. Must be made in the thread that outlives it."""

    exit: int | None = None
    """Readable when the process is gone, even if a process it started still holds the pipe; None if unsupported."""

    def __init__(self, slot: Slot, log: Path) -> None:
        """Start it, without waiting for it."""
        self.slot = slot
        self.log = log
        self._stream = MessageStream(decode_from_worker)
        self._killed_for_memory = killed_for_memory()
        theirs_in, self._orders = os.pipe()
        self.news, theirs_out = os.pipe()
        """Readable when the worker has said something, and at its end."""
        try:
            with log.open("ab") as output:
                self._start(theirs_in, theirs_out, output.fileno())
        except BaseException:
            os.close(self._orders)
            os.close(self.news)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)

    @abstractmethod
    def _start(self, incoming: int, outgoing: int, log: int) -> None:
        """Start the process with its ends of the pipes and its log; they are closed here afterwards."""

    def send(self, message: ToWorker) -> None:
        """Send a message; that nobody reads any more shows at `news` and `exit`."""
        with contextlib.suppress(BrokenPipeError):
            write_message(self._orders, message)

    def receive(self) -> list[Heard] | None:
        """Return the messages that are there (waiting for the first bytes), None at the end of the pipe."""
        data = read_chunk(self.news)
        return self._heard(data) if data else None

    def drain(self) -> list[Heard]:
        """Return what a worker that is gone said last, without waiting."""
        os.set_blocking(self.news, False)
        found: list[Heard] = []
        with contextlib.suppress(BlockingIOError):
            while (messages := self.receive()) is not None:
                found += messages
        return found

    def _heard(self, data: bytes) -> list[Heard]:
        return [heard(message) for message in self._stream.feed(data)]

    def _close(self) -> None:
        for descriptor in (self._orders, self.news, self.exit):
            if descriptor is not None:
                os.close(descriptor)

    def _end(self, code: int) -> End:
        return how_it_ended(code, killed_for_memory() > self._killed_for_memory)


class WorkerProcess(PipedWorker):
    """A worker that is started as a Python interpreter of its own."""

    def __init__(self, slot: Slot, log: Path, hello: Hello) -> None:
        """Start the process, without waiting for it, and send it `hello`: all it must know of slot and core."""
        super().__init__(slot, log)
        self.exit = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None
        self.send(hello)

    def _start(self, incoming: int, outgoing: int, log: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                sys.executable,
                "-P",
                "-m",
                "ablate.engine.workers.worker",
                str(incoming),
                str(outgoing),
                str(os.getpid()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(os.environ, self.slot),
            pass_fds=(incoming, outgoing),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the process, and of the process group it leads."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the whole process group."""
        kill_group(self.pid)

    def reap(self) -> End:
        """Wait for the end of the process (which has begun), end what it left behind, and say how it ended."""
        try:
            code = self._process.wait(GONE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self.kill()
        self._close()
        return self._end(code)


def kill_group(pid: int) -> None:
    """Kill every process of the group that `pid` leads, if there is one left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def heard(message: FromWorker | Unreadable) -> Heard:
    """Take a message of a worker on this machine, which no cluster can end."""
    if isinstance(message, Evicted):
        return Unreadable(f"it says that a cluster ended it ({message.reason}), but it runs on this machine")
    return message


def how_it_ended(code: int, memory_ran_out: bool = False) -> End:
    """Return the exit of a worker process in words; `memory_ran_out` when the system killed some process for memory."""
    if code >= 0:
        return End(f"the worker process ended with exit code {code}")
    if code == -signal.SIGKILL and memory_ran_out:
        return End("the worker process was killed by the system: out of memory", out_of_memory=True)
    with contextlib.suppress(ValueError):
        return End(f"the worker process was killed by {signal.Signals(-code).name}")
    return End(f"the worker process was killed by signal {-code}")


def environment(inherited: Mapping[str, str], slot: Slot) -> dict[str, str]:
    """Return the environment of the slot's worker: all that must be set before torch is imported."""
    return {**inherited, **variables(slot, inherited)}


def variables(slot: Slot, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the environment of the slot's worker has beside, or instead of, what it inherits."""
    found = {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(_THREAD_VARIABLES, str(slot.threads)),
        **allocators(inherited, gpu=slot.is_gpu),
    }
    if slot.visible or not slot.is_gpu:  # the GPU of a cluster's job is the cluster's to say
        found["CUDA_VISIBLE_DEVICES"] = slot.visible or ""
    if "TORCHINDUCTOR_COMPILE_THREADS" not in inherited:
        # torch would start as many compiling processes as there are cores, in every worker.
        found["TORCHINDUCTOR_COMPILE_THREADS"] = str(slot.threads)
    home = str(Path(ablate.__file__).parents[1])
    if not home.endswith(("site-packages", "dist-packages")):
        found["PYTHONPATH"] = os.pathsep.join(part for part in (home, inherited.get("PYTHONPATH")) if part)
    return found


def allocators(inherited: Mapping[str, str], *, gpu: bool) -> dict[str, str]:
    """Return how a worker's memory is allocated: what `inherited` says, and where it says nothing, what ablate sets."""
    found = dict(_KEEP_MEMORY) if "CS_GNU_LIBC_VERSION" in os.confstr_names else {}
    if gpu and not any(name in inherited for name in _GPU_MEMORY_NAMES):
        found |= _KEEP_GPU_MEMORY
    names = (*_KEEP_MEMORY, *(_GPU_MEMORY_NAMES if gpu else ()))
    return found | {name: inherited[name] for name in names if name in inherited}

"""Starting a worker process on a slot of this machine, and talking to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
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
_GONE_S = 5.0


@dataclass(frozen=True)
class End:
    """How a worker ended."""

    reason: str
    out_of_memory: bool = False
    """True when it was killed while the system killed processes for lack of memory."""
    evicted: bool = False
    """True when a cluster took its place away (a time limit, a pre-emption): no fault of what ran there."""


class WorkerProcess:
    """One worker: its process, its two pipes, its log. Must be made in the thread that outlives it."""

    def __init__(self, slot: Slot, log: Path, hello: Hello) -> None:
        """Start the process, without waiting for it, and send it `hello`: all it must know of slot and core."""
        self.slot = slot
        self.log = log
        self._stream = MessageStream(decode_from_worker)
        self._killed_for_memory = killed_for_memory()
        theirs_in, self._orders = os.pipe()
        self.news, theirs_out = os.pipe()
        """Readable when the worker has said something, and at its end."""
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "ablate.engine.workers.worker",
                        str(theirs_in),
                        str(theirs_out),
                        str(os.getpid()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment(os.environ, slot),
                    pass_fds=(theirs_in, theirs_out),
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._orders)
            os.close(self.news)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self.exit = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None
        """Readable when the process is gone, even if a process it started still holds the pipe; None if unsupported."""
        self.send(hello)

    @property
    def pid(self) -> int:
        """Of the process, and of the process group it leads."""
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Send a message; that nobody reads any more shows at `news` and `exit`."""
        with contextlib.suppress(BrokenPipeError):
            write_message(self._orders, message)

    def receive(self) -> list[Heard] | None:
        """Return the messages that are there (waiting for the first bytes), None at the end of the pipe."""
        data = read_chunk(self.news)
        return [heard(message) for message in self._stream.feed(data)] if data else None

    def drain(self) -> list[Heard]:
        """Return what a worker that is gone said last, without waiting."""
        os.set_blocking(self.news, False)
        found: list[Heard] = []
        with contextlib.suppress(BlockingIOError):
            while (messages := self.receive()) is not None:
                found += messages
        return found

    def kill(self) -> None:
        """Kill the whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> End:
        """Wait for the end of the process (which has begun), end what it left behind, and say how it ended."""
        try:
            code = self._process.wait(_GONE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self.kill()
        for descriptor in (self._orders, self.news, self.exit):
            if descriptor is not None:
                os.close(descriptor)
        return how_it_ended(code, killed_for_memory() > self._killed_for_memory)


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

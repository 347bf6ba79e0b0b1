"""When a process with libraries loaded may be forked, and what a fork must not share with the next one.

Only the standard library is used and nothing of ablate: interpreters without ablate run this file too.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import signal
import sys
import threading
import time
import warnings
from typing import Any

_PR_SET_PDEATHSIG = 1
_THREADS_END_S = 1.0
_MOST_DRAWS = 64
"""How often the whole state of a generator may have been used up by imports before it counts as seeded by them."""
_STATE_WORDS = 624


def reason_not_to_fork() -> str | None:
    """Say why this process should not be forked; None when it may be.

    Nothing but fork itself is tried for that: libraries that know about fork (OpenBLAS) end their threads for it.
    """
    if sys.platform != "linux":
        return "processes with libraries loaded can be forked safely on Linux only"
    if _has_nvidia_device():
        return "CUDA is initialised after the imports"
    before = _thread_names()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are threads is what this is to find out
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    until = time.monotonic() + _THREADS_END_S
    while _count_threads() > 1:
        if time.monotonic() > until:
            count = _count_threads() - 1
            word = "a thread is" if count == 1 else f"{count} threads are"
            return f"{word} alive after the imports ({', '.join(before)})"
        time.sleep(0.001)
    return None


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies (Linux); leave at once if that has happened already."""
    set_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def set_death_signal(number: int) -> None:
    """Ask the kernel for a signal when the parent dies; 0 for none. Only Linux knows this."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def freeze() -> None:
    """Let the garbage collector leave alone what is there: forks then share its memory as long as possible."""
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()


class RandomStates:
    """The global random generators of a process that will be forked.

    A process that is started seeds them anew, and so must every fork; but where an imported module seeded one, all
    processes that import it begin with the same numbers, and so do all forks.
    """

    def __init__(self) -> None:
        """Make this before anything that may seed them is imported."""
        self._fresh = random.getstate()
        self._seeded: Any = None

    def imported(self) -> None:
        """Look at the generators when everything is imported."""
        state = random.getstate()
        if not _follows(state, self._fresh):
            self._seeded = state

    def start_anew(self) -> None:
        """Give a fork generators such as a process that is started has."""
        if self._seeded is None:
            random.seed()
        else:
            random.setstate(self._seeded)
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None and not _numpy_is_seeded(numpy_random):
            numpy_random.seed()


def _follows(state: Any, earlier: Any) -> bool:
    """True when a generator in the state `earlier` may have come to `state` by drawing numbers."""
    source = random.Random()  # noqa: S311 - the generator that is looked at
    source.setstate(earlier)
    for _ in range(_MOST_DRAWS):
        if source.getstate()[1][:-1] == state[1][:-1]:
            return True
        source.getrandbits(32 * _STATE_WORDS)
    return False


def _numpy_is_seeded(numpy_random: Any) -> bool:
    """True when NumPy's global generator is not where it began, so that a module seeded it (or drew very much)."""
    try:
        generator = numpy_random.get_bit_generator()
        began, key = type(generator)(generator.seed_seq), generator.state["state"]["key"]
        for _ in range(_MOST_DRAWS):
            if (began.state["state"]["key"] == key).all():
                return False
            began.random_raw(_STATE_WORDS, output=False)
    except (AttributeError, KeyError, TypeError):  # NumPy before 1.25 does not say where it began
        return False
    return True


def _thread_names() -> list[str]:
    """Names of the threads beside this one: Python's, or those that the system knows."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    own = str(threading.get_native_id())
    for task in os.listdir("/proc/self/task") if not names else ():
        if task != own:
            try:
                with open(f"/proc/self/task/{task}/comm", encoding="utf-8", errors="replace") as handle:
                    names.append(handle.read().strip())
            except OSError:
                continue
    return sorted(set(names))


def _count_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _has_nvidia_device() -> bool:
    """True when a device file of the NVIDIA driver is open, as it is from CUDA's initialisation on."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("/dev/nvidia"):
                return True
        except OSError:
            continue
    return False

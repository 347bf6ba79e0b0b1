"""A process that a core forks has a copy of the worker in it, which must never act as the worker."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from ablate.errors import CoreError

CAME_BACK = (
    "a process that the core forked came back from run and was ended: end it with os._exit, or use multiprocessing"
)
EXIT_CODE = 70


class ForkGuard:
    """Knows the process that it was made in."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """`say` tells the engine a sentence; it must work in a forked process."""
        self._pid = os.getpid()
        self._say = say

    def is_elsewhere(self) -> bool:
        """True in a process that was forked from the one this was made in."""
        return os.getpid() != self._pid

    def leave_if_forked(self, error: BaseException | None = None) -> None:
        """End a forked process here, before it does what only the worker may do; `error` is what brought it back."""
        if self.is_elsewhere():
            if error is not None:
                traceback.print_exception(error)
            print(CAME_BACK, file=sys.stderr, flush=True)  # noqa: T201 - into the trial's log
            if self._say is not None:
                self._say(CAME_BACK)
            os._exit(EXIT_CODE)

    def refuse_forked(self, what: str) -> None:
        """Raise CoreError in a forked process: it cannot report for the trial."""
        if self.is_elsewhere():
            raise CoreError(
                f"{what} was called in a process that the core forked", hint="hand results to the first process"
            )

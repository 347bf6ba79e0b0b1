"""Waiting for a storage that is away: a server that restarts, a network that is down, a file that is locked.

A run outlasts it: workers write files only, so they go on, and whoever writes the storage tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ablate.errors import OutageError, UnavailableError
from ablate.human_units import spoken

T = TypeVar("T")

_FIRST_S: Final = 0.5
_LONGEST_S: Final = 15.0
RESUME: Final = "nothing is lost: outcomes are in files; when it is back, run the same command again"


def no_pause(seconds: float) -> bool:
    """Sleep for `seconds`; nothing ends the wait."""
    time.sleep(seconds)
    return False


@dataclass
class Patience:
    """How long a writer waits for a storage that does not answer, and whom it tells."""

    limit_s: float = 0.0
    """Longest wait in seconds; 0 for none."""
    say: Callable[[str], None] = lambda text: None
    """Takes one line when a wait begins, and one when it is over."""
    pause: Callable[[float], bool] = no_pause
    """Waits for so many seconds; returns True when nobody wants to wait any longer."""
    clock: Callable[[], float] = time.monotonic
    gave_up: bool = False
    """True after a wait that was in vain: nothing is waited for from then on."""

    def through(self, attempt: Callable[[], T], where: str, *, opening: bool = False) -> T:
        """Return what `attempt` returns, called until it raises no UnavailableError any more.

        When a storage is `opening`, only one that is certainly there is waited for: another may have been mistyped.
        Raises OutageError after `limit_s`, or when a pause was ended; what `attempt` raises at once without patience.
        """
        began, pause_s, told = self.clock(), _FIRST_S, False
        error = None
        while True:
            try:
                result = attempt()
            except UnavailableError as found:
                if self.gave_up or not self.limit_s or (opening and not found.there):
                    raise
                first, error = error is None, found
            else:
                if error is not None:
                    self._say_back(where, error, self.clock() - began, told=told)
                return result
            if first:
                continue  # a connection that broke long ago is noticed when it is used: the next one may work
            waited_s = self.clock() - began
            if waited_s >= self.limit_s:
                self.gave_up = True
                raise OutageError(
                    f"{where} has not answered for {spoken(waited_s)}: {error.message}", hint=RESUME
                ) from error
            if not told:
                told = True
                self.say(f"{error.message}: waiting for it, for {spoken(self.limit_s)} at most; running trials go on")
            if self.pause(min(pause_s, self.limit_s - waited_s)):
                self.gave_up = True
                raise OutageError(f"stopped while waiting: {error.message}", hint=RESUME) from error
            pause_s = min(_LONGEST_S, 2 * pause_s)

    def _say_back(self, where: str, error: UnavailableError, seconds: float, *, told: bool) -> None:
        if told:
            self.say(f"{where} answers again after {spoken(seconds)}")
        else:
            self.say(f"reconnected at once: {error.message}")

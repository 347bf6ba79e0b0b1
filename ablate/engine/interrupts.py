"""Signals as something to wait for: Ctrl-C, SIGTERM and SIGHUP wake the loop instead of breaking into it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Catches stop signals while open. In another thread than the main one, where Python allows none, it is idle.

    A signal that is ignored when the run starts stays ignored: background jobs ignore Ctrl-C, and nohup SIGHUP.
    """

    def __init__(self) -> None:
        self.received: list[signal.Signals] = []
        """Every stop signal so far, in order."""
        self.news, self._wake = os.pipe()
        """Readable when a signal has come."""
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        """Install the handlers."""
        os.set_blocking(self._wake, False)
        os.set_blocking(self.news, False)
        if threading.current_thread() is threading.main_thread():
            self._wakeup_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
            for number in _STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put back what was there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._wakeup_before)
        os.close(self.news)
        os.close(self._wake)

    def clear(self) -> None:
        """Empty the pipe after it woke the loop."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.news, 512):
                pass

    def pause(self, seconds: float) -> bool:
        """Wait for `seconds`, or for a signal; return whether any has come yet."""
        if not self.received:
            select.select([self.news], [], [], seconds)
        return bool(self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received.append(signal.Signals(number))

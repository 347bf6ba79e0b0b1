"""Where the ``ablate`` program begins: Ctrl-C is quiet from here on, before anything that takes time is imported.

Imports nothing but what Python has loaded already: `signal` itself would bring in half a dozen modules.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` is made of
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130
"""As `ablate.errors.ExitCode.INTERRUPTED`."""


class Interrupted(BaseException):
    """Ctrl-C outside of a run. Not a KeyboardInterrupt, which libraries catch and answer in their own ways."""


class Ctrl:
    """Answers Ctrl-C while no run goes on (a run has its own way): what is open is closed, and the program ends."""

    def __init__(self) -> None:
        self.pressed = False
        self.ending = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """End now where there is nothing to close: while importing, at the second Ctrl-C, and on the way out."""
        if self.pressed or self.ending or _is_importing(frame):
            leave()
        self.pressed = True
        raise Interrupted


def _is_importing(frame: FrameType | None) -> bool:
    """True inside an import, where an exception could be taken for a fault of the module."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def leave() -> None:
    """End the process at once, saying why; a terminal gets its cursor back."""
    try:
        if os.isatty(1):
            os.write(1, b"\x1b[?25h")
        os.write(2, b"interrupted\n")
    except OSError:
        pass  # nobody is left to tell
    os._exit(INTERRUPTED)


def main() -> None:
    """Run the command line; see `ablate.cli.app.main`."""
    ctrl = Ctrl()
    if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:  # as jobs in the background ignore it
        _signal.signal(_signal.SIGINT, ctrl)
    usual = sys.unraisablehook

    def unraisable(found: sys.UnraisableHookArgs, /) -> None:
        if found.exc_type is Interrupted:  # came while an object was being destroyed, where nothing can be raised
            leave()
        usual(found)

    sys.unraisablehook = unraisable
    try:
        from ablate.cli.app import main as command_line

        command_line()
    except BaseException:
        if ctrl.pressed:
            leave()
        raise
    finally:
        ctrl.ending = True

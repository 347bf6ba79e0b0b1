"""The live picture in a notebook: one output that is replaced while the run goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from types import TracebackType
from typing import Any, Self

from ablate.display.live_view import picture
from ablate.display.run_display import failure_text
from ablate.display.run_state import RunView
from ablate.engine.display import display_events

_REDRAW_S = 0.5
"""A notebook is sent a picture at most this often."""
_WIDTH, _HEIGHT = 110, 40
_STYLE = "white-space: pre; overflow-x: auto; line-height: 1.25"


def in_notebook() -> bool:
    """True inside a Jupyter kernel (also the ones of other front ends), where output can be replaced."""
    found = sys.modules.get("IPython")
    shell = found.get_ipython() if found is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class NotebookPicture:
    """Shows a run as one replaced output, with failures left standing below it."""

    def __init__(self, view: RunView, clock: Callable[[], float] = time.time) -> None:
        self.view = view
        self._clock = clock
        self._drawn_at = float("-inf")
        self._failures: list[str] = []
        self._output: Any = None

    def take(self, event: display_events.DisplayEvent) -> None:
        """Take the event into the picture, and send the picture unless one was sent a moment ago."""
        self.view.take(event)
        if isinstance(event, display_events.TrialFinished) and not event.outcome.is_result:
            self._failures.append(failure_text(event))
        if self._clock() - self._drawn_at >= _REDRAW_S:
            self._draw()

    def __enter__(self) -> Self:
        from IPython.display import display  # a notebook has it

        self._output = display(self._content(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw()

    def _draw(self) -> None:
        self._drawn_at = self._clock()
        if self._output is not None:
            self._output.update(self._content(), raw=True)

    def _content(self) -> dict[str, str]:
        """The picture as text and as HTML; the foot about Ctrl-C gives way to what a notebook has."""
        lines = picture(self.view, self._clock(), _WIDTH, _HEIGHT).plain.splitlines()
        lines[-1] = self.view.message or "interrupt the kernel once: save checkpoints and stop"
        text = "\n".join([*lines, *self._failures])
        return {"text/plain": text, "text/html": f'<pre style="{_STYLE}">{escape(text)}</pre>'}

"""What a run says while it goes on: a picture that redraws itself, one line per event, or one JSON object per event."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.live import Live
from rich.text import Text

from ablate.display.console import Screen
from ablate.display.lasting import gone
from ablate.display.live_view import picture
from ablate.display.run_state import RunView, stopping_text
from ablate.engine.display import display_events
from ablate.human_units import quoted, shortest, visible
from ablate.outcome import OutcomeKind

_JSON_PROGRESS_S = 5.0
"""At most one JSON progress object per trial in this many seconds."""
_REDRAWS_PER_S = 4.0


class Display(Protocol):
    """Something that listens to a run; a context manager around it."""

    def take(self, event: display_events.DisplayEvent) -> None:
        """Show what happened."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen tidy."""


class _Still:
    """A display that needs no tidying."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Around:
    """A display that passes on to another one."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)


class Watched(_Around):
    """A display that says, by an OSError, that nobody can see it any more: once, when that has become known."""

    def __init__(self, display: Display, *streams: object) -> None:
        super().__init__(display)
        self._streams = streams

    def take(self, event: display_events.DisplayEvent) -> None:
        """Show the event; raises OSError when its stream is gone."""
        self._display.take(event)
        for stream in self._streams:
            if (error := gone(stream)) is not None:
                raise OSError(str(error)) from error


class Foresight(_Around):
    """A display that calls `prepare` in a thread, once, when a slot is left without work: its core is free for it."""

    def __init__(self, display: Display, prepare: Callable[[], object]) -> None:
        super().__init__(display)
        self._prepare: Callable[[], object] | None = prepare
        self._left = self._slots = 0

    def take(self, event: display_events.DisplayEvent) -> None:
        """Show the event, and count."""
        self._display.take(event)
        if isinstance(event, display_events.RunStarted):
            self._left, self._slots = event.to_run, len(event.slots)
        elif isinstance(event, display_events.TrialFinished) and event.final:
            self._left -= 1
            if 0 < self._left < self._slots and self._prepare is not None:
                threading.Thread(target=self._prepare, daemon=True).start()
                self._prepare = None


class Silence(_Still):
    """For ``--quiet``: only what must not be missed."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def take(self, event: display_events.DisplayEvent) -> None:
        """Show failures only."""
        if isinstance(event, display_events.TrialFinished) and event.final and not event.outcome.is_result:
            self.screen.err.print(failure_text(event), soft_wrap=True)


class Listening(_Still):
    """Passes every event on to a function of the user's."""

    def __init__(self, listen: Callable[[display_events.DisplayEvent], None]) -> None:
        self._listen = listen

    def take(self, event: display_events.DisplayEvent) -> None:
        """Pass the event on."""
        self._listen(event)


class Lines(_Still):
    """One line per event on stderr, for logs and pipes."""

    def __init__(self, screen: Screen, primary: str) -> None:
        self.screen = screen
        self.primary = primary

    def take(self, event: display_events.DisplayEvent) -> None:
        """Print the event's line, where it has one."""
        if text := event_line(event, self.primary):
            self.screen.err.print(text, soft_wrap=True)


class JsonLines(_Still):
    """One JSON object per event on stdout."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._shown: dict[int, float] = {}

    def take(self, event: display_events.DisplayEvent) -> None:
        """Print the event; progress of a trial at most every few seconds."""
        if isinstance(event, display_events.TrialProgress):
            if event.at - self._shown.get(event.trial, -_JSON_PROGRESS_S) < _JSON_PROGRESS_S:
                return
            self._shown[event.trial] = event.at
        data = event.to_dict()
        self.screen.emit(str(data.pop("event")), data)


class Picture:
    """The live picture on a terminal. Drawing happens in a thread of its own, hence the lock."""

    def __init__(self, screen: Screen, view: RunView, clock: Callable[[], float] = time.time) -> None:
        self.screen = screen
        self.view = view
        self._clock = clock
        self._lock = threading.Lock()
        self._live = Live(
            console=screen.err, get_renderable=self.draw, refresh_per_second=_REDRAWS_PER_S, transient=True
        )

    def draw(self) -> Text:
        """The picture as it is now."""
        size = self.screen.err.size
        with self._lock:
            return picture(self.view, self._clock(), size.width, size.height)

    def take(self, event: display_events.DisplayEvent) -> None:
        """Take the event into the picture; what must not be missed also stays above it."""
        with self._lock:
            self.view.take(event)
        if isinstance(event, display_events.TrialFinished) and not event.outcome.is_result:
            self.screen.err.print(failure_text(event), style="yellow" if not event.final else "red", soft_wrap=True)
        elif isinstance(event, display_events.Note):
            self.screen.err.print(visible(event.text), style="dim", soft_wrap=True)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def failure_text(event: display_events.TrialFinished) -> str:
    """Return which trial failed, how, why, and where its log is."""
    text = f"#{event.trial} {visible(event.arm)} s{event.seed}: {event.outcome.replace('_', ' ')}"
    if event.error:
        text += f": {visible(event.error)}"
    if event.log and event.outcome is not OutcomeKind.STOPPED:
        text += f"  ({visible(shortest(event.log))})"
    return text


def event_line(event: display_events.DisplayEvent, primary: str) -> str:
    """Return ``TIME word key=value ...`` for an event; empty for progress, which would drown the rest."""
    fields = _fields(event, primary)
    if fields is None:
        return ""
    pairs = "  ".join(f"{name}={quoted(value)}" for name, value in fields.items() if value not in (None, ""))
    return f"{event.time} {event.name:<10} {pairs}".rstrip()


def _fields(event: display_events.DisplayEvent, primary: str) -> dict[str, object] | None:
    match event:
        case display_events.RunStarted():
            some = {"study": event.study, "total": event.total, "done": event.done, "to_run": event.to_run}
            return {**some, "slots": len(event.slots), "log": shortest(event.log)}
        case display_events.TrialStarted():
            return _trial(event)
        case display_events.TrialFinished():
            some = {"outcome": event.outcome.value}
            now_s = None if event.elapsed_s is None else round(event.elapsed_s, 2)
            took = {
                "seconds": round(event.seconds, 2),
                "elapsed_s": now_s,
                "copied_from": event.copied_from,
                "error": event.error,
            }
            # A metric may be called `error`, say: the words of every line keep their meaning.
            name = f"metric.{primary}" if primary in (*_trial(event), *took, "outcome", "done") else primary
            measured = {name: event.metrics.get(primary)}
            return {**_trial(event), **some, **measured, **took, "done": f"{event.done}/{event.total}"}
        case display_events.Retrying():
            return {
                **_trial(event),
                "retry": f"{event.retry}/{event.retries}" if event.retry else "none used",
                "reason": event.reason,
            }
        case display_events.Alive():
            eta = None if event.eta is None else round(event.eta.mid_s)
            done = f"{event.done}/{event.total}"
            return {"done": done, "running": event.running, "waiting": event.waiting, "eta_s": eta}
        case display_events.SlotQueued():
            return {"slot": event.slot, "job": event.job, "reason": event.reason}
        case display_events.SlotBegun():
            return {"slot": event.slot, "job": event.job, "node": event.node}
        case display_events.Stopping():
            return {"running": event.running, "text": stopping_text(event)}
        case display_events.Note():
            return {"text": event.text}
        case display_events.RunFinished():
            some = {"study": event.study, "done": f"{event.done}/{event.total}", "seconds": round(event.seconds, 1)}
            return {**some, **event.counts, "reason": event.reason, "exit_code": event.exit_code}
        case _:
            return None


def _trial(event: display_events.TrialEvent) -> dict[str, object]:
    return {"trial": event.trial, "slot": event.slot, "arm": event.arm, "seed": event.seed}

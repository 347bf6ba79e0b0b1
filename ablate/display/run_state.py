"""What a run looks like at one moment, kept up to date by the engine's events. No clock, no terminal in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.display.interim_results import Result
from ablate.engine.display import display_events
from ablate.human_units import spoken
from ablate.study.spec import Study

_SMOOTHING = 0.3


@dataclass
class Lane:
    """One running trial on its slot. Times are seconds since 1970."""

    slot: int
    trial: int
    arm: str
    seed: int
    since: float
    stage: str = ""
    done: int = 0
    fraction: float = 0.0
    """Of the whole trial."""
    left_s: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    rate: float | None = None
    """Units of the stage per second, smoothed."""
    at: float = 0.0

    def advance(self, event: display_events.TrialProgress) -> None:
        """Take in a progress report."""
        if event.stage != self.stage or event.done < self.done:
            self.rate, self.at = None, event.at
        elif event.done > self.done and event.at > self.at:
            rate = (event.done - self.done) / (event.at - self.at)
            self.rate = rate if self.rate is None else self.rate + _SMOOTHING * (rate - self.rate)
            self.at = event.at
        self.stage, self.done, self.fraction = event.stage, event.done, event.fraction
        self.left_s, self.numbers = event.left_s, event.numbers


@dataclass
class RunView:
    """A run as it stands: what is planned, what runs where, what came out."""

    study: Study
    planned: Mapping[str, int]
    """Arm -> how many seeds it has or shall have."""
    began: float
    results: dict[tuple[str, int], Result] = field(default_factory=dict)
    lanes: dict[int, Lane] = field(default_factory=dict)
    """Trial number -> what it does."""
    again: dict[tuple[str, int], str] = field(default_factory=dict)
    """Replicates that wait for another try, and why."""
    slots: tuple[str, ...] = ()
    queued: dict[int, str] = field(default_factory=dict)
    """Slot -> the job of a cluster that it waits for, and why."""
    eta: display_events.Estimate | None = None
    eta_at: float = 0.0
    message: str = ""
    watch: str = "ablate status"
    """The command that shows all of it."""

    @property
    def total(self) -> int:
        """Replicates planned."""
        return sum(self.planned.values())

    @property
    def done(self) -> int:
        """Replicates that have a result."""
        return sum(result.kind is not None and result.kind.is_result for result in self.results.values())

    def take(self, event: display_events.DisplayEvent) -> None:
        """Bring the view up to date with what happened."""
        match event:
            case display_events.RunStarted():
                self.slots = event.slots
            case display_events.TrialStarted():
                if event.slot is not None:
                    lane = Lane(event.slot, event.trial, event.arm, event.seed, since=event.at, at=event.at)
                    self.lanes[event.trial] = lane
                self.results[(event.arm, event.seed)] = Result(None)
                self.again.pop((event.arm, event.seed), None)
            case display_events.TrialProgress():
                if event.trial in self.lanes:
                    self.lanes[event.trial].advance(event)
            case display_events.TrialFinished():
                self.lanes.pop(event.trial, None)
                value = event.metrics.get(self.study.primary.name)
                self.results[(event.arm, event.seed)] = Result(event.outcome, value)
            case display_events.Retrying():
                self.again[(event.arm, event.seed)] = f"{event.which}: {event.reason}"
            case display_events.Alive():
                self.eta, self.eta_at = event.eta, event.at
            case display_events.SlotQueued():
                self.queued[event.slot] = event.where
            case display_events.SlotBegun():
                self.queued.pop(event.slot, None)
            case display_events.Stopping():
                self.message = stopping_text(event)
            case display_events.RunFinished():
                self.lanes.clear()
                self.queued.clear()
            case _:
                pass


def stopping_text(event: display_events.Stopping) -> str:
    """Return what happens now that the run is to stop, and what a second Ctrl-C does."""
    if event.killing:
        return f"{event.reason}: ending {event.running} running at once"
    if not event.saving:
        return f"stopping ({event.reason})"
    return (
        f"stopping ({event.reason}): {event.running} saving, at most {spoken(event.deadline_s)}; "
        "Ctrl-C again ends them at once"
    )

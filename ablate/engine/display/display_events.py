"""What happened, as the display, the run log and ``--json`` see it. `at` is seconds since 1970 (UTC)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from ablate.json_values import JsonValue
from ablate.outcome import OutcomeKind


@dataclass(frozen=True, kw_only=True)
class DisplayEvent:
    """Base of all events; `name` is the word in logs and JSON."""

    name: ClassVar[str]
    at: float
    study: str = ""
    """Name of the study; the announcer fills it in."""

    @property
    def time(self) -> str:
        """`at` as ISO 8601 in UTC, to the second."""
        return datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data with `event` and `time`."""
        return {"event": self.name, "time": self.time, **asdict(self)}


@dataclass(frozen=True)
class Estimate:
    """Seconds until the run ends: the middle of the simulated ends, and their 10th and 90th percentile."""

    mid_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, kw_only=True)
class RunStarted(DisplayEvent):
    """The study is locked, stored results are read, workers are about to start."""

    name = "start-run"
    total: int
    """Replicates of the plan."""
    done: int
    """Replicates that have a result already."""
    to_run: int
    slots: tuple[str, ...]
    """Device model of each slot, by slot index."""
    devices: tuple[str, ...]
    """Device of each slot as torch names it."""
    log: str
    """Path of run.log."""


@dataclass(frozen=True, kw_only=True)
class TrialEvent(DisplayEvent):
    """Base of events about one trial."""

    trial: int
    """Number of the Optuna trial."""
    arm: str
    seed: int
    slot: int | None
    """None when nothing ran for it: its outcome was found on disk or copied from an arm with the same recipe."""


@dataclass(frozen=True, kw_only=True)
class TrialStarted(TrialEvent):
    """A trial was given to a worker. `attempt` counts from 1 in this run."""

    name = "start"
    attempt: int = 1
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    """The arm's level of every factor, as the storage has them."""


@dataclass(frozen=True, kw_only=True)
class TrialProgress(TrialEvent):
    """A trial moved on."""

    name = "progress"
    stage: str
    done: int
    total: int
    """Units of the stage."""
    fraction: float
    """Of the whole trial, 0 to 1, as far as the core's stages let one know."""
    elapsed_s: float
    left_s: float | None
    """Seconds left of this trial; None before it passes 5 %."""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialCurvePoint(TrialEvent):
    """A trial's learning curve has a new point. A trial that resumes repeats those of earlier attempts."""

    name = "curve"
    images: int
    """Where on the curve: training images seen, or what the core counts instead (epochs, steps)."""
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TrialFinished(TrialEvent):
    """A trial has an outcome, and the storage has it."""

    name = "finish"
    outcome: OutcomeKind
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    """What the result took, reused work and earlier attempts included."""
    elapsed_s: float | None = None
    """Since this attempt started; None for a trial that did not run now."""
    images_seen: int = 0
    error: str | None = None
    """One line."""
    log: str = ""
    """Path of the trial's log.txt."""
    copied_from: str | None = None
    """The arm with the same recipe whose outcome this is."""
    final: bool = True
    """False when the replicate is tried again in this run."""
    done: int = 0
    """Replicates of the plan that have a result, this one included."""
    total: int = 0


@dataclass(frozen=True, kw_only=True)
class Retrying(TrialEvent):
    """A replicate will be tried again."""

    name = "retry"
    retry: int
    """1 for the first; 0 where going on costs none: the place was taken away, or the batch was too large."""
    retries: int
    """How many this cause is granted."""
    reason: str

    @property
    def which(self) -> str:
        """``retry 1 of 2``, or that it is no retry."""
        return f"retry {self.retry} of {self.retries}" if self.retry else "resumes, no retry used"


@dataclass(frozen=True, kw_only=True)
class Alive(DisplayEvent):
    """Sent regularly while the run goes on."""

    name = "alive"
    done: int
    total: int
    running: int
    waiting: int
    elapsed_s: float
    eta: Estimate | None


@dataclass(frozen=True, kw_only=True)
class SlotQueued(DisplayEvent):
    """The worker of a slot waits in a cluster's queue, or waits there for another reason than before."""

    name = "queued"
    slot: int
    job: str
    """What the queue calls it; empty while it cannot be submitted."""
    reason: str
    """Why it waits, in the queue's words."""

    @property
    def where(self) -> str:
        """Job and reason, for people."""
        if not self.job:
            return self.reason
        return f"job {self.job} ({self.reason})" if self.reason else f"job {self.job}"


@dataclass(frozen=True, kw_only=True)
class SlotBegun(DisplayEvent):
    """The worker of a slot has left the queue."""

    name = "begun"
    slot: int
    job: str
    node: str
    """The machine it runs on."""


@dataclass(frozen=True, kw_only=True)
class Stopping(DisplayEvent):
    """No new trials start. With `saving`, running trials were asked to write a checkpoint and stop."""

    name = "stopping"
    reason: str
    running: int
    saving: bool
    deadline_s: float
    """Workers that have not stopped by then are killed."""
    killing: bool = False
    """True at the second Ctrl-C: workers are killed now."""


@dataclass(frozen=True, kw_only=True)
class Note(DisplayEvent):
    """Something worth a line: an orphan was ended, a damaged file was set aside, a worker was replaced."""

    name = "note"
    text: str


@dataclass(frozen=True, kw_only=True)
class RunFinished(DisplayEvent):
    """The run is over; workers are gone, the storage is closed."""

    name = "finish-run"
    total: int
    done: int
    counts: Mapping[str, int]
    """Outcome kind -> replicates that ended so in this run."""
    seconds: float
    slot_seconds: float
    """Seconds that slots were busy, all slots together."""
    reason: str | None
    """Why it ended early, None when it did not."""
    exit_code: int

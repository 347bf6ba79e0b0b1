"""What may happen to the engine (events) and what it wants done (actions): plain frozen records.

Events are named by what has happened and carry the time `at`, in seconds of any clock that never goes back.
Actions are imperatives; whoever carries one out answers with events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ablate.outcome import Outcome

if TYPE_CHECKING:
    from ablate.interface import Stage  # pydantic, which `ablate --help` does without

Key = tuple[str, int]
"""(arm, seed) of a replicate."""


_LAST_WAVES = 1 << 62
"""Waves from here on are those of arms that failed: seeds are smaller."""


@dataclass(frozen=True)
class Planned:
    """A replicate that is to be run, with what placing needs to know of it."""

    key: Key
    digest: str
    """Of its recipe: replicates with equal digests are run once."""
    batch_key: str
    stages: tuple[Stage, ...] = ()
    memory_key: str = ""
    """Replicates with equal keys need the same memory; empty when nothing is known: then each is for itself."""
    wave: int = -1
    """What is placed first: lower waves, in general those of lower seeds (the default)."""

    def __post_init__(self) -> None:
        if self.wave < 0:
            object.__setattr__(self, "wave", self.key[1])

    def put_last(self) -> Planned:
        """Return the same in a wave behind all that are not put last, in order of seeds."""
        return replace(self, wave=_LAST_WAVES + self.key[1])

    @property
    def footprint(self) -> str:
        """Name of what is learned about its memory."""
        return self.memory_key or self.digest

    @property
    def cost(self) -> float:
        """Expected work, in the core's reference seconds; 1 when the core does not say."""
        return sum(stage.cost for stage in self.stages) or 1.0


@dataclass(frozen=True)
class Event:
    """Base of all events."""

    at: float


@dataclass(frozen=True)
class RunBegan(Event):
    """The loop is ready to carry out actions."""


@dataclass(frozen=True)
class WorkerReady(Event):
    """A worker has imported the core and waits for a batch."""

    slot: int


@dataclass(frozen=True)
class WorkerQueued(Event):
    """The worker that is being started waits in a cluster's queue."""

    slot: int


@dataclass(frozen=True)
class WorkerBegun(Event):
    """The worker of a slot has left the queue: its process starts."""

    slot: int


@dataclass(frozen=True)
class PlaceWithdrawn(Event):
    """The place of a slot's worker gets nothing new: its node is being drained. What runs there may end."""

    slot: int


@dataclass(frozen=True)
class WorkerDied(Event):
    """A worker's process is gone, whether it was told to leave or not. Its outcome files have been read before.

    `out_of_memory` when the system killed it because memory ran out, `evicted` when the cluster took its job away:
    a time limit, a pre-emption.
    """

    slot: int
    reason: str
    out_of_memory: bool = False
    evicted: bool = False


@dataclass(frozen=True)
class ProgressMade(Event):
    """A worker gave a sign of life for a replicate, in the stage called `stage` (None if unknown).

    `done` counts the units of the stage that are done.
    """

    slot: int
    key: Key
    stage: str | None = None
    done: int | None = None


@dataclass(frozen=True)
class OutcomeArrived(Event):
    """An outcome file of a running replicate was read."""

    slot: int
    key: Key
    outcome: Outcome


@dataclass(frozen=True)
class BatchEnded(Event):
    """A worker has finished its batch. `spent` if its process should be replaced (memory, broken device).

    `peak_mb` is the most memory that the batch needed at any time, None if unknown.
    """

    slot: int
    spent: bool = False
    peak_mb: float | None = None


@dataclass(frozen=True)
class StopRequested(Event):
    """The user (or a fault that ends the run) asks to save everything and stop; `force` to stop at once."""

    reason: str
    force: bool = False


@dataclass(frozen=True)
class TimePassed(Event):
    """Time has passed: deadlines are checked."""


@dataclass(frozen=True)
class Action:
    """Base of all actions."""


@dataclass(frozen=True)
class StartWorker(Action):
    """Start a worker process for a slot."""

    slot: int


@dataclass(frozen=True)
class PlaceBatch(Action):
    """Give a batch to the idle worker of a slot; an attempt of each replicate begins.

    `together` is the number of batches then on the slot's device, this one included.
    """

    slot: int
    keys: tuple[Key, ...]
    together: int = 1


@dataclass(frozen=True)
class TellCompany(Action):
    """Tell a busy worker that the number of batches on its device has grown to `together`, its own included."""

    slot: int
    together: int


@dataclass(frozen=True)
class RecordOutcome(Action):
    """Store the outcome of the attempt that just ended, and the same for `copies`.

    These are replicates with an equal recipe, and after out of memory those with the same footprint.

    `retry` is the number of the retry that follows (0 for one that costs none, None when this outcome stands),
    `retries` how many are granted.
    """

    key: Key
    outcome: Outcome
    copies: tuple[Key, ...] = ()
    retry: int | None = None
    retries: int = 0


@dataclass(frozen=True)
class AskToStop(Action):
    """Ask a worker to save a checkpoint and stop its batch."""

    slot: int


@dataclass(frozen=True)
class LetLeave(Action):
    """Tell an idle worker to end its process."""

    slot: int


@dataclass(frozen=True)
class KillWorker(Action):
    """Kill a worker's process group."""

    slot: int
    reason: str


@dataclass(frozen=True)
class AnnounceStop(Action):
    """Report that nothing more is placed, and why."""

    reason: str
    saving: bool
    killing: bool = False


@dataclass(frozen=True)
class EndRun(Action):
    """All workers are gone and nothing is left to do: leave the loop. `reason` if the run ends early."""

    reason: str | None

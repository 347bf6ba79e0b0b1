"""The messages between the engine and its workers, in both directions, and how they are written as lines of JSON.

Every message is a frozen dataclass in this module; `ablate.engine.workers.framing` carries the lines over a pipe or a
socket. A line that is not exactly one of these messages is refused where it arrives, with a reason, so that the rest of
the code never sees a partly valid message.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

import ablate
from ablate.interface import Compilation, Fusion
from ablate.recipe import Recipe

_LARGEST = 2**63
Whole = Annotated[int, Field(ge=-_LARGEST, lt=_LARGEST)]
"""A whole number of 64 bits: databases hold no larger ones."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
AtLeastOne = Annotated[int, Field(ge=1)]

# ---------------------------------------------------------------------- from the engine to a worker


@dataclass(frozen=True)
class WorkerSetup:
    """What all workers of a run are told."""

    core: str
    """Name of the core, as in the study file."""
    parameters: Mapping[str, Any]
    """What makes the core that of this study (`Core.made_for`, `Core.for_workers`), as JSON-ready data."""
    search: Path | None
    """The folder searched first for a user's core; None when there is no study file."""
    path: tuple[Path, ...]
    """The ``sys.path`` of the engine, as absolute paths."""
    results: Path
    cache: Path
    metrics: frozenset[str]
    """Names of the study's metrics."""
    primary: str
    """The one that no measured trial is without."""
    checkpoint_s: float
    """Shortest time between checkpoints, in seconds."""
    fusion: Fusion
    fused: frozenset[str]
    """Batch keys whose recipes are computed as one program; all others are computed one by one."""
    compilation: Compilation


@dataclass(frozen=True)
class Hello:
    """The first message to a worker: everything it needs before it imports the core."""

    version: str
    """`VERSION` of the engine."""
    setup: WorkerSetup
    device: str
    """Where to compute, as torch names it."""
    device_name: str | None
    """Model of the device; None when only the worker can find it out."""
    threads: AtLeastOne
    """CPU threads of the slot."""
    type: Literal["hello"] = "hello"


@dataclass(frozen=True)
class Assignment:
    """One trial of a batch."""

    recipe: Recipe
    folder: Path
    """Folder of the trial, where the engine expects the outcome file."""
    arm: str
    seed_index: int


@dataclass(frozen=True)
class RunBatch:
    """Compute these trials together."""

    study: str
    batch: tuple[Assignment, ...]
    together: AtLeastOne = 1
    """Batches on the device from now on, including this one."""
    type: Literal["run"] = "run"


@dataclass(frozen=True)
class Company:
    """More batches run on the device than the worker was told before."""

    together: AtLeastOne
    """How many, including its own."""
    type: Literal["company"] = "company"


@dataclass(frozen=True)
class Prune:
    """A search gives up a trial of the running batch."""

    digest: str
    """Of its recipe."""
    type: Literal["prune"] = "prune"


@dataclass(frozen=True)
class Stop:
    """Save a checkpoint and stop the running batch."""

    type: Literal["stop"] = "stop"


@dataclass(frozen=True)
class Leave:
    """Exit as soon as no batch is running."""

    type: Literal["leave"] = "leave"


ToWorker: TypeAlias = Hello | RunBatch | Company | Prune | Stop | Leave

# ---------------------------------------------------------------------- from a worker to the engine


@dataclass(frozen=True)
class Ready:
    """The core is imported; the worker waits for a batch."""

    type: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Progress:
    """Where a trial is: `done` of `total` units of a stage."""

    digest: str
    """Digest of the recipe, here and in the messages below."""
    stage: str
    done: Whole
    total: Whole
    numbers: Mapping[str, float]
    """Shown to the user; may be infinite or NaN."""
    type: Literal["progress"] = "progress"


@dataclass(frozen=True)
class CurvePoint:
    """A point of a trial's learning curve. When a batch begins, points of earlier attempts are sent again."""

    digest: str
    images: Whole
    """Training images seen."""
    values: Mapping[str, Finite]
    type: Literal["curve"] = "curve"


@dataclass(frozen=True)
class OutcomeWritten:
    """The outcome file of a trial is complete."""

    digest: str
    type: Literal["outcome"] = "outcome"


@dataclass(frozen=True)
class BatchDone:
    """The worker has finished its batch."""

    spent: bool
    """True when the process should be replaced because its device no longer works."""
    peak_mb: Finite | None
    """Peak memory of the batch in MB; None when unknown."""
    type: Literal["done"] = "done"


@dataclass(frozen=True)
class WorkerNote:
    """Something that deserves a line in the run's log."""

    text: str
    type: Literal["note"] = "note"


@dataclass(frozen=True)
class Broken:
    """No trial of the run can be computed: the core does not load, or a network does not compile."""

    error: str
    hint: str | None
    type: Literal["broken"] = "broken"


@dataclass(frozen=True)
class DiskFull:
    """The worker cannot write files any more."""

    error: str
    type: Literal["full"] = "full"


@dataclass(frozen=True)
class Evicted:
    """The last message of a worker that its cluster ends: a time limit, a pre-emption."""

    reason: str
    type: Literal["evicted"] = "evicted"


_AnyWorker: TypeAlias = (
    Ready | Progress | CurvePoint | OutcomeWritten | BatchDone | WorkerNote | Broken | DiskFull  # on any machine
)
FromWorker: TypeAlias = _AnyWorker | Evicted

# ---------------------------------------------------------------------- from the launcher to the engine


@dataclass(frozen=True)
class Queued:
    """The worker waits in a cluster's queue."""

    job: str
    """Its name in the queue; empty before it has one."""
    reason: str


@dataclass(frozen=True)
class Begun:
    """The worker has left the queue and begins."""

    job: str
    node: str


@dataclass(frozen=True)
class Withdrawn:
    """The worker's place shall get nothing new: its node is being drained. What runs there may end."""

    reason: str


@dataclass(frozen=True)
class QueueNote:
    """Something about the whole queue that deserves a line: it does not answer, it answers again."""

    text: str


@dataclass(frozen=True)
class QueueFailed:
    """The queue takes no jobs of this run."""

    error: str
    hint: str
    away: bool
    """True when it has not answered for too long, False when it has refused."""


@dataclass(frozen=True)
class Unreadable:
    """Takes the place of a line that is not a valid message; everything after it is ignored."""

    reason: str


Heard: TypeAlias = _AnyWorker | Queued | Begun | Withdrawn | QueueNote | QueueFailed | Unreadable
"""Everything the loop can receive about a worker, whatever the launcher."""

# ---------------------------------------------------------------------- greetings, over a network only


@dataclass(frozen=True)
class Challenge:
    """The engine's first line to anybody who connects. Fields that other versions add to a greeting are ignored."""

    nonce: str
    version: str = ""
    """`VERSION`; empty when the engine is older than this field."""


@dataclass(frozen=True)
class Introduction:
    """The answer of a worker, which proves that it knows its token."""

    name: str
    nonce: str
    probe: str
    """What the worker wrote into its probe file."""
    proof: str
    node: str = ""
    """Name of its machine."""
    version: str = ""


@dataclass(frozen=True)
class Admission:
    """The engine proves that it knows the token, too."""

    proof: str


Greeting: TypeAlias = Challenge | Introduction | Admission

# ---------------------------------------------------------------------- versions


def fingerprint(kinds: Iterable[type[Any]]) -> str:
    """Return eight hex digits that change with any field of the dataclasses `kinds`."""
    texts = [f"{kind.__name__}({', '.join(f'{one.name}: {one.type}' for one in fields(kind))})" for kind in kinds]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


_PARTS = (WorkerSetup, Assignment, Recipe, Fusion, Compilation)
VERSION = f"{ablate.__version__} (messages {fingerprint((*get_args(ToWorker), *get_args(FromWorker), *_PARTS))})"
"""Engine and worker only work together when this is equal; otherwise one might misunderstand the other."""


def other_version(theirs: str) -> str:
    """Return the end of a sentence that compares the version `theirs` with this one."""
    return f"ablate {theirs or 'of an older version'}, and this is ablate {VERSION}"


# ---------------------------------------------------------------------- lines


class MalformedMessage(ValueError):
    """A line is not a valid message; the text says why."""


_M = TypeVar("_M", bound=Greeting)
_ALL_KNOWN = ConfigDict(extra="forbid")
"""Unknown fields are refused, also in nested dataclasses."""
_SHOWN = 80


def encode(message: ToWorker | FromWorker | Greeting) -> bytes:
    """Return a message as one line of JSON. Characters that UTF-8 cannot express (lone surrogates) become ``?``.

    Raises UnicodeEncodeError for such characters in a path, because the changed path could be another file.
    """
    return _write(vars(message)).encode(errors="replace") + b"\n"


def decode_to_worker(line: bytes) -> ToWorker:
    """Read a line from the engine; raises MalformedMessage, and nothing else, when it is not a valid message."""
    return _read(_to_worker(), line)


def decode_from_worker(line: bytes) -> FromWorker:
    """Read a line from a worker; raises MalformedMessage, and nothing else, when it is not a valid message."""
    return _read(_from_worker(), line)


def decode_greeting(kind: type[_M], line: bytes) -> _M:
    """Read a greeting, ignoring unknown fields; raises MalformedMessage, and nothing else, when it is not one."""
    return _read(TypeAdapter(kind), line)


def _plain(value: object) -> Any:
    """Turn a value that JSON does not know into one that it does."""
    match value:
        case Path():
            return str(value).encode().decode()  # refuses what `encode` would replace
        case Recipe():
            return value.to_dict()
        case Mapping():
            return dict(value)
        case frozenset():
            return sorted(value)
        case WorkerSetup() | Assignment() | Fusion() | Compilation():
            return vars(value)
    raise TypeError(f"a message cannot contain {type(value).__name__}")


_write: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode


# Built at first use: each takes some milliseconds, and a process needs only one of them.
@functools.cache
def _to_worker() -> TypeAdapter[ToWorker]:
    return TypeAdapter(Annotated[ToWorker, Field(discriminator="type")], config=_ALL_KNOWN)


@functools.cache
def _from_worker() -> TypeAdapter[FromWorker]:
    return TypeAdapter(Annotated[FromWorker, Field(discriminator="type")], config=_ALL_KNOWN)


_T = TypeVar("_T")


def _read(adapter: TypeAdapter[_T], line: bytes) -> _T:
    try:
        return adapter.validate_json(line, strict=True)
    except ValidationError as error:
        raise MalformedMessage(f"{_fault(error)}, in {_excerpt(line)}") from error


def _fault(error: ValidationError) -> str:
    """The first thing that is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "union_tag_invalid":
        return f"unknown message type {first['ctx']['tag']!r}"
    if first["type"] == "union_tag_not_found":
        return "no message type"
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _excerpt(line: bytes) -> str:
    return f"{line[:_SHOWN]!r} ..." if len(line) > _SHOWN else repr(line)

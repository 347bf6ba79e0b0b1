"""Outcome: what a trial gave, as data that survives as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ablate.errors import CoreError

SCHEMA_VERSION = 1


def number_of(value: Any, what: str) -> float:
    """Return a single number as a float: Python's, NumPy's and torch's scalars, 0-d arrays and tensors on any device.

    Truth values count as 1 and 0. The result may be NaN or infinite. Raises CoreError, naming `what` it is, for
    anything else: None, a text, an array with a shape, a complex number.
    """
    if type(value) in (float, bool):
        return float(value)
    shape = getattr(value, "shape", ())
    if isinstance(value, Mapping):
        raise CoreError(
            f"{what} is {_described(value)}, expected one number", hint="give each of them a name of its own"
        )
    if isinstance(value, str | bytes | complex) or value is None or not hasattr(value, "__float__"):
        raise CoreError(f"{what} is {_described(value)}, expected one number")
    if tuple(shape) != ():
        raise CoreError(f"{what} is {_described(value)}, expected one number", hint="for example its mean")
    try:
        # A tensor that still has its graph would warn when it is turned into a number.
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise CoreError(f"{what} is {_described(value)}, expected one number ({error})") from error


def whole_number_of(value: Any, what: str) -> int:
    """Return a whole number from 0 to 2**53, of any of the types of `number_of`; raises CoreError for anything else."""
    number = number_of(value, what)
    if not (math.isfinite(number) and number.is_integer() and 0 <= number <= 2**53):
        raise CoreError(f"{what} is {value!r}, expected a whole number of at least 0")
    return int(number)


def _described(value: Any) -> str:
    if value is None:
        return "None"
    kind = type(value)
    named = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    shape = getattr(value, "shape", None)
    if shape is not None and tuple(shape) != ():
        return f"a {named} of shape {tuple(shape)}"
    text = repr(value)
    return f"the {named} {text}" if len(text) <= 40 else f"a {named}"


class OutcomeKind(StrEnum):
    """How a trial ended.

    `measured`, `diverged` and `pruned` are results; the others are infrastructure and are run again. Only candidates of
    a search are pruned (stopped before their end), never arms.
    """

    MEASURED = "measured"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    LOST = "lost"
    STOPPED = "stopped"
    OUT_OF_MEMORY = "out_of_memory"

    @property
    def is_result(self) -> bool:
        """True when the replicate is answered and must never be run again."""
        return self in (OutcomeKind.MEASURED, OutcomeKind.DIVERGED, OutcomeKind.PRUNED)


@dataclass(frozen=True)
class Outcome:
    """What one trial gave.

    `metrics` holds finite floats only. A core may give any number (NumPy's and torch's too): those that are not finite
    go to `non_finite`, and the worker makes *diverged* of the outcome when the primary metric is among them, else a
    note that the metric is missing. Raises CoreError for a metric that is no number.

    `seconds` is the wall time of this trial as measured, plus what reused stages once cost
    (`reused`: stage name -> seconds measured when it was computed), so sharing never makes an arm look free.
    """

    kind: OutcomeKind
    recipe_digest: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    images_seen: int = 0
    """Training images of the whole trial, those of earlier attempts included. Left at 0, or lower after a resume, it
    becomes what the learning curve shows."""
    device: str = "cpu"
    """Slot the trial ran on, as torch names it: ``cpu``, ``cuda:0``."""
    device_name: str = ""
    """Model of the device, for example the processor's or the GPU's marketing name."""
    error: str | None = None
    """One line: what went wrong, for kinds other than measured."""
    traceback: str | None = None
    """The last lines of the traceback."""
    reused: Mapping[str, float] = field(default_factory=dict)
    samples: str | None = None
    """File name of the sample grid inside the trial folder."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions, precision and determinism settings, thread count, peak memory."""
    notes: tuple[str, ...] = ()
    non_finite: Mapping[str, float] = field(default_factory=dict)
    """Metrics whose value is NaN or infinite. Not kept: the worker says in `notes` what became of them."""

    def __post_init__(self) -> None:
        """Turn what a core may reasonably give into what survives as JSON; raises CoreError for the rest."""
        if not isinstance(self.metrics, Mapping):
            raise CoreError(f"an outcome's metrics are {_described(self.metrics)}, expected a mapping of names")
        numbers = {str(name): number_of(value, f"metric {name!r}") for name, value in self.metrics.items()}
        known: dict[str, Any] = {
            "kind": _kind(self.kind),
            "metrics": {name: value for name, value in numbers.items() if math.isfinite(value)},
            "non_finite": {
                **self.non_finite,
                **{name: value for name, value in numbers.items() if not math.isfinite(value)},
            },
            "seconds": _finite_number(self.seconds, "an outcome's seconds"),
            "images_seen": whole_number_of(self.images_seen, "an outcome's images_seen"),
            "samples": None if self.samples is None else str(self.samples),
            "reused": {str(name): _finite_number(value, f"reused {name!r}") for name, value in self.reused.items()},
            "environment": {str(name): str(value) for name, value in self.environment.items()},
            "notes": (self.notes,) if isinstance(self.notes, str) else tuple(str(note) for note in self.notes),
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data with `schema_version`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": self.kind.value,
            "recipe_digest": self.recipe_digest,
            "metrics": dict(self.metrics),
            "seconds": self.seconds,
            "images_seen": self.images_seen,
            "device": self.device,
            "device_name": self.device_name,
            "error": self.error,
            "traceback": self.traceback,
            "reused": dict(self.reused),
            "samples": self.samples,
            "environment": dict(self.environment),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """Rebuild an outcome from `to_dict`.

        Raises ValueError, KeyError or TypeError on anything that is not a complete outcome of this schema.
        """
        if data["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"outcome schema {data['schema_version']!r}, expected {SCHEMA_VERSION}")
        return cls(
            kind=OutcomeKind(data["kind"]),
            recipe_digest=str(data["recipe_digest"]),
            metrics={str(name): _finite(name, value) for name, value in data["metrics"].items()},
            seconds=float(data["seconds"]),
            images_seen=int(data["images_seen"]),
            device=str(data["device"]),
            device_name=str(data["device_name"]),
            error=data["error"],
            traceback=data["traceback"],
            reused={str(name): float(value) for name, value in data["reused"].items()},
            samples=data["samples"],
            environment={str(name): str(value) for name, value in data["environment"].items()},
            notes=tuple(str(note) for note in data["notes"]),
        )


def _kind(kind: Any) -> OutcomeKind:
    try:
        return OutcomeKind(kind)
    except ValueError:
        raise CoreError(
            f"an outcome's kind is {_described(kind)}", hint=f"known: {', '.join(OutcomeKind)}, of ablate.OutcomeKind"
        ) from None


def _finite_number(value: Any, what: str) -> float:
    number = number_of(value, what)
    if not math.isfinite(number):
        raise CoreError(f"{what} is {number}, expected a finite number")
    return number


def _finite(name: str, value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"metric {name!r} is not finite: {number!r}")
    return number

"""Outcome: what a trial gave, as data that survives as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1


class OutcomeKind(StrEnum):
    """How a trial ended.

    `measured`, `diverged` and `pruned` are results; the others are infrastructure and are run again. Only candidates of
    a search are pruned (given up before their end), never arms.
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

    `metrics` holds finite floats only; a metric that has no finite value (PSNR of identical images) is left out and
    named in `notes`. `seconds` is the wall time of this trial as measured, plus what reused stages once cost
    (`reused`: stage name -> seconds measured when it was computed), so sharing never makes an arm look free.
    """

    kind: OutcomeKind
    recipe_digest: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    images_seen: int = 0
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

    def __post_init__(self) -> None:
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"metric {name!r} is not finite: {value!r}")

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
            metrics={str(name): float(value) for name, value in data["metrics"].items()},
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

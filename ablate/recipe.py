"""Recipe: all settings of one trial, resolved, frozen, and named by a stable digest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

Scalar = bool | int | float | str | None
"""What a level may be."""


def canonical_json(value: Any) -> str:
    """Return one JSON text per value: keys sorted, no white space, ``1e-3`` and ``0.001`` alike.

    A whole-valued float stays a float (``1.0``), so a setting's declared type decides its digest, never the way it
    was written. Non-finite numbers are refused with ValueError: they have no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value` as 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Recipe:
    """Everything that determines the numbers of one trial, and nothing else.

    `settings` holds every setting of the core, defaults included, after validation by the core's settings model.
    Device, threads, paths and the arm's name are not part of it: the same recipe gives the same numbers anywhere.
    Two recipes are equal when their digests are.
    """

    core: str
    settings: Mapping[str, Scalar]
    seed: int

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"setting {name!r} is not finite: {value!r}")
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    @cached_property
    def digest(self) -> str:
        """64 hex digits over core, settings and seed; stable over processes, machines and versions of ablate."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {"core": self.core, "seed": self.seed, "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Rebuild a recipe from `to_dict`; raises KeyError or TypeError on anything else."""
        return cls(core=str(data["core"]), seed=int(data["seed"]), settings=dict(data["settings"]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and other.digest == self.digest

    def __hash__(self) -> int:
        return int(self.digest[:15], 16)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Recipe, (self.core, dict(self.settings), self.seed))

"""Recipe: all settings of one trial, resolved, frozen, and named by a stable digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from ablate.json_values import JsonValue, Scalar, canonical_json, digest_of, frozen_settings, plain_settings

__all__ = ["JsonValue", "Recipe", "Scalar", "canonical_json", "digest_of"]


@dataclass(frozen=True, eq=False)
class Recipe:
    """Everything that determines the numbers of one trial, and nothing else.

    `settings` holds every setting of the core, defaults included, after validation by the core's settings model: any
    JSON value, lists as tuples and mappings as dicts that cannot be changed. A setting of a nested model has a dotted
    name (``optim.lr``).
    Device, threads, paths and the arm's name are not part of it: the same recipe gives the same numbers anywhere.
    Two recipes are equal when their digests are.
    """

    core: str
    settings: Mapping[str, Any]
    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(frozen_settings(self.settings)))

    @cached_property
    def digest(self) -> str:
        """64 hex digits over core, settings and seed; stable over processes, machines and versions of ablate."""
        return digest_of({"core": self.core, "seed": self.seed, "settings": dict(self.settings)})

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {"core": self.core, "seed": self.seed, "settings": plain_settings(self.settings)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Rebuild a recipe from `to_dict`; raises KeyError or TypeError on anything else."""
        return cls(core=str(data["core"]), seed=int(data["seed"]), settings=dict(data["settings"]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and other.digest == self.digest

    def __hash__(self) -> int:
        return int(self.digest[:15], 16)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Recipe, (self.core, plain_settings(self.settings), self.seed))

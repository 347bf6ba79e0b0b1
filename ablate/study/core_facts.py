"""What is known of a core without its code: kept with a study when it is run, so that reading it runs nothing.

A core may be the user's own module, or one that somebody else's archive names. Only `ablate run`, `plan` and `cache`
with a study file at hand import it; everything that reads what is stored reads this instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ablate.interface import Core
from ablate.json_values import Scalar
from ablate.study.factors import Kind, factors_of

ATTRIBUTE = "ablate.core"
"""Study attribute that holds the facts."""

ParamKind = Literal["int", "float", "bool", "text", "json"] | tuple[str, ...]
"""As `ablate.storage.levels.ParamKind`."""


class _Facts(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class MetricFacts(_Facts):
    """A metric of the core: what it is called, which way is better, and whether it is a duration."""

    name: str
    direction: Literal["max", "min"]
    unit: str = ""
    doc: str = ""
    is_time: bool = False


class FactorFacts(_Facts):
    """A factor of the core."""

    name: str
    kind: Kind
    choices: tuple[str, ...] = ()
    unit: str = ""
    doc: str = ""


class CoreFacts(_Facts):
    """A core as it was when the study was run."""

    name: str
    version: str = ""
    metrics: tuple[MetricFacts, ...] = ()
    factors: tuple[FactorFacts, ...] = Field(default=())

    @classmethod
    def of(cls, core: type[Core]) -> CoreFacts:
        """Read the facts off a core's class."""
        metrics = tuple(
            MetricFacts(
                name=one.name, direction=one.direction, unit=one.unit, doc=one.doc, is_time=core.is_time(one.name)
            )
            for one in core.metrics
        )
        factors = tuple(
            FactorFacts(name=one.name, kind=one.kind, choices=one.choices, unit=one.unit, doc=one.doc)
            for one in factors_of(core.Settings).values()
        )
        return cls(name=core.name, version=core.version, metrics=metrics, factors=factors)

    @classmethod
    def stored(cls, attributes: Mapping[str, object]) -> CoreFacts | None:
        """Return the facts among a study's attributes; None where there are none, or what is there is damaged."""
        try:
            return cls.model_validate(attributes.get(ATTRIBUTE))
        except ValidationError:
            return None

    @property
    def kinds(self) -> dict[str, ParamKind]:
        """How each factor is stored as one of Optuna's params."""
        return {one.name: one.choices if one.kind == "name" else one.kind for one in self.factors}


def kinds_from_levels(params: Iterable[Mapping[str, Scalar]]) -> dict[str, ParamKind]:
    """Return how factors are stored, told from the levels that trials had: for studies without facts of their core.

    A numeric factor that had no value in a trial has None there; one that never had a value counts as text.
    """
    seen: dict[str, set[type]] = {}
    for levels in params:
        for name, level in levels.items():
            seen.setdefault(name, set()).add(type(level))
    return {name: _kind(types - {type(None)}) for name, types in seen.items()}


def _kind(types: set[type]) -> ParamKind:
    if types == {bool}:
        return "bool"
    if types and types <= {int, float}:
        return "float" if float in types else "int"
    return "text"

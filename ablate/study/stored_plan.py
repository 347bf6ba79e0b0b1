"""A study's plan as it is read back from a storage, an archive or plan.json: checked before anybody uses it."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ablate.errors import AblateError, DamagedError
from ablate.study.blocks import in_block, split_name
from ablate.study.spec import Study


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Arm(_Part):
    name: str
    levels: dict[str, Any]
    settings: dict[str, Any]
    factor: str | None = None
    tuned: dict[str, Any] = {}


class _Metric(_Part):
    name: str
    direction: Literal["max", "min"]
    scale: Literal["identity", "log"] = "identity"
    margin: FiniteFloat | None = None
    relative: bool = False
    primary: bool = False
    unit: str = ""
    digits: int = Field(3, ge=0, le=17)


class _Plan(_Part):
    name: str
    question: str
    core: str
    arms: list[_Arm] = Field(min_length=1)
    factors: list[str]
    metrics: list[_Metric] = Field(min_length=1)
    looks: list[int]
    alpha: float = Field(gt=0, lt=1)
    first_seed: int = Field(0, ge=0)
    budget: dict[str, FiniteFloat]
    text: str
    file: str


def study_of(plan: object) -> Study:
    """Return the study of a stored plan (`Study.to_dict`); raises DamagedError for anything else."""
    try:
        checked = _Plan.model_validate(plan)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the plan"
        raise DamagedError(f"{where}: {fault['msg']}") from error
    if sum(metric.primary for metric in checked.metrics) != 1:
        raise DamagedError("metrics: one is primary in every study")
    if unknown := sorted(set(checked.factors) - checked.arms[0].settings.keys()):
        raise DamagedError(f"factors: {unknown[0]!r} is no setting of the baseline")
    assert isinstance(plan, dict)
    try:
        return _in_blocks(Study.from_dict(plan))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, AblateError) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error


def _in_blocks(study: Study) -> Study:
    """The study, whose arms are there in every block, where it has blocks; raises ValueError otherwise."""
    if study.blocks is not None:
        plain = dict.fromkeys(split_name(arm.name)[0] for arm in study.arms)
        expected = [in_block(name, block) for block in study.blocks.names for name in plain]
        if [arm.name for arm in study.arms] != expected:
            raise ValueError("arms are not the same in every block")
    return study


def study_of_text(text: str) -> Study:
    """Return the study of a plan stored as JSON text; raises as `study_of`."""
    try:
        plan = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"the plan is not JSON: {error}") from error
    return study_of(plan)

"""What is read back from a storage or an archive, checked: anybody may have written there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ablate.errors import DamagedError
from ablate.outcome import OutcomeKind


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class _Trial(BaseModel):
    """One trial, as every reader has it before it becomes a row."""

    model_config = ConfigDict(extra="ignore", strict=True)

    number: int = Field(ge=0)
    state: Literal["RUNNING", "WAITING", "COMPLETE", "PRUNED", "FAIL"]
    arm: str
    seed: int = Field(ge=0, lt=2**63)
    outcome: str | None = None
    metrics: dict[str, FiniteFloat] = {}
    seconds: FiniteFloat | None = None
    device: str = ""
    recipe: str = ""
    error: str | None = None
    unset: list[str] = []
    curve: tuple[tuple[int, FiniteFloat], ...] = ()
    started_at: Annotated[str, AfterValidator(_moment)] | None = None
    finished_at: Annotated[str, AfterValidator(_moment)] | None = None


_KINDS = frozenset(kind.value for kind in OutcomeKind)


def check_trial(known: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
    """Raise DamagedError unless fields (number, state, ...) and attributes of a trial are what ablate writes."""
    try:
        found = _Trial.model_validate({**attributes, **known})
    except ValidationError as error:
        raise DamagedError(first_fault(error)) from error
    if found.outcome is not None and found.outcome not in _KINDS:
        raise DamagedError(f"outcome: {found.outcome!r} is none of {', '.join(sorted(_KINDS))}")


def first_fault(error: ValidationError) -> str:
    """Return the first thing that a model found wrong: ``arms.0.name: Input should be a valid string``."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])

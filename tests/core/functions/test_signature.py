"""Factors, types, defaults and descriptions come from a function's signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import ablate
from ablate.core.functions.signature import signature_of
from ablate.errors import AblateError
from ablate.json_values import plain_settings
from ablate.study.factors import FactorInfo, factors_of

if TYPE_CHECKING:
    from decimal import Decimal


class Optimizer(BaseModel):
    name: Literal["sgd", "adam"] = "sgd"
    lr: float = Field(default=0.1, gt=0)


class Doc:
    """As PEP 727 has it."""

    def __init__(self, documentation: str) -> None:
        self.documentation = documentation


def train(  # type: ignore[no-untyped-def]  # the plain ones are what is tested
    lr: float = 1,
    *,
    layers: list[int] = [64],  # noqa: B006 - what is tested
    depth=3,
    name="x",
    warmup=True,
    share: Annotated[float, Field(ge=0, le=1), "a share"] = 0.5,
    steps: Annotated[int, Doc("updates"), Field(default=10, json_schema_extra={"unit": "steps"})],
    tail: float = Field(default=0.2, description="the tail"),
    where: Path = Path("data"),
    opt: Optimizer = Optimizer(lr=0.5),  # noqa: B008
    anything=None,
    seed: int,
    trial: ablate.Trial,
    **others: int,
) -> dict[str, float]:
    raise NotImplementedError


SIGNATURE = signature_of(train, "function 'train'")
FACTORS = factors_of(SIGNATURE.settings)


@pytest.mark.parametrize(
    "expected",
    [
        FactorInfo("lr", "float", 1.0),
        FactorInfo("depth", "int", 3),
        FactorInfo("name", "text", "x"),
        FactorInfo("warmup", "bool", True),
        FactorInfo("share", "float", 0.5, low=0, high=1, doc="a share"),
        FactorInfo("steps", "int", 10, unit="steps", doc="updates"),
        FactorInfo("tail", "float", 0.2, doc="the tail"),
        FactorInfo("layers", "json", (64,)),
        FactorInfo("where", "json", "data"),
        FactorInfo("opt.name", "name", "sgd", choices=("sgd", "adam")),
        FactorInfo("opt.lr", "float", 0.5, low=0, low_open=True),
        FactorInfo("anything", "json", None, optional=True),
    ],
    ids=lambda info: info.name,
)
def test_a_parameter_becomes_a_factor(expected: FactorInfo) -> None:
    assert FACTORS[expected.name] == expected


def test_only_seed_and_trial_are_no_factors() -> None:
    assert (SIGNATURE.takes_seed, SIGNATURE.trial) == (True, "trial")
    names = ["lr", "layers", "depth", "name", "warmup", "share", "steps", "tail", "where", "opt.name", "opt.lr"]
    assert list(FACTORS) == [*names, "anything"]


def test_a_default_is_converted_as_a_level_is() -> None:
    """Else the same setting would have two digests: written in a study file, and left out."""
    settings = plain_settings(SIGNATURE.settings().resolved())
    assert (settings["lr"], type(settings["lr"])) == (1.0, float)
    assert settings["where"] == "data"


def no_default(*, lr: float, seed: int) -> None: ...
def bundled(args) -> None: ...  # type: ignore[no-untyped-def]
def anything(seed: int, **settings: float) -> None: ...
def no_seed(*, lr: float = 0.1) -> None: ...
def positional(lr: float = 0.1, /, *, seed: int = 0) -> None: ...
def wrong_default(*, lr: float = "much", seed: int) -> None: ...  # type: ignore[assignment]
def out_of_range(*, lr: Annotated[float, Field(gt=0)] = -1, seed: int) -> None: ...
def unknown_type(*, lr: Decimal = 1, seed: int) -> None: ...  # type: ignore[assignment]
def strange_type(*, thing: Doc = Doc("x"), seed: int) -> None: ...  # noqa: B008
def two_trials(*, trial: ablate.Trial, other: ablate.Trial) -> None: ...
def trial_is_a_number(*, trial: int = 3, seed: int) -> None: ...
def reserved(*, resolved: int = 3, seed: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_default, "'lr' has no default"),
        (bundled, "'args' has no default"),
        (anything, "has nothing to vary: '**' does not say which settings there are"),
        (no_seed, "takes no seed"),
        (positional, "'lr' cannot be passed by name"),
        (wrong_default, "the default of 'lr' is not of its type"),
        (out_of_range, "the default of 'lr' is not of its type"),
        (unknown_type, "the type of 'lr' cannot be read"),
        (strange_type, "parameter 'thing' cannot be a setting: its type is Doc"),
        (two_trials, "both 'trial' and 'other' take the trial"),
        (trial_is_a_number, "parameter 'trial' takes the trial"),
        (reserved, "cannot be called 'resolved'"),
        (dict, "cannot be read"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_function_that_cannot_be_a_core_says_why(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(AblateError) as caught:
        signature_of(function, "function 'train'")
    assert words in caught.value.message
    assert caught.value.message.startswith("function 'train'")


def later(*, trial: Decimal, lr: float = 0.1) -> None: ...


def test_the_trial_may_be_imported_for_the_type_checker_alone() -> None:
    assert signature_of(later, "f").trial == "trial"
    assert list(signature_of(lambda trial, lr=0.1: lr, "f").settings.model_fields) == ["lr"]

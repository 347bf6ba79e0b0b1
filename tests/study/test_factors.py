"""Factors are read from the settings model: kinds, ranges, units, defaults."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Optional

import annotated_types
import pytest
from pydantic import BaseModel, Field, PositiveInt

from ablate.errors import AblateError
from ablate.interface import CoreSettings
from ablate.json_values import FrozenDict, JsonValue
from ablate.study.factors import FactorInfo, factors_of, level_text


class Norm(StrEnum):
    GROUP = "group"
    LAYER = "layer"


class Settings(CoreSettings):
    lr: float = Field(0.001, gt=0, le=1, description="step size", json_schema_extra={"unit": "1/step"})
    size: int = Field(8, ge=2, lt=64)
    window: int | None = Field(None, ge=1)
    cap: PositiveInt = 5
    share: Annotated[float, Field(ge=0, le=1)] | None = 0.5
    span: Annotated[float, annotated_types.Interval(gt=0, lt=2)] = 1.0
    tight: Annotated[int, Field(ge=1)] = Field(4, ge=3, le=9)
    ema: bool = True
    schedule: Literal["linear", "cosine"] = "linear"
    attention: Literal["none", "16"] | None = None
    norm: Norm = Norm.GROUP
    note: Optional[str] = Field(default_factory=lambda: "x")  # noqa: UP045 - the old spelling is common in user code


FACTORS = factors_of(Settings)


@pytest.mark.parametrize(
    "expected",
    [
        FactorInfo("lr", "float", 0.001, low=0, high=1, low_open=True, unit="1/step", doc="step size"),
        FactorInfo("size", "int", 8, low=2, high=64, high_open=True),
        FactorInfo("window", "int", None, low=1, optional=True),
        FactorInfo("cap", "int", 5, low=0, low_open=True),
        FactorInfo("share", "float", 0.5, low=0, high=1, optional=True),
        FactorInfo("span", "float", 1.0, low=0, high=2, low_open=True, high_open=True),
        FactorInfo("tight", "int", 4, low=3, high=9),
        FactorInfo("ema", "bool", True),
        FactorInfo("schedule", "name", "linear", choices=("linear", "cosine")),
        FactorInfo("attention", "name", None, choices=("none", "16"), optional=True),
        FactorInfo("norm", "name", "group", choices=("group", "layer")),
        FactorInfo("note", "text", "x", optional=True),
    ],
    ids=lambda info: info.name,
)
def test_a_field_becomes_a_factor(expected: FactorInfo) -> None:
    assert FACTORS[expected.name] == expected


def test_factors_keep_the_order_of_the_settings() -> None:
    assert list(FACTORS) == list(Settings.model_fields)


class NoDefault(CoreSettings):
    lr: float


class Inner(BaseModel):
    lr: float


class NestedWithoutDefault(CoreSettings):
    optim: Inner


class NoJson(CoreSettings):
    thing: Any = object()


class Endless(CoreSettings):
    share: list[float] = [float("inf")]  # noqa: RUF012 - pydantic copies defaults


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NoDefault, "setting 'lr' of NoDefault has no default"),
        (NestedWithoutDefault, "setting 'optim' of NestedWithoutDefault has no default"),
        (NoJson, "setting 'thing' of NoJson has a default that is no JSON"),
        (Endless, "setting 'share' of Endless has a default that is no JSON"),
    ],
)
def test_a_model_that_cannot_be_varied_is_refused(model: type[CoreSettings], message: str) -> None:
    with pytest.raises(AblateError, match=message) as caught:
        factors_of(model)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ({"low": 0, "low_open": True, "high": 1}, "above 0, at most 1"),
        ({"low": 1, "unit": "images"}, "at least 1 images"),
        ({"high": 2.5, "high_open": True}, "below 2.5"),
        ({"unit": "dB"}, ""),
    ],
)
def test_the_range_is_said_in_words(bounds: dict[str, Any], text: str) -> None:
    assert FactorInfo("x", "float", 0.0, **bounds).range_text == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001, "0.001"), (1.0, "1"), (1e-05, "1e-05"), (10, "10"), (True, "true"), (None, "null"), ("dip", "dip")],
)
def test_a_level_is_written_shortly(value: JsonValue, text: str) -> None:
    assert level_text(value) == text


class Schedule(BaseModel):
    gamma: float = Field(default=0.9, gt=0, le=1)


class Optim(BaseModel):
    lr: float = Field(default=0.1, gt=0, description="step size")
    schedule: Schedule = Schedule()


class Adam(BaseModel):
    kind: Literal["adam"] = "adam"


class Rich(CoreSettings):
    layers: list[int] = Field([64, 64], description="widths")
    optim: Optim = Optim(lr=0.05)
    plain: Optim
    options: dict[str, Any] = {"a": [1]}  # noqa: RUF012 - pydantic copies defaults
    choice: Adam | Optim = Adam()
    size: Literal[8, 16] = 8
    width: int | list[int] = 8
    free: Any = None


RICH = factors_of(Rich)


def test_a_nested_model_gives_factors_with_dotted_names() -> None:
    """Their defaults are those of the parent's default, not of the nested class."""
    assert [name for name in RICH if "." in name] == [
        "optim.lr",
        "optim.schedule.gamma",
        "plain.lr",
        "plain.schedule.gamma",
    ]
    assert RICH["optim.lr"] == FactorInfo("optim.lr", "float", 0.05, low=0, low_open=True, doc="step size")
    assert RICH["plain.lr"].default == 0.1


@pytest.mark.parametrize(
    ("name", "default", "takes"),
    [
        ("layers", (64, 64), (True, False, False)),
        ("options", FrozenDict(a=(1,)), (False, True, False)),
        ("choice", FrozenDict(kind="adam"), (False, True, False)),
        ("size", 8, (False, False, True)),
        ("width", 8, (True, False, True)),
        ("free", None, (True, True, True)),
    ],
)
def test_any_other_field_is_one_factor_with_json_levels(name: str, default: JsonValue, takes: tuple[bool, ...]) -> None:
    factor = RICH[name]
    assert (factor.kind, factor.default) == ("json", default)
    assert factor.json is not None
    assert (factor.takes_list, factor.takes_mapping, factor.json.takes_scalar) == takes


def test_settings_come_back_from_their_dotted_names() -> None:
    settings = Rich(**{"optim.lr": 0.2, "layers": (1, 2)})  # type: ignore[arg-type]
    assert settings.optim == Optim(lr=0.2)
    assert settings.layers == [1, 2]
    assert Rich(**settings.resolved()) == settings  # type: ignore[arg-type]
    assert Rich(**{"optim": {"schedule": {"gamma": 0.5}}, "optim.lr": 0.3}).optim == Optim(  # type: ignore[arg-type]
        lr=0.3, schedule=Schedule(gamma=0.5)
    )


def test_what_is_not_stated_of_a_nested_model_keeps_the_parents_default() -> None:
    assert Rich(**{"optim.schedule.gamma": 0.5}).optim == Optim(lr=0.05, schedule=Schedule(gamma=0.5))  # type: ignore[arg-type]

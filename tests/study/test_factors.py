"""Factors are read from the settings model: kinds, ranges, units, defaults."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Optional

import annotated_types
import pytest
from pydantic import Field, PositiveInt

from ablate.errors import AblateError
from ablate.interface import CoreSettings
from ablate.recipe import Scalar
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


class Listed(CoreSettings):
    sizes: list[int] = [1]  # noqa: RUF012 - pydantic copies defaults


class Numbered(CoreSettings):
    size: Literal[8, 16] = 8


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NoDefault, "setting 'lr' of NoDefault has no default"),
        (Listed, "setting 'sizes' of Listed has a type that cannot be varied"),
        (Numbered, "setting 'size' of Numbered has a type that cannot be varied"),
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
def test_a_level_is_written_shortly(value: Scalar, text: str) -> None:
    assert level_text(value) == text

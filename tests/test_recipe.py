"""A recipe's digest depends on its settings' values, not on how or where they were written."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from ablate.interface import CoreSettings
from ablate.recipe import Recipe, canonical_json, digest_of

scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.none(),
)
settings = st.dictionaries(st.text(min_size=1, max_size=10), scalars, max_size=6)


def test_digest_ignores_the_order_of_settings() -> None:
    one = Recipe("toy", {"lr": 0.001, "epochs": 3}, 0)
    other = Recipe("toy", {"epochs": 3, "lr": 1e-3}, 0)
    assert one.digest == other.digest
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    "changed",
    [
        Recipe("other", {"lr": 0.001}, 0),
        Recipe("toy", {"lr": 0.002}, 0),
        Recipe("toy", {"lr": 0.001}, 1),
        Recipe("toy", {"lr": 0.001, "x": None}, 0),
    ],
)
def test_digest_sees_every_part(changed: Recipe) -> None:
    assert changed.digest != Recipe("toy", {"lr": 0.001}, 0).digest


def test_digest_is_the_known_one() -> None:
    """A digest that changes between versions would orphan every stored result and cache entry."""
    recipe = Recipe("toy", {"lr": 0.001, "name": "é", "flag": True}, 7)
    assert canonical_json(recipe.to_dict()) == '{"core":"toy","seed":7,"settings":{"flag":true,"lr":0.001,"name":"é"}}'
    assert recipe.digest == digest_of(recipe.to_dict())
    assert recipe.digest.startswith("1abe87a167ff4093")


class Scalars(CoreSettings):
    """A setting of every kind that there was before lists and nested models."""

    lr: float = Field(default=0.001, gt=0)
    whole: float = 1.0
    steps: int = 100
    window: int | None = None
    schedule: Literal["linear", "cosine"] = "linear"
    table: str = "[0.1,0.2]"
    note: str = 'ä "x"'
    ema: bool = True


def test_digests_of_scalar_recipes_never_change() -> None:
    """Results are stored under them: these are from before settings could be lists and nested models."""
    default = Recipe("toy", Scalars().resolved(), 3)
    assert default.digest == "d089ac424d6a5ad5fa69580020e958ba0b66e754e02ce4bf9232080ffbc3113f"
    other = Recipe("toy", Scalars(lr=0.1, window=7, schedule="cosine", ema=False).resolved(), 2**40)
    assert other.digest == "6a9c859b3984ad378d724ca07600b4144a1f919fc797b8aeabd504938803a8be"
    mixed = Recipe("toy", {"a": None, "b": False, "c": 1, "d": 1.0, "e": "ä[1]", "f": 1e-9}, 2**40)
    assert mixed.digest == "fcf9ef158ef57e60f72f77972a171f82edc63f56bf3e77defecdde455cd0b9e4"


def test_lists_and_mappings_are_frozen_and_survive_json() -> None:
    recipe = Recipe("toy", {"layers": [64, [1]], "options": {"b": 1, "a": {"c": [2]}}, "optim.lr": 0.1}, 0)
    assert recipe.settings["layers"] == (64, (1,))
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert recipe.to_dict()["settings"]["layers"] == [64, [1]]
    assert recipe == Recipe("toy", {"optim.lr": 0.1, "options": {"a": {"c": (2,)}, "b": 1}, "layers": (64, (1,))}, 0)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    with pytest.raises(TypeError):
        recipe.settings["options"]["a"] = 1


@pytest.mark.parametrize("value", [[float("nan")], {"a": float("inf")}, {1: 2}, Path()], ids=str)
def test_settings_that_are_no_json_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="setting 'x' is"):
        Recipe("toy", {"x": value}, 0)


@given(settings, st.integers(0, 10**6))
def test_json_round_trip_is_identity(values: dict[str, bool | int | float | str | None], seed: int) -> None:
    recipe = Recipe("toy", values, seed)
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_settings_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="'lr' is not finite"):
        Recipe("toy", {"lr": value}, 0)


def test_settings_cannot_be_changed() -> None:
    recipe = Recipe("toy", {"lr": 0.001}, 0)
    with pytest.raises(TypeError):
        recipe.settings["lr"] = 0.1  # type: ignore[index]


def test_digest_is_the_same_in_another_process() -> None:
    """String hashing is randomised per process; a digest must not be."""
    code = "from ablate import Recipe; print(Recipe('toy', {'lr': 0.001, 'name': 'x'}, 3).digest)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == Recipe("toy", {"lr": 0.001, "name": "x"}, 3).digest

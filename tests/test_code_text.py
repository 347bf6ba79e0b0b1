"""Digests of code: the same text has the same one in every process, another text another."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from ablate.code_text import read_back, text_of_function, text_of_module, written

NAMED = """
def train(lr):
    return {"loss": lr in {"a", "b", "c"} or LIMIT}
"""


def made(text: str) -> Callable[..., Any]:
    """A function without source, as one typed at a prompt."""
    names: dict[str, Any] = {"__name__": "prompt"}
    exec(text, names)
    found: Callable[..., Any] = names["train"]
    return found


def test_a_line_is_read_back() -> None:
    texts = {"train.py": "3f2a91c07b12", "my net.py": "09d1f7ce5a44"}
    assert read_back(written(texts)) == texts
    assert read_back("") == read_back("nonsense") == {}


def test_a_function_without_source_is_told_by_what_it_does() -> None:
    assert text_of_function(made(NAMED)) == text_of_function(made(f"\n\n{NAMED}# a comment\n"))
    assert text_of_function(made(NAMED)) != text_of_function(made(NAMED.replace("LIMIT", "OTHER")))
    assert text_of_function(made(NAMED)) != text_of_function(made(NAMED.replace('"c"', '"d"')))


@pytest.mark.parametrize(
    "helper", ["def net(x):\n    return {}\n", "class net:\n    def __init__(self, x):\n        {}\n"]
)
def test_what_a_function_uses_belongs_to_it(helper: str) -> None:
    def text(body: str) -> dict[str, str]:
        return text_of_function(made(f"{helper.format(body)}\ndef train(lr):\n    return [net(one) for one in [lr]]\n"))

    assert text("x") == text("x")
    assert text("x") != text("x + 1")


def test_a_constant_that_a_function_uses_belongs_to_it() -> None:
    def text(epochs: int) -> dict[str, str]:
        return text_of_function(made(f"EPOCHS, OTHER = {epochs}, 0\n\ndef train(lr):\n    return EPOCHS * lr\n"))

    assert text(3) == text(3)
    assert text(3) != text(5)


def test_what_uses_itself_comes_to_an_end() -> None:
    assert set(text_of_function(made("def train(lr):\n    return train(lr - 1) if lr else 0\n"))) == {"train"}


def test_objects_that_can_be_called_have_a_text_or_none() -> None:
    class Train:
        def __call__(self, lr: float) -> float:
            return lr

    assert set(text_of_function(Train())) == {Train.__qualname__}
    assert text_of_function(functools.partial(made(NAMED), lr=1))
    assert text_of_module(made(NAMED)) == text_of_module(functools.partial(made(NAMED))) == {}
    assert set(text_of_module(text_of_module)) == {"code_text.py"}

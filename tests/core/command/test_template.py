"""Templates become arguments: one per value, none where there is none, and never through a shell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.core.command.spec.template import Command, Template, TemplateError

VALUES: dict[str, Any] = {
    "lr": 0.001,
    "tiny": 1e-05,
    "steps": 64,
    "layers": [64, 32],
    "none": [],
    "on": True,
    "off": False,
    "name": "a b; rm -rf $HOME",
    "left": None,
    "optim": {"lr": 0.1},
    "a-b.c": 2,
}


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["--lr", "{lr}"], ["--lr", "0.001"]),
        (["--tiny={tiny}", "{steps}"], ["--tiny=1e-05", "64"]),
        (["{name}"], ["a b; rm -rf $HOME"]),
        (["{layers}", "{optim}"], ["[64,32]", '{"lr":0.1}']),
        (["model.layers=[{layers:,}]"], ["model.layers=[64,32]"]),
        (["--layers", "{layers*}", "-x"], ["--layers", "64", "32", "-x"]),
        (["--layer={layers*}"], ["--layer=64", "--layer=32"]),
        (["--layers", "{none*}"], ["--layers"]),
        (["{on:--augment}", "{off:--augment}"], ["--augment"]),
        (["{off:--augment|--plain}", "{on:|--plain}", "{off:|--plain}"], ["--plain", "--plain"]),
        (["augment={on}"], ["augment=true"]),
        (["{a-b.c}", "{{lr}}", "a{{{steps}}}"], ["2", "{lr}", "a{64}"]),
    ],
)
def test_each_value_is_an_argument_of_its_own(words: list[str], arguments: list[str]) -> None:
    assert Command.parse(["x", *words]).arguments(VALUES) == ["x", *arguments]


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["--clip", "{left}", "end"], ["end"]),
        (["-c", "{left}"], []),
        (["--clip={left}"], []),
        (["clip={left}", "lr={lr}"], ["lr=0.001"]),
        (["--clip", "{left}/{lr}"], ["--clip"]),
        (["{left}", "{left}"], []),
        (["--lr", "{lr}", "{left}"], ["--lr", "0.001"]),
        (["--", "{left}"], ["--"]),
        (["-1", "{left}"], ["-1"]),
        (["--name=x", "{left}"], ["--name=x"]),
        (["--verbose", "{off:--augment}"], ["--verbose"]),
    ],
)
def test_nothing_leaves_its_argument_out_with_the_option_in_front_of_it(words: list[str], arguments: list[str]) -> None:
    assert Command.parse(["x", *words]).arguments(VALUES) == ["x", *arguments]


@pytest.mark.parametrize(
    ("text", "piece"),
    [("{", "{"), ("a}", "}"), ("{}", "{}"), ("{1lr}", "{1lr}"), ("{lr!r}", "{lr!r}"), ("{a b}", "{a b}"), ("{x", "{")],
)
def test_what_is_no_placeholder_is_said_with_the_piece_that_is_wrong(text: str, piece: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.parse(text)
    assert caught.value.piece == piece
    assert caught.value.suggestion is not None


@pytest.mark.parametrize("text", ["{lr*}", "{lr:,}", "{name*}", "{optim:,}", "{on:|}", "{on:}"])
def test_a_placeholder_that_cannot_hold_its_value_is_refused(text: str) -> None:
    template = Template.parse(text)
    [placeholder] = template.placeholders
    assert placeholder.refusal(VALUES[placeholder.name]) is not None
    assert placeholder.refusal(None) is None
    with pytest.raises(ValueError, match=placeholder.name):
        template.arguments(VALUES)


def test_a_name_that_nobody_gave_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="unknown"):
        Template.parse("{unknown}").arguments(VALUES)


@given(st.text(alphabet=st.characters(exclude_characters="{}", exclude_categories=["Cs"])))
def test_a_text_without_braces_stays_as_it_is(text: str) -> None:
    assert Template.parse(text).fill({}) == text


@given(st.recursive(st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))  # fmt: skip
def test_any_json_value_is_one_argument_from_which_it_can_be_read_again(value: Any) -> None:
    [text] = Command.parse(["{value}"]).arguments({"value": value})
    assert value == (text if isinstance(value, str) else json.loads(text))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_braces_are_doubled_to_stand_for_themselves(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert Template.parse(doubled).fill({}) == text

"""What stands behind ``from:`` is read into a kind, a place and a key, or refused with the nearest right thing."""

from __future__ import annotations

import re

import pytest

from ablate.core.command.spec.sources import CURVE_KINDS, Source, number_group, require_one_number
from ablate.core.command.spec.template import TemplateError


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("json:{folder}/m.json#test/accuracy", Source("json", "{folder}/m.json", "test/accuracy")),
        ("json:{folder}/m.json", Source("json", "{folder}/m.json")),
        ("csv: log.csv # val_acc ", Source("csv", "log.csv", "val_acc")),
        ("jsonl:log#a#b", Source("jsonl", "log", "a#b")),
        ("tensorboard:{folder}#val/acc", Source("tensorboard", "{folder}", "val/acc")),
        ("stdout:loss: ([0-9.]+) #", Source("stdout", "loss: ([0-9.]+) #")),
    ],
)
def test_a_source_is_read_and_written_back(text: str, source: Source) -> None:
    assert Source.parse(text) == source
    assert Source.parse(str(source)) == source


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        ("jsn:{folder}/m.json", "unknown source 'jsn'", "did you mean json:?"),
        ("metrics.json", "names no kind of source", "write json:FILE#POINTER, "),
        ("yaml:x", "unknown source 'yaml'", "write json:FILE#POINTER, "),
        ("csv:", "names nothing", "write "),
        ("csv:{folder#x", "a single {", "{{"),
        ("stdout:(", "not a regular expression", None),
    ],
)
def test_what_is_no_source_is_said(text: str, message: str, suggestion: str | None) -> None:
    with pytest.raises(TemplateError) as caught:
        Source.parse(text)
    assert message in caught.value.message
    assert (suggestion or "") in (caught.value.suggestion or "")


def test_only_some_kinds_make_a_curve() -> None:
    with pytest.raises(TemplateError, match="unknown source 'json'") as caught:
        Source.parse("json:x", CURVE_KINDS)
    assert caught.value.suggestion == "did you mean jsonl:?"


@pytest.mark.parametrize(
    ("pattern", "found"), [("loss ([0-9]+)", "3"), ("(?:loss) [0-9]+", "loss 3"), ("(l)oss (?P<value>[0-9]+)", "3")]
)
def test_the_number_is_the_named_group_the_only_group_or_the_whole_match(pattern: str, found: str) -> None:
    match = re.search(pattern, "a loss 3")
    assert match is not None
    assert match[number_group(match.re)] == found


def test_two_groups_hold_no_one_number() -> None:
    require_one_number(re.compile("(?:a)(b)"))
    require_one_number(re.compile("(a)(?P<value>b)"))
    with pytest.raises(TemplateError, match="2 groups") as caught:
        require_one_number(re.compile("(a)(b)"))
    assert "(?P<value>...)" in (caught.value.suggestion or "")

"""Where a number comes from: ``json:FILE#POINTER``, ``csv:FILE#COLUMN``, ``stdout:PATTERN`` and so on, as data."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from ablate.core.command.spec.template import Template, TemplateError

Kind = Literal["json", "jsonl", "csv", "tensorboard", "stdout"]
KINDS: tuple[str, ...] = get_args(Kind)
FILE_KINDS = tuple(kind for kind in KINDS if kind != "stdout")
CURVE_KINDS = ("jsonl", "csv", "tensorboard")
"""Files that hold a row for every step."""
WANTED = "json:FILE#POINTER, jsonl:FILE#POINTER, csv:FILE#COLUMN, tensorboard:FOLDER#TAG or stdout:PATTERN"


@dataclass(frozen=True)
class Source:
    """One place to look for a number."""

    kind: str
    """One of `KINDS`."""
    place: str
    """The file or folder as a template; the pattern for stdout."""
    key: str = ""
    """Which number in the file: a JSON pointer, a column, a tag; empty for one called as the metric."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}{f'#{self.key}' if self.key else ''}"

    @cached_property
    def path(self) -> Template:
        """The file's path; of files only."""
        return Template.parse(self.place)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The regular expression; of stdout only."""
        return re.compile(self.place)

    @classmethod
    def parse(cls, text: str, kinds: tuple[str, ...] = KINDS) -> Source:
        """Read what stands behind ``from:``; raises TemplateError. `kinds` are those that make sense there."""
        kind, colon, rest = text.partition(":")
        kind, rest = kind.strip(), rest.strip()
        if not colon:
            raise TemplateError(f"{text!r} names no kind of source", text, suggestion=f"write {_wanted(kinds)}")
        if kind not in kinds:
            close = difflib.get_close_matches(kind.lower(), kinds, n=1)
            hint = f"did you mean {close[0]}:?" if close else f"write {_wanted(kinds)}"
            raise TemplateError(f"unknown source {kind!r}", kind, suggestion=hint)
        if not rest:
            raise TemplateError(f"{kind}: names nothing", text, suggestion=f"write {_wanted(kinds)}")
        if kind == "stdout":
            return cls(kind, checked_pattern(rest))
        place, _, key = rest.partition("#")
        source = cls(kind, place.strip(), key.strip())
        _ = source.path  # a template, or an error
        return source


def checked_pattern(text: str) -> str:
    """Return a regular expression as it stands; raises TemplateError when it is none."""
    try:
        re.compile(text)
    except re.error as error:
        raise TemplateError(f"not a regular expression: {error.msg}", text[error.pos or 0 :] or text) from error
    return text


def require_one_number(pattern: re.Pattern[str]) -> None:
    """Raise TemplateError when nobody can say which group of a pattern holds the number."""
    if pattern.groups > 1 and "value" not in pattern.groupindex:
        raise TemplateError(
            f"{pattern.groups} groups: which one is the number?",
            pattern.pattern,
            suggestion="name it (?P<value>...), and write (?:...) for groups that only hold together",
        )


def number_group(pattern: re.Pattern[str]) -> int | str:
    """The group of a pattern that holds the number: ``value``, the only one, or the whole match."""
    if "value" in pattern.groupindex:
        return "value"
    return 1 if pattern.groups else 0


def _wanted(kinds: tuple[str, ...]) -> str:
    shown = [one for one in WANTED.replace(" or ", ", ").split(", ") if one.partition(":")[0] in kinds]
    return f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else shown[0]

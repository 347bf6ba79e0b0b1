"""Templates: texts with placeholders such as ``{lr}``, and the arguments that they become.

| placeholder | for | becomes |
|---|---|---|
| ``{lr}`` | any value | one argument; a list or mapping as JSON, a truth value as ``true`` or ``false`` |
| ``{layers:,}`` | a list | one argument, its elements joined by what stands behind the colon |
| ``{layers*}`` | a list | one argument per element; what stands around the placeholder is repeated |
| ``{augment:--augment}`` | a truth value | the text when true, no argument when false |
| ``{augment:--augment|--plain}`` | a truth value | the first text when true, the second when false (or none) |

A value of None leaves its argument out. ``{{`` and ``}}`` are braces.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FACTOR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""What a placeholder, and so a factor of a command, may be called."""
RESERVED = ("seed", "index", "folder", "arm", "study")
"""Placeholders that every command has, whatever its factors are."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PLACEHOLDER = re.compile(rf"({FACTOR_NAME.pattern})(?:(\*)|:(.*))?", re.DOTALL)


class TemplateError(ValueError):
    """A text that is not a template; `piece` is the part of it that is wrong."""

    def __init__(self, message: str, piece: str, *, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.piece = piece
        self.suggestion = suggestion


@dataclass(frozen=True)
class Placeholder:
    """One ``{...}`` of a template."""

    name: str
    each: bool = False
    """Written with a star: one argument per element."""
    text: str | None = None
    """What stands behind the colon; None without one."""

    def __str__(self) -> str:
        return f"{{{self.name}{'*' if self.each else ''}{'' if self.text is None else f':{self.text}'}}}"

    def refusal(self, value: Any) -> str | None:
        """Say why `value` cannot stand here; None when it can."""
        if value is None:
            return None
        if self.each and not isinstance(value, list):
            return f"{self} wants a list, and {self.name} is {kind_of(value)}"
        if self.text is not None and not isinstance(value, list | bool):
            return f"{self} wants a list or true and false, and {self.name} is {kind_of(value)}"
        if isinstance(value, bool) and self.text is not None and not self.text.strip("|"):
            return f"{self} is the same for true and false"
        return None

    def values(self, value: Any) -> list[str] | None:
        """Return the texts that `value` gives here, one per argument; None when its argument is left out.

        Raises ValueError for a value of the wrong kind.
        """
        if (reason := self.refusal(value)) is not None:
            raise ValueError(reason)
        if value is None:
            return None
        if self.each:
            return [argument_text(one) for one in value]
        if self.text is None:
            return [argument_text(value)]
        if isinstance(value, list):
            return [self.text.join(argument_text(one) for one in value)]
        on, _, off = self.text.partition("|")
        word = on if value else off
        return [word] if word else None


@dataclass(frozen=True)
class Template:
    """A text with placeholders."""

    source: str
    parts: tuple[str | Placeholder, ...]

    @classmethod
    def parse(cls, source: str) -> Template:
        """Read a template; raises TemplateError."""
        parts: list[str | Placeholder] = []
        at = 0
        for match in _TOKEN.finditer(source):
            parts.append(source[at : match.start()])
            at = match.end()
            parts.append(_brace(match.group()) if match.group(1) is None else _placeholder(match.group(), match[1]))
        parts.append(source[at:])
        return cls(source, tuple(_joined(parts)))

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The placeholders, in order."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the placeholders, each once."""
        return tuple(dict.fromkeys(one.name for one in self.placeholders))

    @property
    def is_value(self) -> bool:
        """True for a single placeholder that stands for a value, and nothing around it."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Placeholder)

    def arguments(self, values: Mapping[str, Any]) -> list[str] | None:
        """Return the arguments that the template gives with `values`; None when a placeholder leaves it out.

        Raises KeyError for a name that is not among `values`, and ValueError for a value of the wrong kind.
        """
        found = [""]
        for part in self.parts:
            texts = [part] if isinstance(part, str) else part.values(values[part.name])
            if texts is None:
                return None
            found = [before + text for before in found for text in texts]
        return found

    def fill(self, values: Mapping[str, Any]) -> str | None:
        """Return the one text that the template gives, for a path or a variable; None when it is left out."""
        texts = self.arguments(values)
        return None if texts is None else " ".join(texts)


@dataclass(frozen=True)
class Command:
    """The words of a command line, each a template. The first is the program."""

    words: tuple[Template, ...]

    @classmethod
    def parse(cls, words: Sequence[str]) -> Command:
        """Read every word; raises TemplateError."""
        return cls(tuple(Template.parse(word) for word in words))

    @property
    def text(self) -> str:
        """The command on one line, quoted where a shell would need it."""
        return shlex.join(word.source for word in self.words)

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The placeholders of all words, in order."""
        return tuple(one for word in self.words for one in word.placeholders)

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """Return the command line with `values` in it.

        A value of None leaves out the word it stands in, and with ``--lr {lr}`` the option in front of it too.
        """
        found: list[str] = []
        for before, word in zip((None, *self.words), self.words, strict=False):
            texts = word.arguments(values)
            if texts is not None:
                found += texts
            elif before is not None and _is_option(before) and _is_missing(word, values):
                found.pop()
        return found


def argument_text(value: Any) -> str:
    """Return a value as one argument: ``0.001``, ``true``, a list or mapping as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def kind_of(value: Any) -> str:
    """Say what kind of value it is, for messages."""
    if isinstance(value, bool):
        return "true or false"
    names = {list: "a list", dict: "a mapping", str: "a text", type(None): "nothing"}
    return names.get(type(value), "a number")


def _brace(token: str) -> str:
    if token in ("{{", "}}"):
        return token[0]
    raise TemplateError(
        f"a single {token} in a template",
        token,
        suggestion=f"a brace is written {token * 2}; a placeholder with a space in it needs quotes around its word",
    )


def _placeholder(whole: str, inner: str) -> Placeholder:
    match = _PLACEHOLDER.fullmatch(inner)
    if match is None:
        raise TemplateError(
            f"not a placeholder: {whole}", whole, suggestion="a brace that is not a placeholder is written {{ or }}"
        )
    return Placeholder(match[1], each=match[2] is not None, text=match[3])


def _joined(parts: Sequence[str | Placeholder]) -> Iterator[str | Placeholder]:
    """Neighbouring texts as one, and no empty ones."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
        text = ""
        yield part
    if text:
        yield text


def _is_option(word: Template) -> bool:
    """True for ``-x`` and ``--name``, without a value of its own."""
    return not word.placeholders and re.fullmatch(r"--?[A-Za-z][^=]*", word.source) is not None


def _is_missing(word: Template, values: Mapping[str, Any]) -> bool:
    """True for a word that is nothing but the value of a placeholder, and there is none."""
    return word.is_value and values[word.placeholders[0].name] is None

"""YAML text to a small tree in which every key and value knows where it stands.

PyYAML's parser gives the events; the tree is built here, because it must keep positions and raw text (``off`` stays
``off``, ``010`` stays ``010``: what a word means depends on the factor it is given to), refuse duplicate keys and
tags, and stay small for nested or self-referring input. Nothing is ever constructed from a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from ablate.study.problems import Mark, Problems, Source

LARGEST_CHARACTERS = 2_000_000
DEEPEST = 12
"""Levels of nesting that are read; a study file has four."""

_LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Leaf:
    """One word, number or text, as written. `plain` is false when it stands in quotes or in a block."""

    text: str
    plain: bool
    mark: Mark

    @property
    def is_null(self) -> bool:
        """True for nothing, ``~`` and ``null``."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Items:
    """A YAML list."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True)
class Table:
    """A YAML mapping with distinct keys, in file order."""

    entries: tuple[tuple[Leaf, Node], ...]
    mark: Mark

    def get(self, name: str) -> Node | None:
        """The value of key `name`, or None."""
        return next((value for key, value in self.entries if key.text == name), None)

    def key(self, name: str) -> Leaf | None:
        """The key `name` with its position, or None."""
        return next((key for key, _ in self.entries if key.text == name), None)

    def put(self, key: Leaf, value: Node) -> Table:
        """Return a table in which `key` has `value`: in the place of the old one, or at the end."""
        if self.get(key.text) is None:
            return replace(self, entries=(*self.entries, (key, value)))
        changed = tuple((key, value) if old.text == key.text else (old, had) for old, had in self.entries)
        return replace(self, entries=changed)


Node = Leaf | Items | Table


def source_of(file: str, text: str) -> Source:
    """Split `text` into lines the way YAML does."""
    return Source(file, tuple(_LINE_BREAK.split(text)))


def read_tree(text: str, source: Source, problems: Problems, *, shift: int = 0) -> Node | None:
    """Return the tree of one YAML document, or None after recording why there is none.

    `shift` is how many characters stand before `text` on the source's first line (for overrides). An empty document
    is an empty Leaf.
    """
    if (found := _unreadable(text, source, shift)) is not None:
        problems.error(*found)
        return None
    builder = _Builder(source, problems, shift)
    try:
        for event in _events(text):
            if not builder.take(event):
                return None
    except yaml.MarkedYAMLError as error:
        _syntax_error(error, builder)
        return None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # An escape beyond Unicode or an absurd version number: PyYAML lets int() and chr() speak for themselves.
        problems.error(builder.whole, f"not valid YAML: {str(error).splitlines()[0]}")
        return None
    return builder.root if builder.root is not None else Leaf("", plain=True, mark=builder.whole)


def _events(text: str) -> Iterator[Any]:
    return iter(yaml.parse(text, Loader=yaml.SafeLoader))


def _unreadable(text: str, source: Source, shift: int) -> tuple[Mark, str] | None:
    if len(text) > LARGEST_CHARACTERS:
        return Mark(source, 1, 1), f"too long for a study file: {len(text)} characters, at most {LARGEST_CHARACTERS}"
    if (found := _UNPRINTABLE.search(text)) is None:
        return None
    before = _LINE_BREAK.split(text[: found.start()])
    column = len(before[-1]) + 1 + (shift if len(before) == 1 else 0)
    return Mark(source, len(before), column), f"unprintable character U+{ord(found.group()):04X}"


def _syntax_error(error: yaml.MarkedYAMLError, builder: _Builder) -> None:
    at = error.problem_mark or error.context_mark
    mark = builder.mark(at, at) if at is not None else builder.whole
    text = mark.source.line(mark.line)
    wrong = error.problem or "cannot be parsed"
    if "\t" in text[: len(text) - len(text.lstrip())] or text[mark.column - 1 : mark.column] == "\t":
        builder.problems.error(mark, "a tab in the indentation", suggestion="use spaces")
        return
    hint = None
    if "mapping values" in wrong:
        hint = "a text with ': ' in it needs quotes"
    elif "cannot start any token" in wrong:
        hint = "a text that starts like this needs quotes"
    builder.problems.error(mark, f"not valid YAML: {wrong}", suggestion=hint)


@dataclass
class _Frame:
    """A list or mapping that is being read."""

    start: Any
    anchor: str | None
    is_table: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, tuple[Leaf, Node]] = field(default_factory=dict)
    key: Node | None = None


class _Builder:
    """Takes parser events, gives one tree."""

    def __init__(self, source: Source, problems: Problems, shift: int) -> None:
        self.source = source
        self.problems = problems
        self.root: Node | None = None
        self.whole = Mark(source, 1, 1 + shift, max(1, len(source.line(1)) - shift))
        self._shift = shift
        self._open: list[_Frame] = []
        self._anchors: dict[str, Node] = {}

    def mark(self, start: Any, end: Any) -> Mark:
        """The piece of the first line between two parser marks, at least one character."""
        shift = self._shift if start.line == 0 else 0
        text = self.source.line(start.line + 1)
        last = end.column + shift if end.line == start.line else len(text.rstrip())
        return Mark(self.source, start.line + 1, start.column + shift + 1, max(1, last - start.column - shift))

    def take(self, event: Any) -> bool:
        """Handle one event; false means that reading on makes no sense (the reason is recorded)."""
        match event:
            case yaml.DocumentStartEvent() if self.root is not None:
                self.problems.error(
                    self.mark(event.start_mark, event.end_mark), "a study file must be one YAML document"
                )
                return False
            case yaml.ScalarEvent():
                self._leaf(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                return self._start(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._end(event)
        return True

    def _leaf(self, event: Any) -> None:
        mark = self.mark(event.start_mark, event.end_mark)
        self._refuse_tag(event, mark)
        text = event.value
        if _SURROGATE.search(text):
            self.problems.error(mark, "half of a surrogate pair is not a character")
            text = _SURROGATE.sub("?", text)
        self._add(Leaf(text, plain=event.style is None, mark=mark), event.anchor)

    def _alias(self, event: Any) -> None:
        mark = self.mark(event.start_mark, event.end_mark)
        node = self._anchors.get(event.anchor)
        if node is None:
            self.problems.error(mark, f"unknown alias *{event.anchor}", suggestion="a text with '*' needs quotes")
            node = Leaf("", plain=True, mark=mark)
        # The same value at another place: problems are shown where it is used.
        self._add(replace(node, mark=mark), None)

    def _start(self, event: Any) -> bool:
        mark = self.mark(event.start_mark, event.end_mark)
        if len(self._open) >= DEEPEST:
            self.problems.error(mark, f"nested more than {DEEPEST} levels deep")
            return False
        self._refuse_tag(event, mark)
        self._open.append(_Frame(event.start_mark, event.anchor, isinstance(event, yaml.MappingStartEvent)))
        return True

    def _end(self, event: Any) -> None:
        frame = self._open.pop()
        mark = self.mark(frame.start, event.end_mark)
        node: Node = Table(tuple(frame.entries.values()), mark) if frame.is_table else Items(tuple(frame.items), mark)
        self._add(node, frame.anchor)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        frame = self._open[-1]
        if not frame.is_table:
            frame.items.append(node)
        elif frame.key is None:
            frame.key = node
        else:
            key, frame.key = frame.key, None
            self._enter(frame, key, node)

    def _enter(self, frame: _Frame, key: Node, value: Node) -> None:
        if not isinstance(key, Leaf):
            self.problems.error(key.mark, "a key must be a name, not a list or a mapping")
        elif key.plain and key.text == "<<":
            self.problems.error(key.mark, "merge keys (<<) are not supported: an arm states only what it changes")
        elif key.text in frame.entries:
            first = frame.entries[key.text][0].mark
            self.problems.error(key.mark, f"duplicate key {key.text!r}", note=f"first given in line {first.line}")
        else:
            frame.entries[key.text] = (key, value)

    def _refuse_tag(self, event: Any, mark: Mark) -> None:
        if event.tag is not None:
            self.problems.error(mark, "YAML tags (a word after '!') are not supported in a study file")

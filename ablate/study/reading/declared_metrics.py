"""Metrics that a study declares itself, because its core does not: those of a function.

metrics:
  accuracy: {primary: true, direction: max, margin: 0.5%}
  loss: min                     # short for {direction: min}
  f1: max:0.01                  # short for {direction: max, margin: 0.01}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ablate.interface import MetricInfo
from ablate.study.problems import BadValueError, Mark, Problems
from ablate.study.reading import values
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table

WANTED = "{accuracy: {primary: true, direction: max, margin: 0.5%}}, or in short {accuracy: max:0.5%, loss: min}"
MORE_KEYS = ("unit", "digits")
"""Keys of a metric that only its declaration has."""
T = TypeVar("T")
_SHORT = re.compile(r"(max|min)(?::(.+))?")
_RISING = re.compile(
    r"acc|auc|f1|precision|recall|score|reward|return|psnr|ssim|iou|r2|bleu|rouge|correct", re.IGNORECASE
)
_FALLING = re.compile(r"loss|err|mse|mae|rmse|fid|perplexity|ppl|time|seconds|latency|regret|wer|nll", re.IGNORECASE)
_MOST_DIGITS = 15


@dataclass(frozen=True)
class DeclaredMetrics:
    """What the section says: the metrics, and the section as it stands for a core that has declared them."""

    infos: tuple[MetricInfo, ...]
    node: Node


def read_declared(
    key: Leaf | None, node: Node | None, core: str, whole: Mark, problems: Problems
) -> DeclaredMetrics | None:
    """Return the metrics of a study whose core declares none; None after recording what is wrong."""
    if key is None or node is None:
        message = f"core {core!r} does not say what it measures, and neither does the study"
        problems.error(whole, message, suggestion="add a section 'metrics'", note=f"expected: {WANTED}")
        return None
    if not isinstance(node, Table) or not node.entries:
        problems.error(
            key.mark if isinstance(node, Leaf) and node.is_null else node.mark,
            "metrics: which are there, and which way is better?",
            suggestion=_spelt(node),
            note=f"expected: {WANTED}",
        )
        return None
    before = len(problems.errors)
    infos: list[MetricInfo] = []
    entries: list[tuple[Leaf, Node]] = []
    short = all(isinstance(stated, Leaf) for _, stated in node.entries)
    for name, stated in node.entries:
        table = _table(name, stated, problems)
        info = _info(name, table, problems) if table is not None else None
        if table is None or info is None:
            continue
        kept = [(word, value) for word, value in table.entries if word.text not in MORE_KEYS]
        if short and not infos:  # as in a list of names, the first one decides
            kept.append((Leaf("primary", True, name.mark), Leaf("true", True, name.mark)))
        infos.append(info)
        entries.append((name, Table(tuple(kept), table.mark)))
    if len(problems.errors) > before:
        return None
    return DeclaredMetrics(tuple(infos), Table(tuple(entries), node.mark))


def _table(name: Leaf, stated: Node, problems: Problems) -> Table | None:
    """A metric as a mapping, also where it is written in short; None after recording that it is neither."""
    if isinstance(stated, Table):
        return stated
    if isinstance(stated, Leaf) and stated.is_null:
        return Table((), name.mark)
    if not isinstance(stated, Leaf) or (found := _SHORT.fullmatch(stated.text)) is None:
        problems.error(
            stated.mark, f"{name.text}: expected max or min, got {values.describe(stated)}", note=f"expected: {WANTED}"
        )
        return None
    words = {"direction": found[1], "margin": found[2]}
    entries = [
        (Leaf(word, True, stated.mark), Leaf(text.strip(), True, stated.mark))
        for word, text in words.items()
        if text is not None
    ]
    return Table(tuple(entries), stated.mark)


def _info(name: Leaf, table: Table, problems: Problems) -> MetricInfo | None:
    if table.get("direction") is None:
        problems.error(
            name.mark,
            f"{name.text}: which way is better?",
            suggestion=f"add direction: {likely_direction(name.text) or 'max, or min'}",
            note=f"expected: {WANTED}",
        )
        return None
    before = len(problems.errors)

    def stated(word: str, read: Callable[[Node], T], default: T) -> T:
        node = table.get(word)
        try:
            return default if node is None else read(node)
        except BadValueError as bad:
            problems.bad(node.mark if node is not None else name.mark, bad, subject=f"{name.text} {word}")
            return default

    direction = stated("direction", lambda node: values.name(node, ("max", "min")), "max")
    scale = stated("scale", lambda node: values.name(node, ("identity", "log")), "identity")
    unit, digits = stated("unit", values.text, ""), stated("digits", _digits, 3)
    if len(problems.errors) > before:
        return None
    return MetricInfo(
        name.text,
        "max" if direction == "max" else "min",
        unit,
        scale="log" if scale == "log" else "identity",
        digits=digits,
    )


def _digits(node: Node) -> int:
    digits = values.whole(node)
    if not 0 <= digits <= _MOST_DIGITS:
        raise BadValueError(f"expected 0 to {_MOST_DIGITS}, got {digits}")
    return digits


def likely_direction(name: str) -> str | None:
    """Return which way is probably better, by a metric's name: for a suggestion, never for a decision."""
    rising, falling = _RISING.search(name) is not None, _FALLING.search(name) is not None
    return None if rising == falling else "max" if rising else "min"


def _spelt(node: Node) -> str | None:
    """How names alone would be written with their directions."""
    names: Sequence[Node] = node.items if isinstance(node, Items) else (node,)
    words = [one.text for one in names if isinstance(one, Leaf) and one.text and not one.is_null]
    if not words or len(words) < len(names):
        return None
    spelt = ", ".join(f"{word}: {likely_direction(word) or 'max'}" for word in words)
    return f"write metrics: {{{spelt}}}"

"""The ``metrics`` of a command: which number is found where, and the learning curves in files that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ablate.core.command.spec.sources import CURVE_KINDS, KINDS, Source, require_one_number
from ablate.core.command.spec.specification import CommandMetric, Curve
from ablate.core.command.spec.template import TemplateError
from ablate.study.problems import BadValueError, nearest
from ablate.study.reading import values
from ablate.study.reading.command_sections import CommandReader, Word, piece_mark
from ablate.study.reading.metrics import KEYS
from ablate.study.reading.yaml_tree import Leaf, Node, Table

_OWN_KEYS = ("from", "unit")
_WANTED = "{accuracy: {from: 'json:{folder}/metrics.json#accuracy', direction: max}, ...}"
_CURVE = "{from: 'csv:{folder}/log.csv', x: epoch, METRIC: COLUMN}"


@dataclass(frozen=True)
class CommandMetrics:
    """What the section says: the metrics and curves of a command, and what is left for every study's reader."""

    metrics: Mapping[str, CommandMetric]
    curves: tuple[Curve, ...]
    primary: str
    node: Table
    """The section without what only commands have."""


def read_command_metrics(reader: CommandReader) -> CommandMetrics | None:
    """Return the metrics of a command; None after recording what is wrong."""
    problems, node = reader.problems, reader.table.get("metrics")
    if not isinstance(node, Table) or not node.entries:
        mark = (reader.table.key("metrics") or reader.table.key("command") or Leaf("", True, reader.table.mark)).mark
        problems.error(mark, "metrics: where are the command's numbers found?", note=f"expected: {_WANTED}")
        return None
    before = len(problems.errors)
    metrics: dict[str, CommandMetric] = {}
    left: list[tuple[Leaf, Node]] = []
    stated: list[tuple[Leaf, Table]] = []
    for name, value in node.entries:
        if not isinstance(value, Table):
            problems.error(value.mark, f"{name.text}: expected a mapping", note=f"expected: {_WANTED}")
        elif value.get("x") is not None:
            stated.append((name, value))
        else:
            metric, rest = _metric(reader, name, value)
            left.append((name, rest))
            if metric is not None:
                metrics[name.text] = metric
    curves = tuple(curve for name, value in stated if (curve := _curve(reader, name, value, metrics)) is not None)
    if not metrics and len(problems.errors) == before:
        problems.error(node.mark, "metrics: a learning curve alone measures nothing", note=f"expected: {_WANTED}")
    if len(problems.errors) > before:
        return None
    return CommandMetrics(metrics, curves, _primary(left), replace(node, entries=tuple(left)))


def _metric(reader: CommandReader, name: Leaf, table: Table) -> tuple[CommandMetric | None, Table]:
    """Return a metric, and its entry without what only commands have."""
    problems = reader.problems
    rest = tuple((key, value) for key, value in table.entries if key.text in KEYS)
    for key, _ in table.entries:
        if key.text not in (*KEYS, *_OWN_KEYS):
            problems.unknown(key.mark, "key of a metric", key.text, (*_OWN_KEYS, *KEYS))
    left = replace(table, entries=rest)
    source = _source(reader, name, table)
    direction = table.get("direction")
    if direction is None:
        message = f"{name.text}: no direction: is higher or lower better?"
        problems.error(name.mark, message, suggestion="write direction: max, or min")
        return None, left
    scale = table.get("scale")
    unit = _text(reader, table.get("unit"), f"{name.text} unit")
    if source is None:
        return None, left
    way: Literal["max", "min"] = "min" if isinstance(direction, Leaf) and direction.text == "min" else "max"
    logarithmic = isinstance(scale, Leaf) and scale.text == "log"
    return CommandMetric(source, way, unit, "log" if logarithmic else "identity"), left


def _source(reader: CommandReader, name: Leaf, table: Table) -> Source | None:
    node = table.get("from")
    if not isinstance(node, Leaf) or node.is_null:
        reader.problems.error(
            name.mark if node is None else node.mark,
            f"{name.text}: from where?",
            suggestion=f"write from: 'json:{{folder}}/metrics.json#{name.text}'",
            note=f"or {', '.join(KINDS[1:])}",
        )
        return None
    source = reader.source(node, node.text, KINDS)
    if source is not None and source.kind == "stdout":
        try:
            require_one_number(source.pattern)
        except TemplateError as error:
            reader.problems.error(piece_mark(node, error.piece), error.message, suggestion=error.suggestion)
            return None
    if source is not None and source.kind != "stdout":
        reader.places.append(Word(source.path, node))
    return source


def _curve(reader: CommandReader, name: Leaf, table: Table, metrics: Mapping[str, CommandMetric]) -> Curve | None:
    """A learning curve: where, over what, and which metric is in which column."""
    problems, node = reader.problems, table.get("from")
    if not isinstance(node, Leaf) or node.is_null:
        problems.error(name.mark, f"{name.text}: from where?", note=f"expected: {_CURVE}")
        return None
    source = reader.source(node, node.text, CURVE_KINDS)
    x = _text(reader, table.get("x"), f"{name.text} x")
    columns = {
        key.text: _text(reader, value, f"{name.text} {key.text}")
        for key, value in table.entries
        if key.text not in ("from", "x")
    }
    for key, _ in table.entries:
        if key.text not in ("from", "x", *metrics) and (near := nearest(key.text, metrics)) is not None:
            problems.warn(
                key.mark, f"{name.text}: the study measures no {key.text!r}", suggestion=f"did you mean {near!r}?"
            )
    if source is None:
        return None
    if source.kind == "tensorboard" and x != "step":
        mark = (table.key("x") or name).mark
        problems.error(mark, f"{name.text}: the x of TensorBoard's scalars is their step", suggestion="write x: step")
    reader.places.append(Word(source.path, node))
    return Curve(source, x, columns or {metric: metric for metric in metrics})


def _text(reader: CommandReader, node: Node | None, subject: str) -> str:
    if node is None:
        return ""
    try:
        return values.text(node)
    except BadValueError as bad:
        reader.problems.bad(node.mark, bad, subject=subject)
        return ""


def _primary(entries: list[tuple[Leaf, Node]]) -> str:
    """The metric that decides; which of several is wrong is the business of every study's reader."""
    chosen = [
        name.text
        for name, table in entries
        if isinstance(table, Table)
        and isinstance(word := table.get("primary"), Leaf)
        and word.text.casefold() in values.TRUE
    ]
    return next(iter(chosen or [name.text for name, _ in entries]), "")

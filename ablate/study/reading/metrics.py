"""The ``metrics`` section: what is measured, which metric decides, and the smallest difference that matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from ablate.interface import MetricInfo
from ablate.study.factors import level_text
from ablate.study.problems import BadValueError, Mark, Problems
from ablate.study.reading import values
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table
from ablate.study.spec import KEY_COLUMNS, MetricSpec

KEYS = ("primary", "margin", "direction", "scale")
WANTED = "{psnr: {primary: true, margin: 0.1}, ...} or [psnr, ...]"


def read_metrics(
    node: Node | None, known: Sequence[MetricInfo], problems: Problems, key: Leaf | None = None
) -> tuple[MetricSpec, ...]:
    """Return the study's metrics, exactly one of them primary; what is wrong is recorded.

    Without a section (`node` is None) these are all metrics for which the core suggests a margin. A list of names takes
    the core's margins too. In both cases the first metric is primary. A mapping states its margins itself.
    """
    infos = {info.name: info for info in known}
    if node is None or key is None:
        suggested = [info for info in known if info.margin is not None] or list(known)
        return _first_is_primary([_suggested(info) for info in suggested])
    if isinstance(node, Table) and node.entries:
        return _mapping(node, infos, problems, key)
    names = node.items if isinstance(node, Items) else (node,)
    if isinstance(node, Table) or not names or (isinstance(node, Leaf) and node.is_null):
        problems.error(key.mark, "'metrics' is empty", note=f"expected: {WANTED}")
        return ()
    return _listing(names, infos, problems)


def _listing(names: Sequence[Node], infos: Mapping[str, MetricInfo], problems: Problems) -> tuple[MetricSpec, ...]:
    specs: dict[str, MetricSpec] = {}
    for node in names:
        if not isinstance(node, Leaf):
            problems.error(
                node.mark, f"expected a metric's name, got {values.describe(node)}", note=f"expected: {WANTED}"
            )
        elif node.text not in infos:
            problems.unknown(node.mark, "metric", node.text, infos)
        elif node.text in specs:
            problems.error(node.mark, f"metric {node.text!r} is listed twice", suggestion="remove one")
        elif not _refused(node, problems):
            specs[node.text] = _suggested(infos[node.text])
            _warn_without_margin(node.mark, specs[node.text], infos[node.text], problems)
    return _first_is_primary(list(specs.values()))


def _mapping(table: Table, infos: Mapping[str, MetricInfo], problems: Problems, key: Leaf) -> tuple[MetricSpec, ...]:
    before = len(problems.errors)
    specs = []
    primaries: list[Mark] = []
    for name, node in table.entries:
        if name.text not in infos:
            problems.unknown(name.mark, "metric", name.text, infos)
            continue
        if _refused(name, problems):
            continue
        spec = _metric(name, node, infos[name.text], problems)
        if spec.primary:
            primaries.append(name.mark)
        specs.append(spec)
    if len(primaries) > 1:
        for mark in primaries[1:]:
            problems.error(mark, "a second primary metric", note=f"one metric decides; the first is at {primaries[0]}")
    elif not primaries and len(specs) == 1:
        specs = [replace(specs[0], primary=True)]
    elif not primaries and len(problems.errors) == before:
        problems.error(
            key.mark,
            "no primary metric: one metric decides the verdicts",
            suggestion=f"write {specs[0].name}: {{primary: true}}",
            note=f"listed: {', '.join(spec.name for spec in specs)}",
        )
    return tuple(specs)


def _refused(name: Leaf, problems: Problems) -> bool:
    """Record a metric that is called like what identifies a trial; its results could not be told from that."""
    if name.text in KEY_COLUMNS:
        problems.error(
            name.mark,
            f"a metric cannot be called {name.text!r}: tables of results have such a column",
            suggestion="give it a longer name",
        )
    return name.text in KEY_COLUMNS


def _metric(name: Leaf, node: Node, info: MetricInfo, problems: Problems) -> MetricSpec:
    spec = replace(_suggested(info), margin=None, relative=False)
    if isinstance(node, Leaf) and node.is_null:
        node = Table((), node.mark)
    if not isinstance(node, Table):
        suggestion = f"did you mean {name.text}: {{margin: {node.text}}}?" if isinstance(node, Leaf) else None
        problems.error(node.mark, f"{name.text}: expected a mapping", suggestion=suggestion, note=_known_keys())
        return spec
    for key, value in node.entries:
        try:
            spec = _stated(spec, key, value, info, problems)
        except BadValueError as bad:
            problems.bad(value.mark, bad, subject=f"{name.text} {key.text}")
    # Only after the loop is the scale known: on the log scale every margin is a fraction.
    spec = replace(spec, relative=spec.relative or spec.scale == "log")
    if node.get("margin") is None:
        _warn_without_margin(name.mark, spec, info, problems)
    return spec


def _stated(spec: MetricSpec, key: Leaf, value: Node, info: MetricInfo, problems: Problems) -> MetricSpec:
    match key.text:
        case "primary":
            return replace(spec, primary=values.boolean(value))
        case "margin":
            margin, relative = _margin(value)
            return replace(spec, margin=margin, relative=relative)
        case "direction":
            direction = values.name(value, ("max", "min"))
            if direction != info.direction:
                problems.warn(value.mark, f"{info.name}: the core says {info.direction}, this study says {direction}")
            return replace(spec, direction="max" if direction == "max" else "min")
        case "scale":
            scale = values.name(value, ("identity", "log"))
            return replace(spec, scale="log" if scale == "log" else "identity")
        case _:
            problems.unknown(key.mark, "key of a metric", key.text, KEYS)
            return spec


def _margin(node: Node) -> tuple[float | None, bool]:
    """Return (margin, is relative) of ``0.1``, ``2%`` or nothing."""
    value = values.leaf(node, "a margin")
    if value.is_null:
        return None, False
    percent = value.text.endswith("%")
    digits = value.text[:-1].rstrip() if percent else value.text
    # `2%` means the same with quotes and without.
    stated = values.number(Leaf(digits, plain=value.plain or percent, mark=value.mark))
    if stated <= 0:
        raise BadValueError(f"a margin must be above 0, got {value.text}", suggestion="write null for no margin")
    # Shifting the decimal point, not dividing: 7% is 0.07, never 0.07000000000000001.
    return (float(Decimal(repr(stated)).scaleb(-2)) if percent else stated), percent


def _suggested(info: MetricInfo) -> MetricSpec:
    return MetricSpec(
        name=info.name,
        direction=info.direction,
        scale=info.scale,
        margin=info.margin,
        relative=info.scale == "log",
        unit=info.unit,
        digits=info.digits,
    )


def _first_is_primary(specs: Sequence[MetricSpec]) -> tuple[MetricSpec, ...]:
    return tuple(replace(spec, primary=index == 0) for index, spec in enumerate(specs))


def _warn_without_margin(mark: Mark, spec: MetricSpec, info: MetricInfo, problems: Problems) -> None:
    """Warn where a margin was probably forgotten: on the primary metric, and where the core knows a usual one."""
    if spec.margin is not None or (info.margin is None and not spec.primary):
        return
    hint = None
    if info.margin is not None and spec.scale == info.scale:
        size = f"{info.margin:.0%}" if info.scale == "log" else level_text(info.margin)
        hint = f"{size}{' ' + info.unit if info.unit and info.scale != 'log' else ''} is a usual margin"
    problems.warn(mark, f'no margin for metric {spec.name}: no arm can be "equivalent"', suggestion=hint)


def _known_keys() -> str:
    return f"known: {', '.join(KEYS)}"

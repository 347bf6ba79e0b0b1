"""Overrides: ``--set key=value`` changes the tree before it is checked, so every check applies to it."""

from __future__ import annotations

from collections.abc import Iterable

from ablate.study.problems import Mark, Problems, Source
from ablate.study.reading.command_study import top_level
from ablate.study.reading.yaml_tree import Leaf, Node, Table, read_tree, source_of

CREATED = frozenset({"baseline", "budget", "seeds"})
"""Sections an override may begin; elsewhere a dotted key changes what the file states."""
_OF_FACTORS = frozenset({"baseline", "vary", "grid", "zip", "factorial", "factors"})
"""Sections whose keys are factors, and may have dots in them: ``optim.lr``."""
_ALSO_FACTORS = frozenset({"data", "blocks"})
"""Keys of the file that are names of factors as well: without such a key, a single value is the factor's."""


def apply_overrides(root: Table, overrides: Iterable[str], seeds: int | None, problems: Problems) -> Table:
    """Return `root` with every override put in; the last one wins. What is wrong is recorded with file ``--set``."""
    for text in overrides:
        root = _apply(root, text, problems)
    if seeds is not None:
        mark = Mark(Source("--seeds", (str(seeds),)), 1, 1, len(str(seeds)))
        root = root.put(Leaf("seeds", plain=True, mark=mark), Leaf(str(seeds), plain=True, mark=mark))
    return root


def _apply(root: Table, text: str, problems: Problems) -> Table:
    source = source_of("--set", text)
    key, equals, value = text.partition("=")
    whole = Mark(source, 1, 1, max(1, len(source.line(1))))
    if not equals or not key.strip() or key != key.strip() or "\n" in key:
        problems.error(whole, "an override is key=value", suggestion="for example --set lr=0.01")
        return root
    mark, parts = Mark(source, 1, 1, len(key)), key.split(".")
    if not all(parts):
        problems.error(mark, f"an empty name in {key!r}")
        return root
    node = read_tree(value, source, problems, shift=len(key) + 1)
    return root if node is None else _put(root, _path(root, parts, node), node, mark, problems)


def _path(root: Table, parts: list[str], value: Node) -> list[str]:
    """Where an override goes: a key of the study file, else a setting of the baseline."""
    known = top_level(root)
    first = parts[0] if parts[0] in known else parts[0].replace("_", "-")
    if first not in known or (first in _ALSO_FACTORS and root.get(first) is None and not isinstance(value, Table)):
        return ["baseline", *_spelt(root.get("baseline"), parts)]
    spelt = next((key.text for key, _ in root.entries if key.text.replace("_", "-") == first), first)
    rest = parts[1:]
    return [spelt, *(_spelt(root.get(spelt), rest) if spelt in _OF_FACTORS and rest else rest)]


def _spelt(table: Node | None, parts: list[str]) -> list[str]:
    """The way to a factor: by the keys that the file has, ``optim: {lr: ...}``, else as one dotted name."""
    for length in range(len(parts), 0, -1):
        name, rest = ".".join(parts[:length]), parts[length:]
        found = table.get(name) if isinstance(table, Table) else None
        if found is not None and (not rest or isinstance(found, Table)):
            return [name, *rest]
    return [".".join(parts)]


def _put(table: Table, path: list[str], value: Node, mark: Mark, problems: Problems, *, top: bool = True) -> Table:
    name, *rest = path
    key = Leaf(name, plain=True, mark=mark)
    if not rest:
        return table.put(key, value)
    inner = table.get(name)
    if inner is None or (isinstance(inner, Leaf) and inner.is_null):
        if top and name not in CREATED:
            problems.error(mark, f"the study file has no {name!r} to override")
            return table
        inner = Table((), mark)
    if not isinstance(inner, Table):
        problems.error(mark, f"{name!r} is not a mapping in the study file", suggestion=f"override {name!r} as a whole")
        return table
    return table.put(table.key(name) or key, _put(inner, rest, value, mark, problems, top=False))

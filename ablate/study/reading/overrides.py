"""Overrides: ``--set key=value`` changes the tree before it is checked, so every check applies to it."""

from __future__ import annotations

from collections.abc import Iterable

from ablate.study.problems import Mark, Problems, Source
from ablate.study.reading.drafts import TOP_LEVEL
from ablate.study.reading.yaml_tree import Leaf, Node, Table, read_tree, source_of

CREATED = frozenset({"baseline", "budget", "seeds"})
"""Sections an override may begin; elsewhere a dotted key changes what the file states."""


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
    path = _path(root, key.split("."))
    mark = Mark(source, 1, 1, len(key))
    if not all(path):
        problems.error(mark, f"an empty name in {key!r}")
        return root
    node = read_tree(value, source, problems, shift=len(key) + 1)
    return root if node is None else _put(root, path, node, mark, problems)


def _path(root: Table, parts: list[str]) -> list[str]:
    """Where an override goes: a key of the study file, else a setting of the baseline."""
    first = parts[0].replace("_", "-")
    if first == "data" and root.get("data") is None:
        return ["baseline", *parts]
    if first not in TOP_LEVEL:
        return ["baseline", *parts]
    spelt = next((key.text for key, _ in root.entries if key.text.replace("_", "-") == first), first)
    return [spelt, *parts[1:]]


def _put(table: Table, path: list[str], value: Node, mark: Mark, problems: Problems, *, top: bool = True) -> Table:
    name, *rest = path
    key = Leaf(name, plain=True, mark=mark)
    if not rest:
        return table.put(key, value)
    inner = table.get(name)
    if inner is None or (isinstance(inner, Leaf) and inner.is_null):
        if top and name not in CREATED:
            problems.error(mark, f"the study file states no {name!r} to override")
            return table
        inner = Table((), mark)
    if not isinstance(inner, Table):
        problems.error(mark, f"{name!r} is not a mapping in the study file", suggestion=f"override {name!r} as a whole")
        return table
    return table.put(table.key(name) or key, _put(inner, rest, value, mark, problems, top=False))

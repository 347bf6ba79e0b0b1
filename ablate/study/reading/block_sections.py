"""The sections ``blocks`` and ``blocks-are``: conditions under which every arm runs, and what they stand for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.json_values import identity
from ablate.study.blocks import BEHIND, KINDS, BlockKind, Blocks, in_block
from ablate.study.factors import level_text
from ablate.study.problems import BadValueError, Mark, Problems
from ablate.study.reading import values
from ablate.study.reading.drafts import Context, Draft, Level, named_settings, read_level, stated_factors, table_of
from ablate.study.reading.merge import LONGEST_NAME
from ablate.study.reading.resolve import Resolver
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table
from ablate.study.spec import Arm

_WANTED = "{factor: [level, level, ...]}, or {block: {factor: level, ...}}"


@dataclass(frozen=True)
class StatedBlock:
    """One block as written."""

    name: str
    levels: Mapping[str, Level]
    mark: Mark


def read_kind(key: Leaf | None, node: Node | None, blocks: Node | None, problems: Problems) -> BlockKind:
    """Return what ``blocks-are`` states; fixed where it is left out."""
    if key is None or node is None:
        return "fixed"
    if blocks is None:
        problems.error(key.mark, "'blocks_are' without 'blocks'", suggestion="add blocks: {data: [..., ...]}")
        return "fixed"
    try:
        return next(kind for kind in KINDS if kind == values.name(node, KINDS))
    except BadValueError as bad:
        problems.bad(node.mark, bad, subject="blocks_are")
        return "fixed"


def read_blocks(key: Leaf | None, node: Node | None, context: Context) -> tuple[StatedBlock, ...]:
    """Return the blocks as stated, in order; none where there is no such section or something is wrong with it."""
    if key is None or node is None:
        return ()
    problems = context.problems
    before = len(problems.errors)
    table = table_of(node, key, _WANTED, problems)
    if table is None:
        return ()
    named = all(isinstance(stated, Table) for _, stated in table.entries)
    found = _named(key, node, context) if named else _listed(table, context)
    for block in found:
        if BEHIND in block.name:
            problems.error(
                block.mark,
                f"the block {block.name!r} has a {BEHIND!r} in its name, which stands between arm and block",
                suggestion="name the blocks: blocks: {NAME: {factor: level}}",
            )
        elif not block.name.strip() or block.name != block.name.strip() or not block.name.isprintable():
            problems.error(block.mark, f"{block.name!r} cannot be a block's name", suggestion="name the blocks")
    seen: dict[str, StatedBlock] = {}
    for block in found:
        if (first := seen.setdefault(block.name.casefold(), block)) is not block:
            problems.error(block.mark, f"two blocks are called {block.name!r}", note=f"the other is at {first.mark}")
    if found and not named and len(problems.errors) == before and len(found) == 1:
        problems.warn(key.mark, "one block is no block: the verdict over all blocks is that of this one")
    return found if len(problems.errors) == before else ()


def _named(key: Leaf, node: Node, context: Context) -> tuple[StatedBlock, ...]:
    stated = named_settings(key, node, context, _WANTED)
    found = tuple(StatedBlock(name.text, levels, name.mark) for name, levels in stated)
    known = tuple(dict.fromkeys(name for block in found for name in block.levels))
    for block in found:
        if missing := [name for name in known if name not in block.levels]:
            context.problems.error(
                block.mark,
                f"block {block.name!r} does not state {missing[0]!r}, which another block does",
                suggestion="state it in every block",
            )
    return found


def _listed(table: Table, context: Context) -> tuple[StatedBlock, ...]:
    """The blocks of ``{factor: [levels]}``: each level, or each combination of the levels of several factors."""
    columns: dict[str, list[Level]] = {}
    for key, node, factor in stated_factors(table, context.factors, context.problems):
        if not isinstance(node, Items) or not node.items:
            context.problems.error(
                node.mark, f"blocks {factor.name}: expected a list of levels", note=f"expected: {_WANTED}"
            )
            continue
        if factor.name in columns:
            context.problems.error(key.mark, f"{factor.name} is given twice")
        levels = [level for item in node.items if (level := read_level(item, factor, context.problems)) is not None]
        columns[factor.name] = levels
    rows = [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())] if columns else []
    return tuple(
        StatedBlock(", ".join(_named_level(*one) for one in row.items()), row, next(iter(row.values())).mark)
        for row in rows
    )


def _named_level(factor: str, level: Level) -> str:
    """A level as a block is called by it: a word says what it is, a number does not."""
    text = level_text(level.value)
    return text if isinstance(level.value, str) else f"{factor}={text}"


def check_blocks(
    blocks: Sequence[StatedBlock],
    baseline: Draft | None,
    drafts: Sequence[Draft],
    kind: BlockKind,
    looks: tuple[int, ...],
    test: str,
    search: Leaf | None,
    problems: Problems,
) -> None:
    """Record what does not go together with blocks."""
    if not blocks:
        return
    conditions = blocks[0].levels
    for draft in ([] if baseline is None else [baseline], drafts):
        for one in draft:
            for name in conditions:
                if name in one.levels:
                    problems.error(
                        one.levels[name].mark,
                        f"{name!r} is what the blocks differ in, so no arm can state it",
                        suggestion="leave it out here: every arm runs in every block",
                        note=f"blocks at {blocks[0].mark}",
                    )
    if search is not None:
        problems.error(
            search.mark,
            f"{search.text!r} does not go together with 'blocks'",
            suggestion="search in a study of one data set, then compare what it found in a study with blocks",
        )
    if kind == "random" and len(looks) > 1:
        problems.error(
            blocks[0].mark,
            "several looks need fixed blocks: with random ones, what counts is the number of blocks, not of seeds",
            suggestion="declare one number of seeds, or blocks_are: fixed",
        )
    if kind == "random" and test != "paired":
        problems.error(
            blocks[0].mark,
            f"report test: {test} needs fixed blocks",
            suggestion="use the paired test, or blocks_are: fixed",
        )


def resolved_in_blocks(
    blocks: Sequence[StatedBlock],
    kind: BlockKind,
    stated: Draft,
    kept: Sequence[Arm],
    drafts: Sequence[Draft],
    resolver: Callable[[Draft, Problems], Resolver],
    problems: Problems,
) -> tuple[tuple[Arm, ...], Blocks]:
    """Return every arm of `kept` (resolved in the first block, baseline first) in every block.

    `resolver` makes what resolves arms against a baseline. Recorded: arms that a block's settings refuse, or that are
    the baseline's recipe in one.
    """
    by_name = {draft.name: draft for draft in reversed(drafts)}
    levels = {block.name: {name: level.value for name, level in block.levels.items()} for block in blocks}
    found: list[Arm] = []
    for number, block in enumerate(blocks):
        base = in_this(stated, block)
        said = Problems()
        own = resolver(base, said)
        there = [own.arm(base if at == 0 else by_name[arm.name]) for at, arm in enumerate(kept)]
        own.flush()
        if number:  # what is wrong in the first one has been said
            problems.errors.extend(error for error in said.errors if error not in problems.errors)
            problems.warnings.extend(warning for warning in said.warnings if warning not in problems.warnings)
        resolved = [arm for arm in there if arm is not None]
        if len(resolved) < len(kept):
            return (), Blocks(levels, kind)
        recipes = [identity(tuple(arm.settings.values())) for arm in resolved]
        for arm, recipe in zip(resolved[1:], recipes[1:], strict=True):
            if recipe == recipes[0]:
                problems.error(
                    by_name[arm.name].mark, f"in block {block.name!r}, arm {arm.name!r} is the baseline's recipe"
                )
        for first, arm in zip(kept, resolved, strict=True):
            name = in_block(first.name, block.name)
            if len(name) > LONGEST_NAME:
                problems.error(block.mark, f"the name {name!r} is longer than {LONGEST_NAME} characters")
            found.append(replace(arm, name=name, levels=levels[block.name] | dict(arm.levels), factor=first.factor))
    return tuple(found), Blocks(levels, kind)


def in_this(baseline: Draft, block: StatedBlock) -> Draft:
    """Return the baseline as it is in a block."""
    return replace(baseline, levels={**baseline.levels, **block.levels})

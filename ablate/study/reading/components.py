"""Designs over components: parts of the baseline, each with the levels that switch it off."""

from __future__ import annotations

from ablate.json_values import is_same
from ablate.study.factors import level_text
from ablate.study.reading.drafts import Context, Draft, Drafted, Level, named_settings
from ablate.study.reading.yaml_tree import Leaf, Node

WANTED = "{component: {factor: level that switches it off}}"
ALL = "without all"

Parts = dict[str, tuple[Leaf, dict[str, Level]]]
"""Component -> its name with position, and the levels that switch it off."""


def leave_one_out(key: Leaf, node: Node, context: Context) -> Drafted:
    """Switch components off one by one, and all of them together."""
    parts = _parts(key, node, context)
    drafts = [
        Draft(f"without {name}", levels, at.mark, cell=_cell(parts, off={name})) for name, (at, levels) in parts.items()
    ]
    if len(parts) > 1 and (together := _together(key, parts, context)) is not None:
        drafts.append(together)
    return Drafted(drafts, _cell(parts, off=set()))


def leave_all_out(key: Leaf, node: Node, context: Context) -> Drafted:
    """Switch all components off together: what is left without any of them."""
    parts = _parts(key, node, context)
    together = _together(key, parts, context) if parts else None
    return Drafted([] if together is None else [together], _cell(parts, off=set()))


def only_one(key: Leaf, node: Node, context: Context) -> Drafted:
    """Keep one component at a time and switch all others off: what each of them does alone."""
    parts = _parts(key, node, context)
    if len(parts) == 1:
        context.problems.error(
            key.mark, f"{key.text!r} needs at least two components", note="with one component, 'only' is the baseline"
        )
        return Drafted()
    before = len(context.problems.errors)
    drafts = []
    for name, (at, own) in parts.items():
        others = {part: entry for part, entry in parts.items() if part != name}
        if (draft := _together(key, others, context, name=f"only {name}")) is None:
            break
        if shared := own.keys() & draft.levels.keys():
            context.problems.error(
                at.mark,
                f"'only {name}' would also switch {name} off: other components set {', '.join(sorted(shared))} too",
            )
        cell = _cell(parts, off=set(others))
        drafts.append(Draft(draft.name, draft.levels, at.mark, cell=cell))
    return Drafted(drafts if len(context.problems.errors) == before else [], _cell(parts, off=set()))


def _parts(key: Leaf, node: Node, context: Context) -> Parts:
    """The components, all of them or none when anything is wrong."""
    before = len(context.problems.errors)
    parts = {name.text: (name, levels) for name, levels in named_settings(key, node, context, WANTED)}
    return parts if len(context.problems.errors) == before else {}


def _together(key: Leaf, parts: Parts, context: Context, *, name: str = ALL) -> Draft | None:
    """The arm without all `parts`; None after recording that they cannot all be off."""
    before = len(context.problems.errors)
    together: dict[str, Level] = {}
    for _, levels in parts.values():
        for factor, level in levels.items():
            if factor in together and not is_same(together[factor].value, level.value):
                context.problems.error(
                    level.mark,
                    f"{name!r} cannot set {factor} to two levels",
                    note=f"the other level is {level_text(together[factor].value)} at {together[factor].mark}",
                )
            together.setdefault(factor, level)
    if len(context.problems.errors) > before:
        return None
    return Draft(name, together, key.mark, cell=_cell(parts, off=set(parts)))


def _cell(parts: Parts, *, off: set[str]) -> dict[str, bool]:
    return {name: name not in off for name in parts}

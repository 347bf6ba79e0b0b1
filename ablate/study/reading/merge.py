"""Arms of several designs together: one name for one arm, and a warning where two arms are one experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ablate.json_values import identity, is_same
from ablate.study.problems import Problems
from ablate.study.reading.drafts import Draft, Drafted
from ablate.study.spec import BASELINE, Arm, Design

LONGEST_NAME = 200


def refuse_bad_names(drafts: Iterable[Draft], problems: Problems) -> None:
    """Record names that cannot be shown, that are too long, or that two arms share (folders may ignore case)."""
    taken: dict[str, Draft] = {}
    for draft in drafts:
        name = draft.name
        if not name.strip() or name != name.strip():
            problems.error(draft.mark, f"an arm's name begins and ends with a visible character: {name!r}")
        elif not name.isprintable():
            problems.error(draft.mark, f"unprintable character in the arm name {name!r}")
        elif len(name) > LONGEST_NAME:
            problems.error(draft.mark, f"an arm's name has at most {LONGEST_NAME} characters, this one has {len(name)}")
        elif name.casefold() == BASELINE:
            problems.error(draft.mark, f"{name!r} is the name of the baseline", suggestion="choose another name")
        elif (other := taken.setdefault(name.casefold(), draft)) is not draft and not _same_levels(other, draft):
            alike = "" if name == other.name else f", which differs from {other.name!r} only in case"
            problems.error(
                draft.mark,
                f"two arms are called {name!r}{alike}",
                suggestion="choose another name",
                note=f"the other is at {other.mark}",
            )


def _same_levels(one: Draft, other: Draft) -> bool:
    """True for one arm written twice, which is reported as one recipe, not as a clash of names."""
    return is_same(
        {name: level.value for name, level in one.levels.items()},
        {name: level.value for name, level in other.levels.items()},
    )


def merge(
    sections: Mapping[str, Drafted], arms: Mapping[Draft, Arm], baseline: tuple[Draft, Arm], problems: Problems
) -> tuple[tuple[Arm, ...], tuple[Design, ...]]:
    """Return the arms of all designs, baseline first, and the designs with the names their arms go by.

    Designs that state the same change name it alike in effect: the arm is run, shown and tested once, under its first
    name. Arms that only resolve to the same recipe (by their own names, or because levels mean the same) are kept apart
    with a warning; their recipe is run once. An arm that changes nothing against the baseline is an error.
    """
    kept: dict[str, Arm] = {}
    first: dict[object, tuple[str, Draft, Arm]] = {}
    of_baseline = identity(tuple(baseline[1].settings.values()))
    designs = []
    for kind, drafted in sections.items():
        cells = {BASELINE: drafted.baseline} if drafted.baseline is not None else {}
        for draft in drafted.drafts:
            arm = arms[draft]
            recipe = identity(tuple(arm.settings.values()))
            if recipe == of_baseline:
                problems.error(
                    draft.mark,
                    f"arm {draft.name!r} resolves to the same recipe as the baseline",
                    suggestion="remove one of them",
                    note=f"the other is at {baseline[0].mark}",
                )
                continue
            name = _name(kind, draft, arm, first.setdefault(recipe, (kind, draft, arm)), problems)
            known = kept.setdefault(name, arm)
            kept[name] = replace(known, factor=known.factor or arm.factor)
            cells[name] = draft.cell
        designs.append(Design(kind, cells))
    return (baseline[1], *kept.values()), tuple(designs)


def _name(kind: str, draft: Draft, arm: Arm, first: tuple[str, Draft, Arm], problems: Problems) -> str:
    """The name an arm goes by, given the first arm with its recipe."""
    other_kind, other, other_arm = first
    if other is draft:
        return draft.name
    if kind == other_kind and draft.name == other.name:
        problems.error(
            draft.mark,
            f"arm {draft.name!r} is defined twice",
            suggestion="remove one of them",
            note=f"first at {other.mark}",
        )
        return draft.name
    if is_same(arm.levels, other_arm.levels) and (draft.name == other.name or "arms" not in (kind, other_kind)):
        return other.name
    problems.warn(
        draft.mark,
        f"arms {other.name!r} and {draft.name!r} resolve to the same recipe: one experiment, run once",
        suggestion="remove one of them: every arm costs statistical power",
        note=f"the other is at {other.mark}",
    )
    return draft.name

"""What a plan says about programs of several trials: which there are, and why an arm is not in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ablate.human_units import plural, visible

if TYPE_CHECKING:
    from ablate.api.request import PreparedRun
    from ablate.engine.fuse_choice import Fusing
    from ablate.engine.workers.slots import Slot
    from ablate.interface import Fusion

_NAMED = 6
"""So many arms are named; of more, their number is told."""


def fusion_plan(prepared: PreparedRun, slots: tuple[Slot, ...]) -> dict[str, Any] | None:
    """Return the programs that will run, and what is computed alone and why; None where nothing is fused."""
    from ablate.engine.fuse_choice import device_of, fusing_of, fusion_of

    asked_for = fusion_of(prepared.request.fuse, slots)
    if asked_for.width == 1:
        return None
    found: dict[str, Any] = {"width": asked_for.width, "measured": not asked_for.forced, "trials": [], "alone": {}}
    if (why := _why_nothing(prepared, asked_for)) is not None:
        return {**found, "alone": {why: []}} if asked_for.forced else None
    stored, rows = ({}, ()) if prepared.stored is None else (prepared.stored.attributes, prepared.stored.rows)
    device = device_of(slots)
    fusing = fusing_of(prepared.replicates, prepared.core, device, asked_for, stored, rows)
    if not fusing.keys and device == "cpu" and not asked_for.forced:
        return None  # the default where fusing seldom pays: not worth a line
    todo = {one.recipe.digest: one for one in prepared.plan.todo}.values()
    counts: dict[str, int] = {}
    for one in todo:
        key = fusing.key_of(prepared.core, one)
        if key != one.recipe.digest:
            counts[key] = counts.get(key, 0) + 1
    return {**found, "trials": sorted(counts.values(), reverse=True), "alone": _alone(prepared, fusing)}


def _why_nothing(prepared: PreparedRun, fusion: Fusion) -> str | None:
    from ablate.engine.fuse_choice import fusion_within

    if prepared.study.searches:
        return "a search proposes its trials one by one"
    timed = prepared.core.is_time(prepared.study.primary.name)
    if fusion_within(fusion, searching=False, timed=timed).width == 1:
        return f"{prepared.study.primary.name} is a time"
    return None


def _alone(prepared: PreparedRun, fusing: Fusing) -> dict[str, list[str]]:
    """Why -> the arms, or parts of them, that are computed alone."""
    from ablate.engine.fuse_choice import is_fusable

    found: dict[str, list[str]] = {}
    for arm in dict.fromkeys(one.arm for one in prepared.plan.todo):
        one = next(replicate for replicate in prepared.plan.todo if replicate.arm == arm)
        parts = fusing.parts[arm]
        if not parts:
            found.setdefault("nothing is trained", []).append(arm)
        elif is_fusable(parts) and fusing.key_of(prepared.core, one) == one.recipe.digest:
            count = fusing.counts[prepared.core.batch_key(one.recipe)]
            few = f"{plural(count, 'trial')} of one shape, and {fusing.least} are asked for"
            why = few if count < fusing.least else "trials of this shape have been computed alone before"
            found.setdefault(why, []).append(arm)
        else:
            for part, why in _told(parts).items():
                found.setdefault(f"{part}: {why}", []).append(arm)
    return found


def _told(parts: Mapping[str, str | None]) -> dict[str, str]:
    return {part: why for part, why in parts.items() if why is not None}


def fusion_lines(prepared: PreparedRun, slots: tuple[Slot, ...]) -> list[str]:
    """Return which trials are computed together, and why the others are not; nothing where that was not asked for."""
    found = fusion_plan(prepared, slots)
    if found is None or (not prepared.plan.to_run and prepared.plan.arms):
        return []
    lines = ["fuse   nothing"]
    if found["trials"]:
        when = ", where a short measurement shows that it pays" if found["measured"] else ""
        together = " + ".join(map(str, found["trials"]))
        lines = [f"fuse   programs of {found['width']} lanes for {together} trials{when}"]
    return lines + [f"       alone  {_arms(arms)}{why}" for why, arms in found["alone"].items()]


def _arms(arms: list[str]) -> str:
    if not arms:
        return ""
    return (", ".join(map(visible, arms)) if len(arms) <= _NAMED else plural(len(arms), "arm")) + ": "

"""Whether a study still is the one that is stored: what may grow, and what would mix different experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ablate.errors import StudyChangedError
from ablate.json_values import JsonValue, is_same
from ablate.search import without_budget
from ablate.study.blocks import Blocks
from ablate.study.factors import level_text
from ablate.study.spec import Study

_SHOWN_CHANGES = 3


def check_against_stored(stored: Study, new: Study, *, has_results: bool = True) -> None:
    """Refuse a study that would mix different experiments under one name.

    New arms, new blocks, more seeds, other margins and another question are welcome. Raises StudyChangedError when the
    core, the baseline's settings, those of an arm that is stored already, what a block is, or what a metric means has
    changed. Before any trial has a result there is nothing to mix: settings, and where numbers are read from, may be
    put right then.
    """
    results = (
        [*_block_changes(stored, new), *_arm_changes(stored, new), *_source_changes(stored, new)] if has_results else []
    )
    changes = [
        *_core_change(stored, new),
        *_search_changes(stored, new),
        *results,
        *_metric_changes(stored, new),
    ]
    if not changes:
        return
    more = len(changes) - _SHOWN_CHANGES
    text = "; ".join(changes[:_SHOWN_CHANGES]) + (f"; and {more} more" if more > 0 else "")
    raise StudyChangedError(
        f"study {new.name!r} does not match the stored one: {text}",
        hint="give the changed study another --name, or another results folder with --results",
    )


def with_seeds_of(study: Study, other: Study) -> Study:
    """Return `study` declaring the seeds of `other` too, where each has one look and no seed between them is left out.

    So one study, its seeds measured on two machines, is what it would have been on one.
    """
    if len(study.looks) != 1 or len(other.looks) != 1:
        return study
    mine, theirs = study.seed_range(), other.seed_range()
    first, last = min(mine.start, theirs.start), max(mine.stop, theirs.stop)
    if last - first > len(mine) + len(theirs):
        return study
    return replace(study, first_seed=first, looks=(last - first,))


def _core_change(stored: Study, new: Study) -> list[str]:
    return [f"core was {stored.core}, now {new.core}"] if stored.core != new.core else []


def _block_changes(stored: Study, new: Study) -> list[str]:
    """Blocks may be added; what they are, and that there are any, belongs to the question."""
    before, after = stored.blocks, new.blocks
    if before is None or after is None:
        if before is after:
            return []
        return ["it had no blocks, now it has some" if before is None else "it had blocks, now it has none"]
    kind = [] if before.kind == after.kind else [f"its blocks were {before.kind}, now {after.kind}"]
    return kind + [
        f"block {name!r} was {_levels(before, name)}, now {_levels(after, name)}"
        for name in after.names
        if name in before.levels and not is_same(dict(before.levels[name]), dict(after.levels[name]))
    ]


def _levels(blocks: Blocks, name: str) -> str:
    return ", ".join(f"{factor} {level_text(level)}" for factor, level in blocks.levels[name].items())


def _arm_changes(stored: Study, new: Study) -> list[str]:
    before = {arm.name: arm for arm in stored.arms}
    return [
        f"{arm.name}: {change}"
        for arm in new.arms
        # An arm that waits for its search has no settings yet; what it starts from is the search's.
        if arm.name in before and bool(before[arm.name].tuned) == bool(arm.tuned)
        for change in _setting_changes(before[arm.name].settings, arm.settings)
    ]


def _search_changes(stored: Study, new: Study) -> list[str]:
    """What may not change once a search has begun: all but its budget, and its budget too once it was confirmed."""
    before = {search.name: search for search in stored.searches}
    changes = []
    for search in new.searches:
        old = before.get(search.name)
        if old is None:
            continue
        if without_budget(old) != without_budget(search):
            changes.append(f"the search of {search.name!r} has other settings")
        elif search.trials != old.trials and any(arm.name == search.arm and arm.tuned for arm in stored.arms):
            changes.append(
                f"the search of {search.name!r} was confirmed after {old.trials} trials, now {search.trials}"
            )
    return changes


def _setting_changes(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> list[str]:
    # A setting that only one side knows comes from another version of the core.
    both = dict.fromkeys((*after, *before))
    return [
        f"{name} was {_known(before, name)}, now {_known(after, name)}"
        for name in both
        if name not in before or name not in after or not is_same(before[name], after[name])
    ]


def _known(settings: Mapping[str, JsonValue], name: str) -> str:
    return level_text(settings[name]) if name in settings else "unknown"


def _source_changes(stored: Study, new: Study) -> list[str]:
    """Metrics of a command that would be read from elsewhere than those that are stored."""
    before = stored.core_parameters.get("metrics", {})
    after = new.core_parameters.get("metrics", {})
    return [
        f"{name}: was read from {before[name]['source']}, now from {metric['source']}"
        for name, metric in after.items()
        if name in before and before[name]["source"] != metric["source"]
    ]


def _metric_changes(stored: Study, new: Study) -> list[str]:
    before = {metric.name: metric for metric in stored.metrics}
    changes = []
    if stored.primary.name != new.primary.name:
        changes.append(f"the primary metric was {stored.primary.name}, now {new.primary.name}")
    for metric in new.metrics:
        old = before.get(metric.name)
        if old is not None and old.direction != metric.direction:
            changes.append(f"{metric.name}: direction was {old.direction}, now {metric.direction}")
    return changes

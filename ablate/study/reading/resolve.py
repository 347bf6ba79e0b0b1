"""Drafts to arms: the core's settings model completes and checks each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ablate.interface import Core, CoreSettings
from ablate.json_values import JsonValue, is_same
from ablate.search import Search
from ablate.study.problems import Mark, Problems
from ablate.study.reading.drafts import Draft, Level
from ablate.study.reading.schedule_tables import NO_TABLES, Tables
from ablate.study.reading.yaml_tree import Items, Node, Table
from ablate.study.spec import BASELINE, Arm

_NAMED_AT_MOST = 3


class Resolver:
    """Resolves the arms of one study against its baseline; problems are collected until `flush`."""

    def __init__(self, core: type[Core], baseline: Draft, problems: Problems, tables: Tables = NO_TABLES) -> None:
        self._core = core
        self._tables = tables
        self._stated = {name: level.value for name, level in baseline.levels.items()}
        self._problems = problems
        self._errors: dict[tuple[Mark, str], list[str]] = {}
        self._warnings: dict[str, tuple[Mark, list[str]]] = {}
        self._draft = baseline
        self._settings = self._resolve(baseline)
        # A model may turn one factor into another (a duration in epochs into steps): what the baseline states is what
        # an arm's own statement is compared with.
        self.levels = None if self._settings is None else self._settings | self._stated

    def arm(self, draft: Draft) -> Arm | None:
        """Return the arm, or None when its settings are refused."""
        if self.levels is None:  # A broken baseline breaks every arm: said once.
            return None
        settings = self._settings if draft is self._draft else self._resolve(draft)
        if settings is None:
            return None
        changed = {
            name: level.value
            for name, level in draft.levels.items()
            if draft is self._draft or not is_same(level.value, self.levels[name])
        }
        return Arm(
            name=draft.name,
            levels=changed,
            settings=settings,
            factor=draft.factor,
            line=draft.mark.line,
            column=draft.mark.column,
        )

    def flush(self) -> None:
        """Record what was found: one problem for a message that several arms share."""
        for (mark, message), names in self._errors.items():
            self._problems.error(mark, message, note=_arms(names))
        for message, (mark, names) in self._warnings.items():
            self._problems.warn(mark, message, note=None if names == [BASELINE] else _arms(names))

    def _resolve(self, draft: Draft) -> dict[str, JsonValue] | None:
        stated = self._stated | {name: level.value for name, level in draft.levels.items()}
        try:
            given = {name: self._tables.setting(name, value) for name, value in stated.items()}
            model = self._core.Settings.model_validate(given)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                mark, message = self._refusal(detail, draft)
                self._errors.setdefault((mark, message), []).append(draft.name)
            return None
        try:
            resolved = model.resolved()
        except ValueError as error:  # what a validator or a default made of a level is no JSON
            self._errors.setdefault((draft.mark, str(error)), []).append(draft.name)
            return None
        self._check(model, draft)
        return resolved

    def _refusal(self, detail: Any, draft: Draft) -> tuple[Mark, str]:
        # A validator's own sentence, without pydantic's "Value error, " in front.
        reason = detail.get("ctx", {}).get("error")
        message = str(reason) if isinstance(reason, Exception) else detail["msg"]
        parts = list(detail["loc"])
        if not parts:
            return draft.mark, message
        # A setting of a nested model is stated by its dotted name; what follows is a place inside its level.
        names = [".".join(str(part) for part in parts[:length]) for length in range(len(parts), 0, -1)]
        name = next((name for name in names if name in draft.levels or name in self._stated), None)
        if name is None:
            return draft.mark, f"{names[-1]}: {message}"
        inside = parts[name.count(".") + 1 :]
        level = draft.levels.get(name)
        return (_inside(level, inside) if level is not None else draft.mark), f"{name}: {message}"

    def _check(self, model: CoreSettings, draft: Draft) -> None:
        for text in self._core.check(model):
            _, names = self._warnings.setdefault(text, (draft.mark, []))
            # What is doubtful in the baseline is doubtful in every arm: said once.
            if names[:1] != [BASELINE]:
                names.append(draft.name)


def _inside(level: Level, parts: Sequence[str | int]) -> Mark:
    """The place of a part of a level; pydantic's own words for members of a union lead nowhere and are passed over."""
    node: Node | None = level.node
    for part in parts:
        found: Node | None = None
        if isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            found = node.items[part]
        elif isinstance(node, Table):
            found = node.get(str(part))
        node = found or node
    return level.mark if node is None else node.mark


def _arms(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"arm{'s' * (len(names) > 1)}: {shown}{f' and {more} more' if more > 0 else ''}"


def factor_names(arms: Sequence[Arm], searches: Sequence[Search]) -> tuple[str, ...]:
    """Return the names of the settings that the baseline states, in which arms differ, or that are searched."""
    stated = dict.fromkeys(arms[0].levels)
    changed = {name for arm in arms[1:] for name in _differences(arm.settings, arms[0].settings)}
    changed |= {searched.factor for search in searches for searched in search.ranges}
    return (*stated, *(name for name in arms[0].settings if name in changed and name not in stated))


def _differences(one: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> list[str]:
    return [name for name, value in one.items() if not is_same(value, other[name])]

"""A study as the rest of ablate sees it: validated, resolved, frozen, and ready to be stored as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ablate.beta_tables import is_table, table_label
from ablate.errors import Problem
from ablate.json_values import JsonValue, frozen_settings, plain_settings
from ablate.recipe import Recipe
from ablate.search import Search
from ablate.study.blocks import Blocks, in_block, split_name
from ablate.study.verdict_method import Method

BASELINE = "baseline"
"""Name of the baseline's arm in every study."""
BUDGET_UNITS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
"""Unit of a budget -> seconds."""

Direction = Literal["max", "min"]
Scale = Literal["identity", "log"]


KEY_COLUMNS = ("study", "arm", "seed", "outcome")
"""Columns by which tables of results tell trials apart: no metric of a study is called like one."""


@dataclass(frozen=True)
class MetricSpec:
    """A metric of the study, as the statistics use it."""

    name: str
    direction: Direction
    scale: Scale = "identity"
    margin: float | None = None
    """Smallest difference that matters: in the metric's unit, or relative (0.02 = 2 %) when `relative`."""
    relative: bool = False
    primary: bool = False
    unit: str = ""
    digits: int = 3


@dataclass(frozen=True)
class Arm:
    """One full set of levels.

    `levels` holds what the arm changes against the baseline, in study-file order (for the baseline: its own
    statements). `settings` is complete: every setting of the core, defaults included, those of nested models by dotted
    name. All values are frozen (see `ablate.json_values`).
    """

    name: str
    levels: Mapping[str, JsonValue]
    settings: Mapping[str, JsonValue]
    factor: str | None = None
    """The factor a `vary` arm belongs to; None for the baseline and for arms with any number of changes."""
    tuned: Mapping[str, JsonValue] = field(default_factory=dict)
    """Levels that a search chose; `levels` and `settings` have them too."""
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Design:
    """One section of a study file that states arms, with the structure an analysis of it needs.

    `cells` places arms in the design, in its order: arm -> what it has of each of the design's factors. An arm that two
    designs state has a place in both.

    | kind | what is in a cell | the baseline |
    |---|---|---|
    | vary, arms, zip | the levels the section states for this arm | no cell |
    | grid | a level of every factor | a cell when its combination is one of the grid's |
    | factorial | a level of every factor; 2^k cells | always a cell: the low corner (-1), other levels are +1 |
    | leave-one-out, leave-all-out, only-one | component -> True (as in the baseline) or False (off) | all True |
    | path | change -> whether it has been made; each cell makes one change more | first cell: none made |
    """

    kind: str
    cells: Mapping[str, Mapping[str, JsonValue]]

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors, components or changes of the design, in study-file order."""
        return tuple(dict.fromkeys(name for cell in self.cells.values() for name in cell))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data; lists, because the order of cells and factors means something."""
        cells = [
            {"arm": arm, "levels": [[name, level] for name, level in plain_settings(cell).items()]}
            for arm, cell in self.cells.items()
        ]
        return {"kind": self.kind, "cells": cells}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Design:
        """Rebuild a design from `to_dict`."""
        return cls(data["kind"], {cell["arm"]: frozen_settings(dict(cell["levels"])) for cell in data["cells"]})


@dataclass(frozen=True)
class Study:
    """One question: a baseline, what is compared with it, how often, and on which metrics.

    `arms` starts with the baseline and is in study-file order. `factors` are the names of all settings that differ
    between at least two arms or are stated in the baseline: exactly these become Optuna params. `looks` are the
    numbers of seeds per arm at which verdicts may be given: ``(5,)`` for ``seeds: 5``.
    """

    name: str
    question: str
    core: str
    arms: tuple[Arm, ...]
    factors: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    looks: tuple[int, ...]
    alpha: float = 0.05
    method: Method = field(default_factory=Method)
    """How verdicts are taken, as declared before the run."""
    left_open: frozenset[str] = frozenset()
    """Words of `method` that the study file leaves to the default. Not stored: then the default has been taken."""
    first_seed: int = 0
    """Seeds are this one and those that follow; a confirmation has seeds of its own."""
    designs: tuple[Design, ...] = ()
    """The sections that state arms, in study-file order."""
    searches: tuple[Search, ...] = ()
    """What is looked for before arms are compared: one ``search``, or one for every arm that is tuned."""
    blocks: Blocks | None = None
    """The conditions under which every arm runs. `arms` then has every arm once per block (``lr=0.1@cifar10``), block
    by block, each block's baseline first; designs name arms without their block. `within` and `over_blocks` are the
    studies of one block and of all together."""
    core_parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the study file says of its core itself, for a core that is described there (`Core.made_for`)."""
    budget: Mapping[str, float] = field(default_factory=dict)
    """Limits the user declared, for example ``{"hours": 2.0}``: checked by plan, enforced by the engine."""
    text: str = ""
    """The study file, verbatim."""
    file: str = ""
    warnings: tuple[Problem, ...] = ()

    @property
    def baseline(self) -> Arm:
        """The arm the others are compared with."""
        return self.arms[0]

    @property
    def baselines(self) -> frozenset[str]:
        """Names of the arms that others are compared with: one per block, or the only one."""
        if self.blocks is None:
            return frozenset({self.baseline.name})
        name, _ = split_name(self.baseline.name)
        return frozenset(in_block(name, block) for block in self.blocks.names)

    def baseline_of(self, arm: str) -> Arm:
        """The arm that `arm` is compared with: that of its block."""
        if self.blocks is None:
            return self.baseline
        name = in_block(split_name(self.baseline.name)[0], split_name(arm)[1])
        return next((one for one in self.arms if one.name == name), self.baseline)

    def within(self, block: str) -> Study:
        """The study of one block alone: arms without the block in their names, alpha shared by all blocks."""
        assert self.blocks is not None
        share = self.alpha / len(self.blocks.levels)
        return replace(self, arms=self._without_block(block), factors=self._own_factors, alpha=share, blocks=None)

    def over_blocks(self) -> Study:
        """The study of all blocks together: every arm once, without its block. Its settings are the first block's."""
        assert self.blocks is not None
        arms = self._without_block(self.blocks.names[0])
        looks = self.looks if self.blocks.kind == "fixed" or not self.looks else (len(self.blocks.levels),)
        first = self.first_seed if self.blocks.kind == "fixed" else 0
        return replace(self, arms=arms, factors=self._own_factors, looks=looks, first_seed=first, blocks=None)

    def _without_block(self, block: str) -> tuple[Arm, ...]:
        factors = self.blocks.factors if self.blocks is not None else ()
        return tuple(
            replace(arm, name=name, levels={key: level for key, level in arm.levels.items() if key not in factors})
            for arm in self.arms
            for name, own in [split_name(arm.name)]
            if own == block
        )

    @property
    def _own_factors(self) -> tuple[str, ...]:
        conditions = self.blocks.factors if self.blocks is not None else ()
        return tuple(name for name in self.factors if name not in conditions)

    @property
    def design(self) -> str:
        """The kinds of the designs in one word: ``vary+factorial``."""
        return "+".join(design.kind for design in self.designs)

    @property
    def primary(self) -> MetricSpec:
        """The one metric that is tested with correction for multiple comparisons."""
        return next(metric for metric in self.metrics if metric.primary)

    @property
    def curve_over(self) -> str:
        """What learning curves are drawn over, as their axis is called: what a core counts, a command's column."""
        curves = self.core_parameters.get("curves") or ()
        return str(curves[0]["x"]) if curves else "training images seen"

    @property
    def seeds(self) -> int:
        """Seeds per arm that a plain run computes: the first look; 0 for results that no run of ablate's declared."""
        return self.looks[0] if self.looks else 0

    def seed_range(self, count: int | None = None) -> range:
        """The first `count` seeds of every arm (default: those of the first look)."""
        return range(self.first_seed, self.first_seed + (self.seeds if count is None else count))

    def keeping(self, declared: Method) -> Study:
        """Return the study with what its file leaves open as it was `declared` when it first ran."""
        kept = {word: getattr(declared, word) for word in self.left_open}
        return replace(self, method=replace(self.method, **kept))

    def recipe(self, arm: Arm, seed: int) -> Recipe:
        """The recipe of the replicate (arm, seed): the same seed in every arm."""
        return Recipe(core=self.core, settings=arm.settings, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data, stored with the study so that a report needs nothing but the storage."""
        return {
            "schema_version": 1,
            "name": self.name,
            "question": self.question,
            "core": self.core,
            "arms": [
                {
                    "name": arm.name,
                    "levels": plain_settings(arm.levels),
                    "settings": plain_settings(arm.settings),
                    "factor": arm.factor,
                    "tuned": plain_settings(arm.tuned),
                }
                for arm in self.arms
            ],
            "factors": list(self.factors),
            "metrics": [dict(vars(metric)) for metric in self.metrics],
            "looks": list(self.looks),
            "alpha": self.alpha,
            "method": self.method.to_dict(),
            "first_seed": self.first_seed,
            "designs": [design.to_dict() for design in self.designs],
            "searches": [search.to_dict() for search in self.searches],
            **({} if self.blocks is None else {"blocks": self.blocks.to_dict()}),
            "core_parameters": dict(self.core_parameters),
            "budget": dict(self.budget),
            "text": self.text,
            "file": self.file,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Study:
        """Rebuild a study from `to_dict`; positions and warnings are not kept."""
        return cls(
            name=data["name"],
            question=data["question"],
            core=data["core"],
            arms=tuple(_stored_arm(arm) for arm in data["arms"]),
            factors=tuple(data["factors"]),
            metrics=tuple(MetricSpec(**metric) for metric in data["metrics"]),
            looks=tuple(data["looks"]),
            alpha=data["alpha"],
            method=Method.from_dict(data.get("method", {})),
            first_seed=data.get("first_seed", 0),
            designs=tuple(Design.from_dict(design) for design in data.get("designs", ())),
            searches=tuple(Search.from_dict(search) for search in data.get("searches", ())),
            blocks=Blocks.from_dict(data["blocks"]) if data.get("blocks") is not None else None,
            core_parameters=data.get("core_parameters", {}),
            budget=data["budget"],
            text=data["text"],
            file=data["file"],
        )


def _stored_arm(data: Mapping[str, Any]) -> Arm:
    known: dict[str, Any] = {
        name: frozen_settings(part) if isinstance(part, Mapping) else part for name, part in data.items()
    }
    return Arm(**known)


def levels_of(study: Study, arm: Arm) -> dict[str, JsonValue]:
    """Return the arm's level of every factor, as people and Optuna see it.

    A core may turn one factor into another (a duration in epochs into one in steps) and leave None behind: then what
    the study file says is shown, and so is the name of a table.
    """
    written = {**study.baseline.levels, **arm.levels}
    settings = arm.settings

    def shown(name: str) -> JsonValue:
        setting = settings[name]
        if setting is None:
            return written.get(name)
        return written.get(name, table_label(str(setting))) if is_table(setting) else setting

    return {name: shown(name) for name in study.factors}


@dataclass(frozen=True)
class Replicate:
    """(arm, seed): one planned repetition."""

    arm: str
    seed: int
    recipe: Recipe

    @property
    def key(self) -> tuple[str, int]:
        """What identifies it inside its study."""
        return (self.arm, self.seed)

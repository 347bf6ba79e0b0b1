"""Commands without an engine: a context that records what a core tells it, and a way to run one trial of a script."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.core.command.core import CommandCore
from ablate.core.command.spec.sources import Source
from ablate.core.command.spec.specification import CommandMetric, CommandSpec
from ablate.interface import EAGER, SERIAL, Compilation, Core, Fusion
from ablate.outcome import Outcome
from ablate.paths import TrialPaths
from ablate.recipe import Recipe


@dataclass
class FakeContext:
    """What a worker gives a core, recorded."""

    place: Path
    device: str = "cpu"
    threads: int = 1
    fusion: Fusion = SERIAL
    compilation: Compilation = EAGER
    wanted: frozenset[str] = frozenset()
    study: str = "toy"
    checkpoint_due: bool = False
    stop_when: Any = None
    """A function that says whether the worker is to stop."""
    told: list[tuple[int, int]] = field(default_factory=list)
    points: dict[int, dict[str, float]] = field(default_factory=dict)
    logged: list[str] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        return self.place / "cache"

    @property
    def stop_requested(self) -> bool:
        return self.stop_when is not None and bool(self.stop_when())

    def checkpointed(self) -> None: ...

    def arm(self, recipe: Recipe) -> str:
        return "baseline"

    def seed_index(self, recipe: Recipe) -> int:
        return recipe.seed

    def folder(self, recipe: Recipe) -> Path:
        return self.place

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        self.told.append((done, total))

    def curve(self, recipe: Recipe, images: int, **values: float) -> None:
        self.points.setdefault(images, {}).update(values)

    def log(self, recipe: Recipe, text: str) -> None:
        self.logged.append(text)
        with TrialPaths(self.place).log.open("a", encoding="utf-8") as handle:
            handle.write(text + "\n")


def metrics(**sources: str) -> dict[str, CommandMetric]:
    """Return metrics that are better when larger, by what stands behind ``from:``."""
    return {name: CommandMetric(Source.parse(text), "max") for name, text in sources.items()}


@dataclass
class Bench:
    """A folder for scripts and one trial in it."""

    home: Path
    place: Path
    made: list[Core] = field(default_factory=list)

    @property
    def context(self) -> FakeContext:
        return self._context

    def __post_init__(self) -> None:
        self._context = FakeContext(self.place)

    def script(self, text: str, name: str = "train.py") -> list[str]:
        """Write a Python script beside the study file; return the words that run it."""
        (self.home / name).write_text(textwrap.dedent(text), encoding="utf-8")
        return [sys.executable, name]

    def run(
        self, words: list[str], *, seed: int = 0, settings: Mapping[str, Any] | None = None, **spec: Any
    ) -> Outcome:
        """Run one trial of a command; `spec` completes the `CommandSpec`."""
        stated = {"factors": {}, "metrics": metrics(score="stdout:score ([-+.\\dinfa]+)"), "primary": "score", **spec}
        made = CommandSpec(tuple(words), **stated)
        core = CommandCore.made_for(made.to_dict(), self.home)()
        self.made.append(core)
        resolved = core.Settings.model_validate(dict(settings or {})).resolved()
        [(_, outcome)] = core.run([Recipe("command", resolved, seed)], self._context)
        return outcome

    @property
    def log(self) -> str:
        return TrialPaths(self.place).log.read_text(encoding="utf-8")

    @property
    def files(self) -> Path:
        """The trial's folder as scripts know it: by a plain path."""
        return TrialPaths(self.place).make_files()

    def close(self) -> None:
        """End what the cores started."""
        while self.made:
            core = self.made.pop()
            assert isinstance(core, CommandCore)
            core.close()

"""ablate's side: a core whose trials wait. It says what each will cost, as any core can."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from work import trial

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind, Recipe, Stage, TrialContext

DURATIONS: tuple[float, ...] = tuple(json.loads(Path(os.environ["DURATIONS"]).read_text(encoding="ascii")))


class WaitingSettings(CoreSettings):
    """Which trial of the list."""

    i: int = Field(0, ge=0, description="Place in the list of durations.")


class Waiting(Core):
    """Waits for as long as the list says."""

    name = "waiting"
    Settings = WaitingSettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = (MetricInfo("score", "max"),)

    @classmethod
    def stages(cls, recipe: Recipe) -> tuple[Stage, ...]:
        """One stage that nobody shares."""
        place = int(recipe.settings["i"] or 0)
        return (Stage("wait", f"wait-{place}", DURATIONS[place] or 0.001),)

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> Iterator[tuple[Recipe, Outcome]]:
        """Wait."""
        for recipe in recipes:
            place = int(recipe.settings["i"] or 0)
            score = trial(place, DURATIONS[place])
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"score": score})

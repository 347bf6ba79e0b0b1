"""What every stand-in for a `TrialContext` says alike: whose trials are computed."""

from __future__ import annotations

from ablate.recipe import Recipe


class OneArm:
    """One study with one arm and one seed."""

    study = "s"

    def arm(self, recipe: Recipe) -> str:
        return "baseline"

    def seed_index(self, recipe: Recipe) -> int:
        return 0

"""What every point of a learning curve had cost: updates, training images, seconds, epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from ablate.study.spec import Study

Budget = Literal["updates", "images", "seconds", "epochs"]
BUDGETS: dict[Budget, str] = {
    "updates": "updates",
    "images": "training images",
    "seconds": "seconds of training",
    "epochs": "epochs",
}
"""Every budget and what a reader calls it."""
TRAIN_SECONDS = "train_seconds"
"""What a core calls the seconds of training up to a point of the curve."""


def spending(study: Study, points: Sequence[tuple[str, int, int, str, float]]) -> pd.DataFrame:
    """Return arm, seed, value of the primary metric, and a column per budget; NaN where it is not known.

    `points` are those of the learning curves: arm, seed, images, metric, value. Updates are images over the setting
    `batch_size`. Epochs take the last point of a trial for the end of its setting `epochs`. Seconds are the metric
    ``train_seconds`` at the same point. Curves of a command are over what the study file names: then that one is known.
    """
    primary = study.primary.name
    seconds = {point[:3]: point[4] for point in points if point[3] == TRAIN_SECONDS}
    rows = [
        (arm, seed, value, images, seconds.get((arm, seed, images), np.nan))
        for arm, seed, images, name, value in points
        if name == primary
    ]
    table = pd.DataFrame(rows, columns=["arm", "seed", "value", "images", "seconds"])
    table = table.astype({"images": float, "seconds": float, "value": float})
    table["updates"] = table["images"] / table["arm"].map(_setting(study, "batch_size"))
    whole = table.groupby(["arm", "seed"])["images"].transform("max")
    table["epochs"] = table["images"] / whole * table["arm"].map(_setting(study, "epochs"))
    own = _own_budget(study)
    if own is not None:
        table[own] = table["images"]
        table[[other for other in ("updates", "images", "epochs") if other != own]] = np.nan
    return table


def _own_budget(study: Study) -> Budget | None:
    """The budget that curves are over where they are not over images, by what is counted; None where they are."""
    if "curves" not in study.core_parameters:
        return None
    over = study.curve_over.casefold()
    if "epoch" in over:
        return "epochs"
    return "images" if any(word in over for word in ("image", "sample", "example")) else "updates"


def _setting(study: Study, name: str) -> dict[str, float]:
    """Arm -> a setting that is a positive number, NaN where it is none."""
    found = {arm.name: arm.settings.get(name) for arm in study.arms}
    return {
        arm: float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else np.nan
        for arm, value in found.items()
    }

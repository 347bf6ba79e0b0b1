"""``mlflow``, ``mlflow:URI``, ``tensorboard:DIR``, ``wandb:PROJECT`` to a tracker."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.errors import AblateError
from ablate.storage.address import without_password
from ablate.tracking.tracker import KINDS, TrackedStudy, Tracker


@dataclass(frozen=True)
class Target:
    """One ``--track`` word."""

    kind: str
    place: str
    """What follows the colon; may hold a password. Empty: the tracker's default."""

    @property
    def shown(self) -> str:
        """The word as it may be shown and stored."""
        return without_password(f"{self.kind}:{self.place}") if self.place else self.kind


def targets_of(words: Sequence[str]) -> tuple[Target, ...]:
    """Return what ``--track`` words name; AblateError for a tracker that there is not, or that is named twice."""
    found: list[Target] = []
    for word in words:
        kind, colon, place = word.partition(":")
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(KINDS)}"
            raise AblateError(f"there is no tracker {without_password(kind)!r}", hint=hint)
        if colon and not place:
            raise AblateError(f"--track {word} names no place", hint=f"leave out the colon, or write {kind}:PLACE")
        target = Target(kind, place)
        if target in found:
            raise AblateError(f"--track {target.shown} is given twice", hint="leave out one of them")
        found.append(target)
    return tuple(found)


def open_tracker(target: Target, study: TrackedStudy) -> Tracker:
    """Return the tracker that `target` names. Raises AblateError where it cannot be used: nothing has started yet."""
    match target.kind:
        case "mlflow":
            from ablate.tracking.mlflow_tracker import open_mlflow

            return open_mlflow(target.place, study)
        case "wandb":
            from ablate.tracking.wandb_tracker import open_wandb

            return open_wandb(target.place, study)
        case _:
            from ablate.tracking.tensorboard_tracker import open_tensorboard

            return open_tensorboard(target.place, study)

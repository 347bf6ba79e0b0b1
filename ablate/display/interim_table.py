"""The arms as far as they are, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ablate.display.interim_results import InterimArm, difference_text
from ablate.display.text_columns import lay_out
from ablate.human_units import number
from ablate.study.spec import MetricSpec


def table(arms: Sequence[InterimArm], metric: MetricSpec, width: int) -> list[Text]:
    """Return the lines of the table: arm, seeds done of planned, mean, difference, and what else there is to know."""
    unit = f" ({metric.unit})" if metric.unit else ""
    header = ("arm", "seeds", f"{metric.name}{unit}", "diff", "")
    rows = [
        (
            arm.arm,
            f"{arm.done}/{arm.planned}",
            "" if arm.mean is None else number(arm.mean, metric.digits),
            difference_text(arm.diff, metric),
            note(arm),
        )
        for arm in arms
    ]
    return lay_out(header, rows, align="~>>><", width=width)


def note(arm: InterimArm) -> str:
    """Return what the numbers do not say: ``1 running, diverged 2 of 3``."""
    parts = [f"{arm.counts[word]} {word}" for word in ("running", "failed", "lost", "stopped") if arm.counts.get(word)]
    if memory := arm.counts.get("out_of_memory"):
        parts.append(f"{memory} out of memory")
    if diverged := arm.counts.get("diverged"):
        parts.append(f"diverged {diverged} of {arm.done}")
    return ", ".join(parts)

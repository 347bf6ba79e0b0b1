"""The page on metrics: everything that the built-in cores measure."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from ablate.cli.reference.markdown import code, head, table
from ablate.core.ddpm_dip import metric_list
from ablate.core.shared.registry import core_class
from ablate.interface import MetricInfo
from ablate.study.factors import level_text

_INTRO = """
A study names its metrics under `metrics`; without that section it has those with a margin below.
[Metrics: definitions and limits](../explanation/metrics.md) says how they are computed, and what they see and miss.

* **better**: `max` when higher is better, `min` when lower is.
* **scale**: differences of `log` metrics are ratios (times, distances, errors that are always positive).
* **margin**: the suggested smallest difference that matters, in the metric's unit; on the log scale in per cent.
"""
_GROUPS = {
    "Restored images (`task: restoration`)": metric_list.RESTORATION,
    "Generated images (`task: generation`)": metric_list.GENERATION,
    "FID (needs the Inception weights)": metric_list.FID,
    "Spread over evaluations": metric_list.EVALUATION,
    "Losses on fixed triples (x_0, t, eps)": metric_list.TRAINING,
    "Steps, images and seconds to a declared quality": metric_list.CONVERGENCE,
    "Time and work": metric_list.COST,
}


def page() -> str:
    """Return docs/reference/metrics.md."""
    listed = [info for group in _GROUPS.values() for info in group]
    if listed != list(core_class("ddpm-dip").metrics):
        raise ValueError("a group of metrics of ddpm-dip is not on the page")
    groups = "".join(f"\n### {title}\n\n{_rows(infos)}" for title, infos in _GROUPS.items())
    replay = core_class("replay")
    note = " ".join((inspect.getdoc(replay) or "").splitlines()[2:])
    return f"{head('Metrics', _INTRO)}\n## ddpm-dip\n{groups}\n## replay\n\n{note}\n\n{_rows(replay.metrics)}"


def _rows(infos: Sequence[MetricInfo]) -> str:
    rows = [
        (code(info.name), info.direction, info.unit, "log" if info.scale == "log" else "", _margin(info), info.doc)
        for info in infos
    ]
    return table(("metric", "better", "unit", "scale", "margin", "what it is"), rows)


def _margin(info: MetricInfo) -> str:
    if info.margin is None:
        return ""
    return f"{info.margin:.0%}" if info.scale == "log" else level_text(info.margin)

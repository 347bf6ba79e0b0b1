"""What all figures share: style, deterministic files, intervals. No figure touches pyplot's global state."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.stats import t as student

from ablate.report.figures.figure import INK, PALETTE, RULE, Drawing
from ablate.report.formats.csv_cells import csv_text
from ablate.report.statistics.model import Verdict
from ablate.report.text.escape import visible

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "ablate",
}
COLOURS = {
    Verdict.BETTER: PALETTE["green"],
    Verdict.WORSE: PALETTE["vermilion"],
    Verdict.EQUIVALENT: PALETTE["blue"],
    Verdict.UNDECIDED: PALETTE["grey"],
    Verdict.DIVERGED: PALETTE["violet"],
}
MARKERS = {
    Verdict.BETTER: "^",
    Verdict.WORSE: "v",
    Verdict.EQUIVALENT: "s",
    Verdict.UNDECIDED: "o",
    Verdict.DIVERGED: "X",
}
LINES = ("-", "--", "-.", ":")
"""Line styles that tell series apart without colour."""
_DPI = 160
_LONGEST_NAME = 34


@dataclass(frozen=True)
class Words:
    """What is said about a figure."""

    name: str
    section: str
    title: str
    alt: str
    caption: str


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `width` x `height` inches and its axes, row by row; call it inside `styled`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, [axis for row in axes for axis in row]


def styled() -> Any:
    """Return the context in which a figure is made and saved; what was set before is restored after it."""
    # The stub wants a mapping whose keys it knows as literals.
    style: Any = STYLE
    return mpl.rc_context(style)


def finish(words: Words, figure: Figure, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Drawing:
    """Save a figure and its data: the same input gives the same bytes."""
    svg = _saved(figure, "svg", metadata={"Date": None, "Creator": None}).decode()
    figure.set_layout_engine("none")  # the axes stay where they were put: to place them takes half of a drawing's time
    return Drawing(
        name=words.name,
        section=words.section,
        title=words.title,
        alt=words.alt,
        caption=words.caption,
        svg=svg,
        png=_saved(figure, "png", dpi=_DPI, facecolor="white", metadata={"Software": None}),
        csv=csv_text(header, rows),
    )


def _saved(figure: Figure, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, **options)
    return buffer.getvalue()


def t_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % t-interval of a mean, NaN twice for fewer than two values.

    seaborn's own default is a percentile bootstrap, whose "95 %" covers about 75 % with three seeds.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return (float("nan"), float("nan"))
    half = float(student.isf(0.025, len(array) - 1)) * float(array.std(ddof=1)) / len(array) ** 0.5
    mean = float(array.mean())
    return (mean - half, mean + half)


def titled(axis: Axes, arm: str, width: int) -> None:
    """Write an arm's name over its panel, in lines of about `width` characters: it stays off its neighbours."""
    # A level is not torn in two: the line ends after the equals sign, or at a space.
    lines = textwrap.wrap(brief(arm).replace("=", "= "), width, break_long_words=True, break_on_hyphens=False)
    axis.set_title("\n".join(lines).replace("= ", "="), loc="left")


def span_labels(axis: Axes) -> None:
    """Keep the first and the last label of the x axis inside the panel, off those of the panels beside it."""
    labels = axis.get_xticklabels()
    if labels:
        labels[0].set_horizontalalignment("left")
        labels[-1].set_horizontalalignment("right")


def brief(name: str) -> str:
    """Return an arm's name for an axis: on one line, and its middle cut out where it is long."""
    shown = visible(name)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:10]}…{shown[-(_LONGEST_NAME - 11) :]}"

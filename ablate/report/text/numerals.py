"""Numbers as a report shows them: as many digits as their interval supports, and never more."""

from __future__ import annotations

import math
from typing import Protocol

from ablate.report.statistics.model import Row
from ablate.study.spec import MetricSpec

_MOST_DECIMALS = 9
_ACRONYMS = {"psnr", "ssim", "fid", "kid", "mse", "mae", "nfe", "dip", "ddpm", "lpips"}


def decimals_for(half_width: float | None, fallback: int) -> int:
    """Return the number of decimals that gives `half_width` two significant digits, `fallback` where it has none."""
    if half_width is None or not math.isfinite(half_width) or half_width <= 0:
        return fallback
    first = math.floor(math.log10(half_width))
    if round(half_width / 10.0**first, 1) >= 10:
        first += 1
    return min(_MOST_DECIMALS, max(0, 1 - first))


def fixed(value: float, decimals: int) -> str:
    """Return `value` with `decimals` decimals, without a negative zero; huge and tiny ones as powers of ten."""
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else "nan"
    if value != 0 and abs(value) >= 1e7:
        return f"{value:.3g}"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def signed(value: float, decimals: int) -> str:
    """Return `value` with its sign always shown, except for zero."""
    text = fixed(value, decimals)
    return text if text.startswith("-") or float(text) == 0 else f"+{text}"


def label(metric: MetricSpec | str) -> str:
    """Return a metric's name for a reader: ``PSNR``, ``train seconds``."""
    words = (metric if isinstance(metric, str) else metric.name).split("_")
    return " ".join(word.upper() if word in _ACRONYMS else word for word in words)


def unit_of_difference(metric: MetricSpec) -> str:
    """Return the unit in which differences of `metric` are shown: per cent on the log scale."""
    return "%" if metric.scale == "log" else metric.unit


def arrow_words(metric: MetricSpec) -> str:
    """Return which way is good, in words."""
    return "higher is better" if metric.direction == "max" else "lower is better"


def margin_text(metric: MetricSpec) -> str:
    """Return the declared margin, for example ``±0.1 dB`` or ``±2 %``; empty when none is declared."""
    if metric.margin is None:
        return ""
    if metric.scale == "log" or metric.relative:
        return f"±{100 * metric.margin:.6g} %"
    return f"±{metric.margin:.6g}{' ' + metric.unit if metric.unit else ''}"


def mean_text(row: Row, metric: MetricSpec) -> str:
    """Return ``29.36 ± 0.14`` (half-width of the 95 % interval), the mean alone for one seed, or ``-``."""
    if row.mean is None:
        return "-"
    decimals = decimals_for(row.half_width, metric.digits)
    if row.half_width is None:
        return fixed(row.mean, metric.digits)
    return f"{fixed(row.mean, decimals)} ± {fixed(row.half_width, decimals)}"


class Difference(Protocol):
    """Anything with a difference and its interval: a row of a comparison, a contrast of several arms."""

    @property
    def diff(self) -> float | None:
        """In the metric's unit, a fraction on the log scale."""

    @property
    def ci_low(self) -> float | None:
        """Lower end of its 95 % interval."""

    @property
    def ci_high(self) -> float | None:
        """Upper end."""


def difference_parts(row: Difference, metric: MetricSpec) -> tuple[str, str]:
    """Return the difference and its interval as two texts, ``("+0.58", "[+0.51, +0.65]")``; empty where unknown.

    On the log scale both are per cent of the baseline.
    """
    if row.diff is None:
        return "", ""
    factor = 100.0 if metric.scale == "log" else 1.0
    if row.ci_low is None or row.ci_high is None:
        decimals = decimals_for(None, 1 if metric.scale == "log" else metric.digits)
        return signed(factor * row.diff, decimals), ""
    half = factor * (row.ci_high - row.ci_low) / 2
    decimals = decimals_for(half, 1 if metric.scale == "log" else metric.digits)
    low, high = signed(factor * row.ci_low, decimals), signed(factor * row.ci_high, decimals)
    return signed(factor * row.diff, decimals), f"[{low}, {high}]"


def difference_text(row: Difference, metric: MetricSpec, *, unit: bool = False) -> str:
    """Return ``+0.58 [+0.51, +0.65]``, with `unit` ``+0.58 dB [+0.51, +0.65]``, or ``-`` where there is none."""
    diff, interval = difference_parts(row, metric)
    if not diff:
        return "-"
    with_unit = f"{diff} {unit_of_difference(metric)}" if unit and unit_of_difference(metric) else diff
    return f"{with_unit} {interval}".rstrip()


def p_text(p: float | None) -> str:
    """Return a p value as a table shows it: ``<.001``, ``.032``; ``-`` where there is none."""
    if p is None:
        return "-"
    if p < 0.001:
        return "<.001"
    return f"{p:.3f}".removeprefix("0") if p < 0.9995 else "1"


def seeds_text(row: Row) -> str:
    """Return how many seeds are measured, ``5``, or of how many runs when some diverged, ``4/5``."""
    return f"{row.n}/{row.runs}" if row.diverged else str(row.n)


def times_text(ratio: float | None) -> str:
    """Return a ratio of times, ``1.93x``."""
    return "-" if ratio is None else f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def duration(seconds: float) -> str:
    """Return a time for a reader: ``0.41 s``, ``38 s``, ``4 min 10 s``, ``1 h 25 min``."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def plural(count: int, word: str) -> str:
    """Return ``1 seed``, ``3 seeds``."""
    return f"{count} {word}{'s' * (count != 1)}"

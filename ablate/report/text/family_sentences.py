"""What contrasts of several arms say, in sentences that are no stronger than their verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.report.statistics.families import Effect, Family
from ablate.report.statistics.model import Verdict
from ablate.report.statistics.trend import Trend
from ablate.report.text import numerals
from ablate.report.text.escape import visible
from ablate.study.spec import MetricSpec

_SAID = 8
"""Contrasts of one family that are spelt out; the table has them all."""


def effect_sentences(families: Sequence[Family], metric: MetricSpec, trends: Sequence[Trend] = ()) -> list[str]:
    """Return a sentence per contrast: decided ones first, and what was counted as one family.

    Neighbouring levels are compared only where the best or worst level lies inside the range (`trends`).
    """
    humps = {trend.factor for trend in trends if trend.hump}
    return [text for family in families for text in _family(family, metric, humps)]


def _family(family: Family, metric: MetricSpec, humps: set[str]) -> Iterator[str]:
    chosen = [effect for effect in family.effects if effect.kind != "neighbours" or effect.factors[0] in humps]
    if not chosen:
        return
    ordered = sorted(chosen, key=lambda effect: (effect.verdict in (None, Verdict.UNDECIDED), effect.kind == "main"))
    for effect in ordered[:_SAID]:
        yield _sentence(effect, metric)
    rest = len(ordered) - _SAID
    more = f" {numerals.plural(rest, 'more contrast')}: see the table." if rest > 0 else ""
    yield (
        f"Contrasts of the {family.kind} design: {numerals.plural(family.tested, 'test')}, a family of their own "
        f"(Holm, level {family.alpha:.4g}).{more}"
    )


def _sentence(effect: Effect, metric: MetricSpec) -> str:
    shown = _shown(effect, metric)
    subject = _SUBJECTS[effect.kind].format(name=visible(effect.name), of=_factors(effect))
    if effect.verdict is None:
        return f"{subject} cannot be computed: {visible(effect.note) or 'an arm is missing'}."
    words = _WORDS[effect.kind if effect.kind in _WORDS else "main"][effect.verdict]
    note = f"; {visible(effect.note)}" if effect.note else ""
    return f"{subject} {words}: {shown}{note}{'' if note.endswith('?') else '.'}"


def _shown(effect: Effect, metric: MetricSpec) -> str:
    if effect.diff is None:
        return "no shared seed"
    text = numerals.difference_text(effect, metric, unit=True)
    return f"{text} in {numerals.label(metric)} over {numerals.plural(effect.n, 'seed')}"


def _factors(effect: Effect) -> str:
    return " and ".join(visible(name) for name in effect.factors)


_SUBJECTS = {
    "main": "Averaged over the other factors, {name}",
    "interaction": "Interaction {name}:",
    "together": "Without {name} together:",
    "step": "Step {name}",
    "neighbours": "{name}",
}
_MAIN = {
    Verdict.BETTER: "is better",
    Verdict.WORSE: "is worse",
    Verdict.EQUIVALENT: "is equivalent",
    Verdict.UNDECIDED: "is undecided",
    Verdict.DIVERGED: "diverged",
}
_WORDS = {
    "main": _MAIN,
    "interaction": {
        Verdict.BETTER: "together they do better than the sum of their separate effects",
        Verdict.WORSE: "together they do worse than the sum of their separate effects",
        Verdict.EQUIVALENT: "the effects add up",
        Verdict.UNDECIDED: "whether the effects add up is undecided",
        Verdict.DIVERGED: "diverged",
    },
    "together": {
        Verdict.BETTER: "less is lost than the sum of the separate losses",
        Verdict.WORSE: "more is lost than the sum of the separate losses",
        Verdict.EQUIVALENT: "the losses add up",
        Verdict.UNDECIDED: "whether the losses add up is undecided",
        Verdict.DIVERGED: "diverged",
    },
}

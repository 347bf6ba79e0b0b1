"""What learning curves say: who reaches a declared quality, and what holds at equal images or seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.report import digits
from ablate.report.budget import Equal
from ablate.report.comparison import Verdict
from ablate.report.escape import visible
from ablate.report.reaching import Race, Reaching
from ablate.study.spec import MetricSpec

_SAID = 6
"""Arms of one kind that are spelt out."""


def race_sentences(races: Sequence[Race]) -> list[str]:
    """Return, per time to a quality, who got there in how many seeds and who was first."""
    return [text for race in races for text in _race(race)]


def _race(race: Race) -> Iterator[str]:
    name = visible(race.metric)
    declared = "" if race.quality is None else f" (quality {race.quality:g})"
    base = race.arms[race.baseline]
    yield f"{name}{declared}: the baseline got there in {_share(base)}; a seed that never does is kept as censored."
    others = [arm for arm in race.arms if arm != race.baseline]
    for arm in others[:_SAID]:
        yield _runner(race.arms[arm], name)
    if len(others) > _SAID:
        yield f"... and {digits.plural(len(others) - _SAID, 'more arm')} in {name}: see report.json."


def _share(reaching: Reaching) -> str:
    return f"{reaching.reached} of {digits.plural(len(reaching.times), 'seed')}"


def _runner(reaching: Reaching, name: str) -> str:
    arm = visible(reaching.arm)
    p = "" if reaching.p is None else f", {_p(reaching.p)}"
    if reaching.ratio is not None:
        interval = ""
        if reaching.ci_low is not None and reaching.ci_high is not None:
            interval = f" [{reaching.ci_low:.2f}, {reaching.ci_high:.2f}]"
        return (
            f"{arm} takes {reaching.ratio:.2f}{interval} times the baseline's {name} ({reaching.test}{p}; exploratory)."
        )
    return (
        f"{arm} got there in {_share(reaching)}, before the baseline in {reaching.earlier} and after it in "
        f"{reaching.later} ({reaching.test}{p}; exploratory)."
    )


def _p(p: float) -> str:
    shown = digits.p_text(p)
    return f"p < {shown[1:]}" if shown.startswith("<") else f"p = {shown}"


def equal_sentences(equal: Sequence[Equal], metric: MetricSpec) -> list[str]:
    """Return what holds at equal images and seconds, where the arms had spent different amounts."""
    found = []
    for budget, words in (("images", "training images"), ("seconds", "seconds of training")):
        own = [one for one in equal if one.budget == budget]
        found += [_equal(one, metric, words) for one in own[:_SAID]]
        if len(own) > _SAID:
            found.append(f"... and {digits.plural(len(own) - _SAID, 'more arm')} at equal {words}: see report.json.")
    return found


def _equal(one: Equal, metric: MetricSpec, words: str) -> str:
    row = one.row
    shown = digits.difference_text(row, metric, unit=True)
    word = {
        Verdict.BETTER: "still better" if one.ratio > 1 else "better",
        Verdict.WORSE: "still worse" if one.ratio < 1 else "worse",
        Verdict.EQUIVALENT: "equivalent",
        Verdict.DIVERGED: "diverged",
    }.get(row.verdict or Verdict.UNDECIDED, "undecided")
    spent = f"it spent {one.ratio:.2g} times the baseline's {words}"
    note = f"; {visible(row.note.removesuffix('; exploratory').removesuffix('exploratory'))}".removesuffix("; ")
    return (
        f"{visible(row.arm)} at equal {words} ({one.amount:,.0f}): {word}, {shown} in {digits.label(metric)}{note} "
        f"({spent}; from learning curves, exploratory)."
    )

"""The verdict table: conditions in order, the first that holds gives the word and what to say beside it."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.report.statistics.model import Verdict


@dataclass(frozen=True)
class Evidence:
    """What the verdict on one arm rests on; numbers are on the test's scale, None where undefined."""

    n: int
    """Differences behind the test."""
    runs: int
    diverged: int
    baseline_diverged: int
    improvement: float | None
    still: bool
    """No seed noise at all."""
    p: float | None
    """Corrected on the primary metric."""
    p_equivalence: float | None
    """Corrected on the primary metric, where the study corrects it."""
    alpha: float
    needed: int | None
    """Seeds in all that would probably decide; None above 50."""
    margin_text: str = ""
    """The margin in words, for example ``0.1 dB``; empty when none is declared."""
    reached: bool = True
    """False before the first declared look."""
    wanted: int = 0
    """Seeds per arm of that look."""
    fewest: int = 2
    """Seeds the test needs."""
    identical: bool = False
    """The same values in every seed."""
    coarse: bool = False
    """Being identical says little: the metric has few possible values, and nothing else shows one experiment."""
    stopped: bool = False
    """The chance to decide the arm by the last look is below what the study declared."""


@dataclass(frozen=True)
class Word:
    """A verdict, what to say beside it, and how many more seeds would probably decide."""

    verdict: Verdict
    note: str = ""
    more_seeds: int | None = None


STOPPED = "stopped, more seeds would hardly help"
"""Of an arm that more seeds, up to the last look, would hardly decide."""


def seeds_text(number: int) -> str:
    """Return "1 more seed", "7 more seeds"."""
    return f"{number} more seed{'s' * (number != 1)}"


def is_diverged(diverged: int, runs: int) -> bool:
    """True when half or more of the runs diverged: the arm has nothing to average."""
    return runs > 0 and 2 * diverged >= runs


def judge(evidence: Evidence) -> Word:
    """Return the verdict: the first row of the table whose condition holds."""
    if is_diverged(evidence.diverged, evidence.runs):
        return Word(Verdict.DIVERGED, f"{evidence.diverged} of {evidence.runs} seeds diverged")
    if not evidence.reached:
        more = max(1, evidence.wanted - min(evidence.runs, evidence.n + evidence.diverged))
        return Word(Verdict.UNDECIDED, f"{seeds_text(more)} to the declared {evidence.wanted}", more)
    if evidence.still:
        return _without_noise(evidence)
    if evidence.n < evidence.fewest or evidence.p is None:
        more = max(1, evidence.fewest - evidence.n)
        return Word(Verdict.UNDECIDED, f"needs {seeds_text(more)}", more)
    diverged = evidence.diverged > 0 or evidence.baseline_diverged > 0
    real = evidence.p <= evidence.alpha
    if evidence.p_equivalence is not None and evidence.p_equivalence <= evidence.alpha and not diverged:
        tiny = "; tiny but real" if real else ""
        return Word(Verdict.EQUIVALENT, f"within \u00b1{evidence.margin_text}{tiny}")
    if real:
        assert evidence.improvement is not None
        return Word(Verdict.BETTER if evidence.improvement > 0 else Verdict.WORSE)
    if evidence.stopped:
        return Word(Verdict.UNDECIDED, STOPPED)
    if evidence.needed is None:
        return Word(Verdict.UNDECIDED, "within seed noise")
    more = evidence.needed - evidence.n
    return Word(Verdict.UNDECIDED, f"about {seeds_text(more)}", more)


def _without_noise(evidence: Evidence) -> Word:
    where = f"in {evidence.n} seed{'s' * (evidence.n != 1)} on a coarse metric"
    if evidence.identical:
        if evidence.coarse:
            return Word(Verdict.UNDECIDED, f"identical {where}")
        return Word(Verdict.EQUIVALENT, "identical results")
    if evidence.coarse:
        return Word(Verdict.UNDECIDED, f"same difference {where}")
    return Word(Verdict.UNDECIDED, "same difference in every seed: is the seed used?")

"""Claims, each with the measurement that would settle it, filled in from whatever has been measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import pandas as pd

from ablate.json_values import JsonValue
from ablate.outcome import OutcomeKind
from ablate.report.data.frames import CheckedResults, compare_results
from ablate.report.statistics.compare import compare
from ablate.report.statistics.model import Comparison, Row, Verdict
from ablate.report.text import numerals
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm, MetricSpec, Study

Reading = Literal["yes", "no", "undecided", "mixed", "not measured"]
Wanted = Literal["better", "worse", "not worse"]
Pattern = Mapping[str, Sequence[JsonValue]]
Studies = Sequence[tuple[Study, Sequence[TrialRow]]]


@dataclass(frozen=True)
class Check:
    """One measurement a claim needs: a pair of arms, or two metrics of the same trials (`over`)."""

    core: str
    metric: str
    wanted: Wanted
    """What the verdict on the treatment against the control must be."""
    treatment: Pattern = field(default_factory=dict)
    control: Pattern = field(default_factory=dict)
    where: Pattern = field(default_factory=dict)
    """Levels both arms must have."""
    times: Mapping[str, float] = field(default_factory=dict)
    """Factors of which the treatment has this many times the control's level."""
    over: str = ""
    """Metric of the same trials that `metric` is to beat, instead of a control arm."""

    def __str__(self) -> str:
        if self.over:
            return f"{self.metric} against {self.over} of the same trials"
        named = [f"{name}={'|'.join(map(str, levels))}" for name, levels in self.treatment.items()]
        named += [f"{name} x{factor:g}" for name, factor in self.times.items()]
        other = [f"{name}={'|'.join(map(str, levels))}" for name, levels in self.control.items()]
        return f"{self.metric} of {', '.join(named)}{' against ' + ', '.join(other) if other else ''}"


@dataclass(frozen=True)
class Claim:
    """A claim and the rule by which it reads yes: when all of its tests do."""

    id: str
    claim: str
    task: str
    metric: str
    yes_when: str
    tests: tuple[Check, ...]


@dataclass(frozen=True)
class ClaimEvidence:
    """One measured pair."""

    study: str
    test: str
    treatment: str
    control: str
    metric: str
    reading: Reading
    verdict: Verdict
    """On the treatment against the control."""
    seeds: int
    found: str
    """The study's own numbers, arm against baseline as it reports them."""
    exploratory: bool


@dataclass(frozen=True)
class Card:
    """A claim as far as it has been measured."""

    claim: Claim
    reading: Reading
    evidence: tuple[ClaimEvidence, ...]
    missing: tuple[str, ...]
    """Tests that no study in the storage makes."""


def known_claims() -> tuple[Claim, ...]:
    """Return the claims that ablate was founded on, in their order."""
    text = resources.files("ablate.report").joinpath("assets", "claims.json").read_text(encoding="utf-8")
    return tuple(claim_of(entry) for entry in json.loads(text))


def claim_of(entry: Mapping[str, Any]) -> Claim:
    """Return the claim that an entry of claims.json states."""
    return Claim(**{**entry, "tests": tuple(Check(**test) for test in entry["tests"])})


def cards_of(claims: Sequence[Claim], studies: Studies) -> tuple[Card, ...]:
    """Return a card per claim; a test that no study makes is missing, and never filled in by anything else."""
    read = [CheckedResults.of(study, rows) for study, rows in studies if study.core]
    compared = [(results, compare_results(results)) for results in read]
    return tuple(_card(claim, compared) for claim in claims)


def _card(claim: Claim, compared: Sequence[tuple[CheckedResults, Comparison]]) -> Card:
    evidence: list[ClaimEvidence] = []
    readings: list[Reading] = []
    missing = []
    for test in claim.tests:
        found = [one for results, comparison in compared for one in _found(test, results, comparison)]
        evidence += found
        if not found:
            missing.append(str(test))
        readings.append(_together([one.reading for one in found]))
    return Card(claim, _all_of(readings), tuple(evidence), tuple(missing))


def _together(readings: Sequence[Reading]) -> Reading:
    """What several studies say of one test."""
    decided = {reading for reading in readings if reading in ("yes", "no")}
    if len(decided) > 1:
        return "mixed"
    if decided:
        return decided.pop()
    return "undecided" if readings else "not measured"


def _all_of(readings: Sequence[Reading]) -> Reading:
    """A claim reads yes when all its tests do, and no as soon as one does."""
    for reading in ("no", "mixed", "not measured", "undecided"):
        if reading in readings:
            return reading
    return "yes"


def _found(test: Check, results: CheckedResults, comparison: Comparison) -> Iterator[ClaimEvidence]:
    study = results.study
    if study.core != test.core or test.metric not in {metric.name for metric in study.metrics}:
        return
    if test.over:
        yield from (one for arm in study.arms if (one := _within(test, results, arm)) is not None)
        return
    base = study.baseline
    for arm in study.arms[1:]:
        row = comparison.rows.get((arm.name, test.metric))
        if row is None or row.verdict is None or not row.runs:
            continue
        if _is_pair(test, arm, base):
            yield _evidence(test, study, arm, base, row, row.verdict)
        elif _is_pair(test, base, arm):
            yield _evidence(test, study, base, arm, row, _TURNED.get(row.verdict, row.verdict))


_TURNED = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER, Verdict.DIVERGED: Verdict.UNDECIDED}
"""The verdict on the baseline against an arm. That the control diverged does not make the treatment better."""


def _is_pair(test: Check, treatment: Arm, control: Arm) -> bool:
    """True when the two arms differ in exactly what the test is about."""
    free = {*test.treatment, *test.control, *test.times}
    same = all(
        treatment.settings.get(name) == control.settings.get(name)
        for name in {*treatment.settings, *control.settings} - free
    )
    return (
        same
        and _fits(test.treatment, treatment)
        and _fits(test.control, control)
        and _fits(test.where, treatment)
        and all(_is_times(treatment, control, name, factor) for name, factor in test.times.items())
    )


def _fits(pattern: Pattern, arm: Arm) -> bool:
    return all(name in arm.settings and arm.settings[name] in levels for name, levels in pattern.items())


def _is_times(treatment: Arm, control: Arm, name: str, factor: float) -> bool:
    high, low = treatment.settings.get(name), control.settings.get(name)
    if not isinstance(high, int | float) or not isinstance(low, int | float):
        return False
    return float(high) == factor * float(low)


def _evidence(test: Check, study: Study, treatment: Arm, control: Arm, row: Row, verdict: Verdict) -> ClaimEvidence:
    metric = next(metric for metric in study.metrics if metric.name == test.metric)
    shown = numerals.difference_text(row, metric, unit=True)
    return ClaimEvidence(
        study=study.name,
        test=str(test),
        treatment=treatment.name,
        control=control.name,
        metric=test.metric,
        reading=_reading(verdict, test.wanted),
        verdict=verdict,
        seeds=row.pairs,
        found=f"{row.arm} against the baseline: {row.verdict}, {shown}{'; ' + row.note if row.note else ''}",
        exploratory=row.exploratory,
    )


def _reading(verdict: Verdict, wanted: Wanted) -> Reading:
    if verdict is Verdict.UNDECIDED:
        return "undecided"
    yes: tuple[Verdict, ...] = {
        "better": (Verdict.BETTER,),
        "worse": (Verdict.WORSE, Verdict.DIVERGED),
        "not worse": (Verdict.BETTER, Verdict.EQUIVALENT),
    }[wanted]
    return "yes" if verdict in yes else "no"


def _within(test: Check, results: CheckedResults, arm: Arm) -> ClaimEvidence | None:
    """The metric against another one of the same trials: a paired test over seeds, both in the metric's unit."""
    if not _fits(test.where, arm):
        return None
    study, names = results.study, {test.metric, test.over}
    values = [
        (row.seed, row.metrics[test.metric], row.metrics[test.over])
        for row in results.counting
        if row.arm == arm.name and row.outcome is OutcomeKind.MEASURED and names <= row.metrics.keys()
    ]
    if not values:
        return None
    known = next(metric for metric in study.metrics if metric.name == test.metric)
    metric = MetricSpec("value", known.direction, known.scale, known.margin, known.relative, True, known.unit)
    frame = pd.DataFrame(
        [
            (name, seed, value)
            for seed, own, other in values
            for name, value in ((test.over, other), (test.metric, own))
        ],
        columns=["arm", "seed", "value"],
    )
    # Both numbers are of one trial: always paired, whatever the study declares for its arms.
    row = compare(frame, baseline=test.over, metrics=[metric], alpha=study.alpha).row(test.metric)
    verdict = row.verdict or Verdict.UNDECIDED
    shown = numerals.difference_text(row, metric, unit=True)
    return ClaimEvidence(
        study=study.name,
        test=str(test),
        treatment=arm.name,
        control=f"{test.over} of {arm.name}",
        metric=test.metric,
        reading=_reading(verdict, test.wanted),
        verdict=verdict,
        seeds=row.pairs,
        found=f"{arm.name}: {test.metric} against {test.over} of the same trials: {verdict}, {shown}",
        exploratory=True,
    )

"""Claim cards: filled from what was measured, read by their rule, and never from anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ablate.core.shared.registry import core_class
from ablate.outcome import OutcomeKind
from ablate.recipe import Scalar
from ablate.report.statistics.model import Verdict
from ablate.report.text.claim_cards import Card, cards_of, claim_of, known_claims
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm, MetricSpec, Study
from tests.sentences import SENTENCES

BASE = np.array([29.0, 29.4, 28.8, 29.1, 29.3])
NOISE = np.array([0.01, -0.02, 0.02, 0.005, -0.01])
CLAIM: dict[str, Any] = {
    "id": "c",
    "claim": "Prior is better.",
    "task": "restoration",
    "metric": "psnr",
    "yes_when": "psnr is better",
    "tests": [
        {"core": "toy", "treatment": {"method": ["prior"]}, "control": {"method": ["plain"]}, "metric": "psnr",
         "wanted": "better"}
    ],
}  # fmt: skip


def study(
    arms: Mapping[str, tuple[Mapping[str, Scalar], np.ndarray]], *, start: float | None = None
) -> tuple[Study, list[TrialRow]]:
    """The first arm is the baseline; `start` is how far psnr_start lies below psnr."""
    metrics = (MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB"), MetricSpec("psnr_start", "max"))
    found = Study(
        "s", "", "toy", tuple(Arm(name, levels, levels) for name, (levels, _) in arms.items()), (), metrics, (5,)
    )
    rows: list[TrialRow] = []
    for name, (_, values) in arms.items():
        for seed, value in enumerate(values):
            own = {"psnr": float(value)}
            if start is not None:
                own["psnr_start"] = float(value - start - NOISE[seed])
            rows.append(TrialRow(len(rows), name, seed, "COMPLETE", OutcomeKind.MEASURED, own, 1.0, "cpu", ""))
    return found, rows


def card(studies: Sequence[tuple[Study, list[TrialRow]]], **changes: Any) -> Card:
    test = {**CLAIM["tests"][0], **changes}
    return cards_of([claim_of({**CLAIM, "tests": [test]})], studies)[0]


PLAIN: dict[str, Scalar] = {"method": "plain", "lr": 0.1}
PRIOR: dict[str, Scalar] = {"method": "prior", "lr": 0.1}


@pytest.mark.parametrize(("gain", "reading"), [(0.5, "yes"), (-0.5, "no"), (0.0, "no")])
def test_a_claim_reads_as_the_verdict_says(gain: float, reading: str) -> None:
    found = card([study({"baseline": (PLAIN, BASE), "prior": (PRIOR, BASE + gain + NOISE)})])
    assert (found.reading, found.missing) == (reading, ())


def test_the_verdict_is_turned_when_the_treatment_is_the_baseline() -> None:
    found = card([study({"baseline": (PRIOR, BASE), "plain": (PLAIN, BASE + 0.5 + NOISE)})])
    assert (found.reading, found.evidence[0].verdict) == ("no", Verdict.WORSE)
    assert found.evidence[0].found.startswith("plain against the baseline: better")


def test_arms_that_differ_in_something_else_too_are_no_evidence() -> None:
    found = card([study({"baseline": (PLAIN, BASE), "prior": ({**PRIOR, "lr": 0.2}, BASE + 0.5 + NOISE)})])
    assert (found.reading, found.evidence) == ("not measured", ())
    assert found.missing == ("psnr of method=prior against method=plain",)


def test_another_core_is_no_evidence() -> None:
    one, rows = study({"baseline": (PLAIN, BASE), "prior": (PRIOR, BASE + 0.5 + NOISE)})
    assert card([(replace(one, core="other"), rows)]).reading == "not measured"


def test_nothing_stored_is_nothing_measured() -> None:
    assert card([]).reading == "not measured"
    assert {one.reading for one in cards_of(known_claims(), [])} == {"not measured"}


def test_few_seeds_leave_a_claim_undecided() -> None:
    found = card([study({"baseline": (PLAIN, BASE), "prior": (PRIOR, BASE[:1] + 0.5)})])
    assert found.reading == "undecided"


def test_two_studies_that_disagree_are_mixed() -> None:
    better = study({"baseline": (PLAIN, BASE), "prior": (PRIOR, BASE + 0.5 + NOISE)})
    worse = study({"baseline": (PLAIN, BASE), "prior": (PRIOR, BASE - 0.5 + NOISE)})
    assert card([better, worse]).reading == "mixed"


def test_all_tests_must_read_yes() -> None:
    claim = claim_of({**CLAIM, "tests": [*CLAIM["tests"], {**CLAIM["tests"][0], "metric": "fid"}]})
    found = cards_of([claim], [study({"baseline": (PLAIN, BASE), "prior": (PRIOR, BASE + 0.5 + NOISE)})])[0]
    assert (found.reading, len(found.evidence), len(found.missing)) == ("not measured", 1, 1)


@pytest.mark.parametrize(("start", "reading"), [(0.5, "yes"), (-0.5, "no"), (0.0, "no")])
def test_a_metric_is_compared_with_another_of_the_same_trials(start: float, reading: str) -> None:
    measured = study({"baseline": (PRIOR, BASE)}, start=start)
    found = card([measured], treatment={}, control={}, where={"method": ["prior"]}, over="psnr_start")
    assert found.reading == reading
    assert found.evidence[0].control == "psnr_start of baseline"
    assert found.evidence[0].found.startswith(SENTENCES["metric compared another same"])


def test_a_factor_may_be_a_multiple() -> None:
    twice: dict[str, Scalar] = {"method": "plain", "lr": 0.2}
    measured = study({"baseline": (PLAIN, BASE), "twice": (twice, BASE + 0.5 + NOISE)})
    assert card([measured], treatment={}, control={}, times={"lr": 2}).reading == "yes"
    assert card([measured], treatment={}, control={}, times={"lr": 3}).reading == "not measured"


def test_the_founding_claims_name_factors_and_levels_that_their_cores_know() -> None:
    for claim in known_claims():
        for test in claim.tests:
            core = core_class(test.core, None)
            fields = core.Settings.model_fields
            for name in {*test.treatment, *test.control, *test.where, *test.times}:
                assert name in fields, f"{claim.id}: {test.core} has no factor {name}"
            for name in (test.metric, test.over or test.metric):
                assert name in {info.name for info in core.metrics}, f"{claim.id}: {test.core} has no metric {name}"

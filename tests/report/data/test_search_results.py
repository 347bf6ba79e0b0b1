"""Searches in the report: the best candidates, the counts, importance against chance, and what it does not show."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ablate.outcome import OutcomeKind
from ablate.report.data.search_results import search_results_of
from ablate.report.html.search import search_section
from ablate.report.text.search_sentences import search_lines, search_markdown
from ablate.search import FEWEST_RANKED, Candidate, CandidateState, Range, Search
from ablate.storage.importance import importances
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm, MetricSpec, Study
from tests.sentences import SENTENCES

LR, BATCH = Range("lr", 1e-4, 0.1, log=True), Range("batch", 16, 128, whole=True)
PSNR, TIME = MetricSpec("psnr", "max", primary=True, unit="dB", digits=2), MetricSpec("seconds", "min", scale="log")


def study(**changed: object) -> Study:
    fields: dict[str, object] = {"name": "search", "ranges": (LR, BATCH), "objectives": (("psnr", "max"),), "start": {}}
    search = Search(**{**fields, **changed})  # type: ignore[arg-type]  # names are checked there
    return Study("s", "", "toy", (Arm("baseline", {}, {}),), (), (PSNR, TIME), (3,), searches=(search,))


def row(number: int, outcome: OutcomeKind, **metrics: float) -> TrialRow:
    levels = {"lr": 10.0 ** -(1 + number % 4), "batch": 16 + number}
    attributes = {"search": "search", "candidate": number, "levels": levels}
    return TrialRow(number, f"search #{number}", 1000, "X", outcome, metrics, 1.0, "cpu", "", attributes=attributes)


def test_the_best_candidates_are_shown_with_what_they_tried() -> None:
    rows = [row(n, OutcomeKind.MEASURED, psnr=20.0 + n) for n in range(7)]
    rows += [row(7, OutcomeKind.PRUNED), row(8, OutcomeKind.DIVERGED)]
    found = search_results_of(study(trials=9, pruner="asha"), rows)
    lines = search_lines(found)
    assert lines[0] == SENTENCES["best candidates shown what"]
    assert [line.split() for line in lines[1:-1]] == [
        ["candidate", "psnr", "(dB)", "lr", "batch"],
        ["#6", "26.00", "0.001", "22"],
        ["#5", "25.00", "0.01", "21"],
        ["#4", "24.00", "0.1", "20"],
        ["#3", "23.00", "0.0001", "19"],
        ["#2", "22.00", "0.001", "18"],
    ]
    assert len({len(line) for line in lines[1:-1]}) == 1
    few = f"only 7 candidates are measured, fewer than {FEWEST_RANKED}"
    assert lines[-1] == f"Importance of factors: not given, because {few}."
    page = search_markdown(found)
    assert "| \\#6 | 26.00 | 0.001 | 22 |" in page
    assert "on seeds that the search has not seen" in page


def test_two_metrics_show_the_whole_front_and_no_importance() -> None:
    two = study(objectives=(("psnr", "max"), ("seconds", "min")), confirm=False, trials=3)
    rows = [row(n, OutcomeKind.MEASURED, psnr=20.0 + n, seconds=1.0 + n) for n in range(3)]
    (found,) = search_results_of(two, rows)
    assert [shown[0] for shown in found.rows] == ["#0", "#1", "#2"]
    assert found.importance == ()
    assert "nothing here was tested on fresh seeds" in search_markdown([found])


def test_names_are_escaped_in_html() -> None:
    one = row(0, OutcomeKind.MEASURED, psnr=1.0)
    named = replace(one, attributes={**one.attributes, "search": "<b>"})
    page = search_section(search_results_of(study(name="<b>", tunes=True), [named]))
    assert page is not None
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_a_study_without_candidates_has_no_section() -> None:
    assert search_results_of(study(), []) == ()
    assert search_section([]) is None


@pytest.mark.parametrize("matters", [True, False])
def test_importance_is_told_from_chance(matters: bool) -> None:
    """A factor that decides is far beyond shuffled results; in pure noise nothing is, although shares add up to 1."""
    source = Random(3)
    found = []
    for n in range(40):
        levels = {"lr": 10 ** source.uniform(-4, -1), "batch": source.randint(16, 128)}
        value = levels["lr"] * 100 + source.gauss(0, 0.1) if matters else source.gauss(0, 1)
        found.append(Candidate(n, levels, CandidateState.MEASURED, (value,)))
    (search,) = study().searches
    first, second = importances(search, found)
    assert first.share + second.share == pytest.approx(1)
    if matters:
        assert (first.factor, first.chance) == ("lr", 0.01)
        assert second.chance > 0.05
    else:
        assert min(first.chance, second.chance) > 0.05
    assert importances(search, found) == (first, second)


def test_few_candidates_have_no_importance() -> None:
    (search,) = study().searches
    found = [
        Candidate(n, {"lr": 0.01, "batch": 16}, CandidateState.MEASURED, (float(n),)) for n in range(FEWEST_RANKED - 1)
    ]
    assert importances(search, found) == ()

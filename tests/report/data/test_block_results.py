"""Stored trials of studies with blocks: one block is the study without any, retries collapse, reports stay whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.errors import AblateError
from ablate.outcome import OutcomeKind
from ablate.paths import StudyPaths
from ablate.report.build import build_report, gather
from ablate.report.data.block_results import rows_over
from ablate.report.data.frames import CheckedResults, compare_study, latest_results
from ablate.report.formats.blocks_latex import blocks_latex
from ablate.report.formats.markdown import report_markdown
from ablate.report.formats.terminal import block_table
from ablate.report.html.page import report_html
from ablate.report.statistics.model import Verdict
from ablate.storage.rows import TrialRow
from ablate.study.blocks import BlockKind, Blocks, in_block
from ablate.study.spec import Arm, MetricSpec, Study
from ablate.study.verdict_method import Method

METRICS = (MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB"), MetricSpec("seconds", "min", scale="log"))
ARMS = ("baseline", "a", "b")


def make_study(*blocks: str, kind: BlockKind = "fixed", looks: tuple[int, ...] = (4,)) -> Study:
    """Three arms, in every block where there are any."""
    names = [in_block(arm, block) for block in blocks for arm in ARMS] if blocks else list(ARMS)
    arms = tuple(Arm(name, {}, {"lr": at % 3, "data": at // 3}) for at, name in enumerate(names))
    made = Blocks({block: {"data": at} for at, block in enumerate(blocks)}, kind) if blocks else None
    return Study("s", "?", "c", arms, ("lr", "data") if blocks else ("lr",), METRICS, looks, blocks=made)


def row(arm: str, seed: int, psnr: float, outcome: OutcomeKind = OutcomeKind.MEASURED, number: int = 0) -> TrialRow:
    values = {"psnr": psnr, "seconds": 1.0 + seed} if outcome is OutcomeKind.MEASURED else {}
    return TrialRow(number, arm, seed, "COMPLETE", outcome, values, 2.0, "cpu", f"{arm} {seed}")


def rows_of(study: Study, values: Mapping[str, float], seeds: int = 4) -> list[TrialRow]:
    """One trial per arm and seed: the arm's value, and noise that every arm has its own of."""
    return [
        row(arm.name, seed, values.get(arm.name, 30.0) + 0.01 * ((seed * 7 + at * 3) % 5), number=100 * at + seed)
        for at, arm in enumerate(study.arms)
        for seed in range(seeds)
    ]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(20, 40), min_size=12, max_size=12))
def test_one_block_says_what_the_study_without_blocks_says(values: list[float]) -> None:
    plain, blocked = make_study(), make_study("x")
    rows = [row(arm, seed, values[4 * at + seed]) for at, arm in enumerate(ARMS) for seed in range(4)]
    inside = [replace(one, arm=in_block(one.arm, "x")) for one in rows]
    one, other = compare_study(plain, rows), compare_study(blocked, inside)
    assert one.rows == other.rows
    assert other.blocks is not None
    assert other.blocks.comparisons["x"].rows == one.rows


def test_last_attempt_of_a_retried_trial_counts_and_a_failure_leaves_the_seed_out() -> None:
    study = make_study("x", "y")
    rows = rows_of(study, {})
    rows[0] = replace(rows[0], outcome=OutcomeKind.LOST, metrics={})
    assert [one.arm for one in rows_over(study, latest_results(rows))].count("baseline") == 3
    again = replace(rows[0], number=999, outcome=OutcomeKind.MEASURED, metrics={"psnr": 30.0, "seconds": 1.0})
    found = [one for one in rows_over(study, latest_results([*rows, again])) if one.arm == "baseline"]
    assert len(found) == 4
    assert found[0].seconds == 4.0


def test_trials_of_arms_and_blocks_that_are_no_longer_there_are_passed_over() -> None:
    study = make_study("x", "y")
    rows = [*rows_of(study, {}), row("gone@x", 0, 1.0, number=900), row("a@old", 0, 1.0, number=901)]
    assert {one.arm for one in rows_over(study, latest_results(rows))} == set(ARMS)
    assert compare_study(study, rows).rows == compare_study(study, rows_of(study, {})).rows


def test_random_blocks_wait_for_their_declared_seeds() -> None:
    study = make_study("x", "y", "z", kind="random")
    rows = [one for one in rows_of(study, {}) if not (one.arm == "a@z" and one.seed == 3)]
    comparison = compare_study(study, rows)
    assert comparison.row("b").n == 3
    assert comparison.row("a").n == 2
    assert comparison.row("a").verdict is Verdict.UNDECIDED
    assert comparison.row("a").note.startswith("1 more block")


def test_random_blocks_refuse_another_test_after_the_run() -> None:
    study = make_study("x", "y", kind="random")
    with pytest.raises(AblateError, match="needs fixed blocks"):
        compare_study(study, rows_of(study, {}), Method(test="welch"))


def test_looks_are_taken_over_all_blocks() -> None:
    study = make_study("x", "y", looks=(3, 4))
    comparison = compare_study(study, rows_of(study, {"a@x": 35.0, "a@y": 35.0}), look=3)
    assert comparison.row("a").n == 3
    assert comparison.blocks is not None
    assert comparison.blocks.comparisons["x"].row("a").n == 3


def test_only_the_baseline_of_the_same_block_counts() -> None:
    values = {"baseline@x": 30.0, "a@x": 31.0, "b@x": 30.0, "baseline@y": 10.0, "a@y": 11.0, "b@y": 10.0}
    study = make_study("x", "y")
    comparison = compare_study(study, rows_of(study, values))
    assert comparison.row("a").verdict is Verdict.BETTER
    assert comparison.row("a").diff == pytest.approx(1.0, abs=0.05)
    assert comparison.row("baseline").mean == pytest.approx(20.0, abs=0.05)


HOSTILE = ("<b>x</b>", "$y_1$ & |", "../..")


def test_names_of_blocks_are_text_everywhere(tmp_path: Path) -> None:
    study = make_study(*HOSTILE)
    values = {in_block("a", HOSTILE[0]): 40.0, in_block("a", HOSTILE[1]): 20.0}
    rows = rows_of(study, values)
    paths = StudyPaths(tmp_path / "results" / "s")
    build_report(study, rows, paths, figures=False)
    page = paths.report_html.read_text()
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert r"\$y\_1\$ \& \textbar{}" in paths.blocks_tex.read_text()
    assert "<b>x" not in paths.report_md.read_text()
    written = sorted(path for path in tmp_path.rglob("report.html"))
    assert len(written) == 4
    assert all(paths.folder in path.parents for path in written)


def test_every_format_shows_where_blocks_contradict_each_other() -> None:
    study = make_study("x", "y")
    rows = rows_of(study, {"a@x": 35.0, "a@y": 25.0})
    material = gather(study, rows)
    said = "depends on data: better in x, worse in y"
    assert material.comparison.row("a").verdict is Verdict.UNDECIDED
    for text in (report_html(material), report_markdown(material)):
        assert said in text
    assert r"$\uparrow$" in blocks_latex(material)
    assert r"$\downarrow$" in blocks_latex(material)
    lines = [text.plain for text in block_table(material.comparison)]
    assert any("^" in line and " v" in line and line.startswith("a ") for line in lines)
    assert material.state.planned == 24


def test_narrow_terminal_names_the_blocks_that_have_no_room() -> None:
    study = make_study(*(f"block {at}" for at in range(12)))
    comparison = compare_study(study, rows_of(study, {}))
    lines = [text.plain for text in block_table(comparison, width=60)]
    assert all(len(line) <= 60 or line.startswith("^") for line in lines)
    assert "more blocks" in lines[-1]


@pytest.mark.parametrize(("worse", "trends"), [(25.0, 0), (35.0, 1)])
def test_average_over_contradicting_blocks_is_no_trend(worse: float, trends: int) -> None:
    study = make_study("x", "y")
    others = {arm.name for arm in study.arms} - study.baselines
    arms = [replace(arm, factor="lr" if arm.name in others else None, levels=arm.settings) for arm in study.arms]
    study = replace(study, arms=tuple(arms))
    material = gather(study, rows_of(study, {"a@x": 35.0, "a@y": worse}))
    assert len(material.trends) == trends
    assert len(material.blocks["x"].trends) == 1


def test_results_are_read_over_all_blocks_and_in_each() -> None:
    study = make_study("x", "y")
    read = CheckedResults.of(study, rows_of(study, {}))
    assert read.study.blocks is None
    assert read.blocks is not None
    assert list(read.blocks.each) == ["x", "y"]


def test_blocks_that_have_not_run_are_named() -> None:
    study = make_study("x", "y", "z")
    rows = [one for one in rows_of(study, {}) if one.arm.endswith("@x") or one.arm in ("baseline@y", "a@y")]
    comparison = compare_study(study, rows)
    assert comparison.problem == "the baseline 'baseline' has no results in z"
    assert compare_study(study, []).problem == "nothing has been measured yet"
    assert comparison.blocks is not None
    assert comparison.blocks.comparisons["x"].problem is None
    lints = {lint.arm: lint.message for lint in comparison.lints if lint.code == "block-missing"}
    assert "no result in y and z for seeds 0, 1, 2, 3" in lints["b"]

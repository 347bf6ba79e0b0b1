"""Tables that others published: each is read, and gives the verdicts that the documentation shows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from ablate.api.reports import ForeignSource, choose_method, read_foreign_results, write_study_report
from ablate.api.stored_studies import ResultsLocation
from tests.public_tables import TABLES, cases, compared, write_table

VERDICTS = {
    "continuous control": {"dreamerv3": "worse", "tdmpc": "worse", "sac": "worse"},
    "Atari, Alien": {"IRIS": "worse"},
    "Atari, Amidar": {"IRIS": "undecided"},
    "Atari, Assault": {"IRIS": "better"},
    "Atari, Asterix": {"IRIS": "undecided"},
    "Atari, Boxing": {"IRIS": "better"},
    "Atari, Breakout": {"IRIS": "better"},
    "decision trees": {"C4.5+m": "better", "C4.5+cf": "undecided", "C4.5+m+cf": "better"},
    "speedrun": {
        "drop-attention": "undecided",
        "backout": "undecided",
        "key-offset": "undecided",
        "cautious-adam": "undecided",
    },
    "diseases, 100": {"autoencoder": "better"},
    "diseases, 200": {"autoencoder": "better"},
    "diseases, 300": {"autoencoder": "better"},
    "time series": {"FCN": "worse", "Encoder": "worse", "MLP": "worse"},
}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["name"])
def test_a_published_table_gives_the_recorded_verdicts(case: dict[str, Any]) -> None:
    found = compared(case)
    assert {arm: str(found.row(arm).verdict) for arm in found.arms[1:]} == VERDICTS[case["name"]]


def test_every_table_has_a_source_and_a_comparison() -> None:
    tables = {path.name for path in TABLES.glob("*.csv")}
    assert tables == {case["file"] for case in cases()}
    sources = (TABLES / "SOURCES.md").read_text(encoding="utf-8")
    assert all(f"## {name}" in sources for name in tables)


def test_the_numbers_that_demsar_prints_follow_from_the_table() -> None:
    """Average ranks of his table 6: 3.143, 2.000, 2.893, 1.964; "voting" is a tie here and none there."""
    with (TABLES / "decision-trees.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["dataset"], row["arm"], float(row["auc"])) for row in csv.DictReader(file)]
    arms = list(dict.fromkeys(arm for _, arm, _ in rows))
    ranks = dict.fromkeys(arms, 0.0)
    for name in {name for name, _, _ in rows}:
        own = {arm: value for dataset, arm, value in rows if dataset == name}
        for arm in arms:
            better, equal = (
                sum(test(value, own[arm]) for value in own.values()) for test in (float.__gt__, float.__eq__)
            )
            ranks[arm] += better + (equal + 1) / 2
    printed = {"C4.5": 3.143, "C4.5+m": 2.0, "C4.5+cf": 2.893 + 0.5 / 14, "C4.5+m+cf": 1.964 - 0.5 / 14}
    assert {arm: total / 14 for arm, total in ranks.items()} == pytest.approx(printed, abs=6e-4)


def test_the_means_that_the_records_print_follow_from_the_table() -> None:
    [case] = [case for case in cases() if case["name"] == "speedrun"]
    found = compared(case)
    printed = (3.2790, 3.2782, 3.2780, 3.2780, 3.2769)
    assert [found.row(arm).mean for arm in found.arms] == pytest.approx(printed, abs=6e-5)


def test_the_report_of_a_published_table_is_written(tmp_path: Path) -> None:
    [case] = [case for case in cases() if case["name"] == "speedrun"]
    asked = ForeignSource(f"csv:{write_table(case, tmp_path)}", case["baseline"], (case["metric"],))
    place = ResultsLocation.of(tmp_path / "results", None)
    stored, _ = read_foreign_results(asked, place, choose=choose_method(test=case["test"]))
    material = write_study_report(stored, figures=False)
    assert {arm: str(material.comparison.row(arm).verdict) for arm in VERDICTS["speedrun"]} == VERDICTS["speedrun"]
    assert "4 undecided" in stored.paths.report_md.read_text(encoding="utf-8")


def test_a_table_of_data_sets_is_read_whole_with_the_same_verdicts(tmp_path: Path) -> None:
    """Data sets as a sample of others: one number of each, so they are the replicates."""
    [case] = [case for case in cases() if case["name"] == "decision trees"]
    source = f"csv:{TABLES / case['file']}"
    asked = ForeignSource(source, case["baseline"], (case["metric"],), blocks_are="random")
    stored, _ = read_foreign_results(asked, ResultsLocation.of(tmp_path / "results", None))
    found = write_study_report(stored, figures=False, formats=("json",)).comparison
    assert {arm: str(found.row(arm).verdict) for arm in VERDICTS["decision trees"]} == VERDICTS["decision trees"]
    assert found.row("C4.5+m").p_holm == pytest.approx(compared(case).row("C4.5+m").p_holm)

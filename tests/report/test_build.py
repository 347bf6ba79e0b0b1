"""The report as a whole: which files, what is in them, and what happens with little or broken input."""

from __future__ import annotations

import csv
import datetime
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ablate.errors import AblateError, NothingComparableError, ResultsError
from ablate.outcome import OutcomeKind
from ablate.report.build import build_report
from ablate.report.data.frames import latest_results
from ablate.report.statistics.model import Comparison
from ablate.report.statistics.trial_matrix import read_trials
from ablate.study.spec import Study

DATA_AND_PAGES = {"arms.csv", "curves.csv", "report.html", "report.json", "report.md", "table.tex", "trials.csv"}
ARM_COLUMNS = [
    "arm", "metric", "n", "diverged", "mean", "sd", "diff", "ci_low", "ci_high", "p", "p_holm", "verdict", "note",
]  # fmt: skip


def build(case: Any, now: datetime.datetime, **options: Any) -> Comparison:
    return build_report(case.study, case.rows, case.paths, figures=False, now=now, **options)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_file_is_written_and_no_temporary_one_is_left(case: Any, now: datetime.datetime) -> None:
    build(case, now)
    assert {path.name for path in case.paths.folder.iterdir()} == DATA_AND_PAGES


def test_results_are_read_once_for_everything_the_report_is_made_of(case: Any, now: datetime.datetime) -> None:
    """Verdicts, trends and contrasts come from one set of matrices, made of one choice of what counts."""
    watched = {function.__code__: function.__name__ for function in (latest_results, read_trials)}
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in watched:
            calls[watched[frame.f_code]] += 1

    sys.setprofile(note)
    try:
        build(replace(case, study=with_several_levels(case.study)), now)
    finally:
        sys.setprofile(None)
    report = json.loads(case.paths.report_json.read_text(encoding="utf-8"))
    assert report["contrasts"]
    assert report["trends"]
    assert calls == {"latest_results": 1, "read_trials": 1}


def with_several_levels(study: Study) -> Study:
    """The study as its `vary` makes it: one factor has three ordered levels, so there are trends and contrasts."""
    return replace(study, arms=tuple(arm for arm in study.arms if arm.factor in (None, "dip_epochs")))


def test_formats_choose_the_files(case: Any, now: datetime.datetime) -> None:
    build(case, now, formats=("md", "csv"))
    written = {path.name for path in case.paths.folder.iterdir()}

    assert written == {"arms.csv", "curves.csv", "trials.csv", "report.md"}
    with pytest.raises(AblateError, match="unknown report format 'pdf'"):
        build(case, now, formats=("pdf",))


def test_trials_csv_has_one_row_per_trial(case: Any, now: datetime.datetime) -> None:
    """Failed and repeated trials are rows too; a metric nobody declared is a column after those that were."""
    retry = replace(case.rows[0], number=100, outcome=OutcomeKind.FAILED, state="FAIL", metrics={}, seconds=None)
    build(replace(case, rows=[*case.rows, retry]), now)
    rows = table(case.paths.trials_csv)

    assert list(rows[0]) == [
        "study", "arm", "seed", "outcome", "psnr", "ssim", "train_seconds", "nfe", "seconds", "device", "recipe_digest",
        "core_version",
    ]  # fmt: skip
    assert len(rows) == 31
    assert rows[-1]["outcome"] == "failed"
    assert rows[-1]["psnr"] == rows[-1]["seconds"] == ""
    assert float(rows[0]["psnr"]) == case.rows[0].metrics["psnr"]
    assert rows[0]["recipe_digest"] == case.rows[0].recipe_digest


def test_arms_csv_has_the_numbers_of_the_comparison(case: Any, now: datetime.datetime) -> None:
    comparison = build(case, now)
    rows = table(case.paths.arms_csv)

    assert list(rows[0])[:13] == ARM_COLUMNS
    assert [(row["arm"], row["metric"]) for row in rows] == list(comparison.rows)
    for row in rows:
        known = comparison.row(row["arm"], row["metric"])
        assert row["verdict"] == (known.verdict or "")
        assert row["ci_low"] == ("" if known.ci_low is None else repr(known.ci_low))
        assert int(row["n"]) == known.n


def test_curves_csv_joins_the_storage_and_the_trial_folders(case: Any, now: datetime.datetime) -> None:
    """A torn last line of a killed worker is passed over, like values that are no numbers."""
    folder = case.paths.trial("baseline", 0).folder
    folder.mkdir(parents=True)
    text = '{"images": 100, "val_loss": 0.5, "word": "x", "flag": true}\n{"images": 200, "val_loss": NaN}\n{"images": 3'
    (folder / "curve.jsonl").write_text(text, encoding="utf-8")
    build(case, now)
    rows = table(case.paths.curves_csv)
    losses = [row for row in rows if row["metric"] == "val_loss"]

    assert list(rows[0]) == ["study", "arm", "seed", "images", "metric", "value"]
    assert [(row["arm"], row["seed"], row["images"], row["value"]) for row in losses] == [
        ("baseline", "0", "100", "0.5")
    ]
    assert sum(row["arm"] == "baseline" and row["metric"] == "psnr" for row in rows) == 5 * 7


def test_report_json_is_valid_and_complete(case: Any, now: datetime.datetime) -> None:
    comparison = build(case, now)
    data = json.loads(case.paths.report_json.read_text(encoding="utf-8"))

    assert data["schema_version"] == 1
    assert len(data["comparison"]["rows"]) == len(comparison.rows)
    assert data["generated_at"] == "2026-03-01T12:00:00Z"
    assert data["state"]["word"] == "complete"
    assert Study.from_dict({**data["study"], "text": case.study.text}) == case.study


def test_the_same_results_give_the_same_bytes_but_for_one_line(case: Any, now: datetime.datetime) -> None:
    build(case, now)
    first = {path.name: path.read_text(encoding="utf-8").splitlines() for path in case.paths.folder.iterdir()}
    build(replace(case, rows=case.rows[::-1]), now + datetime.timedelta(hours=1))
    for path in case.paths.folder.iterdir():
        lines = path.read_text(encoding="utf-8").splitlines()
        changed = [at for at, (old, new) in enumerate(zip(first[path.name], lines, strict=True)) if old != new]
        limit = {"report.html": 1, "report.md": 1, "report.json": 1}.get(path.name, 0)
        assert len(changed) == limit


def test_source_date_epoch_is_honoured(case: Any, now: datetime.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    build(case, now)
    assert "1970-01-01T00:00:00Z" in case.paths.report_md.read_text(encoding="utf-8")


def broken(case: Any, name: str) -> Any:
    changes: dict[str, Callable[[Any], list[Any]]] = {
        "empty": lambda case: [],
        "no baseline": lambda case: [row for row in case.rows if row.arm != "baseline"],
        "all diverged": lambda case: [replace(row, outcome=OutcomeKind.DIVERGED, metrics={}) for row in case.rows],
        "all failed": lambda case: [replace(row, outcome=OutcomeKind.FAILED, metrics={}) for row in case.rows],
        "all running": lambda case: [replace(row, outcome=None, metrics={}, curve=()) for row in case.rows],
    }
    return replace(case, rows=changes[name](case))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "nothing has been measured yet"),
        ("no baseline", "the baseline 'baseline' has no results"),
        ("all diverged", "the baseline 'baseline' diverged in 5 of 5 seeds"),
        ("all failed", "nothing has been measured yet"),
        ("all running", "nothing has been measured yet"),
    ],
)
def test_what_cannot_be_compared_is_said_and_still_written(
    case: Any, now: datetime.datetime, name: str, said: str
) -> None:
    with pytest.raises(NothingComparableError, match=said):
        build(broken(case, name), now)
    assert {path.name for path in case.paths.folder.iterdir()} == DATA_AND_PAGES


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_and_missing_trials_give_a_report(case: Any, now: datetime.datetime, seeds: int) -> None:
    few = replace(case, rows=[row for row in case.rows if row.seed < seeds][:-2])
    build(few, now)
    assert f"partial: {len(few.rows)} of 30 trials" in case.paths.report_md.read_text(encoding="utf-8")


def test_a_changed_study_file_is_noticed(make_case: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    case = make_case(file=str(file))
    file.write_text(case.study.text, encoding="utf-8")
    before = str(case.material().state)
    file.write_text(case.study.text + "# edited\n", encoding="utf-8")

    assert before == "complete"
    assert str(case.material().state) == "complete, study file changed after the run"


def test_a_folder_that_is_a_file_is_one_clear_error(case: Any, now: datetime.datetime) -> None:
    case.paths.folder.write_text("in the way", encoding="utf-8")
    with pytest.raises(ResultsError, match="cannot write the report"):
        build(case, now)


def test_a_thousand_trials_take_seconds(make_case: Callable[..., Any], now: datetime.datetime) -> None:
    arms = make_case().study.arms
    many = tuple(replace(arms[1], name=f"noise_schedule={at}", line=at) for at in range(199))
    case = make_case(arms=(arms[0], *many))
    started = time.process_time()
    build(case, now)

    assert len(case.rows) == 1000
    assert time.process_time() - started < 5
    assert case.paths.report_html.stat().st_size < 2_000_000


def test_a_report_without_figures_imports_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys, ablate.report.build, ablate.report.formats.terminal, ablate.report.text.verdict_sentences;"
        "print([name for name in ('matplotlib', 'seaborn', 'torch', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ.copy()
    )
    assert done.stdout.strip() == "[]"

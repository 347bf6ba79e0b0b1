"""Rows that are parts of a run: recognised, asked about, averaged within the seed, and never taken for seeds."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest

from ablate.errors import AblateError
from ablate.report import compare
from ablate.report.data.foreign_results import read_results
from ablate.report.data.frames import compare_study
from ablate.report.statistics.metric_spec import found_metrics, is_part


def episodes(path: Path, seeds: int = 3, per_seed: int = 4, header: str = "arm,seed,episode,success,width") -> Path:
    """Every run has `per_seed` episodes; the means of the two arms differ by 0.25 in every seed but for a little."""
    lines = [header]
    for (arm, rate), seed, episode in itertools.product((("plain", 1), ("wide", 2)), range(seeds), range(per_seed)):
        won = int(episode < rate + (seed == 1))
        lines.append(f"{arm},{seed},{episode},{won},{64 * rate}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_of_episodes_are_asked_about(tmp_path: Path) -> None:
    asked = r"24 rows of 6 runs \(3 training seeds\): is each row one 'episode'"
    with pytest.raises(AblateError, match=asked) as caught:
        read_results(episodes(tmp_path / "runs.csv"), baseline="plain", metrics=["success:max"])
    assert "--within episode" in str(caught.value.hint)


def test_averaging_within_the_seed_comes_first(tmp_path: Path) -> None:
    path = episodes(tmp_path / "runs.csv")
    study, rows = read_results(path, baseline="plain", metrics=["success:max"], within="episode")
    values = {(row.arm, row.seed): row.metrics["success"] for row in rows}
    assert values == {
        ("plain", 0): 0.25,
        ("plain", 1): 0.5,
        ("plain", 2): 0.25,
        ("wide", 0): 0.5,
        ("wide", 1): 0.75,
        ("wide", 2): 0.5,
    }
    assert study.arms[1].levels == {"width": 128}
    assert compare_study(study, rows).row("wide").n == 3


def test_one_training_seed_stays_one_however_many_episodes(tmp_path: Path) -> None:
    """A thousand episodes of one model: no verdict about training again."""
    path = episodes(tmp_path / "runs.csv", seeds=1, per_seed=1000)
    study, rows = read_results(path, baseline="plain", metrics=["success:max"], within="episode")
    row = compare_study(study, rows).row("wide")
    assert (row.n, row.verdict, row.note) == (1, "undecided", "needs 1 more seed")


def test_without_a_seed_the_question_is_whether_it_was_one_training(tmp_path: Path) -> None:
    path = tmp_path / "folds.csv"
    rows = [f"{arm},{fold},0.{9 - fold}" for arm in ("plain", "wide") for fold in range(5)]
    path.write_text("\n".join(["arm,fold,accuracy", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(AblateError, match="no column 'seed', and 'fold' counts parts of a run") as caught:
        read_results(path, baseline="plain")
    assert "training seed" in str(caught.value.hint)


def test_a_seed_that_only_repeats_the_episode_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"{arm},{at},{at},0.{9 - at}" for arm in ("plain", "wide") for at in range(5)]
    path.write_text("\n".join(["arm,seed,episode,accuracy", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(AblateError, match="'seed' and 'episode' are the same"):
        read_results(path, baseline="plain")


def test_a_run_with_a_diverged_part_diverged(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    lines = ["arm,seed,episode,outcome,score"]
    for arm, seed, episode in itertools.product(("plain", "wide"), range(2), range(2)):
        gone = (arm, seed, episode) == ("wide", 1, 0)
        lines.append(f"{arm},{seed},{episode},{'diverged' if gone else 'measured'},{'' if gone else seed + episode}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _, rows = read_results(path, baseline="plain", metrics=["score:max"], within="episode")
    assert {(row.arm, row.seed): row.outcome for row in rows}[("wide", 1)] == "diverged"
    assert [row.metrics.get("score") for row in rows] == [0.5, 1.5, 0.5, None]


def test_what_cannot_be_averaged_is_named(tmp_path: Path) -> None:
    path = episodes(tmp_path / "runs.csv")
    with pytest.raises(AblateError, match="no column 'epsiode'"):
        read_results(path, baseline="plain", metrics=["success:max"], within="epsiode")
    path.write_text(path.read_text(encoding="utf-8").replace("wide,0,0,1,", "wide,0,0,won,"), encoding="utf-8")
    with pytest.raises(AblateError, match="success is not a number: 'won'"):
        read_results(path, baseline="plain", metrics=["success:max"], within="episode")


def test_a_frame_with_episodes_is_told_the_same() -> None:
    rows = [(arm, 0, episode, float(episode)) for arm in ("baseline", "wide") for episode in range(3)]
    frame = pd.DataFrame(rows, columns=["arm", "seed", "episode", "reward"])
    with pytest.raises(AblateError, match="two results of arm 'baseline', seed 0") as caught:
        compare(frame, metrics=["reward:max"])
    assert "'episode'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("episode", True),
        ("Episodes", True),
        ("fold_id", True),
        ("test_image", True),
        ("images_seen", False),
        ("image_size", False),
        ("seed", False),
        ("samples_per_second", False),
        ("epoch", False),
    ],
)
def test_columns_that_count_parts_of_a_run(name: str, *, expected: bool) -> None:
    assert is_part(name) is expected


def test_a_column_that_counts_is_no_metric() -> None:
    frame = pd.DataFrame({"arm": ["a"], "seed": [0], "fold": [1], "accuracy": [0.5]})
    metrics, lints = found_metrics(frame)
    assert [metric.name for metric in metrics] == ["accuracy"]
    assert lints == ()

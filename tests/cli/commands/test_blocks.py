"""A study with blocks from the study file to every file of its report, and the same from a table."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ablate as api
from ablate.errors import ExitCode
from ablate.paths import ResultsPaths
from ablate.report.formats.json_schema import ReportShape
from ablate.report.statistics.model import Verdict

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate, Said

TRAIN = """
import random

LEVEL = {"easy": 0.9, "medium": 0.8, "hard": 0.6}
EFFECT = {"easy": 0.05, "medium": 0.04, "hard": -0.05}

def train(*, data: str = "easy", lr: float = 0.1, width: int = 8, seed: int):
    noise = random.Random(f"{data} {lr} {width} {seed}").gauss(0, 0.003)
    if lr == 9 and data == "hard":
        return {"acc": float("nan")}
    return {"acc": LEVEL[data] + (EFFECT[data] if lr == 0.3 else 0) + (0.06 if width == 16 else 0) + noise}
"""
STUDY = """\
question: Does it help everywhere?
core: train.py:train
baseline: {lr: 0.1}
blocks: {data: [easy, medium, hard]}
vary:
  lr: [0.3, 9]
  width: [16]
seeds: 5
metrics: {acc: {direction: max, margin: 0.01}}
"""
RUN = ("--slots", "1", "--gpus", "none")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(TRAIN)
    Path("places.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def ran(folder: Path, ablate: Ablate) -> Path:
    said = ablate("run", "places.yaml", *RUN)
    assert said.code == 0, said.err
    return folder


def events(said: Said, name: str) -> list[dict[str, Any]]:
    """The lines of one kind that a command printed as JSON."""
    found = [json.loads(line) for line in said.out.splitlines()]
    return [one for one in found if one["event"] == name]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.usefixtures("folder")
def test_the_plan_of_a_study_with_blocks(ablate: Ablate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.api.plan_view.free_bytes", lambda _: 212e9)
    said = ablate("plan", "places.yaml", *RUN)
    assert (
        said.out
        == """\
places: 4 arms x 3 blocks x 5 seeds = 60 trials
  done 0, to run 60, baseline to run
  blocks (data, fixed): easy, medium, hard
  factor  arms  levels (* baseline)
  lr         2  0.1*, 0.3, 9
  width      1  8*, 16
cost   unknown until a trial has finished   (1 CPU slot)
       --probe measures the beginning of one
disk   212 GB free
detectable difference   unknown until an arm and the baseline have 2 seeds (acc)
run it:  ablate run places.yaml --gpus none --slots 1
"""
    )
    chosen = events(ablate("plan", "places.yaml", *RUN, "--arms", "width=16@hard", "--json"), "plan")[0]
    assert chosen["arms"] == ["baseline@hard", "width=16@hard"]
    assert chosen["blocks"] == ["hard"]
    assert chosen["blocks_are"] == "fixed"


@pytest.mark.slow
def test_a_study_with_blocks_from_run_to_report(ran: Path, ablate: Ablate) -> None:
    results = api.load("places")
    assert results.verdicts == {"lr=0.3": Verdict.UNDECIDED, "lr=9": Verdict.DIVERGED, "width=16": Verdict.BETTER}
    blocks = results.comparison.blocks
    assert blocks is not None
    assert (blocks.arms["lr=0.3"].better, blocks.arms["lr=0.3"].worse) == (("easy", "medium"), ("hard",))
    assert blocks.arms["lr=9"].diverged == ("hard",)

    paths = ResultsPaths(ran / "results").study("places")
    assert list(results.trials.columns[:4]) == ["study", "arm", "block", "seed"]
    again = api.compare(results.trials, metrics=["acc:max:0.01"])
    assert again.row("width=16").p == results.comparison.row("width=16").p
    table = rows_of(paths.blocks_csv)
    assert {row["block"] for row in table} == {"", "easy", "medium", "hard"}
    assert {row["verdict"] for row in table if row["arm"] == "lr=0.3"} == {"undecided", "better", "worse"}
    trials = rows_of(paths.trials_csv)
    assert len(trials) == 60
    assert {row["arm"] for row in trials} == {"baseline", "lr=0.3", "lr=9", "width=16"}

    tex = paths.blocks_tex.read_text()
    assert tex.index("easy & medium & hard & over all") < tex.index("lr=0.3 &") < tex.index("width=16 &")
    html = paths.report_html.read_text()
    assert "lr=0.3 depends on data: better in easy and medium, worse in hard" in html
    for link in re.findall(r'href="(blocks/[^"]+)"', html):
        assert (paths.folder / link).is_file()
    assert len(re.findall(r'href="blocks/', html)) == 3
    assert "| lr=0.3 | " in paths.report_md.read_text()
    ReportShape.model_validate_json(paths.report_json.read_text())
    assert "blocks.svg" in {path.name for path in paths.figures.iterdir()}

    own = json.loads((paths.within("easy").report_json).read_text())["comparison"]
    assert own["study_alpha"] == pytest.approx(0.05 / 3)
    inner = json.loads(paths.report_json.read_text())["comparison"]["blocks"]["comparisons"]["easy"]
    assert [row["p_holm"] for row in inner["rows"]] == [row["p_holm"] for row in own["rows"]]


@pytest.mark.slow
@pytest.mark.usefixtures("ran")
def test_a_run_with_blocks_goes_on_and_grows(ablate: Ablate) -> None:
    again = ablate("run", "places.yaml", *RUN, "--json")
    assert events(again, "start") == []
    Path("places.yaml").write_text(STUDY.replace("[easy, medium, hard]", "[easy, hard, medium]"))
    more = ablate("run", "places.yaml", *RUN, "--arms", "width=16", "--add-seeds", "1", "--json")
    assert {(one["arm"], one["seed"]) for one in events(more, "finish")} == {
        (f"{arm}@{block}", 5) for arm in ("baseline", "width=16") for block in ("easy", "medium", "hard")
    }
    assert ablate("audit", "places").code == 0
    shown = ablate("show", "lr=0.3@hard")
    assert "-0.0" in shown.out.splitlines()[-1]
    assert ablate("status", "places").code == 0


@pytest.mark.slow
@pytest.mark.usefixtures("ran")
def test_an_arm_that_is_worse_in_one_block_closes_the_gate(ablate: Ablate) -> None:
    assert ablate("report", "places", "--no-figures", "--fail-on", "worse").code == ExitCode.GATE


@pytest.mark.slow
def test_a_table_of_trials_says_what_the_study_says(ran: Path, ablate: Ablate) -> None:
    table = ran / "results" / "places" / "trials.csv"
    said = ablate("report", "--csv", table, "--name", "again", "--metric", "acc:max:0.01", "--no-figures", "--json")
    assert said.code == 0, said.err
    first = api.load("places").comparison
    found = {row["arm"]: row for row in events(said, "comparison") if row["metric"] == "acc"}
    for arm in first.arms:
        assert found[arm]["verdict"] == first.row(arm).verdict
        assert found[arm]["p"] == pytest.approx(first.row(arm).p)
        assert found[arm]["note"] == first.row(arm).note.replace("depends on data", "depends on block")
    assert (ran / "results" / "again" / "blocks" / "hard" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("ran")
def test_the_best_arm_is_confirmed_in_every_block(ablate: Ablate) -> None:
    said = ablate("run", "places.yaml", *RUN, "--confirm", "--seeds", "3", "--json")
    arms = {one["arm"] for one in events(said, "finish")}
    assert arms == {f"{arm}@{block}" for arm in ("baseline", "width=16") for block in ("easy", "medium", "hard")}
    assert api.load("places-confirm").verdicts == {"width=16": Verdict.BETTER}


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_looks_stop_an_arm_in_all_blocks_together(ablate: Ablate) -> None:
    Path("places.yaml").write_text(STUDY.replace("seeds: 5", "seeds: {looks: [5, 8]}").replace(", 9]", "]"))
    ablate("run", "places.yaml", *RUN, "--until", "decided")
    trials = api.load("places").trials
    counts = trials.groupby("arm")["seed"].nunique()
    # Blocks that contradict each other are no reason for more seeds.
    assert dict(counts) == {"baseline": 5, "lr=0.3": 5, "width=16": 5}
    blocks = api.load("places").comparison.blocks
    assert blocks is not None
    assert blocks.arms["lr=0.3"].opposite


CSV = "arm,task,seed,acc,lr\n" + "".join(
    f"{arm},{task},{seed},{level + gain + ((7 * seed + at) % 5) / 1000:.4f},{1 + (arm == 'new')}\n"
    for at, (task, level) in enumerate([("p", 0.5), ("q", 0.6), ("r", 0.7), ("s", 0.8), ("t", 0.9)])
    for arm, gain in (("old", 0.0), ("new", 0.01 + 0.002 * at), ("same", 0.0005 * at))
    for seed in range(3)
)


@pytest.mark.usefixtures("folder")
def test_a_column_task_makes_blocks_of_a_table(ablate: Ablate) -> None:
    Path("runs.csv").write_text(CSV)
    options = ("--baseline", "old", "--metric", "acc:max:0.005", "--no-figures")
    said = ablate("report", "--csv", "runs.csv", *options, "--blocks-are", "random")
    assert said.code == 0, said.err
    assert "over 5 blocks" in said.out
    page = Path("results/runs/report.md").read_text()
    assert "Mean ranks over 5 blocks" in page
    assert "n counts blocks" in page
    assert "more seed" not in page
    assert "runs.csv --baseline old" in Path("results/runs/report.html").read_text()


@pytest.mark.usefixtures("folder")
def test_tables_with_blocks_that_cannot_be_read_one_way_are_refused(ablate: Ablate) -> None:
    options = ("--baseline", "old", "--metric", "acc:max", "--no-figures")
    for text, more, message in (
        (CSV.replace("old,q", "odd,q"), (), "has no arm 'old' in task 'q'"),
        (CSV.replace("new,q,0", "new,,0"), (), "no task"),
        (CSV.replace(",q,", ",q@1,"), (), "has a '@'"),
        (CSV, ("--blocks", "lr"), "no arm has two values of 'lr'"),
        (CSV, ("--blocks", "tasks"), "no column 'tasks'"),
        (CSV, ("--blocks-are", "random", "--test", "welch"), "needs fixed blocks"),
    ):
        Path("runs.csv").write_text(text)
        said = ablate("report", "--csv", "runs.csv", *options, *more)
        assert said.code == ExitCode.USAGE
        assert message in said.err


@pytest.mark.slow
def test_a_study_with_blocks_travels_whole(ran: Path, ablate: Ablate, tmp_path: Path) -> None:
    ablate("archive", "places", "all.zip")
    for path in (ran / "results").glob("*"):
        path.rename(tmp_path / f"away-{path.name}")
    assert ablate("import", "all.zip").code == 0
    assert ablate("audit", "places").code == 0
    assert (ran / "results" / "places" / "trials" / "width=16@hard-s4" / "outcome.json").is_file()
    assert api.load("places").verdicts["width=16"] is Verdict.BETTER

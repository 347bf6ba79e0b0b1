"""`status`, `show`, `export` and `sql` read what is stored, and never write."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.errors import ExitCode
from tests.sentences import SENTENCES

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

READING = [
    ("status",),
    ("status", "steps"),
    ("status", "--json"),
    ("show", "lr=0.2"),
    ("show", "0"),
    ("export",),
    ("sql", "select * from ablate_trials"),
]


@pytest.mark.usefixtures("half_done")
def test_status_counts_the_seeds_that_the_last_run_was_asked_for(ablate: Ablate) -> None:
    """Not only those that are declared: a run with --seeds 5 that was stopped is not nearly done."""
    with closing(sqlite3.connect("results/ablate.db")) as database, database:
        command = json.dumps("ablate run steps.yaml --seeds 5 --arms 'lr=0.2'")
        key = (1, "ablate.command", command)
        database.execute("insert into study_user_attributes (study_id, key, value_json) values (?, ?, ?)", key)
    lines = ablate("status", "steps").out.splitlines()
    assert lines[0] == "steps: 5 of 16 trials done, 1 running, 1 failed, 1 diverged"
    seeds = [re.search(r"\d/\d", line) for line in lines[3:7]]
    assert [found and found.group() for found in seeds] == ["2/5", "2/5", "0/3", "1/3"]


@pytest.mark.usefixtures("half_done")
def test_status_of_one_study(ablate: Ablate) -> None:
    said = ablate("status", "steps.yaml")
    assert (
        said.out
        == """\
steps: 5 of 12 trials done, 1 running, 1 failed, 1 diverged
  Does the step size matter?
  arm           seeds  score (dB)   diff
  baseline        2/3       20.50
  lr=0.2          2/3       21.00  +0.50
  lr=0.5          0/3                     1 running, 1 failed
  far too fast    1/3                     diverged 1 of 1
  failed: lr=0.5 s0: ValueError: no luck
    log: results/steps/trials/lr=0.5-s0/log.txt
no run is alive: what it had running was interrupted
next:  ablate run steps.yaml
"""
    )
    assert (said.code, said.err) == (0, "")


@pytest.mark.usefixtures("half_done")
def test_status_of_several_studies_has_one_line_for_each(ablate: Ablate) -> None:
    assert ablate("run", "steps.yaml", "--name", "second", "--seeds", "1", "--slots", "1", "--quiet").code == 0
    said = ablate("status")
    assert (
        said.out
        == """\
study   done  running  failed  diverged  arms  primary
steps   5/12        1       1         1     4  score
second   4/4                          1     4  score
"""
    )
    assert (said.code, said.err) == (0, "")


@pytest.mark.usefixtures("half_done")
def test_status_as_json(ablate: Ablate) -> None:
    (found,) = [json.loads(line) for line in ablate("status", "--json").out.splitlines()]
    assert (found["study"], found["planned"], found["done"], found["failed"]) == ("steps", 12, 5, 1)
    assert found["arms"][1]["diff"] == pytest.approx(0.5)


@pytest.mark.usefixtures("half_done")
def test_show_an_arm(ablate: Ablate) -> None:
    said = ablate("show", "lr=0.2")
    assert (
        said.out
        == """\
lr=0.2   study steps, core toycore:Toy
  setting  arm  baseline
  lr       0.2  0.1

  seed  trial  outcome   score  seconds
    s0     #1  measured  20.50      2.0
    s1     #3  measured  21.50      2.0
  files: results/steps/trials/lr=0.2-s0
  files: results/steps/trials/lr=0.2-s1
  score: +0.50 against the baseline, mean over the seeds both have
"""
    )


@pytest.mark.usefixtures("half_done")
def test_show_a_failed_trial_by_arm_and_seed(ablate: Ablate) -> None:
    said = ablate("show", "lr=0.5 s0", "--lines", "2")
    lines = said.out.splitlines()
    assert lines[0] == "#5  lr=0.5 s0   failed   study steps"
    assert "  error: ValueError: no luck" in lines
    assert lines[-2:] == ["  | line 28", "  | line 29"]


@pytest.mark.usefixtures("half_done")
def test_show_a_trial_as_json(ablate: Ablate) -> None:
    found = json.loads(ablate("show", "0", "--json").out)
    assert (found["event"], found["arm"], found["seed"], found["metrics"]["score"]) == ("trial", "baseline", 0, 20.0)


@pytest.mark.usefixtures("half_done")
def test_show_suggests_the_nearest_arm(ablate: Ablate) -> None:
    said = ablate("show", "lr=0.3")
    assert said.code == ExitCode.USAGE
    assert said.err == "error: no arm or trial 'lr=0.3' in study 'steps'\n\nhint: did you mean 'lr=0.5'?\n"


@pytest.mark.usefixtures("half_done")
def test_export_as_csv(ablate: Ablate) -> None:
    rows = list(csv.DictReader(ablate("export", "steps").out.splitlines()))
    assert [(row["arm"], row["outcome"], row["metric.score"]) for row in rows[4:]] == [
        ("far too fast", "diverged", ""),
        ("lr=0.5", "failed", ""),
        ("lr=0.5", "running", ""),
    ]
    assert rows[1]["param.lr"] == "0.2"


@pytest.mark.usefixtures("half_done")
def test_export_as_json_lines(ablate: Ablate) -> None:
    rows = [json.loads(line) for line in ablate("export", "steps", "--format", "json").out.splitlines()]
    assert len(rows) == 7
    assert rows[0]["params"] == {"lr": 0.1}


@pytest.mark.usefixtures("half_done")
def test_sql_on_the_views(ablate: Ablate) -> None:
    said = ablate("sql", "select arm, count(*) as n from ablate_trials group by arm order by arm", "--json")
    assert [(row["arm"], row["n"]) for row in map(json.loads, said.out.splitlines())] == [
        ("baseline", 2),
        ("far too fast", 1),
        ("lr=0.2", 2),
        ("lr=0.5", 2),
    ]


@pytest.mark.usefixtures("half_done")
def test_sql_gives_up_a_query_that_does_not_end(ablate: Ablate) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select {} from n"
    said = ablate("sql", endless.format("count(*)"), "--timeout", "0.05")
    assert said.code == ExitCode.USAGE
    assert "took longer than 0.05 s" in said.err
    said = ablate("sql", endless.format("i"))
    assert said.code == ExitCode.USAGE
    assert "more than 1,000,000 rows" in said.err
    assert ablate("sql", "select randomblob(500000000)").code == ExitCode.USAGE


@pytest.mark.usefixtures("half_done")
def test_sql_without_a_query_names_the_columns(ablate: Ablate) -> None:
    said = ablate("sql")
    assert "ablate_trials  arm" in said.out


@pytest.mark.usefixtures("half_done")
@pytest.mark.parametrize(
    "query", ["drop table trials", "select nothing from nowhere", "select 1; select 2", "nonsense"]
)
def test_sql_refuses_what_it_cannot_answer(ablate: Ablate, query: str) -> None:
    said = ablate("sql", query)
    assert said.code == ExitCode.USAGE
    assert said.err.startswith("error: the database refuses the query: ")


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_leaves_the_database_as_it_is(ablate: Ablate, half_done: Path, command: tuple[str, ...]) -> None:
    def state() -> dict[str, str]:
        files = (path for path in (half_done / "results").rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = state()
    assert ablate(*command).code == 0
    assert state() == before


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("command", [*READING, ("report",), ("report", "steps")], ids=" ".join)
def test_without_results_there_is_one_clear_error(ablate: Ablate, project: Path, command: tuple[str, ...]) -> None:
    said = ablate(*command)
    assert (said.code, said.out) == (ExitCode.USAGE, "")
    assert said.err == "error: there is no storage results/ablate.db\n\nhint: start with: ablate run STUDY.yaml\n"
    assert not (project / "results").exists()


@pytest.mark.usefixtures("half_done")
@pytest.mark.parametrize("command", ["status", "report", "export"])
def test_an_unknown_study_names_the_nearest(ablate: Ablate, command: str) -> None:
    said = ablate(command, "stebs")
    assert said.code == ExitCode.USAGE
    assert said.err == "error: no study 'stebs' in results/ablate.db\n\nhint: did you mean 'steps'?\n"


@pytest.mark.parametrize("command", READING[:1] + READING[3:4], ids=" ".join)
def test_a_foreign_file_is_refused(ablate: Ablate, project: Path, command: tuple[str, ...]) -> None:
    (project / "results").mkdir()
    (project / "results" / "ablate.db").write_text("not a database", encoding="utf-8")
    said = ablate(*command)
    assert said.code == ExitCode.USAGE
    assert said.err.startswith("error: results/ablate.db is not a SQLite database")


@pytest.mark.parametrize("plan", ['{"name": "steps"}', "[]", "not JSON"])
def test_a_plan_of_another_version_is_one_clear_error(ablate: Ablate, half_done: Path, plan: str) -> None:
    with contextlib.closing(sqlite3.connect("results/ablate.db")) as connection, connection:
        connection.execute(
            "update study_system_attributes set value_json = ? where key = 'ablate.plan'", (json.dumps(plan),)
        )
    said = ablate("report", "steps")
    assert said.code == ExitCode.USAGE
    assert SENTENCES["plan another version one"] in said.err


@pytest.mark.usefixtures("half_done")
@pytest.mark.parametrize(
    ("url", "reason"), [("journal:///x.log", "a journal keeps no order"), ("grpc://host:1", "proxy")]
)
@pytest.mark.parametrize("command", [("status",), ("report", "steps"), ("run", "steps.yaml"), ("plan", "steps.yaml")])
def test_a_storage_that_cannot_be_used_is_refused_with_its_reason(
    ablate: Ablate, url: str, reason: str, command: tuple[str, ...]
) -> None:
    said = ablate(*command, "--storage", url)
    assert said.code == ExitCode.USAGE
    assert f"error: {url.partition(':')[0]}: " in said.err
    assert reason in said.err
    assert not Path("x.log").exists()

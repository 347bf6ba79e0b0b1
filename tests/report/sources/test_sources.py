"""Results of other tools, written by these tools themselves: arms, seeds, metrics, curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest

import ablate
from ablate.errors import AblateError
from ablate.report.data.foreign_results import results_of
from ablate.report.sources.choose import read_source
from ablate.report.sources.runs import ForeignRun, ForeignTable, Naming, flat, table_of

ACCURACY = {("0.1", 0): 0.8, ("0.1", 1): 0.81, ("0.1", 2): 0.79, ("0.2", 0): 0.9, ("0.2", 1): 0.92, ("0.2", 2): 0.89}
"""(lr, seed) -> what every tool is told."""


def rows_of(found: ForeignTable) -> dict[tuple[str, str], dict[str, str]]:
    """(arm, seed) -> column -> cell."""
    named = [dict(zip(found.table.header, cells, strict=True)) for _, cells in found.table.rows]
    return {(row["arm"], row["seed"]): row for row in named}


def check(source: str, *, column: str = "acc", naming: Naming | None = None) -> ForeignTable:
    """Read `source`; it holds what `ACCURACY` says."""
    found = read_source(source, naming or Naming())
    rows = rows_of(found)
    assert {(arm, int(seed)): float(row[column]) for (arm, seed), row in rows.items()} == {
        (f"lr={lr}", seed): value for (lr, seed), value in ACCURACY.items()
    }
    return found


@pytest.fixture
def quiet_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow without its usage reports, which would look for a network."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "true")


def _log_to_mlflow(uri: str) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("sweep")
    for (lr, seed), value in ACCURACY.items():
        run = client.create_run(experiment, run_name=f"lr{lr}-{seed}").info.run_id
        points = [Metric("acc", value - 0.1 * (2 - step), 0, step) for step in (0, 1, 2)]
        client.log_batch(run, metrics=points, params=[Param("lr", lr), Param("seed", str(seed)), Param("width", "8")])
        client.set_terminated(run)
    client.create_run(experiment, run_name="still running")


@pytest.mark.usefixtures("quiet_mlflow")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_mlflow_experiment(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    _log_to_mlflow(uri)
    found = check(f"mlflow:{uri}#sweep")
    assert [step for step, _ in found.curves["lr=0.1", 1]["acc"]] == [0, 1, 2]
    assert check(f"mlflow:{uri}").table.header == found.table.header, "the only experiment needs no name"
    with pytest.raises(AblateError, match="no experiment 'swep'") as caught:
        read_source(f"mlflow:{uri}#swep", Naming())
    assert "#sweep" in str(caught.value.hint)


def test_an_mlflow_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for uri in (f"sqlite:///{tmp_path}/no.db", f"{tmp_path}/mlruns", f"file://{tmp_path}/mlruns"):
        with pytest.raises(AblateError, match="there is no MLflow"):
            read_source(f"mlflow:{uri}", Naming())
    assert list(tmp_path.iterdir()) == []


def test_folders_of_tensorboard(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for (lr, seed), value in ACCURACY.items():
        with SummaryWriter(str(tmp_path / f"lr={lr}" / f"seed{seed}")) as writer:
            for step in range(4):
                writer.add_scalar("acc", value * step / 3, step)
    naming = Naming(pattern=r"(?P<arm>lr=[\d.]+)/seed(?P<seed>\d+)")
    found = read_source(f"tensorboard:{tmp_path}", naming)
    rows = rows_of(found)
    assert float(rows["lr=0.2", "1"]["acc"]) == pytest.approx(0.92, abs=1e-6), "event files hold float32"
    assert len(found.curves["lr=0.2", 2]["acc"]) == 4
    with pytest.raises(AblateError, match="does not fit the run"):
        read_source(f"tensorboard:{tmp_path}", Naming(pattern=r"(?P<arm>x)"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(AblateError, match="no event files"):
        read_source(f"tensorboard:{tmp_path / 'empty'}", Naming())


def test_a_table_that_weights_and_biases_exports(tmp_path: Path) -> None:
    lines = ['"Name","State","Notes","Created","Runtime","lr","seed","acc","step_size_note"']
    lines += [
        f'"run-{at}","finished","","2026-01-01T00:00:00.000Z","12","{lr}","{seed}","{value}","x"'
        for at, ((lr, seed), value) in enumerate(ACCURACY.items())
    ]
    path = tmp_path / "export.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    rows = rows_of(check(f"wandb:{path}"))
    assert rows["lr=0.1", "0"]["seconds"] == "12.0"
    more = ['"bad","crashed","","","3","0.2","3","",""', '"nan","finished","","","3","0.2","4","NaN",""']
    path.write_text("\n".join([*lines, *more, '"now","running","","","3","0.2","5","",""']), encoding="utf-8")
    rows = rows_of(read_source(f"wandb:{path}", Naming()))
    assert [row["outcome"] for row in rows.values()][-2:] == ["lost", "diverged"]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_trials_of_an_optuna_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/theirs.db"
    study = optuna.create_study(storage=url, study_name="theirs", direction="maximize")
    study.set_metric_names(["acc"])
    for (lr, seed), value in ACCURACY.items():
        trial = study.ask(
            {"lr": optuna.distributions.CategoricalDistribution(["0.1", "0.2"])},
        )
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        made = optuna.trial.create_trial(
            params={"lr": lr},
            distributions={"lr": optuna.distributions.CategoricalDistribution(["0.1", "0.2"])},
            value=value,
            user_attrs={"seed": seed},
            intermediate_values={0: value / 2, 1: value},
        )
        study.add_trial(made)
    before = Path(f"{tmp_path}/theirs.db").read_bytes()
    found = read_source(f"optuna:{url}", Naming())
    measured = [cells for _, cells in found.table.rows if cells[2] == "measured"]
    assert {(cells[0], int(cells[1])): float(cells[-1]) for cells in measured} == {
        (f"lr={lr}", seed): value for (lr, seed), value in ACCURACY.items()
    }
    assert found.curves["lr=0.2", 2]["acc"] == ((0, 0.445), (1, 0.89))
    assert Path(f"{tmp_path}/theirs.db").read_bytes() == before
    with pytest.raises(AblateError, match="there is no database"):
        read_source(f"optuna:sqlite:///{tmp_path}/other.db", Naming())
    with pytest.raises(AblateError, match="no study 'their'"):
        read_source(f"optuna:{url}#their", Naming())


def _hydra_job(folder: Path, config: str, metrics: object | None) -> None:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(config, encoding="utf-8")
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def test_the_jobs_of_a_hydra_multirun(tmp_path: Path) -> None:
    for at, ((lr, seed), value) in enumerate(ACCURACY.items()):
        config = f"optim:\n  lr: {lr}\n  betas: [0.9, 0.99]\ntrainer:\n  seed: {seed}\n"
        _hydra_job(tmp_path / str(at), config, {"acc": value, "name": "x"})
    found = read_source(f"hydra:{tmp_path}", Naming())
    assert set(rows_of(found)) == {(f"optim.lr={lr}", str(seed)) for lr, seed in ACCURACY}
    _hydra_job(tmp_path / "7", "optim:\n  lr: 0.2\n  betas: [0.9, 0.99]\ntrainer:\n  seed: 9\n", None)
    assert rows_of(read_source(f"hydra:{tmp_path}", Naming()))["optim.lr=0.2", "9"]["outcome"] == "failed"


def test_jobs_without_the_metrics_file_are_said_with_the_files_that_they_have(tmp_path: Path) -> None:
    for at in range(3):
        _hydra_job(tmp_path / "multi run" / str(at), f"lr: {at}\n", None)
        (tmp_path / "multi run" / str(at) / "train.log").write_text("", encoding="utf-8")
    where = tmp_path / "multi run"
    with pytest.raises(AblateError, match=r"no job below .*multi run has metrics\.json \(3 jobs\)") as caught:
        read_source(f"hydra:{where}", Naming())
    assert (
        caught.value.hint == "the jobs hold train.log; metrics are read from a file .json or .jsonl, which #FILE names"
    )
    (where / "1" / "args.json").write_text("{}", encoding="utf-8")
    for at in range(3):
        (where / str(at) / "logs").mkdir()
        (where / str(at) / "logs" / "all.jsonl").write_text(f'{{"acc": {at}}}\n', encoding="utf-8")
    with pytest.raises(AblateError, match=r"has other\.json") as caught:
        read_source(f"hydra:{where}#other.json", Naming())
    hint = f"the jobs hold logs/all.jsonl, args.json, train.log; name one behind #: 'hydra:{where}#logs/all.jsonl'"
    assert caught.value.hint == hint
    assert len(read_source(f"hydra:{where}#logs/all.jsonl", Naming()).table.rows) == 3


def test_jobs_that_wrote_nothing_are_said(tmp_path: Path) -> None:
    _hydra_job(tmp_path / "0", "lr: 1\n", None)
    with pytest.raises(AblateError, match=r"\(1 job\)") as caught:
        read_source(f"hydra:{tmp_path}", Naming())
    assert "the jobs hold no files" in str(caught.value.hint)


def test_runs_without_any_metric_are_said(tmp_path: Path) -> None:
    for at in range(2):
        _hydra_job(tmp_path / str(at), f"lr: {at}\n", {"test": {"acc": 1.0}})
    with pytest.raises(AblateError, match=r"no run in hydra:.* has a metric \(2 runs\)") as caught:
        read_source(f"hydra:{tmp_path}", Naming())
    assert caught.value.hint == "a metric is a number; nested values are not read"


def test_a_report_is_written_from_another_tools_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for at, ((lr, seed), value) in enumerate(ACCURACY.items()):
        _hydra_job(tmp_path / "multirun" / str(at), f"lr: {lr}\nseed: {seed}\n", {"acc": value})
    written = ablate.report(source="hydra:multirun", baseline="lr=0.1", metrics=["acc:max:0.01"], figures=False)
    assert written.comparison.row("lr=0.2").verdict is ablate.Verdict.BETTER
    assert written.folder == Path("results/hydra-multirun")


def test_runs_without_a_seed_are_numbered_and_that_is_said() -> None:
    runs = [ForeignRun(f"r{at}", {"lr": str(at % 2)}, {"acc": float(at)}) for at in range(4)]
    found = table_of(runs, "hydra:x", Naming())
    assert sorted(rows_of(found)) == [("lr=0", "0"), ("lr=0", "1"), ("lr=1", "0"), ("lr=1", "1")]
    assert "--test welch" in found.remarks[0]


def test_curves_of_different_length_are_said() -> None:
    curves: Sequence[tuple[tuple[int, float], ...]] = (((0, 1.0), (1, 2.0)), ((0, 1.0), (1, 2.0), (2, 3.0)))
    runs = [
        ForeignRun(f"r{at}", {"lr": str(at), "seed": "0"}, {"a": 1.0}, {"a": curve}) for at, curve in enumerate(curves)
    ]
    assert "2 to 3 points" in table_of(runs, "hydra:x", Naming()).remarks[0]


@pytest.mark.parametrize(
    ("source", "naming", "words"),
    [
        ("mlfow:x", Naming(), "did you mean mlflow"),
        ("runs.csv", Naming(), "unknown source"),
        ("hydra:", Naming(), "names no place"),
        ("hydra:nowhere", Naming(), "no folder"),
    ],
)
def test_what_cannot_be_a_source_is_refused(source: str, naming: Naming, words: str) -> None:
    with pytest.raises(AblateError) as caught:
        read_source(source, naming)
    assert words in str(caught.value)


def test_what_cannot_name_an_arm_is_refused() -> None:
    runs = [ForeignRun("a", {"lr": "1"}, {"acc": 1.0})]
    for naming, words in (
        (Naming(pattern="("), "no regular expression"),
        (Naming(pattern="x"), "names neither arm nor seed"),
        (Naming(seed_key="sed"), "no run has a parameter 'sed'"),
    ):
        with pytest.raises(AblateError, match=words):
            table_of(runs, "hydra:x", naming)
    with pytest.raises(AblateError, match="no finished run"):
        table_of([], "hydra:x", Naming())


def test_nested_settings_become_dotted_names() -> None:
    assert flat({"a": {"b": 1, "c": [1, 2]}, "d": None}) == {"a.b": "1", "a.c": "[1, 2]", "d": "null"}


def test_runs_on_several_data_sets_are_blocks() -> None:
    runs = [
        ForeignRun(f"{lr}-{data}-{seed}", {"lr": lr, "dataset": data, "seed": str(seed)}, {"acc": value})
        for data, level in (("p", 0.5), ("q", 0.7))
        for lr, gain in (("0.1", 0.0), ("0.2", 0.1))
        for seed, noise in enumerate((0.0, 0.01, 0.003))
        for value in [level + gain + (noise if lr == "0.2" else 0.0)]
    ]
    found = table_of(runs, "toy:runs", Naming())
    rows = [dict(zip(found.table.header, cells, strict=True)) for _, cells in found.table.rows]
    assert {(row["arm"], row["dataset"]) for row in rows} == {
        (arm, data) for arm in ("lr=0.1", "lr=0.2") for data in ("p", "q")
    }
    study, read = results_of(found.table, baseline="lr=0.1", curves=found.curves)
    assert study.blocks is not None
    assert study.blocks.names == ("p", "q")
    assert len(read) == 12
    assert study.over_blocks().arms[1].levels == {"lr": 0.2}


def test_unseeded_runs_are_numbered_within_their_arm_and_data_set() -> None:
    runs = [
        ForeignRun("run", {"lr": lr, "task": task}, {"acc": 0.5}, curves={"acc": [(1, at + 0.1)]})
        for lr in ("0.1", "0.2")
        for task in ("p", "q")
        for at in range(2)
    ]
    found = table_of(runs, "toy:runs", Naming())
    assert [cells[1] for _, cells in found.table.rows] == ["0", "1"] * 4
    assert ("lr=0.2@q", 1) in found.curves


def test_data_set_in_which_no_arm_is_repeated_names_the_arms() -> None:
    runs = [ForeignRun("run", {"dataset": data, "seed": str(seed)}, {"acc": 0.5}) for data in "pq" for seed in range(2)]
    found = table_of(runs, "toy:runs", Naming())
    assert {cells[0] for _, cells in found.table.rows} == {"dataset=p", "dataset=q"}

"""One trial of a command: what the script is given, what counts as its result, and what every kind of end means."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ablate.core.command import trial as trial_module
from ablate.core.command.core import CommandCore
from ablate.core.command.spec.sources import Source
from ablate.core.command.spec.specification import CommandSpec, Curve, Progress, Signs
from ablate.errors import AblateError, StoppedError
from ablate.outcome import OutcomeKind
from tests.core.command.trial_bench import Bench, metrics

ARGUMENTS = """
import json, os, sys
print(json.dumps([sys.argv[1:], {k: v for k, v in os.environ.items() if k.startswith(("ABLATE_", "MY_"))}]))
print("score 1")
"""


def test_the_script_gets_its_factors_its_seed_and_its_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_OLD", "x")
    words = [
        *bench.script(ARGUMENTS),
        "--lr={lr}",
        "--name",
        "{name}",
        "{seed}/{index}",
        "{arm}",
        "{study}",
        "{folder}",
    ]
    env = {"MY_RATE": "{lr}", "MY_OLD": None, "MY_NAME": "a {name}", "MY_NONE": "{none}"}
    settings = {"lr": 0.5, "name": "it's $HOME"}
    factors = {"lr": 0.1, "name": "x", "none": None}
    outcome = bench.run(words, seed=7, settings=settings, factors=factors, env=env)
    assert outcome.kind is OutcomeKind.MEASURED
    arguments, variables = json.loads(bench.log.splitlines()[1])
    assert arguments == ["--lr=0.5", "--name", "it's $HOME", "7/7", "baseline", "toy", str(bench.files)]
    assert variables == {
        "ABLATE_STUDY": "toy",
        "ABLATE_ARM": "baseline",
        "ABLATE_SEED": "7",
        "ABLATE_FOLDER": str(bench.files),
        "MY_RATE": "0.5",
        "MY_NAME": "a it's $HOME",
    }
    assert bench.files.is_dir()
    assert "--lr=0.5" in outcome.environment["command"]
    assert float(outcome.environment["peak_memory_mb"]) > 0


def test_metrics_come_from_files_and_output(bench: Bench) -> None:
    words = bench.script("""
        import json, os, sys
        folder = sys.argv[1]
        json.dump({"test": {"acc": 0.5}}, open(f"{folder}/m.json", "w"))
        open(f"{folder}/log.csv", "w").write("epoch,loss\\n0,3\\n1,2\\n")
        print("time 3.5", file=sys.stderr)
    """)
    found = metrics(acc="json:{folder}/m.json#test/acc", loss="csv:{folder}/log.csv", seconds="stdout:time ([0-9.]+)")
    outcome = bench.run([*words, "{folder}"], metrics=found, primary="acc")
    assert outcome.metrics == {"acc": 0.5, "loss": 2.0, "seconds": 3.5}
    assert outcome.seconds > 0
    assert outcome.notes == ()


def test_a_metric_that_is_not_found_is_a_failure_that_says_where_it_was_looked_for(bench: Bench) -> None:
    words = bench.script("import sys; open(sys.argv[1] + '/m.json', 'w').write('{\"accuracy\": 1}'); print('done')")
    found = metrics(acc="json:{folder}/m.json#acc", loss="stdout:loss (.*)")
    outcome = bench.run([*words, "{folder}"], metrics=found, primary="acc")
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.error is not None
    for word in ("metric acc not found", str(bench.files / "m.json"), "it has accuracy", "(and 1 more)"):
        assert word in outcome.error
    assert outcome.traceback is not None
    assert "no line of the output matches 'loss (.*)'" in outcome.traceback


def test_a_match_that_is_no_number_is_said(bench: Bench) -> None:
    outcome = bench.run(bench.script("print('score: good')"), metrics=metrics(score="stdout:score: (.*)"))
    assert outcome.error is not None
    assert "'good' is not a number" in outcome.error


@pytest.mark.parametrize(
    ("code", "ends", "kind", "error"),
    [
        ("import sys; print('hello'); sys.exit(3)", {}, "failed", "exit code 3: hello"),
        ("import sys; sys.exit(3)", {}, "failed", "exit code 3, and it printed nothing"),
        ("raise ValueError('bad rate')", {}, "failed", "exit code 1: ValueError: bad rate"),
        ("print('ValueError: bad'); print('see help'); import sys; sys.exit(1)", {}, "failed", "1: ValueError: bad"),
        ("import os; os.kill(os.getpid(), 11)", {}, "failed", "killed by SIGSEGV"),
        ("import sys; sys.exit(3)", {"diverged": Signs((3, 4))}, "diverged", "exit code 3"),
        ("print('loss is nan')", {"diverged": Signs((), ("loss is nan",))}, "diverged", "loss is nan"),
        ("print('no data'); print('score 1')", {"failed": Signs((), ("^no data",))}, "failed", "no data"),
        ("raise RuntimeError('CUDA out of memory. Tried to')", {}, "out_of_memory", "CUDA out of memory"),
        ("raise OSError('CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED')", {}, "out_of_memory", "ALLOCATION"),
        ("raise MemoryError", {}, "out_of_memory", "MemoryError"),
        ("import sys; sys.exit(9)", {"out_of_memory": Signs((9,))}, "out_of_memory", "exit code 9"),
        ("print('CUDA out of memory, smaller batch'); print('score 1')", {}, "measured", None),
        ("print('score nan')", {}, "diverged", "score is nan"),
        ("print('score -inf')", {}, "diverged", "score is -inf"),
    ],
)
def test_how_a_command_ends_decides_its_outcome(
    bench: Bench, code: str, ends: dict[str, Signs], kind: str, error: str | None
) -> None:
    outcome = bench.run(bench.script(code), ends=ends)
    assert outcome.kind.value == kind
    assert (error or "") in (outcome.error or "")
    assert (outcome.error is None) == (error is None)


def test_the_last_lines_are_kept_with_a_failure(bench: Bench) -> None:
    outcome = bench.run(bench.script("for n in range(100): print('line', n)\nraise ValueError('bad')"))
    assert outcome.traceback is not None
    lines = outcome.traceback.splitlines()
    assert lines[-1] == "ValueError: bad"
    assert "line 99" in lines
    assert "line 1" not in lines


def test_a_metric_beside_the_primary_that_is_not_finite_is_left_out_and_named(bench: Bench) -> None:
    words = bench.script("print('score 1'); print('loss inf')")
    outcome = bench.run(words, metrics=metrics(score="stdout:score (.*)", loss="stdout:loss (.*)"))
    assert outcome.metrics == {"score": 1.0}
    assert outcome.notes == ("loss is inf: left out",)


def test_a_command_that_is_not_there_is_said(bench: Bench) -> None:
    outcome = bench.run(["no-such-program", "{seed}"])
    assert outcome.kind is OutcomeKind.FAILED
    assert "no-such-program" in (outcome.error or "")


# ---------------------------------------------------------------------- stopping and going on

SLOW = """
import os, signal, sys, time
folder = sys.argv[1]
print("resumed" if "--resume" in sys.argv else "fresh", flush=True)
if "--resume" in sys.argv:
    assert open(sys.argv[sys.argv.index("--resume") + 1]).read() == "half"
    print("score 2")
    sys.exit(0)
def save(*_):
    open(folder + "/last.ckpt", "w").write("half")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
open(folder + "/ready", "w").close()
signal.pause()
"""


def test_a_command_that_is_stopped_saves_and_the_next_attempt_goes_on_from_there(bench: Bench) -> None:
    words = [*bench.script(SLOW), "{folder}"]
    spec: dict[str, Any] = {"resume": ("--resume", "{folder}/last.ckpt"), "resume_file": "{folder}/last.ckpt"}
    bench.context.stop_when = lambda: (bench.files / "ready").exists()
    with pytest.raises(StoppedError):
        bench.run(words, **spec)
    bench.context.stop_when = None
    spent = json.loads((bench.place / "attempts.json").read_text(encoding="utf-8"))["spent_s"]
    outcome = bench.run(words, **spec)
    assert outcome.metrics == {"score": 2.0}
    assert outcome.seconds > spent > 0
    assert [line for line in bench.log.splitlines() if line in ("fresh", "resumed")] == ["fresh", "resumed"]


def test_a_command_that_does_not_stop_is_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "TERM_S", 0.01)
    words = bench.script("""
        import signal, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(sys.argv[1] + "/ready", "w").close()
        signal.pause()
    """)
    bench.context.stop_when = lambda: (bench.files / "ready").exists()
    with pytest.raises(StoppedError):
        bench.run([*words, "{folder}"])
    assert "ended: killed by SIGKILL" in bench.log


def test_a_file_from_an_earlier_attempt_is_not_taken_for_a_result(bench: Bench) -> None:
    first = bench.script("import sys; open(sys.argv[1] + '/m.json', 'w').write('{\"acc\": 1}'); sys.exit(1)")
    spec: dict[str, Any] = {"metrics": metrics(acc="json:{folder}/m.json"), "primary": "acc"}
    assert bench.run([*first, "{folder}"], **spec).kind is OutcomeKind.FAILED
    second = bench.script("print('this writes nothing')")
    outcome = bench.run([*second, "{folder}"], **spec)
    assert outcome.kind is OutcomeKind.FAILED
    assert "is from before this run of the command" in (outcome.error or "")
    # A command that went on from a checkpoint may find that everything was there already.
    (bench.files / "last.ckpt").touch()
    resume: dict[str, Any] = {"resume": ("--from={folder}/last.ckpt",), "resume_file": "{folder}/last.ckpt"}
    assert bench.run([*second, "{folder}"], **spec, **resume).metrics == {"acc": 1.0}


def test_a_command_that_had_ended_well_is_read_again_and_not_run_again(bench: Bench) -> None:
    words = bench.script("""
        import sys
        open(sys.argv[1] + "/runs", "a").write("x")
        open(sys.argv[1] + "/m.json", "w").write('{"accuracy": 0.5}')
        print("loss 3")
    """)
    words.append("{folder}")
    wrong = metrics(acc="json:{folder}/m.json#acc", loss="stdout:loss (.*)")
    right = metrics(acc="json:{folder}/m.json#accuracy", loss="stdout:loss (.*)")
    assert bench.run(words, metrics=wrong, primary="acc").kind is OutcomeKind.FAILED
    outcome = bench.run(words, metrics=right, primary="acc")
    assert outcome.metrics == {"acc": 0.5, "loss": 3.0}
    assert "not run again" in outcome.notes[0]
    assert (bench.files / "runs").read_text(encoding="utf-8") == "x"
    assert bench.run(words, metrics=wrong, primary="acc").kind is OutcomeKind.FAILED, "runs when something lacks"
    assert (bench.files / "runs").read_text(encoding="utf-8") == "xx"
    with (bench.home / words[1]).open("a", encoding="utf-8") as handle:
        handle.write("# another script\n")
    assert bench.run(words, metrics=right, primary="acc").notes == ()
    assert (bench.files / "runs").read_text(encoding="utf-8") == "xxx"


# ---------------------------------------------------------------------- while it runs

CURVE = """
import json, sys
folder = sys.argv[1]
with open(folder + "/log.csv", "w") as log:
    print("epoch,train,val_acc", file=log)
    for epoch in range(4):
        print(f"{epoch},{epoch / 10},", file=log)
        print(f"{epoch},,{epoch / 4}", file=log)
    print("4.5,9,9", file=log)
print("score 1")
"""


def test_a_learning_curve_is_read_with_rows_of_one_x_put_together(bench: Bench) -> None:
    curve = Curve(Source.parse("csv:{folder}/log.csv"), "epoch", {"acc": "val_acc", "train": "train"})
    outcome = bench.run([*bench.script(CURVE), "{folder}"], curves=(curve,))
    assert bench.context.points == {n: {"acc": n / 4, "train": n / 10} for n in range(4)}
    assert "epoch is 4.5 in some rows" in outcome.notes[0]


def test_a_curve_that_is_not_there_is_noted_and_costs_no_result(bench: Bench) -> None:
    curve = Curve(Source.parse("jsonl:{folder}/log.jsonl"), "step", {"acc": "acc"})
    events = Curve(Source.parse("tensorboard:{folder}"), "step", {"acc": "acc"})
    outcome = bench.run(bench.script("print('score 1')"), curves=(curve, events))
    assert outcome.kind is OutcomeKind.MEASURED
    assert len(outcome.notes) == 2
    assert all("no learning curve from" in note for note in outcome.notes)


def test_progress_comes_from_matching_lines(bench: Bench) -> None:
    words = bench.script("""
        import sys
        for step in range(3):
            print(f"epoch {step + 1}/3", flush=True)
            while not sys.stdin.closed and not open(sys.argv[1]).read().count("x") > step: pass
        print("score 1")
    """)
    gate = bench.home / "gate"
    gate.write_text("", encoding="utf-8")

    def told() -> bool:
        gate.write_text("x" * len({done for done, _ in bench.context.told if done}), encoding="utf-8")
        return False

    bench.context.stop_when = told
    bench.run([*words, str(gate)], progress=Progress(Source.parse("stdout:epoch (\\d+)/(\\d+)")))
    assert [one for one in bench.context.told if one[0]] == [(1, 3), (2, 3), (3, 3)]


def test_progress_comes_from_a_file_and_its_total_from_a_factor(bench: Bench) -> None:
    words = bench.script("""
        import sys
        folder = sys.argv[1]
        with open(folder + "/p.jsonl", "w") as log:
            print('{"at": {"step": 5}}', file=log, flush=True)
            while not open(sys.argv[2]).read(): pass
        print("score 1")
    """)
    gate = bench.home / "gate"
    gate.write_text("", encoding="utf-8")

    def told() -> bool:
        if (5, 20) in bench.context.told:
            gate.write_text("x", encoding="utf-8")
        return False

    bench.context.stop_when = told
    progress = Progress(Source.parse("jsonl:{folder}/p.jsonl"), done="at/step", total="{steps}")
    bench.run([*words, "{folder}", str(gate)], progress=progress, factors={"steps": 20})
    assert (5, 20) in bench.context.told


def test_output_is_a_sign_of_life_where_nothing_says_how_far_the_command_is(bench: Bench) -> None:
    words = bench.script("""
        import sys
        print("loading", flush=True)
        while not open(sys.argv[1]).read(): pass
        print("score 1")
    """)
    gate = bench.home / "gate"
    gate.write_text("", encoding="utf-8")

    def told() -> bool:
        if bench.context.told:
            gate.write_text("x", encoding="utf-8")
        return False

    bench.context.stop_when = told
    assert bench.run([*words, str(gate)]).kind is OutcomeKind.MEASURED
    assert set(bench.context.told) == {(0, 0)}


# ---------------------------------------------------------------------- the core


def core_of(home: Path, *words: str, **more: object) -> type[CommandCore]:
    spec = CommandSpec(words, {"script": "train.py"}, metrics(acc="stdout:x"), **more)  # type: ignore[arg-type]
    made = CommandCore.made_for(spec.to_dict(), home)
    assert issubclass(made, CommandCore)
    return made


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["no-such-program"], "no command 'no-such-program'", "PATH"),
        (["./trian.py"], "no command './trian.py'", "did you mean 'train.py'?"),
        (["train.py"], "no command 'train.py'", "did you mean './train.py'?"),
        (["./train.py"], "'./train.py' is not executable", "chmod +x"),
        (["sh", "tran.py"], "no script 'tran.py'", "did you mean 'train.py'?"),
        (["sh", "{script}"], None, None),
        (["sh", "-c", "gone.py"], None, None),
    ],
)
def test_a_command_that_cannot_be_started_is_refused_before_anything_starts(
    tmp_path: Path, words: list[str], message: str | None, hint: str | None
) -> None:
    (tmp_path / "train.py").touch()
    core = core_of(tmp_path, *words)
    if message is None:
        core.require(core.Settings())
        return
    with pytest.raises(AblateError, match=message) as caught:
        core.require(core.Settings())
    assert (hint or "") in (caught.value.hint or "")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    core = core_of(tmp_path, "sh", directory="gone")
    with pytest.raises(AblateError, match="no folder"):
        core.require(core.Settings())


def test_the_command_runs_in_the_folder_that_the_study_file_names(bench: Bench) -> None:
    (bench.home / "src").mkdir()
    bench.script("import os; print(os.getcwd()); print('score 1')", "src/run.py")
    bench.run(["python", "run.py"], directory="src")
    assert str(bench.home / "src") in bench.log


def test_a_specification_survives_as_json() -> None:
    spec = CommandSpec(
        words=("python", "train.py", "{lr}"),
        factors={"lr": 0.1, "layers": [1, 2], "name": None},
        metrics=metrics(acc="json:{folder}/m.json#a", loss="stdout:loss (.*)"),
        primary="acc",
        env={"A": "{lr}", "B": None},
        version="2",
        resume=("--resume", "{folder}/x"),
        resume_file="{folder}/x",
        progress=Progress(Source.parse("stdout:(.*)"), total="{lr}"),
        curves=(Curve(Source.parse("csv:log"), "epoch", {"acc": "a"}),),
        ends={"diverged": Signs((1,), ("nan",))},
        directory="src",
    )
    assert CommandSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_only_what_may_change_numbers_is_part_of_a_recipe(tmp_path: Path) -> None:
    def settings(*words: str, home: Path = tmp_path, **more: object) -> dict[str, object]:
        return dict(core_of(home, *words, **more).Settings().resolved())

    base = settings("python", "train.py", "{script}")
    assert base == {"script": "train.py", "command": "python train.py '{script}'"}
    same = {"directory": "src", "resume": ("--x",), "progress": Progress(Source.parse("stdout:x"))}
    assert settings("python", "train.py", "{script}", home=tmp_path / "elsewhere", **same) == base
    others = [
        settings("python", "train.py", "{script}", "-v"),
        settings("python", "train.py", "{script}", env={"A": "1"}),
        settings("python", "train.py", "{script}", env={"A": None}),
        settings("python", "train.py", "{script}", version="2"),
    ]
    assert len({json.dumps(one, sort_keys=True) for one in [base, *others]}) == 5
    for other in others:  # what is stored of one command is not taken for a setting of another
        core = core_of(tmp_path, "python", "train.py", "{script}")
        assert core.Settings.model_validate(other).resolved() == base


def test_a_worker_leaves_no_process_behind_when_its_core_is_gone(bench: Bench) -> None:
    bench.run(bench.script("import os; print('score', os.getppid())"))
    server = int(bench.log.split("score ")[1].split()[0])
    bench.close()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)

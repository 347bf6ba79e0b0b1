"""Whole runs of commands: killed at any place they leave nothing behind, and go on to the same numbers."""

from __future__ import annotations

import csv
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.sentences import SENTENCES

ROOT = Path(__file__).parents[3]
DEADLINE_S = 120.0
SCRIPT = """
import json, os, pathlib, signal, sys
seed, folder, gate = int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
saved = folder / "last.json"
step, value = json.loads(saved.read_text()) if "--resume" in sys.argv else (0, float(seed))
while step < 4:
    step, value = step + 1, value * 1.5 + 1
    (folder / "new.json").write_text(json.dumps([step, value]))
    os.replace(folder / "new.json", saved)
    print(f"step {step} of 4", flush=True)
    if step == 2 and seed == 0 and gate.exists():
        child = os.fork()  # a process of the command's own, as data loaders are
        if child:
            gate.write_text(f"{os.getpid()} {child}")  # waits until somebody reads
        signal.pause()
print("value", value)
"""
STUDY = """
command: python train.py {seed} {folder} {gate} {loud:-v}
factors: {gate: GATE, loud: false}
resume: {file: "{folder}/last.json", add: --resume}
progress: 'step (\\d+) of (\\d+)'
baseline: {}
vary: {loud: [true]}
seeds: 2
metrics: {value: {direction: max, margin: 0.1, from: 'stdout:value (.*)'}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study whose first trial waits at its second step, as long as the gate is there."""
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    gate = tmp_path / "gate"
    (tmp_path / "toy.yaml").write_text(STUDY.replace("GATE", str(gate)), encoding="utf-8")
    return tmp_path


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "ablate", *words],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run(folder: Path) -> tuple[int, str]:
    process = start(folder, "run", "toy.yaml", "--slots", "1", "--no-figures")
    said, _ = process.communicate(timeout=DEADLINE_S)
    return process.returncode, said.decode()


def make_warm(folder: Path) -> None:
    """Let the study start its script warm."""
    with (folder / "toy.yaml").open("a", encoding="utf-8") as handle:
        handle.write("warm: [json, pathlib]\n")


def values(folder: Path) -> dict[tuple[str, str], float]:
    with (folder / "results" / "toy" / "trials.csv").open(encoding="utf-8", newline="") as handle:
        return {(row["arm"], row["seed"]): float(row["value"]) for row in csv.DictReader(handle) if row["value"]}


def is_gone(pid: int) -> bool:
    """Wait until a process has ended; False when it is still there after the deadline."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], DEADLINE_S)[0])
    finally:
        os.close(descriptor)


def undisturbed(step: int, value: float) -> float:
    return value if step == 4 else undisturbed(step + 1, value * 1.5 + 1)


EXPECTED = {(arm, str(seed)): undisturbed(0, seed) for arm in ("baseline", "loud=true") for seed in (0, 1)}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "warm"])
@pytest.mark.parametrize("victim", ["the run", "the worker", "the command"])
def test_after_a_sigkill_nothing_is_left_and_the_trial_goes_on_to_the_same_numbers(
    folder: Path, victim: str, kind: str
) -> None:
    if kind == "warm":
        make_warm(folder)
    os.mkfifo(folder / "gate")
    process = start(folder, "run", "toy.yaml", "--slots", "1", "--no-figures")
    pids = [int(word) for word in (folder / "gate").read_text(encoding="ascii").split()]
    os.unlink(folder / "gate")
    server = parent_of(pids[0])
    worker = parent_of(server)
    os.kill({"the run": process.pid, "the worker": worker, "the command": pids[0]}[victim], signal.SIGKILL)
    assert [is_gone(pid) for pid in pids] == [True, True]
    said, _ = process.communicate(timeout=DEADLINE_S)
    if victim != "the worker":  # whose trials are tried again in the same run
        code, text = run(folder)
        assert code == 0, text
    else:
        assert process.returncode == 0, said.decode()
    assert values(folder) == EXPECTED
    log = (folder / "results" / "toy" / "trials" / "baseline-s0" / "log.txt").read_text(encoding="utf-8")
    assert [line for line in log.splitlines() if line.startswith("step")] == [f"step {n} of 4" for n in (1, 2, 3, 4)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "warm"])
def test_ctrl_c_stops_a_command_and_the_same_command_goes_on(folder: Path, kind: str) -> None:
    if kind == "warm":
        make_warm(folder)
    os.mkfifo(folder / "gate")
    process = start(folder, "run", "toy.yaml", "--slots", "1", "--no-figures")
    pids = [int(word) for word in (folder / "gate").read_text(encoding="ascii").split()]
    os.unlink(folder / "gate")
    process.send_signal(signal.SIGINT)
    assert [is_gone(pid) for pid in pids] == [True, True]
    said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, said.decode()
    code, text = run(folder)
    assert code == 0, text
    assert values(folder) == EXPECTED


def test_a_script_that_ignores_its_seed_is_said(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys; print('score', len(sys.argv))\n", encoding="utf-8")
    study = """
        command: python train.py {a} --seed {seed} {b:-b}
        factors: {a: 1, b: false}
        baseline: {}
        vary: {b: [true]}
        seeds: 2
        metrics: {score: {direction: max, margin: 0.1, from: 'stdout:score (.*)'}}
    """
    (tmp_path / "toy.yaml").write_text(textwrap.dedent(study), encoding="utf-8")
    code, said = run(tmp_path)
    assert code == 0, said
    assert SENTENCES["script ignores seed said"] in said

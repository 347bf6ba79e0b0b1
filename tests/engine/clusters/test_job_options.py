"""What a job may be asked for, and what Slurm is told and says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.engine.clusters.job_launcher import Listen, exit_words, parse_listen
from ablate.engine.clusters.job_options import JobOptions, parse_job
from ablate.engine.clusters.remote_worker import Job
from ablate.engine.clusters.slurm import Slurm, parse_queue
from ablate.engine.clusters.srun import WITH_SETUP, Steps
from ablate.engine.workers.handshake import NO_ENGINE, NO_TICKET
from ablate.errors import AblateError


def test_options_become_those_of_sbatch(tmp_path: Path) -> None:
    words = ["gpus=a100:1", "cpus=4", "mem=16G", "time=4:00:00", "partition=gpu", "account=vision", "exclusive"]
    options = parse_job(words, "slurm")
    assert options.has_gpu
    said = Slurm(options).arguments(Job(tmp_path / "t", tmp_path / "100%.log", {}))
    expected = {"--gpus=a100:1", "--cpus-per-task=4", "--mem=16G", "--time=4:00:00", "--partition=gpu"}
    assert expected | {"--account=vision", "--exclusive", "--ntasks=1", "--no-requeue", "--parsable"} <= set(said)
    assert f"--output={tmp_path / '100%%.log'}" in said
    assert "--signal=B:USR1@60" in said


def test_an_option_may_say_when_the_notice_comes(tmp_path: Path) -> None:
    said = Slurm(parse_job(["signal=B:USR1@300"], "slurm")).arguments(Job(tmp_path, tmp_path, {}))
    assert [word for word in said if word.startswith("--signal")] == ["--signal=B:USR1@300"]


@pytest.mark.parametrize(
    "word",
    ["gres=gpu", "gres=gpu:a100", "gres=gpu:1", "gres=gpu:a100:1", "gpus-per-task=1", "gpus-per-node=1", "gpus=1"],
)
def test_a_gpu_is_recognised_however_it_is_asked_for(word: str) -> None:
    assert parse_job([word], "slurm").has_gpu


@pytest.mark.parametrize("word", ["gpus=0", "gres=shard:1", "cpus=2"])
def test_no_gpu_is_recognised_too(word: str) -> None:
    assert not parse_job([word], "slurm").has_gpu


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["gpus=2"], "a worker uses one GPU"),
        (["gpus=x y"], "a worker uses one GPU"),
        (["gres=gpu:4"], "a worker uses one GPU"),
        (["gpus-per-task=a100:2"], "a worker uses one GPU"),
        (["time"], "has no value"),
        (["gpus="], "has no value"),
        (["mem=٣"], "cannot be read"),
        (["cpus=0"], "not a number of CPU cores"),
        (["cpus=²"], "not a number of CPU cores"),
        (["mem=lots"], "cannot be read"),
        (["time=tomorrow"], "cannot be read"),
        (["setup=/nowhere/at all"], "no such file"),
        (["output=/tmp/x"], "is set by ablate"),
        (["wrap=rm -rf /"], "is set by ablate"),
        (["--partition=gpu"], "is not KEY=VALUE"),
        (["Partition=gpu"], "is not KEY=VALUE"),
        (["; rm -rf ~"], "is not KEY=VALUE"),
        (["cpus=1", "cpus-per-task=2"], "given twice"),
        (["partiton=gpu"], "is not known"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(words: list[str], problem: str) -> None:
    with pytest.raises(AblateError, match=problem):
        parse_job(words, "slurm")


def test_ray_takes_resources_only() -> None:
    assert parse_job(["cpus=2", "gpus=1", "mem=2G"], "ray").mem_bytes == 2 * 2**30
    with pytest.raises(AblateError, match="--job partition is not an option for Ray"):
        parse_job(["partition=gpu"], "ray")
    with pytest.raises(AblateError, match="--job time is not an option for Ray"):
        parse_job(["time=10"], "ray")


@given(value=st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])), name=st.sampled_from("AB"))
def test_a_script_passes_every_value_on_as_it_is(value: str, name: str) -> None:
    """Read by a real shell, with the worker's command cut off."""
    script = Slurm(JobOptions()).script(Job(Path("/a b/'t"), Path("log"), {name: value}))
    shown = script.partition("exec ")[0] + f'printf %s "${name}"\n'
    done = subprocess.run(["/bin/sh"], input=shown.encode(), capture_output=True, check=True)
    assert done.stdout == value.encode()


def test_the_script_runs_the_worker_in_place_of_the_shell(tmp_path: Path) -> None:
    """Slurm's signals then reach the worker itself."""
    setup = tmp_path / "it's mine.sh"
    setup.touch()
    lines = Slurm(parse_job([f"setup={setup}"], "slurm")).script(Job(Path("/a b/t"), Path("log"), {})).splitlines()
    assert lines[0] == "#!/bin/bash -l"
    assert lines[1].startswith(". '")
    assert lines[-1].startswith(f"exec {sys.executable} -P -m ablate.engine.workers.worker --connect '/a b/t'")


def line(job: str, state: str, status: int = 0, node: str = "", reason: str = "None") -> str:
    return f"{job:<24}{state:<24}{status:<24}{node:<48}{reason:<160}\n"


def test_the_queue_is_read_as_squeue_prints_it() -> None:
    text = (
        line("1", "PENDING", reason="Nodes required for job are DOWN, DRAINED or reserved")
        + line("2", "RUNNING", node="node7")
        + line("3", "COMPLETING", node="node7")
        + line("4", "TIMEOUT", reason="TimeLimit")
        + line("5", "OUT_OF_MEMORY")
        + line("6", "FAILED", status=NO_TICKET << 8)
        + line("7", "FAILED", status=9)
        + line("8", "CONFIGURING")
    )
    found = parse_queue(text)
    assert found["1"].waiting == "Nodes required for job are DOWN, DRAINED or reserved"
    assert (found["2"].node, found["3"].node) == ("node7", "node7")
    ends = {job: found[job].end for job in "4567"}
    assert {job for job, end in ends.items() if end is not None and end.evicted} == {"4"}
    assert {job for job, end in ends.items() if end is not None and end.out_of_memory} == {"5"}
    assert ends["6"] is not None
    assert "does not see the results folder" in ends["6"].reason
    assert ends["7"] is not None
    assert "SIGKILL" in ends["7"].reason
    assert found["8"].waiting == ""


def test_exit_codes_are_explained() -> None:
    assert "--listen" in exit_words(NO_ENGINE)
    assert "Python" in exit_words(127)
    assert exit_words(3) == "exit code 3"
    assert exit_words(137) == exit_words(-9) == "the worker process was killed by SIGKILL"
    assert os.strerror(2) not in exit_words(NO_TICKET)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Listen()),
        ("10.0.0.5", Listen("10.0.0.5", 0)),
        ("login1:7000", Listen("login1", 7000)),
        ("[fe80::1]:7000", Listen("fe80::1", 7000)),
        ("[::1]", Listen("::1", 0)),
    ],
)
def test_addresses_are_read(text: str | None, expected: Listen) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["", ":", "a:b", "host:70000", "fe80::1", "a b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AblateError, match="is not an address"):
        parse_listen(text)


def test_a_step_takes_its_share_of_the_allocation_and_nothing_else() -> None:
    said = Steps(parse_job(["gpus=1", "cpus=4", "mem=8G"], "srun")).step_options()
    assert {"--exact", "--ntasks=1", "--nodes=1", "--gpus=1", "--cpus-per-task=4", "--mem=8G"} <= set(said)


def test_a_setup_file_of_a_step_is_read_before_its_command(tmp_path: Path) -> None:
    setup = tmp_path / "it's mine.sh"
    setup.write_text("export FOUND='by setup'\n")
    words = [*WITH_SETUP, str(setup), "/bin/sh", "-c", 'printf %s "$FOUND $1"', "sh", "and 'more'"]
    done = subprocess.run(words, capture_output=True, check=True, env={"HOME": str(tmp_path), "PATH": os.defpath})
    assert done.stdout.decode() == "by setup and 'more'"

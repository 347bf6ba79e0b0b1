"""One study, one database, two results folders: the second run is refused while the first is alive."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.engine.records.claim import ATTRIBUTE, SILENT_S, Claim, check_unclaimed
from ablate.engine.records.lock import ProcessMark
from ablate.errors import ExitCode, StudyLockedError
from ablate.storage.read import read_study
from tests.cli.conftest import STUDY, TOY_CORE

CORE = TOY_CORE.replace(
    "        for recipe in recipes:\n",
    "        for recipe in recipes:\n"
    "            if recipe.seed == 0 and recipe.settings['lr'] == 0.1:\n"
    "                open('gate').read()\n",
)


def claim(**changes: object) -> dict[str, object]:
    found = Claim.of(Path("results")).attribute()[ATTRIBUTE]
    assert isinstance(found, dict)
    return {ATTRIBUTE: {**found, **changes}}


def test_what_is_alive_is_refused_and_what_is_over_is_not() -> None:
    elsewhere = {"host": "elsewhere"}
    with pytest.raises(StudyLockedError, match=f"process {os.getpid()} on elsewhere, results in ") as caught:
        check_unclaimed(claim(**elsewhere))
    assert "try again in" in str(caught.value.hint)
    check_unclaimed(claim(**elsewhere, over=True))
    check_unclaimed(claim(**elsewhere, seen=time.time() - SILENT_S - 1))
    check_unclaimed(claim())  # our own
    check_unclaimed(claim(pid=1))  # another process had this number then
    check_unclaimed({})


def test_the_hint_shows_the_other_run_where_its_results_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    mark = ProcessMark.of(child.pid)
    assert mark is not None
    theirs = claim(pid=child.pid, started=mark.started, boot=mark.boot, results=str(tmp_path / "two words"))
    try:
        with pytest.raises(StudyLockedError) as caught:
            check_unclaimed(theirs, "postgresql+psycopg2://me:secret@host/db")
    finally:
        child.communicate()
    where = "--results 'two words' --storage postgresql+psycopg2://me@host/db"
    assert caught.value.hint == f"watch it with: ablate status {where}"


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, {"pid": -1}, {"host": socket.gethostname(), "pid": "1"}])
def test_an_odd_claim_is_none(odd: object) -> None:
    check_unclaimed({ATTRIBUTE: odd})


def test_a_live_run_keeps_its_study(tmp_path: Path) -> None:
    (tmp_path / "toycore.py").write_text(CORE, encoding="utf-8")
    (tmp_path / "steps.yaml").write_text(STUDY, encoding="utf-8")
    os.mkfifo(tmp_path / "gate")
    url = f"sqlite:///{tmp_path}/shared.db"
    words = [sys.executable, "-m", "ablate", "run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-report"]
    words += ["--quiet", "--storage", url, "--results"]
    with subprocess.Popen([*words, "one"], cwd=tmp_path) as first:
        gate = os.open(tmp_path / "gate", os.O_WRONLY)  # waits for the first trial
        second = subprocess.run([*words, "two"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        os.close(gate)
        assert first.wait(timeout=120) == ExitCode.DONE
    assert second.returncode != 0
    assert f"is being run by process {first.pid} on " in second.stderr
    assert str(tmp_path / "one") in second.stderr
    assert {row.state for row in read_study(url, "steps")[1]} == {"COMPLETE", "FAIL"}
    assert len(read_study(url, "steps")[1]) == 12
    third = subprocess.run([*words, "two"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert third.returncode == ExitCode.DONE

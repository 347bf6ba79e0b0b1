"""Trying the baseline tells whether a sweep would work, and leaves nothing behind."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from ablate.api.request import PreparedRun, Request, prepare
from ablate.api.try_baseline import BaselineTry, try_baseline
from ablate.cli.commands.plan import try_lines
from ablate.engine.workers.slots import Slot
from ablate.outcome import OutcomeKind

SLOT = Slot(0, "cpu", 1, None, "test processor")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and another one for what is temporary."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(folder: Path, script: str) -> PreparedRun:
    (folder / "train.py").write_text(script, encoding="utf-8")
    study = f"""
command: [{sys.executable!r}, train.py, '{{seed}}', '{{a}}']
factors: {{a: 1}}
baseline: {{}}
vary: {{a: [2]}}
seeds: 3
progress: '(\\d+) of (\\d+)'
metrics: {{score: {{direction: max, margin: 1, from: 'stdout:score (.*)'}}}}
"""
    (folder / "toy.yaml").write_text(study, encoding="utf-8")
    return prepare(Request(folder / "toy.yaml"))


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in (*(folder / "temporary").iterdir(), *folder.glob("results"))]


def test_a_trial_that_ends_is_told_with_its_metrics(folder: Path) -> None:
    found = try_baseline(prepared(folder, "print('1 of 2'); print('score', 0.5)"), SLOT)
    assert (found.outcome, dict(found.metrics), found.works) == (OutcomeKind.MEASURED, {"score": 0.5}, True)
    assert "score 0.5" in try_lines(found)[0]
    assert left_behind(folder) == []


def test_a_trial_that_fails_is_told_with_its_last_lines(folder: Path) -> None:
    found = try_baseline(prepared(folder, "print('loading'); raise ValueError('no data')"), SLOT)
    assert not found.works
    assert found.error == "exit code 1: ValueError: no data"
    assert any("loading" in line for line in found.log)
    first, *others = try_lines(found)
    assert "failed: exit code 1" in first
    assert any("loading" in line for line in others)
    assert left_behind(folder) == []


def test_a_trial_that_lacks_a_metric_fails_before_the_sweep_does(folder: Path) -> None:
    found = try_baseline(prepared(folder, "print('accuracy 1')"), SLOT)
    assert not found.works
    assert "metric score not found" in (found.error or "")


def test_a_long_trial_is_stopped_at_the_limit_and_told_as_working_so_far(folder: Path) -> None:
    waits = "import signal; print('3 of 70', flush=True); signal.pause()"
    found = try_baseline(prepared(folder, waits), SLOT, limit_s=1.0)
    assert found.outcome is OutcomeKind.STOPPED
    assert found.works
    assert "works so far" in try_lines(found)[0]
    assert left_behind(folder) == []


def test_divergence_is_a_result_and_its_reason_is_told() -> None:
    found = BaselineTry(OutcomeKind.DIVERGED, 1.0, error="loss is nan")
    assert found.works
    assert try_lines(found) == ["try    diverged in 1 s: loss is nan"]

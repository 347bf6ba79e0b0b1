"""Provenance: everything a reader needs, nothing that is nobody's business."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.report.build import build_report
from ablate.report.data.provenance import collect, scrub


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/alice/work/study.yaml", "~/work/study.yaml"),
        ("open('/Users/bob/x')", "open('~/x')"),
        (r"C:\Users\carol\x", r"~\x"),
        ("postgresql://me:pa55@db.example:5432/x", "postgresql://***@db.example:5432/x"),
        ("token: abc123", "token: ***"),
        ("HF_TOKEN=hf_abcdefghijkl", "HF_TOKEN=***"),
        ("use ghp_abcdefghijklmnop now", "use *** now"),
        ('{"api_key": "x y"}', '{"api_key": ***}'),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
        ("sqlite:///results/ablate.db", "sqlite:///results/ablate.db"),
        ("noise_schedule: cosine", "noise_schedule: cosine"),
    ],
)
def test_what_is_private_is_scrubbed(text: str, expected: str) -> None:
    assert scrub(text) == expected


def test_the_home_folder_of_whoever_runs_it_is_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/data/people/dora"))
    assert scrub("/data/people/dora/x.yaml") == "~/x.yaml"


def test_no_page_leaks_what_a_study_was_given(case: Any, now: Any) -> None:
    secret = "hf_" + "s3cr3t" * 4
    error = f"OSError: /home/alice/data missing, token={secret}"
    rows = [
        replace(case.rows[0], attributes={"error": error, "environment": {"cache": "/home/alice/.cache"}}),
        *case.rows[1:],
    ]
    study = replace(case.study, text=f"baseline: {{}}\nkey: {secret}\n", file="/home/alice/study.yaml")
    url = f"mysql://alice:{secret}@db/x"
    build_report(study, rows, case.paths, figures=False, now=now, storage=url)
    for path in case.paths.folder.iterdir():
        text = path.read_text(encoding="utf-8")
        assert secret not in text
        assert "alice" not in text


def test_facts_are_complete(case: Any) -> None:
    found = collect(case.study, case.rows, storage="sqlite:///x.db")
    facts = dict(found.facts)

    assert facts["sha256 of the study file"] == hashlib.sha256(case.study.text.encode()).hexdigest()
    assert facts["seeds"] == "0 to 4"
    assert facts["trials"] == "26 measured, 4 diverged"
    assert facts["devices"] == "Example CPU (cpu)"
    assert facts["commit of the trials"] == "c" * 40
    assert facts["started, finished"].startswith("2026-03-01T10:00")
    assert facts["storage"] == "sqlite:///x.db"
    assert "optuna 5" in facts["packages of this report"]
    assert dict(found.environment) == {"torch": "2.14.0", "threads": "1"}


def test_what_is_unknown_is_said_to_be_unknown(case: Any) -> None:
    facts = dict(collect(replace(case.study, text="", file=""), []).facts)

    assert facts["study file"] == facts["sha256 of the study file"] == facts["devices"] == "unknown"
    assert facts["commit of the trials"] == "not recorded"
    assert facts["trials"] == facts["seeds"] == "none"


def test_trials_that_disagree_show_every_value(case: Any) -> None:
    rows = [replace(row, attributes={"environment": {"torch": f"2.{row.seed}"}}) for row in case.rows]
    few = dict(collect(case.study, [row for row in rows if row.seed < 2]).environment)
    many = dict(collect(case.study, rows).environment)

    assert few == {"torch": "2.0, 2.1"}
    assert many == {"torch": "2.0 to 2.4 (5 values)"}

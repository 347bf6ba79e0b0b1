"""Which run belongs to which replicate: read back as written, whatever else the file holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.tracking.runs_file import KnownRun, RunsFile


@given(arms=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4, unique=True), verdict=st.text())
def test_the_last_line_on_a_run_counts(arms: list[str], verdict: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("runs") / "tracked.jsonl"
    runs = RunsFile(path, "book", "here")
    for arm in arms:
        for seed in (None, 0, 1):
            runs.put(KnownRun(arm, seed, f"{arm}-{seed}"))
        runs.change(KnownRun(arm, 0, f"{arm}-0"), ended=True, verdict=verdict, summary={"score": 1.5})
    again = RunsFile(path, "book", "here")
    for arm in arms:
        assert again.of(arm) == runs.of(arm)
        assert again.get(arm, 0) == KnownRun(arm, 0, f"{arm}-0", True, verdict, {"score": 1.5})
    assert again.get(arms[0], 7) is None


def test_other_trackers_and_other_places_have_their_own_runs(tmp_path: Path) -> None:
    path = tmp_path / "tracked.jsonl"
    RunsFile(path, "book", "here").put(KnownRun("a", 0, "1"))
    assert RunsFile(path, "book", "there").get("a", 0) is None
    assert RunsFile(path, "tape", "here").get("a", 0) is None


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "\x00",
        '{"tracker": "book"}',
        '{"tracker": "book", "place": "here", "arm": 3, "seed": 0, "run": "1"}',
        '{"tracker": "book", "place": "here", "arm": "a", "seed": "0", "run": "1"}',
        '{"tracker": "book", "place": "here", "arm": "a", "seed": 0, "run": "1", "more": 1}',
        '{"tracker": "book", "place": "here", "arm": "a", "seed": 0, "run": "1", "summary": 1}',
    ],
)
def test_damaged_lines_are_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tracked.jsonl"
    RunsFile(path, "book", "here").put(KnownRun("b", 0, "2"))
    with path.open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")
    runs = RunsFile(path, "book", "here")
    assert runs.get("a", 0) is None
    assert runs.get("b", 0) == KnownRun("b", 0, "2")

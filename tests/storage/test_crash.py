"""A writer that is killed at any moment, and readers that look on."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from ablate.outcome import OutcomeKind
from ablate.storage.read import read_study
from ablate.storage.store import Store

# A child writes trials and says what it has done; the parent kills it after a random number of words, so the kill
# lands anywhere: between two transactions or inside one. Words that were said must be true afterwards.
KILLED = """
import json, os, random, signal, sys
from ablate.outcome import Outcome, OutcomeKind
from ablate.storage.store import Store

def write(url, round_, say):
    with Store.open(url, "demo", kinds={"lr": "float"}, primary="m", direction="max", attributes={}) as store:
        store.settle("killed before")
        for seed in range(10**6):
            number = store.start(f"round {round_}", seed, {"lr": random.random()})
            say("start", number)
            for step in range(3):
                store.curve(number, step, 0.5)
                say("point", number, step)
            store.finish(number, Outcome(OutcomeKind.MEASURED, "00", metrics={"m": 1.0}))
            say("finish", number)

random.seed(7)
said = []
for round_ in range(int(sys.argv[2])):
    out, back = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            write(sys.argv[1], round_, lambda *words: os.write(back, json.dumps(words).encode() + b"\\n"))
        finally:
            os._exit(1)
    os.close(back)
    with os.fdopen(out) as lines:
        for _ in range(random.randint(0, 30)):
            said.append(json.loads(lines.readline()))
        for _ in range(random.randint(0, 20000)):
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said.extend(json.loads(line) for line in lines if line.endswith("\\n"))
print(json.dumps(said))
"""


@pytest.mark.parametrize("rounds", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_that_was_recorded_is_lost_or_doubled_when_the_writer_is_killed(
    tmp_path: Path, url: str, rounds: int
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, url, str(rounds)], capture_output=True, text=True, check=True)
    said = Counter(map(tuple, json.loads(done.stdout)))
    with Store.open(url, "demo", kinds={}, primary="m", direction="max", attributes={}) as store:
        store.settle("the last one")
        rows = store.rows()
    with closing(sqlite3.connect(tmp_path / "ablate.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    assert set(said.values()) == {1}
    assert [row.number for row in rows] == list(range(len(rows)))
    assert len({(row.arm, row.seed) for row in rows}) == len(rows)
    states = {row.number: row.state for row in rows}
    finished = {words[1] for words in said if words[0] == "finish"}
    assert len(finished) > rounds
    assert {states[number] for number in finished} == {"COMPLETE"}
    assert {words[1] for words in said if words[0] == "start"} <= set(states)
    points = {(row.number, step) for row in rows for step, _ in row.curve}
    assert {(words[1], words[2]) for words in said if words[0] == "point"} <= points
    # At most the one trial that was being written when the kill came is lost, and it is accounted for.
    lost = [row for row in rows if row.state != "COMPLETE"]
    assert len(lost) <= rounds
    assert {(row.state, row.outcome) for row in lost} <= {("FAIL", OutcomeKind.LOST)}


WRITER = """
import sys
from ablate.outcome import Outcome, OutcomeKind
from ablate.storage.store import Store

for part in range(3):
    with Store.open(sys.argv[1], "demo", kinds={"note": "text"}, primary="m", direction="max", attributes={}) as store:
        print("open", flush=True)
        for seed in range(20):
            number = store.start("a", 20 * part + seed, {"note": f"level {seed % 7 + part}"})
            store.curve(number, 1, 0.5)
            store.finish(number, Outcome(OutcomeKind.MEASURED, "00", metrics={"m": 1.0}))
"""


def test_a_reader_that_polls_sees_whole_states_and_never_an_error(tmp_path: Path, url: str) -> None:
    """Also while the writer closes and opens the file again, which removes and creates SQLite's side files."""
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        seen = [0]
        while writer.poll() is None:
            rows = read_study(url, "demo")[1]
            assert all(row.outcome is OutcomeKind.MEASURED and row.curve for row in rows if row.state == "COMPLETE")
            assert {row.params["note"] for row in rows} <= {f"level {number}" for number in range(9)}
            seen.append(len(rows))
    assert writer.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert len(read_study(url, "demo")[1]) == 60


FULL = """
import resource, sys
from ablate.errors import StorageError
from ablate.storage.store import Store

with Store.open(sys.argv[1], "demo", kinds={}, primary="m", direction="max", attributes={}) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        for seed in range(10**6):
            store.start("a", seed, {}, {"text": "x" * 2000})
            print(seed, flush=True)
    except StorageError as error:
        print(error.message)
        print(error.hint)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on file sizes")
def test_a_quota_that_is_hit_for_real_is_one_clear_error_and_nothing_is_lost(url: str) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, url], capture_output=True, text=True, check=True)
    *numbers, message, hint = done.stdout.splitlines()
    assert "disk" in message
    assert hint.startswith("nothing recorded so far is lost")
    assert len(numbers) > 3
    assert [str(row.seed) for row in read_study(url, "demo")[1]] == numbers

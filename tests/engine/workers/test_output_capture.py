"""What is printed while a batch is computed goes to the logs of its trials, whoever prints it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import ctypes, logging, os, subprocess, sys
from pathlib import Path
from ablate.engine.workers.output_capture import OutputCapture

def speak(word):
    print(word, "by print")
    print(word, "to stderr", file=sys.stderr)
    logging.getLogger().warning("%s by logging", word)
    subprocess.run(["echo", word, "by a child"], check=True)
    os.write(1, f"{word} by descriptor\\n".encode())
    ctypes.CDLL(None).printf(f"{word} by C\\n".encode())

logging.basicConfig(format="%(message)s")
folder = Path(sys.argv[1])
capture = OutputCapture()
print("before")
with capture.into([folder / "one" / "log.txt"]):
    speak("one")
print("between")
logs = [folder / name / "log.txt" for name in ("two", "three")]
with capture.into(logs):
    speak("early")
    capture.give(logs[0])
    speak("late")
print("after")
"""
WAYS = ("by print", "to stderr", "by logging", "by a child", "by descriptor", "by C")


def test_everything_printed_goes_to_the_logs_of_the_batch_and_nothing_else_does(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "log.txt").write_text("from an earlier attempt\n")
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["before", "between", "after"]
    assert done.stderr == ""
    one, two, three = ((tmp_path / name / "log.txt").read_text().splitlines() for name in ("one", "two", "three"))
    assert one[0] == "from an earlier attempt"
    assert sorted(one[1:]) == sorted(f"one {way}" for way in WAYS)
    for log in (two, three):
        assert sorted(log[: len(WAYS)]) == sorted(f"early {way}" for way in WAYS)
        assert sorted(log[len(WAYS) :]) == sorted(f"late {way}" for way in WAYS)
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["log.txt"]

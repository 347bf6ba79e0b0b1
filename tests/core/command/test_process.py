"""A command runs in a group of its own, and no end of whoever started it leaves any of its processes behind."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ablate.core.command.process import CannotStart, CommandRunner, End

DEADLINE_S = 120.0
FAMILY = """
import os, signal, subprocess, sys
fifo, escape = sys.argv[1], len(sys.argv) > 2
# A child that ignores SIGTERM, and may leave the group.
child = subprocess.Popen(
    [sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
     "signal.pause()"], stdout=subprocess.PIPE, start_new_session=escape)
child.stdout.readline()
open(fifo, "w").write(f"{os.getpid()} {child.pid}")
if escape:
    sys.exit(0)
signal.pause()
"""


@pytest.fixture
def runner() -> Iterator[CommandRunner]:
    found = CommandRunner()
    yield found
    found.close()


def run(
    runner: CommandRunner,
    words: Sequence[str],
    *,
    directory: Path | None = None,
    tick: Callable[[Callable[[int], None]], None] = lambda send: None,
) -> tuple[End, bytes]:
    output = bytearray()
    end = runner.run(
        words,
        directory=directory or Path.cwd(),
        env=dict(os.environ),
        output=output.extend,
        tick=tick,
        tick_s=0.01,
    )
    return end, bytes(output)


def python(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


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


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_output_of_both_streams_and_the_exit_code_are_there(runner: CommandRunner, tmp_path: Path) -> None:
    code = """
        import os, sys
        print("out", os.getcwd(), sys.stdin.read() == "")
        sys.stdout.flush()
        print("err", file=sys.stderr)
        sys.exit(7)
    """
    end, output = run(runner, python(code), directory=tmp_path)
    assert end.code == 7
    assert output.decode() == f"out {tmp_path} True\nerr\n"
    assert end.peak_mb is not None
    assert end.peak_mb > 1


def test_one_process_starts_all_commands_and_much_output_is_whole(runner: CommandRunner) -> None:
    parents = {run(runner, python("import os; print(os.getppid())"))[1] for _ in range(3)}
    assert len(parents) == 1
    _, output = run(runner, python("for n in range(200000): print(n)"))
    assert output.decode().split() == [str(n) for n in range(200000)]


def arrived(reader: int) -> bytes:
    """What was written to a FIFO by now; empty while nobody opened it, and also while a writer still says nothing."""
    return os.read(reader, 100) if select.select([reader], [], [], 0)[0] else b""


def test_a_signal_reaches_the_whole_group(runner: CommandRunner, fifo: Path, tmp_path: Path) -> None:
    """SIGTERM ends the command; its child, which ignores that, is ended with it."""
    (tmp_path / "family.py").write_text(FAMILY, encoding="utf-8")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    pids: list[int] = []

    def tick(send: Callable[[int], None]) -> None:
        if not pids and (text := arrived(reader)):
            pids.extend(map(int, text.split()))
            send(signal.SIGTERM)

    end, _ = run(runner, [sys.executable, "family.py", str(fifo)], directory=tmp_path, tick=tick)
    os.close(reader)
    assert end.code == -signal.SIGTERM
    assert [is_gone(pid) for pid in pids] == [True, True]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt what others leave behind")
def test_what_a_command_leaves_behind_is_ended_even_outside_its_group(
    runner: CommandRunner, fifo: Path, tmp_path: Path
) -> None:
    (tmp_path / "family.py").write_text(FAMILY, encoding="utf-8")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    end, _ = run(runner, [sys.executable, "family.py", str(fifo), "escape"], directory=tmp_path)
    pids = [int(word) for word in os.read(reader, 100).split()]
    os.close(reader)
    assert end.code == 0
    assert [is_gone(pid) for pid in pids] == [True, True]


@pytest.mark.parametrize("how", ["kill the worker", "kill the worker's group", "kill the server"])
def test_nothing_survives_a_sigkill_of_the_worker_or_of_what_watches_over_the_command(
    fifo: Path, tmp_path: Path, how: str
) -> None:
    (tmp_path / "family.py").write_text(FAMILY, encoding="utf-8")
    worker = subprocess.Popen(
        python(
            f"""
            import os, sys
            from pathlib import Path
            from ablate.core.command.process import CommandRunner
            runner = CommandRunner()
            print(runner._plain().process.pid, flush=True)
            end = runner.run([sys.executable, "family.py", {str(fifo)!r}], directory=Path({str(tmp_path)!r}),
                             env=dict(os.environ), output=lambda data: None, tick=lambda send: None)
            print(end.code, end.peak_mb, flush=True)
            """
        ),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert worker.stdout is not None
    server = int(worker.stdout.readline())
    pids = [server, *map(int, fifo.read_text(encoding="ascii").split())]  # opening waits for the command
    if how == "kill the worker":
        os.kill(worker.pid, signal.SIGKILL)
    elif how == "kill the worker's group":
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        os.kill(server, signal.SIGKILL)
    assert [is_gone(pid) for pid in pids] == [True, True, True]
    said, _ = worker.communicate(timeout=DEADLINE_S)
    assert said.decode().strip() == ("None None" if how == "kill the server" else "")


@pytest.mark.parametrize(
    ("words", "number"), [(["./gone"], errno.ENOENT), (["no-such-program"], errno.ENOENT), (["./plain"], errno.EACCES),
                          (["./text"], errno.ENOEXEC)]
)  # fmt: skip
def test_what_cannot_be_started_is_an_error_and_the_next_command_runs(
    runner: CommandRunner, tmp_path: Path, words: list[str], number: int
) -> None:
    (tmp_path / "plain").write_text("", encoding="utf-8")
    (tmp_path / "text").write_text("echo no interpreter line\n", encoding="utf-8")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(CannotStart) as caught:
        run(runner, words, directory=tmp_path)
    assert caught.value.number == number
    assert run(runner, python("print(1)"))[1] == b"1\n"


def test_a_missing_directory_is_named(runner: CommandRunner, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="gone"):
        run(runner, python("pass"), directory=tmp_path / "gone")


def test_an_exception_while_it_runs_kills_the_command(runner: CommandRunner, fifo: Path, tmp_path: Path) -> None:
    (tmp_path / "family.py").write_text(FAMILY, encoding="utf-8")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    pids: list[int] = []

    def tick(send: Callable[[int], None]) -> None:
        if text := arrived(reader):
            pids.extend(map(int, text.split()))
            raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(OSError, match="no space"):
        run(runner, [sys.executable, "family.py", str(fifo)], directory=tmp_path, tick=tick)
    os.close(reader)
    assert [is_gone(pid) for pid in pids] == [True, True]
    assert run(runner, python("print(1)"))[1] == b"1\n"


def test_the_environment_is_handed_on_byte_by_byte(runner: CommandRunner) -> None:
    output = bytearray()
    env = {"WORD": os.fsdecode(b"\xff =\n'x'")}
    code = python("import os; print(os.environb)")
    runner.run(code, directory=Path.cwd(), env=env, output=output.extend, tick=lambda send: None)
    assert b"\\xff =\\n'x'" in bytes(output)

"""A script in a fork of a warm process does what it does when Python itself runs it, and leaves nothing to the next."""

from __future__ import annotations

import ast
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ablate.core.command import spawn_server, warm_script
from ablate.core.command.process import CommandRunner, End, WarmStart
from ablate.core.command.spec.python_command import NotPython, PythonCommand, python_command
from ablate.core.shared import forking
from ablate.outcome import OutcomeKind
from tests.core.command.test_process import is_gone
from tests.core.command.trial_bench import Bench

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="warm starts are for Linux only")
HEAVY = "import os\nLOADED_BY = os.getpid()\n"
"""Stands for a library that takes long to import."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of scripts whose name says nothing, with a library in it."""
    home = tmp_path / "a study"
    home.mkdir()
    (home / "heavy.py").write_text(HEAVY, encoding="utf-8")
    return home


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def runner(said: list[str]) -> Iterator[CommandRunner]:
    found = CommandRunner(said.append)
    yield found
    found.close()


def script(folder: Path, text: str, name: str = "train.py") -> list[str]:
    (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return [sys.executable, name]


def run(
    runner: CommandRunner,
    folder: Path,
    words: Sequence[str],
    *modules: str,
    env: dict[str, str] | None = None,
    tick: Callable[[Callable[[int], None]], None] = lambda send: None,
) -> tuple[End, str]:
    """Run a script, warm when there are modules."""
    output = bytearray()
    warm = WarmStart(python_command(words), modules) if modules else None
    environment = {**os.environ, **(env or {})}
    end = runner.run(words, directory=folder, env=environment, output=output.extend, tick=tick, tick_s=0.01, warm=warm)
    return end, output.decode()


SCRIPTS = {
    "what it sees": """
        import os, signal, sys, threading
        print({name: str(value) for name, value in globals().items() if name != "__loader__"})
        print(__loader__.name, __loader__.path, sys.modules["__main__"].__dict__ is globals())
        print(sys.argv, sys.orig_argv, sys.path, sys.executable, sys.flags, os.getcwd(), repr(sys.stdin.read()))
        print(sys.stdin, sys.stdout, sys.stderr, sys.stdout.line_buffering, sys.stdout.isatty())
        print([signal.getsignal(getattr(signal, name)) for name in ("SIGINT", "SIGPIPE", "SIGTERM", "SIGCHLD")])
        print(sorted(os.listdir("/proc/self/fd")), os.getsid(0) == os.getpgrp() == os.getpid(), os.umask(0))
        print(sorted(os.environ.items()))
    """,
    "its end": """
        import atexit, os, sys, threading
        kept = open("kept.txt", "w")
        kept.write("held back")
        class Last:
            def __del__(self):
                print("the last object knows", os.path.basename("/x/y"))
        last = Last()
        atexit.register(print, "at exit", open("kept.txt").read())
        go = threading.Event()
        threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
        sys.stdout.write("no newline")
    """,
    "an exception": """
        def fail(): raise ValueError("no")
        try:
            fail()
        except ValueError as error:
            raise KeyError("why") from error
    """,
    "a syntax error": "x = = 1\n",
    "an exception hook": "import sys\nsys.excepthook = lambda *found: print(found[:2], found[2].tb_next)\n1 / 0\n",
    "exit with words": "import sys; sys.exit({'it': 'failed'})",
    "exit with a number": "import sys; sys.exit(300)",
    "exit with a negative number": "import sys; sys.exit(-3)",
    "exit with nothing": "import sys; print('x'); sys.exit(None)",
    "an interruption": "raise KeyboardInterrupt",
    "a closed output": "import sys; print('x'); sys.stdout.close()",
    "its own death": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "processes": """
        import multiprocessing, pickle
        class Thing:
            def __init__(self, size): self.size = size
        def double(thing): return Thing(2 * thing.size)
        if __name__ == "__main__":
            print(pickle.loads(pickle.dumps(Thing(3))).size)
            for how in ("spawn", "fork", "forkserver"):
                with multiprocessing.get_context(how).Pool(1) as pool:
                    print(how, [thing.size for thing in pool.map(double, [Thing(1), Thing(2)])])
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_cannot_tell_a_warm_start_from_a_plain_one(
    runner: CommandRunner, folder: Path, name: str, said: list[str]
) -> None:
    words = [*script(folder, SCRIPTS[name]), "--lr", "0.1"]
    found = []
    for modules in ((), ("heavy", "multiprocessing.pool")):
        end, output = run(runner, folder, words, *modules, env={"ABLATE_SEED": "3", "OWN": "x"})
        kept = folder / "kept.txt"
        found.append((end.code, output, kept.read_text(encoding="utf-8") if kept.exists() else None))
        kept.unlink(missing_ok=True)
        assert end.warm is bool(modules), said
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "options", [["-u"], ["-I"], ["-Bs"], ["-W", "error", "-Xutf8"], ["-m", "package.part"], ["-m", "package.gone"]]
)
def test_options_of_the_interpreter_and_modules_are_as_python_has_them(
    runner: CommandRunner, folder: Path, options: list[str]
) -> None:
    (folder / "package").mkdir()
    text = (
        SCRIPTS["what it sees"] + "        print(__package__, __spec__)\n        import warnings; warnings.warn('x')\n"
    )
    for path in ("train.py", "package/__init__.py", "package/part.py"):
        (folder / path).write_text(textwrap.dedent(text) if path != "package/__init__.py" else "", encoding="utf-8")
    words = [sys.executable, *options, *([] if "-m" in options else ["./train.py"]), "--seed", "1"]
    plain, warm = run(runner, folder, words), run(runner, folder, words, "json")
    assert (plain[0].code, plain[1]) == (warm[0].code, warm[1])
    assert warm[0].warm


def test_modules_are_imported_once_and_nothing_of_a_trial_is_seen_by_the_next(
    runner: CommandRunner, folder: Path
) -> None:
    text = """
        import os, sys, random, heavy
        print(os.getpid(), heavy.LOADED_BY, random.random(), getattr(heavy, "spoilt", None), "spoilt" in sys.modules,
              os.getcwd(), os.environ.get("SPOILT"), sys.path, sys.argv, sep="|")
        heavy.spoilt = sys.modules["spoilt"] = 1
        os.environ["SPOILT"] = "yes"
        sys.path.insert(0, "/spoilt")
        os.chdir("/")
        random.seed(0)
    """
    words = script(folder, text)
    found = [run(runner, folder, words, "heavy")[1].split("|") for _ in range(3)]
    assert [len({one[place] for one in found}) for place in range(3)] == [3, 1, 3]
    assert {tuple(one[3:]) for one in found} == {tuple(found[0][3:])}
    assert found[0][3:5] == ["None", "False"]


def test_an_imported_module_that_seeds_gives_every_trial_the_same_numbers(runner: CommandRunner, folder: Path) -> None:
    (folder / "heavy.py").write_text("import random; random.seed(5)\nimport numpy; numpy.random.seed(6)\n")
    words = script(folder, "import random, heavy, numpy; print(random.random(), numpy.random.rand())")
    found = {run(runner, folder, words, *modules)[1] for modules in ((), ("heavy",), ("heavy",))}
    assert len(found) == 1
    (folder / "heavy.py").write_text("import random; random.random()\nimport numpy; numpy.random.rand(9)\n")
    drawn = [run(runner, folder, words, "heavy", env={"OTHER": "1"})[1].split() for _ in range(2)]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_an_environment_that_modules_may_read_gets_a_process_of_its_own(runner: CommandRunner, folder: Path) -> None:
    (folder / "heavy.py").write_text("import os\nWIDTH = os.environ['WIDTH']\nSEED = os.environ.get('ABLATE_SEED')\n")
    words = script(folder, "import heavy, os; print(heavy.WIDTH, heavy.SEED, os.environ['ABLATE_SEED'])")
    found = [
        run(runner, folder, words, "heavy", env={"WIDTH": width, "ABLATE_SEED": seed})[1].split()
        for width, seed in (("1", "7"), ("2", "8"), ("1", "9"))
    ]
    assert found == [["1", "None", "7"], ["2", "None", "8"], ["1", "None", "9"]]


UNSAFE = {
    "a thread": (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='pump').start()\n",
        "pump",
    ),
    "a missing module": ("import no_such_module\n", "no_such_module"),
    "an exit": ("raise SystemExit(3)\n", "SystemExit"),
    "a crash": ("import os\nos._exit(9)\n", "9"),
    "a graphics driver": ("import os\nkept = os.open('/dev/null', os.O_RDONLY)\n", "CUDA"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_where_a_fork_is_not_safe_the_script_is_started_plainly_and_that_is_said_once(
    runner: CommandRunner, folder: Path, name: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, reason = UNSAFE[name]
    (folder / "heavy.py").write_text(text, encoding="utf-8")
    if name == "a graphics driver":
        # No GPU here: the device file of a driver is played by /dev/null, in a copy of the script.
        copy = folder / "copy" / "command"
        copy.mkdir(parents=True)
        (folder / "copy" / "shared").mkdir()
        for module in (spawn_server, warm_script):
            source = Path(str(module.__file__)).read_text(encoding="utf-8")
            (copy / Path(str(module.__file__)).name).write_text(source, encoding="utf-8")
        source = Path(forking.__file__).read_text(encoding="utf-8").replace("/dev/nvidia", "/dev/nul")
        source = source.replace("/proc/self/fd/{name}", "/proc/self/fd/{name if int(name) > 2 else 1}")
        (folder / "copy" / "shared" / "forking.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr("ablate.core.command.process._SERVER", copy / "spawn_server.py")
    words = script(folder, "print('ran')")
    for _ in range(2):
        end, output = run(runner, folder, words, "heavy")
        assert (end.code, output, end.warm) == (0, "ran\n", False)
    assert len(said) == 1
    assert reason in said[0]


def test_a_file_of_the_script_with_the_name_of_an_imported_module_is_not_mistaken(
    runner: CommandRunner, folder: Path, said: list[str]
) -> None:
    (folder / "select.py").write_text("OWN = True\n", encoding="utf-8")
    words = script(folder, "import select; print(getattr(select, 'OWN', False))")
    assert run(runner, folder, words, "heavy")[1] == "True\n"
    assert "select.py" in said[0]


def test_what_imports_print_is_not_the_output_of_a_trial(
    runner: CommandRunner, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "heavy.py").write_text("import os\nprint('loading')\nos.system('echo loading too')\n", encoding="utf-8")
    assert run(runner, folder, script(folder, "print('score 1')"), "heavy")[1] == "score 1\n"
    assert sorted(capfd.readouterr().err.splitlines()) == ["loading", "loading too"]


FAMILY = """
    import heavy, os, signal, subprocess, sys
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
         "signal.pause()"], stdout=subprocess.PIPE, start_new_session=True)
    child.stdout.readline()
    open("fifo", "w").write(f"{os.getpid()} {child.pid} {os.getppid()} {heavy.LOADED_BY}")
    signal.pause()
"""


@pytest.mark.parametrize("victim", ["the worker", "the worker's group", "the template", "the script"])
def test_no_sigkill_leaves_a_process_behind(folder: Path, victim: str) -> None:
    os.mkfifo(folder / "fifo")
    words = script(folder, FAMILY)
    code = f"""
        import os
        from pathlib import Path
        from ablate.core.command.process import CommandRunner, WarmStart
        from ablate.core.command.spec.python_command import python_command
        words = {words!r}
        end = CommandRunner().run(words, directory=Path({str(folder)!r}), env=dict(os.environ),
                                  output=lambda data: None, tick=lambda send: None,
                                  warm=WarmStart(python_command(words), ("heavy",)))
        print(end.code, flush=True)
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, start_new_session=True
    )
    pids = [int(word) for word in (folder / "fifo").read_text(encoding="ascii").split()]  # waits for the script
    main, child, parent, template = pids
    assert parent == template
    if victim == "the worker":
        os.kill(worker.pid, signal.SIGKILL)
    elif victim == "the worker's group":
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        os.kill({"the template": template, "the script": main}[victim], signal.SIGKILL)
    watched = pids if "worker" in victim else [main] if victim == "the template" else pids[:2]
    assert [is_gone(pid) for pid in watched] == [True] * len(watched)
    if victim == "the template":  # only it knew of a child that left the script's session and ignores SIGTERM
        os.kill(child, signal.SIGKILL)
    said, _ = worker.communicate(timeout=120)
    assert said.decode().strip() == {"the template": "None", "the script": "-9"}.get(victim, "")


def test_a_worker_that_dies_while_modules_are_imported_takes_the_template_with_it(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "heavy.py").write_text("import os, signal\nopen('fifo', 'w').write(str(os.getpid()))\nsignal.pause()\n")
    words = script(folder, "print(1)")
    code = f"""
        import os
        from pathlib import Path
        from ablate.core.command.process import CommandRunner, WarmStart
        from ablate.core.command.spec.python_command import python_command
        words = {words!r}
        CommandRunner().run(words, directory=Path({str(folder)!r}), env=dict(os.environ), output=lambda data: None,
                            tick=lambda send: None, warm=WarmStart(python_command(words), ("heavy",)))
    """
    worker = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], start_new_session=True)
    template = int((folder / "fifo").read_text(encoding="ascii"))
    worker.kill()
    worker.wait()
    assert is_gone(template)


def test_a_stop_while_modules_are_imported_is_obeyed_at_once(runner: CommandRunner, folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "heavy.py").write_text("import signal\nopen('fifo', 'w').write('here')\nsignal.pause()\n")
    reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)

    def tick(send: Callable[[int], None]) -> None:
        if select.select([reader], [], [], 0)[0] and os.read(reader, 10):
            send(signal.SIGTERM)

    end, _ = run(runner, folder, script(folder, "print(1)"), "heavy", tick=tick)
    os.close(reader)
    assert end.code is None
    assert run(runner, folder, script(folder, "print(1)"))[1] == "1\n"


def test_sigterm_reaches_a_warm_script_as_any_other(runner: CommandRunner, folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    text = """
        import signal, sys
        def save(*_):
            print("saved")
            sys.exit(4)
        signal.signal(signal.SIGTERM, save)
        open("fifo", "w").write("here")
        signal.pause()
    """
    reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)

    def tick(send: Callable[[int], None]) -> None:
        if select.select([reader], [], [], 0)[0] and os.read(reader, 10):
            send(signal.SIGTERM)

    end, output = run(runner, folder, script(folder, text), "heavy", tick=tick)
    os.close(reader)
    assert (end.code, output) == (4, "saved\n")


def test_a_template_that_was_killed_is_replaced(runner: CommandRunner, folder: Path) -> None:
    words = script(folder, "import heavy; print(heavy.LOADED_BY)")
    first = int(run(runner, folder, words, "heavy")[1])
    os.kill(first, signal.SIGKILL)
    assert is_gone(first)
    end, second = run(runner, folder, words, "heavy")
    assert end.warm
    assert int(second) != first


def test_numbers_of_torch_are_the_same_bit_for_bit(bench: Bench) -> None:
    words = bench.script(
        """
        import sys, torch
        torch.manual_seed(int(sys.argv[1]))
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(288, 4))
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(5):
            optimizer.zero_grad()
            loss = (net(torch.randn(16, 3, 8, 8)) ** 2).mean()
            loss.backward()
            optimizer.step()
        print("bits", loss.item().hex(), sum(p.double().sum().item() for p in net.parameters()).hex(),
              torch.rand(1).item().hex(), torch.get_num_threads())
        print("score", loss.item())
        """
    )
    found = []
    for version, warm in enumerate(((), ("torch",), ("torch",))):
        outcome = bench.run([*words, "7"], warm=warm, version=str(version))
        assert outcome.kind is OutcomeKind.MEASURED
        assert outcome.environment.get("warm") == (" ".join(warm) or None)
        found.append([line for line in bench.log.splitlines() if line.startswith("bits")][-1])
    assert len(set(found)) == 1


def test_a_trial_says_why_it_was_not_started_warm(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    words = ["sh", "-c", "echo score 1"]
    for _ in range(2):
        assert bench.run(words, warm=("torch",)).metrics == {"score": 1.0}
    [record] = {record.getMessage() for record in caplog.records}
    assert "'sh'" in record
    caplog.clear()
    bench.run(bench.script("print('score', 1)"), warm=("json",), env={"RUN": "{arm}-{seed}"})
    assert "RUN" in caplog.text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("python train.py -m x", PythonCommand("python", (), "train.py", False, ("-m", "x"))),
        ("/opt/bin/python3.12 -uB -Werror -X dev a/b.py",
         PythonCommand("/opt/bin/python3.12", ("-u", "-B", "-Werror", "-Xdev"), "a/b.py", False, ())),
        ("python3 -um pkg.mod --lr 1", PythonCommand("python3", ("-u",), "pkg.mod", True, ("--lr", "1"))),
        ("python -mpkg x", PythonCommand("python", (), "pkg", True, ("x",))),
    ],
)  # fmt: skip
def test_a_command_line_is_taken_apart_as_python_does(words: str, expected: PythonCommand) -> None:
    assert python_command(words.split()) == expected


@pytest.mark.parametrize(
    "words", ["./train.py", "bash train.sh", "python", "python -c pass", "python -", "python -i a.py", "python -m",
              "torchrun train.py", "python --version"]
)  # fmt: skip
def test_what_is_no_script_of_python_is_refused(words: str) -> None:
    with pytest.raises(NotPython):
        python_command(words.split())


def test_the_files_that_other_interpreters_run_know_no_ablate_and_no_new_syntax() -> None:
    for module in (spawn_server, warm_script, forking):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"), feature_version=(3, 9))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names | {"__future__"}

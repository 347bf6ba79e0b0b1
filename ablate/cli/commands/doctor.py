"""``ablate doctor``: is everything here that a run needs?"""

from __future__ import annotations

import json as json_text
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer
from rich.text import Text

from ablate import __version__
from ablate.api.choices import RESULTS
from ablate.cli.commands.data import data_sets
from ablate.cli.options import Json, NoColor, Results
from ablate.display.console import Screen
from ablate.errors import ExitCode, StorageError
from ablate.human_units import size, visible
from ablate.storage import sqlitefile

PACKAGES = (
    "torch",
    "torchvision",
    "optuna",
    "pandas",
    "numba",
    "numpy",
    "scikit-image",
    "scipy",
    "joblib",
    "seaborn",
    "typer",
)
_LOW_DISK = 5e9
_TORCH = """
import json, torch
print(json.dumps({
    "version": torch.__version__,
    "cuda": torch.version.cuda,
    "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    "threads": torch.get_num_threads(),
}))
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `fail` means a run cannot work, `warn` that it may disappoint."""

    name: str
    value: str
    state: Literal["ok", "warn", "fail"] = "ok"
    hint: str = ""


def doctor(
    results: Results = RESULTS,
    json: Json = False,
    no_color: NoColor = False,
) -> None:
    """Check that a run can work here. Takes a few seconds.

    Looks at Python, packages, devices, memory, disk, the results folder and the data sets.

    \b
    Example:
      ablate doctor
    """
    screen = Screen.make(json=json, no_color=no_color)
    worst = ExitCode.DONE
    for finding in findings(results):
        if finding.state == "fail":
            worst = ExitCode.USAGE
        if json:
            screen.emit("check", asdict(finding))
        else:
            screen.out.print(line(finding, screen.out.width), soft_wrap=True)
    if worst:
        raise typer.Exit(int(worst))


def line(finding: Finding, width: int) -> Text:
    """One finding as one line, with its hint below."""
    styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    value = textwrap.wrap(finding.value, max(30, width - 20), break_long_words=False, break_on_hyphens=False)
    hint = [f"hint: {finding.hint}"] if finding.hint else []
    text = f"\n{'':<20}".join((*value, *hint))
    return Text.assemble((f"{finding.state:<5}", styles[finding.state]), f"{finding.name:<14} {text}")


def findings(results: Path) -> Iterator[Finding]:
    """Look at everything, cheapest first; each finding is yielded as soon as it is known."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _machine,
        lambda: _disk(results),
        lambda: _storage(results),
        _gpus,
        _clusters,
        torch_findings,
        _allocators,
        _compilers,
    )
    failed = False
    for check in checks:
        for finding in check():
            failed |= finding.state == "fail"
            yield finding
    if not failed:  # reading data sets needs torch
        yield from _data()


def _python() -> Iterator[Finding]:
    yield Finding("ablate", __version__)
    yield Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield Finding(name, "not installed", "fail", f"pip install {name}")
    yield Finding("packages", ", ".join(versions))


def _machine() -> Iterator[Finding]:
    from ablate.engine.workers.slots import usable_cores

    cores = usable_cores()
    yield Finding("cores", f"{cores} usable")
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        small = memory < 2e9 * cores
        hint = "use fewer slots: --slots 1" if small else ""
        yield Finding("memory", size(memory), "warn" if small else "ok", hint)


def _existing(folder: Path) -> Path:
    """The nearest folder above `folder` that exists."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def _disk(results: Path) -> Iterator[Finding]:
    place = _existing(results)
    free = shutil.disk_usage(place).free
    low = free < _LOW_DISK
    yield Finding("disk", f"{size(free)} free for {results}", "warn" if low else "ok", "free some space" if low else "")
    try:
        with tempfile.TemporaryFile(dir=place) as handle:
            locks = _can_lock(handle.fileno())
    except OSError as error:
        yield Finding("results", f"cannot write to {place}: {error.strerror}", "fail", "name another: --results DIR")
        return
    yield Finding("results", f"{results} is writable" if results.exists() else f"{results} can be made")
    if not locks:
        yield Finding("locks", "this file system has no file locks", "fail", "put --results on a local disk")
    if kind := sqlitefile.network_file_system(place):
        hint = "SQLite needs a local disk: use --results on one, or --storage with a database server"
        yield Finding("file system", kind, "warn", hint)


def _can_lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _storage(results: Path) -> Iterator[Finding]:
    database = results / "ablate.db"
    if not database.exists():
        yield Finding("storage", f"{database} does not exist yet")
        return
    try:
        sqlitefile.check_header(database)
        mode, ours = sqlitefile.read(database, lambda connection: _examine(connection, database))
    except StorageError as error:
        yield Finding("storage", error.message, "fail", error.hint or "")
        return
    what = "sound" if ours else "empty"
    yield Finding("storage", f"{database}, {what}, journal mode {mode}")


def _examine(connection: sqlite3.Connection, database: Path) -> tuple[str, bool]:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode), sqlitefile.check_sound(connection, database)


def _gpus() -> Iterator[Finding]:
    program = shutil.which("nvidia-smi")
    if program is None:
        yield Finding("gpus", "none (no nvidia-smi): trials run on the CPU")
        return
    query = [program, "--query-gpu=index,name,memory.free,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("gpus", f"nvidia-smi does not answer: {error}", "warn", "run nvidia-smi to see what it says")
        return
    for row in answer.stdout.strip().splitlines():
        index, _, rest = row.partition(", ")
        yield Finding(f"gpu {index}", rest)


def _clusters() -> Iterator[Finding]:
    """Say whether workers can be jobs of a cluster; most machines have none, and that is well."""
    from ablate.engine.clusters.slurm import PROGRAMS

    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if len(missing) == len(PROGRAMS):
        yield Finding("slurm", "not here: --launcher slurm needs sbatch")
    elif missing:
        yield Finding("slurm", f"no {', '.join(missing)}", "warn", "--launcher slurm needs it")
    else:
        yield _slurm_version()
    try:
        yield Finding("ray", metadata.version("ray"))
    except metadata.PackageNotFoundError:
        yield Finding("ray", "not installed: --launcher ray needs pip install 'ablate[ray]'")


def _slurm_version() -> Finding:
    """Which Slurm answers; one that does not is worth a warning."""
    try:
        answer = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S607 - as a user would call it
        subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=30, check=True)  # noqa: S607 - as above
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("slurm", f"does not answer: {_why(error)}", "warn", "run sinfo to see what it says")
    return Finding("slurm", answer.stdout.strip())


def _why(error: OSError | subprocess.SubprocessError) -> str:
    """What a program that failed said last, or what became of it."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"nothing within {error.timeout:.0f} s"
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr or b""
        text = said if isinstance(said, str) else said.decode(errors="replace")
        return visible(next(reversed(text.strip().splitlines()), f"exit code {error.returncode}"))
    return visible(getattr(error, "strerror", None) or str(error))


def torch_findings() -> Iterator[Finding]:
    """Ask torch in a process of its own: importing it here would cost this process seconds and memory for good."""
    command = [sys.executable, "-c", _TORCH]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)  # noqa: S603 - fixed words
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("torch", last, "fail", "reinstall torch: https://pytorch.org/get-started/locally")
        return
    except subprocess.TimeoutExpired:
        yield Finding("torch", "takes more than 120 s to import", "warn", "is the disk slow or the machine busy?")
        return
    found = json_text.loads(answer.stdout)
    devices = ", ".join(found["devices"]) or "no CUDA device"
    cuda = f"CUDA {found['cuda']}" if found["cuda"] else "CPU build"
    unused = not found["devices"] and shutil.which("nvidia-smi") is not None
    hint = "torch sees no GPU although nvidia-smi is here: is this a build for CUDA, and new enough a driver?"
    state: Literal["ok", "warn"] = "warn" if unused else "ok"
    yield Finding("torch", f"{found['version']}, {cuda}, {devices}", state, hint if unused else "")


def _allocators() -> Iterator[Finding]:
    """How workers allocate memory, which is decided before torch is imported."""
    from ablate.engine.workers.local_process import allocators

    gpu = shutil.which("nvidia-smi") is not None
    found = [f"{name}={value}" for name, value in allocators(os.environ, gpu=gpu).items()]
    yield Finding("allocators", ", ".join(found) or "as the system has them")


def _compilers() -> Iterator[Finding]:
    """What ``--compile`` needs."""
    from ablate.core.programs.compile_rules import missing

    for device in ("cpu", "cuda") if shutil.which("nvidia-smi") else ("cpu",):
        lacking = missing(device)
        value = f"networks can be compiled for {device}" if lacking is None else f"not for {device}: no {lacking}"
        yield Finding("compile", value, "ok", "" if lacking is None else "only needed by --compile; install it")


def _data() -> Iterator[Finding]:
    for one in data_sets():
        value = f"{one.name}: {one.images}" if one.ready else f"{one.name}: not here"
        yield Finding("data", value, "ok", "" if one.ready else f"only needed by studies that name it: {one.note}")

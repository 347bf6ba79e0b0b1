"""Where compiled programs are kept: one folder per worker that is alive, below the stage cache.

A process that is killed while it compiles leaves files that break later ones. So no two live workers share a folder,
a mark lies in it while something is compiled, and a folder with a mark that nobody holds is emptied before use.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_FOLDER, _MARK, _PROGRAMS = ".compiled", "compiling", "programs"
_held: dict[Path, CompileCache] = {}


class CompileCache:
    """One place, ``results/cache/.compiled/<number>``, held by this process until it ends."""

    def __init__(self, folder: Path) -> None:
        self._mark = folder / _MARK
        self.programs = folder / _PROGRAMS
        """What the compiler writes."""
        self.dropped = self._mark.exists()
        """True when the process that used it last was ended while it compiled."""
        if self.dropped:
            self.drop()
            self._mark.unlink()

    @classmethod
    def take(cls, cache: Path) -> CompileCache:
        """Return this process's place below the stage cache `cache`: the first that no other process holds."""
        if cache not in _held:
            _held[cache] = cls(next(folder for folder in _places(cache) if _locked(folder)))
        return _held[cache]

    def drop(self) -> None:
        """Forget every program that is kept here."""
        shutil.rmtree(self.programs, ignore_errors=True)

    @property
    def empty(self) -> bool:
        """True when nothing is kept."""
        return not self.programs.is_dir() or not any(self.programs.iterdir())

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Compile inside: torch writes here, and the mark lies in the folder."""
        self.programs.mkdir(parents=True, exist_ok=True)
        # torch reads both whenever it looks for a folder, also when a program is made ready much later.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self.programs)
        os.environ["TRITON_CACHE_DIR"] = str(self.programs / "triton")
        self._mark.touch()
        yield  # after a failure the mark stays: what it left is not trusted either
        self._mark.unlink(missing_ok=True)


def _places(cache: Path) -> Iterator[Path]:
    return (cache / _FOLDER / str(number) for number in itertools.count())


def _locked(folder: Path) -> bool:
    """Lock `folder` until this process ends; return whether that was possible."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True

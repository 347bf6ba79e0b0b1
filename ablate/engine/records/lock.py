"""One run per study: a file lock that dies with its holder, and says who the holder is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ablate.errors import ResultsError, StudyLockedError

if TYPE_CHECKING:
    from ablate.engine.records.lock_file import LockFile

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ProcessMark:
    """What tells a process from a later one with the same number."""

    pid: int
    started: str
    """Kernel clock ticks since boot, as text."""
    boot: str
    """The boot the ticks count from."""

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """Return the mark of a living process; None when it is gone or the system does not tell."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot = _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return None
        # The name in parentheses may hold anything; behind it the state is field 3, the start field 22.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] == "Z" else cls(pid, fields[19], boot)


@dataclass(frozen=True)
class Holder:
    """Who holds, or held, a study's lock, as its file says."""

    pid: int
    host: str
    since: str
    alive: bool | None
    """None for a process on another machine: nobody can tell from here."""
    workers: tuple[ProcessMark, ...] = ()
    """Its workers that are alive on this machine."""
    waiting: tuple[str, ...] = ()
    """The jobs of a cluster that it waits for, each with the reason why."""


def read_holder(path: Path) -> Holder | None:
    """Return who holds or held the lock, without touching it; None when nobody did, or the file is damaged."""
    from ablate.engine.records.lock_file import lock_file  # only here: it needs pydantic, and help does not

    try:
        data = lock_file(path.read_bytes())
    except OSError:
        return None
    if data is None:
        return None
    here = data.host == socket.gethostname()
    workers = (ProcessMark(one.pid, one.started, one.boot) for one in data.workers)
    alive = tuple(worker for worker in workers if ProcessMark.of(worker.pid) == worker)
    mark = ProcessMark(data.pid, data.started, data.boot)
    living = not data.over and ProcessMark.of(data.pid) == mark if here or data.over else None
    return Holder(data.pid, data.host, data.since, living, alive, () if living is False else data.waiting)


class StudyLock:
    """Holds ``results/<study>/.lock`` while a run goes on; released by the kernel however the run ends.

    The file also lists the run's worker processes, so that the next run can end those that outlived it.
    """

    def __init__(self, path: Path, watch: str = "ablate status") -> None:
        """`watch` is the command that shows a run which holds it."""
        self._path = path
        self._watch = watch
        self._descriptor: int | None = None
        self._holder: dict[str, Any] = {}
        self.orphans: tuple[ProcessMark, ...] = ()
        """Workers of the last holder that are still alive, after `__enter__`."""

    def __enter__(self) -> Self:
        """Take the lock; raises StudyLockedError when another run of the study is alive."""
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._locked() from None
        except OSError as error:
            self._close()
            hint = "choose a folder on a disk with file locks with --results"
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                hint = "make the folder writable, or choose another with --results"
            raise ResultsError(f"cannot lock {self._path}: {error.strerror}", hint=hint) from error
        self.orphans = tuple(mark for mark in self._workers() if ProcessMark.of(mark.pid) == mark)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        if (mark := ProcessMark.of(os.getpid())) is not None:
            self._holder |= {"started": mark.started, "boot": mark.boot}
        self.record_workers(())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock; the file stays, because removing it could free a name that another run has just locked."""
        with contextlib.suppress(OSError):
            self._holder["over"] = True
            self.record_workers(())
        self._close()

    def record_workers(self, workers: Iterable[int], waiting: Iterable[str] = ()) -> None:
        """Write who works into the lock file; raises OSError when the disk is full.

        `workers` are the process numbers of living workers, `waiting` the jobs that wait in a cluster's queue.
        """
        marks = [asdict(mark) for mark in map(ProcessMark.of, workers) if mark is not None]
        data = json.dumps({**self._holder, "workers": marks, "waiting": list(waiting)}).encode()
        assert self._descriptor is not None
        os.pwrite(self._descriptor, data, 0)
        os.ftruncate(self._descriptor, len(data))

    def _locked(self) -> StudyLockedError:
        holder = self._read()
        self._close()
        who = "another process"
        if holder is not None:
            who = f"process {holder.pid} on {holder.host} since {holder.since}"
        return StudyLockedError(f"this study is being run by {who}", hint=f"watch it with: {self._watch}")

    def _workers(self) -> list[ProcessMark]:
        found = self._read()
        return [] if found is None else [ProcessMark(mark.pid, mark.started, mark.boot) for mark in found.workers]

    def _read(self) -> LockFile | None:
        """What the file says; None when its writer was killed while writing, or it is not ours."""
        from ablate.engine.records.lock_file import lock_file

        assert self._descriptor is not None
        return lock_file(os.pread(self._descriptor, 1 << 20, 0))

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def end_orphans(orphans: Iterable[ProcessMark]) -> list[int]:
    """Kill the process groups of workers that outlived their run, each only if it is still the process recorded."""
    ended = []
    for mark in orphans:
        if ProcessMark.of(mark.pid) == mark:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(mark.pid, signal.SIGKILL)
                ended.append(mark.pid)
    return ended

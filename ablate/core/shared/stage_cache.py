"""The stage cache: results of a computation, kept in a folder named by the digest of what it read.

One mechanism serves resume, "20 epochs after 10" and sharing between arms and studies. Every file carries the SHA-256
of its content in its name, is written aside and renamed into place, and is read with ``weights_only=True``; a file
that is torn or altered is set aside in favour of the one before it, and a line in the log says so. Writers hold a
lock, so a stage is never computed twice at once: the second worker waits, then reuses.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import pickle
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ablate.core.shared.cache_names import NAME, checksum
from ablate.errors import ResultsError, StoppedError
from ablate.paths import write_atomic, write_json

_POLL_S = 0.1
_LOG = logging.getLogger(__name__)


class StageFolder:
    """Files of one stage, ``results/cache/<digest>/``. Kinds are short lower-case words chosen by the caller."""

    def __init__(self, root: Path, digest: str) -> None:
        self.path = root / digest
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    @contextlib.contextmanager
    def locked(self, stop_requested: Callable[[], bool]) -> Iterator[float]:
        """Hold the stage alone; wait for whoever holds it now, and give the seconds waited.

        Raises StoppedError when asked to stop while waiting.
        The lock is the kernel's and goes away with the process that holds it, however it ends.
        """
        began = time.perf_counter()
        with (self.path / ".lock").open("w") as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if stop_requested():
                        raise StoppedError("stopped while another worker computed a shared stage") from None
                    time.sleep(_POLL_S)
            yield time.perf_counter() - began

    def save(self, kind: str, step: int, state: Mapping[str, Any]) -> None:
        """Write `state` (tensors, numbers, strings, lists and dicts of them) as the file of (kind, step)."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        raw = buffer.getvalue()
        name = f"{kind}-{step:09d}-{checksum(raw)}.pt"
        try:
            write_atomic(self.path / name, raw)
        except OSError as error:
            raise _unwritable(self.path / name, error) from error
        for other in self._files(kind, step):
            if other.name != name:
                other.unlink(missing_ok=True)

    def load(self, kind: str, step: int) -> dict[str, Any] | None:
        """Return the state saved as (kind, step); None when there is none or its content is not what was written."""
        damaged: list[str] = []
        state = self._read(kind, step, damaged)
        self._tell(damaged, "it is computed again" if state is None else "another copy is used")
        return state

    def newest(self, *kinds: str, at_most: int | None = None) -> tuple[int, dict[str, Any]] | None:
        """Return (step, state) of the newest readable file of any of `kinds`, not beyond step `at_most`."""
        found = {(step, kind) for kind in kinds for step in self.steps(kind) if at_most is None or step <= at_most}
        damaged: list[str] = []
        for step, kind in sorted(found, reverse=True):
            state = self._read(kind, step, damaged)
            if state is not None:
                self._tell(damaged, f"that of step {step} is used instead")
                return step, state
        self._tell(damaged, "there is none before it")
        return None

    def steps(self, kind: str) -> list[int]:
        """Steps of which there is a file of `kind`, ascending; their content is not checked."""
        return sorted({int(match["step"]) for _, match in self._named() if match["kind"] == kind})

    def prune(self, kind: str, keep: int) -> None:
        """Delete all but the `keep` newest files of `kind`."""
        steps = self.steps(kind)
        for step in steps[: max(len(steps) - keep, 0)]:
            for path in self._files(kind, step):
                path.unlink(missing_ok=True)

    def describe(self, value: Mapping[str, Any]) -> None:
        """Write ``meta.json``: what this stage is and what it took, for people. Nothing reads it back."""
        try:
            write_json(self.path / "meta.json", value)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _read(self, kind: str, step: int, damaged: list[str]) -> dict[str, Any] | None:
        """The state of (kind, step). Files that are not what was written are set aside and named in `damaged`.

        Left in place, one would count among the newest that `prune` keeps.
        """
        for path in self._files(kind, step):
            with contextlib.suppress(OSError, pickle.UnpicklingError, RuntimeError, EOFError):
                raw = path.read_bytes()
                if checksum(raw) == path.stem.rpartition("-")[2]:
                    loaded: dict[str, Any] = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
                    return loaded
                path.rename(path.with_suffix(".damaged"))
                damaged.append(path.stem)
        return None

    def _tell(self, damaged: list[str], instead: str) -> None:
        if damaged:
            _LOG.warning("damaged, set aside in %s: %s; %s", self.path, ", ".join(damaged), instead)

    def _named(self) -> list[tuple[Path, re.Match[str]]]:
        matches = [(path, NAME.fullmatch(path.name)) for path in self.path.iterdir()]
        return [(path, match) for path, match in matches if match is not None]

    def _files(self, kind: str, step: int) -> list[Path]:
        return sorted(path for path, match in self._named() if match["kind"] == kind and int(match["step"]) == step)


def _unwritable(path: Path, error: OSError) -> ResultsError:
    reason = error.strerror or os.strerror(error.errno or 0)
    return ResultsError(
        f"cannot write {path}: {reason}", hint="free some space, or choose another place with --results"
    )

"""What an exception out of a core means, in one line."""

from __future__ import annotations

import errno
import shutil
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import AblateError, CoreError, DivergedError, StoppedError
from ablate.outcome import OutcomeKind

_PACKAGE = Path(__file__).parents[2]
_TRACEBACK_LINES = 24
_LONGEST_LINE = 500
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_LITTLE_SPACE = 256 * 1024
_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
    "allocation_failed",
)


@dataclass(frozen=True)
class Failure:
    """An exception, classified."""

    kind: OutcomeKind
    error: str
    """One line."""
    traceback: str | None
    """Its last lines; None where the exception is a message, not a fault."""
    images_seen: int = 0


def classify(error: BaseException) -> Failure:
    """Return what `error`, raised by a core, means for its trial."""
    if isinstance(error, StoppedError):
        return Failure(OutcomeKind.STOPPED, _one_line(str(error)) or "stopped on request", None)
    if isinstance(error, DivergedError):
        return Failure(OutcomeKind.DIVERGED, _one_line(str(error)), None, error.images_seen)
    kind = OutcomeKind.OUT_OF_MEMORY if is_out_of_memory(error) else OutcomeKind.FAILED
    return Failure(kind, summary(error), _where(error))


def _where(error: BaseException) -> str | None:
    """Return the last lines of the traceback; of what ablate says of a core, only where in the user's code it was."""
    if not isinstance(error, CoreError):
        return "\n".join("".join(traceback.format_exception(error)).strip().splitlines()[-_TRACEBACK_LINES:])
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and _PACKAGE not in Path(frame.filename).parents
    ]
    return "".join(traceback.format_list(frames)).rstrip() or None


def summary(error: BaseException) -> str:
    """Return ``ValueError: message`` on one line, with the hint of an expected error."""
    if isinstance(error, AblateError):
        return _one_line(f"{error.message}; {error.hint}" if error.hint else error.message)
    if isinstance(error, SystemExit):
        return f"the core called sys.exit({'' if error.code is None else repr(error.code)})"
    text = str(error)
    return _one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """True for MemoryError and for what torch raises when an allocation fails, on CPU and on GPU.

    Also for an error raised on the way out of one: a CUDA graph whose recording breaks off complains of that.
    """
    return any(_is_about_memory(one) for one in _chain(error))


def _is_about_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or any(base.__name__ == "OutOfMemoryError" for base in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _MEMORY_WORDS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """True when `error` says that nothing can be written any more, or hides it while `folder`'s disk is full."""
    if any(isinstance(one, OSError) and one.errno in _NO_SPACE for one in _chain(error)):
        return True
    # Writers in C++ (torch.save) report a full disk as some RuntimeError of their own.
    return isinstance(error, OSError | RuntimeError) and shutil.disk_usage(folder).free < _LITTLE_SPACE


def breaks_device(error: BaseException) -> bool:
    """True when the process should not be trusted with another batch: its memory or its CUDA context is spoilt."""
    return is_out_of_memory(error) or "CUDA error" in str(error)


def _one_line(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= _LONGEST_LINE else f"{joined[: _LONGEST_LINE - 1]}…"

"""The content of a lock's file, checked: anybody may have written there."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Mark(BaseModel):
    """A process as the lock's file has it."""

    model_config = ConfigDict(strict=True)
    pid: int = Field(gt=0, lt=2**31)
    started: str = ""
    boot: str = ""


class LockFile(_Mark):
    """The content of the lock's file. Whatever else is there counts for nothing: a part of it, or what is not ours."""

    host: str
    since: str
    workers: tuple[_Mark, ...] = Field(default=(), strict=False)
    waiting: tuple[str, ...] = Field(default=(), strict=False)
    over: bool = False


def lock_file(data: bytes) -> LockFile | None:
    """Return what a lock's file says; None for a part of it (its writer was killed), and for what is not ours."""
    try:
        return LockFile.model_validate_json(data)
    except (ValidationError, RecursionError):
        return None

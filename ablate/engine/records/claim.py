"""Who runs a study, kept in its storage: two machines that share a database share no lock file.

A run renews its claim at every sign of life. On this machine the process decides whether it is alive; for another one
the age of its last sign of life does, by this machine's clock.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ablate.engine.records.lock import ProcessMark
from ablate.errors import StudyLockedError
from ablate.json_values import JsonValue
from ablate.storage.commands import command_at

ATTRIBUTE = "ablate.run"
"""Study attribute that holds the claim."""
SILENT_S = 180.0
"""A run on another machine without a sign of life for this long is taken for dead; it gives one every minute."""


class Claim(BaseModel):
    """The run that has a study."""

    model_config = ConfigDict(strict=True, frozen=True)
    host: str
    pid: int = Field(gt=0, lt=2**31)
    started: str = ""
    boot: str = ""
    results: str
    """Its results folder."""
    seen: FiniteFloat
    """Its last sign of life, in seconds since 1970."""
    over: bool = False

    @classmethod
    def of(cls, results: Path) -> Claim:
        """Return the claim of this process, now."""
        mark = ProcessMark.of(os.getpid())
        started, boot = ("", "") if mark is None else (mark.started, mark.boot)
        here = socket.gethostname()
        return cls(
            host=here, pid=os.getpid(), started=started, boot=boot, results=str(results.absolute()), seen=time.time()
        )

    def attribute(self, *, over: bool = False) -> dict[str, JsonValue]:
        """Return it as an attribute of the study, with the time that it is now."""
        return {ATTRIBUTE: self.model_copy(update={"seen": time.time(), "over": over}).model_dump()}


def check_unclaimed(attributes: Mapping[str, object], url: str | None = None) -> None:
    """Raise StudyLockedError when another run that is alive has the study; `attributes` are the study's, at `url`."""
    try:
        found = Claim.model_validate(attributes.get(ATTRIBUTE))
    except ValidationError:
        return
    if found.over:
        return
    age_s = time.time() - found.seen
    if found.host == socket.gethostname():
        alive = found.pid != os.getpid() and ProcessMark.of(found.pid) == ProcessMark(
            found.pid, found.started, found.boot
        )
        hint = f"watch it with: {command_at(('ablate', 'status'), Path(found.results), url)}"
    else:
        alive = age_s < SILENT_S
        hint = f"if that run was killed, try again in {max(1.0, SILENT_S - age_s):.0f} s"
    if alive:
        raise StudyLockedError(
            f"this study is being run by process {found.pid} on {found.host}, results in {found.results}",
            hint=hint,
        )

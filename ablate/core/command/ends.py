"""What the end of a command means: its exit code, and the signs of divergence, failure or lack of memory it printed."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.core.command.output import Output
from ablate.core.command.process import CannotStart, End
from ablate.core.command.spec.specification import ENDS, Signs
from ablate.outcome import OutcomeKind

OUT_OF_MEMORY = "known out of memory"
"""Kind under which the output is searched for what libraries print; it counts only when the command fails."""
_MEMORY_TEXTS = (
    r"CUDA out of memory|OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|HIP out of memory",
    r"(CUDNN|CUBLAS)_STATUS_\w*ALLOC(ATION)?_FAILED|RESOURCE_EXHAUSTED",
    r"^MemoryError\b|numpy.*ArrayMemoryError|std::bad_alloc|[Cc]an(?:no|')t allocate memory",
)
_EXCEPTION = re.compile(r"\s*[\w.]*(Error|Exception)(: |$)")
"""A line that tells which exception it was; what follows it is often advice."""
_LONGEST = 500


@dataclass(frozen=True)
class Verdict:
    """How the trial stands after its command has ended."""

    kind: OutcomeKind
    """``measured`` when its metrics may be read."""
    error: str | None = None


def signs_of(ends: Mapping[str, Signs]) -> dict[str, Sequence[re.Pattern[str]]]:
    """Return what the output is searched for."""
    stated = {kind: tuple(re.compile(text) for text in signs.patterns) for kind, signs in ends.items()}
    return {**stated, OUT_OF_MEMORY: tuple(re.compile(text) for text in _MEMORY_TEXTS)}


def judge(end: End, output: Output, ends: Mapping[str, Signs], *, memory_ran_out: bool = False) -> Verdict:
    """Return what an end means. What the study file says comes first, then the exit code with what is generally known.

    `memory_ran_out` says that the system killed some process for lack of memory meanwhile.
    """
    if end.code is None:
        return Verdict(OutcomeKind.LOST, "what watches over the command was killed, and the command with it")
    for kind in ENDS:
        if kind in output.seen:
            return Verdict(OutcomeKind(kind), _cut(output.seen[kind]))
        if kind in ends and end.code in ends[kind].codes:
            return Verdict(OutcomeKind(kind), _with_last_line(end.code, output))
    if end.code == 0:
        return Verdict(OutcomeKind.MEASURED)
    if end.code == -signal.SIGKILL and memory_ran_out:
        return Verdict(OutcomeKind.OUT_OF_MEMORY, "killed by the system: the machine's memory ran out")
    if OUT_OF_MEMORY in output.seen:
        return Verdict(OutcomeKind.OUT_OF_MEMORY, _cut(output.seen[OUT_OF_MEMORY]))
    return Verdict(OutcomeKind.FAILED, _with_last_line(end.code, output))


def why_not_started(error: CannotStart, words: Sequence[str]) -> str:
    """Return why a command line cannot be run, with what to do about it."""
    if error.number == errno.ENOEXEC:
        return f"{words[0]} is no program: begin it with a line such as '#!/bin/sh', or write 'sh {words[0]}'"
    if error.number == errno.E2BIG:
        return "the command line with its environment is too long for this system: write what is long into a file"
    return f"cannot start {words[0]!r}: {error}"


def _with_last_line(code: int, output: Output) -> str:
    if not output.last:
        return f"{how_it_ended(code)}, and it printed nothing"
    told = [line for line in output.last if _EXCEPTION.match(line)]
    return _cut(f"{how_it_ended(code)}: {(told or output.last)[-1].strip()}")


def how_it_ended(code: int) -> str:
    """Return an exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _cut(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= _LONGEST else f"{joined[: _LONGEST - 1]}…"

"""What ``--compile`` asks for: whether the networks of trainings are compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, cast

from ablate.core.programs.compile_rules import missing
from ablate.engine.workers.slots import Slot
from ablate.errors import AblateError
from ablate.interface import EAGER, Compilation, Stage
from ablate.study.plan import longest_of_each

MODES = ("auto", "off", "on")


def compilation_of(text: str, slots: Sequence[Slot]) -> Compilation:
    """Return what ``--compile text`` means on `slots`.

    Raises AblateError for anything but auto, off and on, and for ``on`` where what it needs is not here.
    """
    if text not in MODES:
        raise AblateError(f"--compile {text!r} is not possible", hint=", ".join(MODES))
    if text == "on":
        for device in dict.fromkeys(slot.device for slot in slots):
            if (lacking := missing(device)) is not None:
                raise AblateError(f"--compile on: no {lacking} here", hint="install it, or leave the option out")
    return Compilation(cast(Literal["off", "auto", "on"], text))


def compilation_within(asked: Compilation, study: str, updates: Mapping[str, int], *, fixed: bool) -> Compilation:
    """Return what is left of `asked` in the study called `study`, where `updates` wait for each program, per slot.

    Under ``auto`` a search is never compiled, because nobody can say how many updates will wait, nor is a study that
    compares a time (`fixed` is False).
    """
    return Compilation(asked.mode, study, updates) if fixed or asked.mode != "auto" else EAGER


def require_compilable(asked: Compilation, stages: Iterable[Stage]) -> None:
    """Raise AblateError when compiling was asked for and none of `stages` has a network that can be compiled."""
    if asked.mode == "on" and not any(stage.program for stage in stages):
        raise AblateError(
            "--compile on: no trial of this study has a network that can be compiled",
            hint="only denoisers of ddpm-dip without dropout can; leave the option out",
        )


def updates_waiting(stages: Iterable[Stage], slots: int) -> dict[str, int]:
    """Return program -> updates that wait for it on each of `slots`; what is shared is done once."""
    found: dict[str, int] = {}
    for stage in longest_of_each(stage for stage in stages if stage.program).values():
        found[stage.program] = found.get(stage.program, 0) + stage.steps
    return {program: -(-steps // slots) for program, steps in found.items()}

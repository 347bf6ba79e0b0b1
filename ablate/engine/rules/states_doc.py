"""The page docs/explanation/states.md, from the literal tables (``python -m ablate.cli.reference docs`` writes it)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ablate.engine.rules import events_actions
from ablate.engine.rules.limits import Policy
from ablate.engine.rules.transitions import REPLICATE_TRANSITIONS, RETRIES, SLOT_TRANSITIONS, ReplicateState, SlotState
from ablate.outcome import OutcomeKind

_State = TypeVar("_State", ReplicateState, SlotState)

_HEAD = """\
# States

<!-- Written by: python -m ablate.cli.reference docs. Do not edit by hand. -->

A pure state machine, `ablate/engine/rules/machine.py`, decides what happens next in a run.
It takes events, returns actions, and knows no clock, no file and no process.
The loop around it carries the actions out and reports back with events.
Every transition from one state to another is a row below.
Any other transition is a bug, and stops the run with the history that led there.
"""
_MEMORY = """\
## Memory

Slots of one device share its memory.
A batch is placed next to others only if its footprint fits: the peak of an earlier batch plus 10 %.
On a GPU the first trial of every footprint runs alone; on a CPU an unknown footprint counts as an even share.
The core says which recipes have the same footprint (`Core.memory_key`); seeds of one arm always have.
If a longer replicate finds no room, a shorter one of the same seed may go first; one of a later seed may not.
A recipe that ran out of memory next to others runs alone until it has been measured.
If everything on the device had been measured, the device is assumed to have less memory than expected.
If the engine decides how many trials run on a GPU, it adds them one by one.
Each must raise the measured throughput by 5 %: units of progress per second, within one stage of one footprint.
"""
_PLACING = """\
## Placing

Seed by seed, so that all arms get their first seed before any gets its second.
Within a seed the replicate with the longest expected time comes first.
A stage that several replicates share is computed once.
While one slot computes it, the other slots take other work, from the next seed if necessary.
They wait only if nothing else is left.
Replicates with equal recipes are run once; the others get a copy of the outcome, each as a trial of its own.
"""


def page() -> str:
    """Return the text of docs/explanation/states.md."""
    return "\n".join(
        [
            _HEAD,
            _transitions(
                "A replicate", "It is counted by its last state; every attempt is one trial.", REPLICATE_TRANSITIONS
            ),
            _transitions(
                "A slot", "A slot has at most one worker, and its worker at most one batch.", SLOT_TRANSITIONS
            ),
            _retries(),
            _PLACING,
            _MEMORY,
            _records("Events", events_actions.Event),
            _records("Actions", events_actions.Action).rstrip("\n") + "\n",
        ]
    )


def _transitions(title: str, text: str, table: Mapping[tuple[_State, _State], str]) -> str:
    rows = "".join(f"| {start} | {finish} | {why} |\n" for (start, finish), why in table.items())
    return f"## {title}\n\n{text}\n\n| from | to | when |\n|---|---|---|\n{rows}"


def _retries() -> str:
    policy = Policy()
    rows = "".join(f"| {kind} | {RETRIES.get(kind, 0)} | {_retry_note(kind)} |\n" for kind in OutcomeKind)
    return (
        f"## Retries\n\n| outcome | retries in one run | then |\n|---|---|---|\n{rows}\n"
        f"What waits of an arm that failed goes last. {policy.same_failures} different arms in a row that fail at the "
        f"same place end the run early, and so do {policy.same_failures} failures in a row when nothing else waits. "
        f"A worker without a sign of life for {policy.stall_s:g} s is killed, and its trial is lost. "
        f"After a stop request workers have {policy.stop_s:g} s to save and stop.\n"
    )


def _retry_note(kind: OutcomeKind) -> str:
    if kind.is_result:
        return "a result: never run again"
    if kind is OutcomeKind.OUT_OF_MEMORY:
        return (
            "a batch is halved, which uses no retry; a recipe that ran next to others is tried once more alone; one "
            "that was alone is final, and so are those with the same footprint; the next run tries again"
        )
    if kind is OutcomeKind.LOST:
        return "an eviction uses none if the attempt had got further than those before; the next run tries again"
    return "the next run tries again"


def _records(title: str, base: type[object]) -> str:
    found = [
        one
        for one in vars(events_actions).values()
        if isinstance(one, type) and issubclass(one, base) and one is not base
    ]
    rows = "".join(f"| {one.__name__} | {' '.join((one.__doc__ or '').split())} |\n" for one in found)
    return f"## {title}\n\n| name | meaning |\n|---|---|\n{rows}"

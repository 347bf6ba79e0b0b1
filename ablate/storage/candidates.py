"""Replicates of a search's candidates, as rows of the storage hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ablate.json_values import JsonValue, frozen_settings, plain_settings
from ablate.search import Tried, latest_of
from ablate.storage.rows import TrialRow

SEARCH = "search"
CANDIDATE = "candidate"
LEVELS = "levels"
PHASE = "phase"
"""Trial attributes: the search's name, the candidate's number, what it tries, and ``search`` or ``confirm``."""


def candidate_attributes(search: str, number: int, levels: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the attributes that make a trial one of a search's."""
    return {PHASE: "search", SEARCH: search, CANDIDATE: number, LEVELS: plain_settings(levels)}


def is_candidate(row: TrialRow) -> bool:
    """True for a trial of a search, false for one of an arm."""
    return SEARCH in row.attributes


def tried_of(rows: Iterable[TrialRow]) -> tuple[Tried, ...]:
    """Return the replicates of candidates among `rows`, the attempt that counts of each."""
    return latest_of(_tried(row) for row in sorted(rows, key=lambda row: row.number) if is_candidate(row))


def _tried(row: TrialRow) -> Tried:
    held: Mapping[str, Any] = row.attributes
    return Tried(
        search=str(held[SEARCH]),
        number=int(held[CANDIDATE]),
        seed=row.seed,
        levels=frozen_settings(held[LEVELS]),
        outcome=row.outcome,
        metrics=row.metrics,
        curve=row.curve,
    )

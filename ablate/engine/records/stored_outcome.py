"""Outcomes as they were recorded: what an outcome file is written from when it is damaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ablate.engine.records.folders import DAMAGE
from ablate.outcome import SCHEMA_VERSION, Outcome
from ablate.storage import attributes as names
from ablate.storage.rows import TrialRow

_EMPTY: Final[Mapping[str, Any]] = {
    "images_seen": 0,
    "device_name": "",
    "error": None,
    "traceback": None,
    "reused": {},
    "samples": None,
    "environment": {},
    "notes": (),
}
"""What `outcome_attributes` leaves out."""


def stored_outcome(rows: Sequence[TrialRow], digest: str | None) -> Outcome | None:
    """Return the outcome of a replicate as the storage has it: its result, else how its last attempt ended.

    `rows` are the replicate's trials, `digest` is that of its recipe where that is known. None where the storage has no
    outcome of this recipe, where an attempt goes on, or where what is stored makes no outcome.
    """
    ours = [row for row in rows if row.outcome is not None and digest in (None, row.recipe_digest)]
    results = [row for row in ours if row.outcome is not None and row.outcome.is_result]
    if not results and any(row.outcome is None for row in rows):
        return None
    row = results[0] if results else ours[-1] if ours else None
    return None if row is None else _outcome_of(row)


def _outcome_of(row: TrialRow) -> Outcome | None:
    kept = {name: row.attributes.get(name, empty) for name, empty in _EMPTY.items()}
    try:
        return Outcome.from_dict(
            {
                **kept,
                "schema_version": SCHEMA_VERSION,
                "kind": row.outcome,
                names.METRICS: row.metrics,
                names.SECONDS: row.seconds or 0.0,
                names.DEVICE: row.device,
                "recipe_digest": row.recipe_digest,
            }
        )
    except DAMAGE:
        return None

"""What both readers share: from what a storage holds to the rows that the rest of ablate sees."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ablate.errors import DamagedError, StorageError
from ablate.outcome import OutcomeKind
from ablate.recipe import Scalar
from ablate.storage import attributes as names
from ablate.storage.rows import TrialRow

MAY_HELP: Final = "restore a copy of the storage, or remove what is damaged; outcome files in the results folder stay"
RUN_FIRST: Final = "start with: ablate run STUDY.yaml"


def unknown_study(name: str, known: Iterable[str], where: str) -> StorageError:
    """Return the error for a study that is not there, with the nearest names."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3) or known[:5]
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else RUN_FIRST
    return StorageError(f"no study {name!r} in {where}", hint=hint)


def damaged_study(name: str, where: str, error: Exception) -> StorageError:
    """Return the error for a study of which something that was read back is not what ablate writes."""
    return StorageError(f"study {name!r} in {where} is damaged: {error}", hint=MAY_HELP)


def damaged_trial(number: object, error: Exception) -> DamagedError:
    """Return the error for a trial of which something that was read back is not what ablate writes."""
    return DamagedError(f"trial {number}: {error}")


def check_schema(name: str, attributes: Mapping[str, Any], where: str) -> None:
    """Raise StorageError unless the attributes are those of a study that this version of ablate can read."""
    version = attributes.get(names.SCHEMA)
    if not isinstance(version, int):
        raise StorageError(
            f"study {name!r} in {where} was not made by ablate",
            hint="give the study another --name, or use another file",
        )
    if version > names.SCHEMA_VERSION:
        raise StorageError(f"study {name!r} in {where} was written by a newer ablate", hint="pip install -U ablate")


def trial_row(
    *,
    number: int,
    state: str,
    attributes: Mapping[str, Any],
    params: Mapping[str, Scalar],
    curve: tuple[tuple[int, float], ...],
    started_at: str | None,
    finished_at: str | None,
) -> TrialRow:
    """Build a row from what the storage holds of one trial of ablate's (it has an arm and a seed).

    Raises DamagedError when that is not what ablate writes.
    """
    from ablate.storage.checked import check_trial  # only here: it needs pydantic, and help does not

    known = {"number": number, "state": state, "curve": curve, "started_at": started_at, "finished_at": finished_at}
    check_trial(known, attributes)
    outcome = attributes.get(names.OUTCOME)
    if outcome is None and state not in ("RUNNING", "WAITING"):
        outcome = OutcomeKind.LOST.value  # ended by somebody else's hand, without a word on how
    unset = dict.fromkeys(attributes.get(names.UNSET, ()))
    return TrialRow(
        number=number,
        arm=attributes[names.ARM],
        seed=attributes[names.SEED],
        state=state,
        outcome=None if outcome is None else OutcomeKind(outcome),
        metrics=attributes.get(names.METRICS, {}),
        seconds=attributes.get(names.SECONDS),
        device=attributes.get(names.DEVICE, ""),
        recipe_digest=attributes.get(names.RECIPE, ""),
        params={**params, **unset},
        curve=curve,
        attributes=attributes,
        started_at=started_at,
        finished_at=finished_at,
    )


def read_json(text: object, what: str) -> Any:
    """Return the value of JSON text; raises DamagedError, which says that `what` is none."""
    try:
        return json.loads(text)  # type: ignore[arg-type]  # what is no text at all is refused too
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedError(f"{what} is not JSON: {' '.join(str(error).split())}") from error

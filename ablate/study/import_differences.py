"""Results of an archive that differ from those that were here: kept with the study, so that nobody forgets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, FiniteFloat, TypeAdapter, ValidationError

from ablate.errors import StorageError
from ablate.json_values import JsonValue

ATTRIBUTE: Final = "ablate.differing"
"""Study attribute that holds them."""


class ImportDifference(BaseModel):
    """A replicate that was measured twice, with two results: the one that was here counts."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    archive: str
    """Name of the file that the other result came in."""
    arm: str
    seed: int
    metrics: dict[str, tuple[FiniteFloat | None, FiniteFloat | None]]
    """Metric -> its value here and there; None where a side has none."""


_LIST: Final = TypeAdapter(list[ImportDifference])


def differences_of(attributes: Mapping[str, object]) -> list[ImportDifference]:
    """Return what is kept among a study's attributes; raises StorageError when it is damaged."""
    try:
        return _LIST.validate_python(attributes.get(ATTRIBUTE, []))
    except ValidationError as error:
        raise StorageError(
            f"attribute {ATTRIBUTE!r} of the study, what imports found to differ, is damaged",
            hint="restore a copy of the storage, or import the archives again into another one",
        ) from error


def with_differences(attributes: Mapping[str, object], found: Sequence[ImportDifference]) -> dict[str, JsonValue]:
    """Return the attribute with `found` beside what is kept; nothing when there is nothing to keep."""
    known = {(one.archive, one.arm, one.seed): one for one in [*differences_of(attributes), *found]}
    return {ATTRIBUTE: _LIST.dump_python(list(known.values()), mode="json")} if known else {}

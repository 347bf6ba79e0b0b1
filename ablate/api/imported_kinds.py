"""How the factors of an imported study are stored: told by what the archive and the storage hold, never by code."""

from __future__ import annotations

from ablate.api.stored_studies import StoredStudy
from ablate.engine.records.archive import Archive
from ablate.storage.levels import ParamKind
from ablate.study.core_facts import CoreFacts, kinds_from_levels


def imported_kinds(archive: Archive, stored: StoredStudy | None) -> tuple[dict[str, ParamKind], str]:
    """Return factor -> how it is stored as a param, and a note where that had to be told from the levels.

    What is stored here comes before what the archive says. Neither the archive's core nor the stored one is imported.
    """
    rows = [*archive.rows, *(stored.rows if stored is not None else ())]
    told = kinds_from_levels(row.params for row in rows)
    facts = [CoreFacts.stored(archive.attributes)]
    facts += [CoreFacts.stored(stored.attributes)] if stored is not None else []
    known = {name: kind for found in facts if found is not None for name, kind in found.kinds.items()}
    guessed = sorted(told.keys() - known.keys())
    note = ""
    if guessed:
        note = (
            f"the archive does not describe its core: the kinds of {', '.join(guessed)} are told from the levels "
            "that trials had"
        )
    return {**told, **known}, note

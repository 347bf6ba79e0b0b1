"""Stored trials of a study with blocks: those of one block, and one result per arm and seed over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ablate.json_values import digest_of
from ablate.outcome import OutcomeKind
from ablate.report.statistics.blocks.averages import Averages, Cell, Cells, over_fixed, over_random
from ablate.report.statistics.trial_matrix import MEASURED
from ablate.storage.rows import TrialRow
from ablate.study.blocks import split_name
from ablate.study.spec import Study


def rows_within(study: Study, rows: Iterable[TrialRow], block: str) -> list[TrialRow]:
    """Return the trials of one block, their arms named without it, as those of ``study.within(block)``."""
    known = {arm.name for arm in study.arms}
    found = []
    for row in rows:
        arm, own = split_name(row.arm)
        if row.arm in known and own == block:
            found.append(replace(row, arm=arm))
    return found


def without_blocks(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """Return every trial with its arm named without its block."""
    return [replace(row, arm=split_name(row.arm)[0] or row.arm) for row in rows]


def cells_of(study: Study, counting: Iterable[TrialRow]) -> Cells:
    """Return the results by (arm, block, seed); `counting` has one trial for each (arm, seed)."""
    known = {arm.name for arm in study.arms}
    found = {}
    for row in counting:
        if row.arm in known and row.outcome is not None and row.outcome.is_result:
            values = row.metrics if row.outcome is OutcomeKind.MEASURED else {}
            found[(*split_name(row.arm), row.seed)] = Cell(row.outcome.value, values)
    return found


def averages_of(study: Study, cells: Cells) -> Averages:
    """Return the results over all blocks, as the study's kind of blocks takes them."""
    assert study.blocks is not None
    if study.blocks.kind == "fixed":
        return over_fixed(cells, study.blocks.names, study.metrics)
    baseline = split_name(study.baseline.name)[0]
    return over_random(cells, study.blocks.names, study.metrics, baseline=baseline, wanted=study.seed_range())


def rows_over(study: Study, counting: Sequence[TrialRow]) -> list[TrialRow]:
    """Return one trial per arm and seed (per arm and block, where these are random), as those of `over_blocks`.

    Seconds and images are those of all its trials together; it has no learning curve.
    """
    assert study.blocks is not None
    blocks = study.blocks.names
    behind: dict[tuple[str, int], list[TrialRow]] = {}
    for row in counting:
        arm, block = split_name(row.arm)
        if block in blocks:
            behind.setdefault((arm, row.seed if study.blocks.kind == "fixed" else blocks.index(block)), []).append(row)
    averages = averages_of(study, cells_of(study, counting))
    return [_row(key, cell, behind[key], at) for at, (key, cell) in enumerate(sorted(averages.items()))]


def _row(key: tuple[str, int], cell: Cell, behind: Sequence[TrialRow], number: int) -> TrialRow:
    seconds = [row.seconds for row in behind]
    images = [row.attributes.get("images_seen") for row in behind]
    counted = [one for one in images if isinstance(one, int | float)]
    digests = sorted(row.recipe_digest for row in behind)
    return TrialRow(
        number=number,
        arm=key[0],
        seed=key[1],
        state="COMPLETE" if cell.outcome == MEASURED else "FAIL",
        outcome=OutcomeKind(cell.outcome),
        metrics=dict(cell.values),
        seconds=sum(one for one in seconds if one is not None) if any(one is not None for one in seconds) else None,
        device=behind[0].device,
        recipe_digest=digest_of({"recipes": list(digests)}) if all(digests) else "",
        curve=(),
        attributes={"images_seen": sum(counted)} if counted and len(counted) == len(images) else {},
    )

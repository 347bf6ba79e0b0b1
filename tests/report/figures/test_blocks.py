"""Figures of studies with blocks: drawn where there are blocks, with the numbers behind them, the same bytes twice."""

from __future__ import annotations

import csv
import io

import pytest

from ablate.report.build import gather
from ablate.report.data.material import Material
from ablate.report.figures.blocks import MOST_PANELS, blocks
from ablate.study.spec import Arm, MetricSpec, Study
from tests.report.data.test_block_results import make_study, rows_of


def material_of(count: int) -> Material:
    names = [f"set {at}" for at in range(count)]
    study = make_study(*names)
    return gather(study, rows_of(study, {f"a@{name}": 31.0 for name in names}))


def lines_of(text: str | None) -> list[dict[str, str]]:
    assert text is not None
    return list(csv.DictReader(io.StringIO(text)))


def test_every_arm_has_a_line_per_block_and_one_over_all() -> None:
    (drawing,) = blocks(material_of(2))
    found = lines_of(drawing.csv)
    assert [(row["arm"], row["block"]) for row in found] == [
        (arm, block) for arm in "ab" for block in ("set 0", "set 1", "over all")
    ]
    assert {row["verdict"] for row in found if row["arm"] == "a"} == {"better"}
    assert drawing.files() == blocks(material_of(2))[0].files()


def test_ranks_are_drawn_from_five_blocks_on() -> None:
    assert [drawing.name for drawing in blocks(material_of(4))] == ["blocks"]
    drawings = blocks(material_of(5))
    assert [drawing.name for drawing in drawings] == ["blocks", "ranks"]
    first = lines_of(drawings[1].csv)[0]
    assert (first["arm"], float(first["mean_rank"])) == ("a", 1.0)


def test_study_without_blocks_has_no_such_figure() -> None:
    study = make_study()
    assert blocks(gather(study, rows_of(study, {}))) == []


@pytest.mark.parametrize("count", [0, MOST_PANELS + 2])
def test_no_arms_and_very_many(count: int) -> None:
    from ablate.study.blocks import Blocks, in_block

    names = ["baseline", *(f"arm {at}" for at in range(count))]
    arms = tuple(Arm(in_block(arm, block), {}, {"x": 1}) for block in "pq" for arm in names)
    metrics = (MetricSpec("psnr", "max", primary=True),)
    study = Study("s", "?", "c", arms, (), metrics, (4,), blocks=Blocks({"p": {"d": 0}, "q": {"d": 1}}))
    drawings = blocks(gather(study, rows_of(study, {})))
    assert len(drawings) == (count > 0)
    for drawing in drawings:
        assert len(lines_of(drawing.csv)) == 3 * MOST_PANELS
        assert "2 more arms" in drawing.caption

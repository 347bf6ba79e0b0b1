"""What ``--fuse`` means, and what a plan says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.engine.fuse import AUTO_LANES, fusion_of, fusion_within
from ablate.engine.slots import Slot
from ablate.errors import AblateError
from ablate.interface import SERIAL, Fusion

CPU = (Slot(0, "cpu", 1, None, "a processor"),)
GPU = (Slot(0, "cuda:0", 1, "GPU-1", "a GPU"),)
SECTION_3 = Path(__file__).parents[2] / "benchmarks" / "section3.yaml"


def test_auto_fuses_on_gpus_only_and_may_be_declined() -> None:
    assert fusion_of("auto", CPU) == SERIAL
    assert fusion_of("auto", GPU) == Fusion(AUTO_LANES, forced=False)


def test_a_number_is_a_width_and_off_is_off() -> None:
    assert fusion_of("8", CPU) == Fusion(8, forced=True)
    assert fusion_of("off", GPU) == SERIAL


@pytest.mark.parametrize("text", ["1", "0", "-2", "257", "4.0", "on", "", "٤"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(AblateError, match="is not possible") as caught:
        fusion_of(text, CPU)
    assert "auto, off" in (caught.value.hint or "")


def test_plan_of_the_founding_section_3_counts_updates(tmp_path: Path) -> None:
    """DIP epochs 90 -> 40 and denoiser epochs 100 -> 90 (batch 128 does half the updates per epoch), and what is fused.

    With 512 images: 8 updates per epoch, 4 at batch 128.
    """
    said = CliRunner().invoke(
        app, ["plan", str(SECTION_3), "--fuse", "4", "--results", str(tmp_path), "--gpus", "none"]
    )
    assert said.exit_code == 0
    assert f"dip 3 of 10, {20 * 8 + 10 * 8 + 10 * 4} of {86 * 8 + 10 * 4} updates" in said.stdout
    assert f"denoiser 10 of 11, {100 * 8 + 10 * 4} of {110 * 8 + 10 * 4} updates" in said.stdout
    assert "fuse   programs of 4 lanes for 9 trials" in said.stdout


def test_a_search_is_never_fused_and_a_time_only_on_request() -> None:
    """Candidates come one by one; a lane's seconds are a share of the program's."""
    auto, forced = Fusion(16), Fusion(4, forced=True)
    assert fusion_within(auto, searching=False, timed=False) == auto
    assert fusion_within(forced, searching=True, timed=False) == SERIAL
    assert fusion_within(auto, searching=False, timed=True) == SERIAL
    assert fusion_within(forced, searching=False, timed=True) == forced

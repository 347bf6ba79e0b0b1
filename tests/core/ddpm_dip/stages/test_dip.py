"""One trajectory per image: durations are served from it, continue it, and survive a stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from ablate.core.data import as_unit
from ablate.core.ddpm_dip.stages.digests import dip_stage
from ablate.core.ddpm_dip.stages.dip import dip_of_training, dip_outputs, is_kept
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.training import choose_images
from ablate.core.settings import DdpmDipSettings
from ablate.errors import StoppedError
from ablate.recipe import Recipe, Scalar
from tests.core.desk import MINI, Desk

SMALL: dict[str, Scalar] = {**MINI, "method": "dip", "dip_steps": 12}


def a_run(desk: Desk, **changes: Scalar) -> Run:
    settings = DdpmDipSettings.model_validate({**SMALL, **changes})
    return Run(Recipe("ddpm-dip", settings.resolved(), 3), desk, "1", ())


@dataclass
class Stopping(Desk):
    """Asks to stop at one iteration."""

    at: int = 0

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        self.stop_requested = done == self.at


@pytest.mark.parametrize("stop", ["fixed", "oracle"])
def test_the_order_of_durations_does_not_matter(stop: str, tmp_path: Path) -> None:
    """20 after 10, and 10 after 20, give what each gives alone; only what is new is computed."""
    alone = {k: dip_outputs(a_run(Desk(tmp_path / f"{k}"), dip_steps=k, dip_stop=stop)) for k in (10, 20)}
    rising, falling = Desk(tmp_path / "rising"), Desk(tmp_path / "falling")
    for desk, order in ((rising, (10, 20)), (falling, (20, 10))):
        for steps in order:
            run = a_run(desk, dip_steps=steps, dip_stop=stop)
            assert torch.equal(dip_outputs(run), alone[steps])
            assert 0 < run.reused.get("dip", 0.0) <= run.found["dip_seconds"] or steps == order[0]
    served = a_run(falling, dip_steps=10, dip_stop=stop)
    dip_outputs(served)
    assert served.reused["dip"] == served.found["dip_seconds"] < a_seconds(falling, stop)


def a_seconds(desk: Desk, stop: str) -> float:
    run = a_run(desk, dip_steps=20, dip_stop=stop)
    dip_outputs(run)
    return run.found["dip_seconds"]


def test_a_duration_that_was_not_kept_in_passing_is_computed(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "both")
    dip_outputs(a_run(desk, dip_steps=20))
    alone = dip_outputs(a_run(Desk(tmp_path / "alone"), dip_steps=17))
    assert torch.equal(dip_outputs(a_run(desk, dip_steps=17)), alone)


def test_a_fit_that_its_rule_has_ended_is_not_continued(tmp_path: Path) -> None:
    """With a patience of 1 every fit ends long before 90; a longer limit finds it there."""
    desk = Desk(tmp_path)
    rule: dict[str, Scalar] = {"dip_stop": "wmv", "dip_window": 2, "dip_patience": 1}
    first = a_run(desk, dip_steps=80, **rule)
    ended = dip_outputs(first)
    longer = a_run(desk, dip_steps=90, **rule)
    assert torch.equal(dip_outputs(longer), ended)
    assert first.found["dip_stopped_at"] == longer.found["dip_stopped_at"] < 80
    assert longer.reused["dip"] == longer.found["dip_seconds"]


@pytest.mark.acceptance("U6")
def test_a_stop_loses_nothing(tmp_path: Path) -> None:
    """Stopped at iteration 7 and run again: the same outputs, and the first 7 iterations are not done twice."""
    undisturbed = dip_outputs(a_run(Desk(tmp_path / "undisturbed")))
    with pytest.raises(StoppedError, match="stopped after 7 iterations"):
        dip_outputs(a_run(Stopping(tmp_path / "stopped", at=7)))
    again = a_run(Desk(tmp_path / "stopped"))
    assert torch.equal(dip_outputs(again), undisturbed)
    assert 0 < again.reused["dip"] < again.found["dip_seconds"]


def test_more_images_reuse_the_groups_of_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.core.dip.fit.images_at_once", lambda device: 2)
    desk = Desk(tmp_path)
    few = dip_outputs(a_run(desk, eval_images=2))
    more = a_run(desk, eval_images=3)
    assert torch.equal(dip_outputs(more)[:2], few)
    assert 0 < more.reused["dip"] < more.found["dip_seconds"]


def test_durations_and_numbers_of_images_share_a_stage_and_rules_do_not() -> None:
    def digest(**changes: Scalar) -> str:
        return dip_stage(DdpmDipSettings.model_validate({**SMALL, **changes}), 0, "1").digest

    assert digest() == digest(dip_steps=99) == digest(eval_images=7) == digest(dip_patience=9)
    others = [
        digest(dip_stop="oracle"),
        digest(dip_stop="wmv", dip_window=3),
        digest(dip_architecture="decoder"),
        digest(dip_channels=8),
        digest(dip_scales=1),
    ]
    assert len({digest(), *others}) == 6


def test_training_images_are_smoothed_by_their_own_fits(tmp_path: Path) -> None:
    """DIP_k of clean images comes nearer to them with k, and has other streams than the held-out images."""
    desk = Desk(tmp_path)
    short, long = (dip_of_training(a_run(desk, train_images=3, dip_steps=k)) for k in (10, 60))

    run = a_run(desk, train_images=3)
    clean = as_unit(choose_images(run.images.train, run.settings, run.seed))
    errors = [(found - clean).square().mean() for found in (short, long)]
    assert errors[1] < errors[0]


def test_usual_durations_are_kept_in_passing() -> None:
    assert [step for step in range(1, 301) if is_kept(step)] == [
        10, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 200, 250, 300,
    ]  # fmt: skip

"""DIP fits of several trials in one program: as alone, whatever the companions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ablate.core.ddpm_dip import dip_fused
from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.ddpm_dip.dip_rows import ALONE, Rows, choose_rows, least_rows
from ablate.core.ddpm_dip.stages.dip import dip_outputs
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.dip.fit import DipSettings, Fitting
from ablate.core.dip.fit_batch import DipProgram
from ablate.core.settings import DdpmDipSettings
from ablate.errors import StoppedError
from ablate.interface import SERIAL, Fusion
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe, Scalar
from tests.core.desk import MINI, Desk

FOUR = Fusion(4, forced=True)
SMALL: dict[str, Scalar] = {**MINI, "method": "dip", "dip_steps": 12, "eval_images": 2}
FIT = DipSettings(channels=4, scales=2, steps=6, stop="fixed")


def recipe(seed: int = 0, **changes: Scalar) -> Recipe:
    return Recipe("ddpm-dip", DdpmDipSettings.model_validate({**SMALL, **changes}).resolved(), seed)


ARMS = (
    recipe(),
    recipe(1),
    recipe(2, dip_lr=0.03, dip_input_noise=0.0),
    recipe(3, dip_steps=17, dip_stop="oracle"),
    recipe(4, dip_steps=9, corruption="inpainting", mask_fraction=0.5),
    recipe(5, dip_stop="wmv", dip_window=2, dip_patience=1, dip_steps=60),
    recipe(6, noise_sigma=50, dip_ema=0.0),
)
"""Step sizes, noise, durations, rules, operators and images of their own."""


def outcomes(desk: Desk, recipes: Sequence[Recipe]) -> dict[str, Outcome]:
    return {one.digest: outcome for one, outcome in DdpmDip().run(recipes, desk)}


def found(outcome: Outcome) -> dict[str, float]:
    """All metrics but times."""
    return {name: value for name, value in outcome.metrics.items() if "second" not in name}


def outputs(desk: Desk, one: Recipe, rows: int = 0) -> Tensor:
    run = Run(one, desk, DdpmDip.version, ())
    run.dip_rows = rows
    return dip_outputs(run)


@pytest.fixture(scope="module")
def least(tmp_path_factory: pytest.TempPathFactory) -> int:
    """On how many rows this processor's digits depend for fits of two images; 0 where fused is as alone."""
    return choose_rows(_run(Desk(tmp_path_factory.mktemp("least"), fusion=FOUR))).least


@pytest.fixture
def alone(tmp_path: Path, least: int) -> Callable[[Recipe], Tensor]:
    """The outputs of a trial that nothing was fused with."""
    return lambda one: outputs(Desk(tmp_path / "alone" / one.digest[:16]), one, least)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Fix the program instead of asking what the machine does."""
    return lambda most, least: monkeypatch.setattr(dip_fused, "choose_rows", lambda run: Rows(most, least))


def test_every_fit_is_bit_for_bit_what_it_is_alone(
    tmp_path: Path, alone: Callable[[Recipe], Tensor], least: int
) -> None:
    """Seven trials through the eight rows of a program; what they leave is what each leaves alone."""
    desk = Desk(tmp_path / "fused", fusion=FOUR)
    fused = outcomes(desk, ARMS)
    assert set(fused) == {one.digest for one in ARMS}
    for one in ARMS:
        (lone,) = outcomes(Desk(tmp_path / "lone", fusion=FOUR if least else SERIAL), [one]).values()
        assert found(fused[one.digest]) == found(lone)
        assert fused[one.digest].environment == lone.environment
        assert torch.equal(outputs(desk, one, least), alone(one))


def test_charged_and_not_reused(tmp_path: Path) -> None:
    """A fit in a program costs its trial what it took; the same trial once more finds it done."""
    desk = Desk(tmp_path, fusion=FOUR)
    first = outcomes(desk, ARMS[:3])[ARMS[0].digest]
    assert "dip" not in first.reused
    assert first.seconds >= first.metrics["dip_seconds"] > 0
    again = outcomes(desk, ARMS[:3])[ARMS[0].digest]
    assert again.reused["dip"] == again.metrics["dip_seconds"] == first.metrics["dip_seconds"]


@pytest.mark.parametrize("padded", [4, 8])
def test_companions_change_no_bit_of_single_images(
    padded: int, tmp_path: Path, rows: Callable[[int, int], None]
) -> None:
    """One image each, whose digits alone are others: other neighbours, another place, empty rows, nobody at all."""
    known = choose_rows(_run(Desk(tmp_path / "asked", fusion=Fusion(8, forced=True)), eval_images=1))
    if known.least > padded:
        pytest.skip("on this processor digits depend on every width")
    rows(8, padded)
    arms = [recipe(seed, eval_images=1, dip_steps=8 + seed) for seed in range(5)]
    made = {}
    for name, batch in {"all": arms, "turned": arms[::-1], "two": arms[1:3], "lone": arms[2:3]}.items():
        desk = Desk(tmp_path / name, fusion=FOUR)
        found = outcomes(desk, batch)[arms[2].digest]
        assert found.environment["dip_rows"] == str(padded)
        made[name] = outputs(desk, arms[2], padded)
    assert all(torch.equal(made["all"], other) for other in made.values())
    same = torch.equal(made["all"], outputs(Desk(tmp_path / "alone"), arms[2]))
    assert same == (known.least == 0)


def test_digits_of_another_program_are_not_taken_up(tmp_path: Path, rows: Callable[[int, int], None]) -> None:
    """What a trial left alone is not continued in a program whose digits differ: widths never mix in one fit."""
    desk = Desk(tmp_path, fusion=FOUR)
    lone = recipe(eval_images=1)
    before = outputs(desk, lone)
    rows(8, 4)
    fused = outcomes(desk, [lone, recipe(1, eval_images=1)])[lone.digest]
    assert fused.reused.get("dip", 0.0) == 0.0
    assert torch.equal(outputs(desk, lone), before)


def test_the_longest_of_a_shared_stage_is_fitted_and_serves_the_others(
    tmp_path: Path, alone: Callable[[Recipe], Tensor], least: int
) -> None:
    """Also at a duration that is not kept by itself; none is charged for it twice."""
    arms = [recipe(dip_steps=steps) for steps in (7, 20, 13)]
    desk = Desk(tmp_path / "fused", fusion=FOUR)
    made = outcomes(desk, arms)
    for one in arms:
        assert torch.equal(outputs(desk, one, least), alone(one))
    took = [made[one.digest].metrics["dip_seconds"] for one in arms]
    assert took[0] < took[2] < took[1]
    fresh = [made[one.digest].metrics["dip_seconds"] - made[one.digest].reused.get("dip", 0.0) for one in arms]
    assert sum(fresh) == pytest.approx(took[1])


def test_a_fit_that_diverges_changes_no_bit(tmp_path: Path, alone: Callable[[Recipe], Tensor], least: int) -> None:
    """It has its own outcome; of a stage that diverged late, an earlier duration is an ordinary trial."""
    ill = [recipe(9, dip_lr=1.0, dip_steps=steps) for steps in (10, 40)]
    desk = Desk(tmp_path / "fused", fusion=FOUR)
    with _infinite_from(step=15, lr=1.0):
        made = outcomes(desk, [ARMS[0], *ill, ARMS[1]])
    assert [made[one.digest].kind for one in ill] == [OutcomeKind.MEASURED, OutcomeKind.DIVERGED]
    late = made[ill[1].digest]
    assert late.images_seen == 15 * 2
    assert "not finite at step 15" in (late.error or "")
    for one in ARMS[:2]:
        assert torch.equal(outputs(desk, one, least), alone(one))


@contextmanager
def _infinite_from(step: int, lr: float) -> Iterator[None]:
    """Every weight of fits with step size `lr` becomes infinite before `step`."""
    codes = Fitting.codes

    def poisoned(fit: Fitting) -> Tensor:
        if fit.settings.lr == lr and fit.step + 1 == step:
            with torch.no_grad():
                for parameter in fit.bank.parameters():
                    parameter.fill_(math.inf)
        return codes(fit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fitting, "codes", poisoned)
        yield


@dataclass
class Stopping(Desk):
    """Asks to stop when one recipe has done so many iterations."""

    at: int = 0

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        self.stop_requested = self.stop_requested or (recipe.seed == 1 and done == self.at)


def test_a_stop_saves_every_fit(tmp_path: Path, alone: Callable[[Recipe], Tensor], least: int) -> None:
    """Stopped at iteration 7 and run again, in other company and alone: no bit differs, nothing is done twice."""
    with pytest.raises(StoppedError, match="4 trials"):
        outcomes(Stopping(tmp_path / "fused", fusion=FOUR, at=7), ARMS[:4])
    for again, fusion in ((ARMS[:3][::-1], FOUR), (ARMS[3:4], FOUR if least else SERIAL)):
        desk = Desk(tmp_path / "fused", fusion=fusion)
        made = outcomes(desk, again)
        for one in again:
            assert torch.equal(outputs(desk, one, least), alone(one))
            assert 0 < made[one.digest].reused["dip"] < made[one.digest].metrics["dip_seconds"]


def test_a_stop_while_a_trial_is_scored_saves_the_others(
    tmp_path: Path, alone: Callable[[Recipe], Tensor], least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short one ends at iteration 3, and its scoring is interrupted: the long one goes on from there."""
    short, long = recipe(0, dip_steps=3), recipe(1)

    def interrupted(run: Run) -> Outcome:
        raise StoppedError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("ablate.core.ddpm_dip.batch.run_recipe", interrupted)
        with pytest.raises(StoppedError):
            outcomes(Desk(tmp_path / "fused", fusion=FOUR), [short, long])
    desk = Desk(tmp_path / "fused", fusion=FOUR if least else SERIAL)
    assert outcomes(desk, [long])[long.digest].reused["dip"] > 0
    assert torch.equal(outputs(desk, long, least), alone(long))


@pytest.mark.slow
def test_a_dip_before_a_ddpm_is_fused_and_the_rest_goes_on(tmp_path: Path, least: int) -> None:
    """Trials of dip+ddpm whose denoisers cannot be fused: the same numbers as one by one."""
    arms = [recipe(seed, method="dip+ddpm", dropout=0.1, dip_steps=6) for seed in (0, 1)]
    assert DdpmDip.batch_key(arms[0]) == DdpmDip.batch_key(arms[1])
    fused = outcomes(Desk(tmp_path / "fused", fusion=FOUR), arms)
    for one in arms:
        serial = outcomes(Desk(tmp_path / "lone", fusion=FOUR if least else SERIAL), [one])[one.digest]
        assert found(fused[one.digest]) == found(serial)
        assert fused[one.digest].environment["lanes"] == "1"


def make_fits(count: int, dtype: torch.dtype = torch.float32, steps: int = 100) -> Callable[[int], Fitting]:
    """Fit number n: `count` images of its own."""
    images = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=dtype)
    settings = replace(FIT, steps=steps)
    return lambda n: Fitting(images[n : n + count], settings, n, list(range(count)))


def test_in_float64_single_images_agree_with_their_fits_alone() -> None:
    """What differs between a network alone and in a program is rounding, and nothing else."""
    make = make_fits(1, torch.float64, steps=6)
    together = [make(number) for number in range(4)]
    program = DipProgram(least=6)
    for _ in range(6):
        for fit, done in zip(together, program.descend(together), strict=True):
            fit.follow(*done)
    for number, fit in enumerate(together):
        alone = make(number)
        list(alone.run())
        assert torch.allclose(alone.stop.best, fit.stop.best, atol=1e-9, rtol=0)


def test_least_rows_says_on_what_the_digits_depend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal bits everywhere, equal bits in all companies, or bits of the width."""

    def descend(program: DipProgram, fits: Sequence[Fitting]) -> list[tuple[Tensor, Tensor]]:
        return [fit.descend() for fit in fits]

    monkeypatch.setattr(DipProgram, "descend", descend)
    assert least_rows(make_fits(2), 2, 8) == 0

    def rounded(by_width: bool) -> Callable[[DipProgram, Sequence[Fitting]], list[tuple[Tensor, Tensor]]]:
        def changed(program: DipProgram, fits: Sequence[Fitting]) -> list[tuple[Tensor, Tensor]]:
            done = descend(program, fits)
            for fit in fits if len(fits) > 1 else ():
                with torch.no_grad():
                    next(fit.bank.parameters()).mul_(1 + 1e-6 * (len(fits) if by_width else 1))
            return done

        return changed

    monkeypatch.setattr(DipProgram, "descend", rounded(by_width=False))
    assert least_rows(make_fits(2), 2, 8) == 4
    monkeypatch.setattr(DipProgram, "descend", rounded(by_width=True))
    assert least_rows(make_fits(2), 2, 8) == 8


def _run(desk: Desk, **changes: Scalar) -> Run:
    return Run(recipe(0, **changes), desk, DdpmDip.version, ())


def test_rows_are_measured_once_and_then_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """auto asks whether it pays, and then on what digits depend; a later run finds both records."""
    asked: list[str] = []
    gain = 2.0

    def seconds(*_: object) -> dict[str, float]:
        asked.append("seconds")
        return {"alone": gain, "together": 1.0}

    def digits(*_: object) -> int:
        asked.append("digits")
        return 0

    monkeypatch.setattr("ablate.core.ddpm_dip.dip_rows.time_rows", seconds)
    monkeypatch.setattr("ablate.core.ddpm_dip.dip_rows.least_rows", digits)
    auto = Desk(tmp_path, fusion=Fusion(4))
    assert choose_rows(_run(auto)) == choose_rows(_run(auto)) == Rows(8, 0)
    assert asked == ["seconds", "digits"]
    gain = 1.1
    assert choose_rows(_run(auto, dip_lr=0.5)) == Rows(8, 0)
    assert choose_rows(_run(auto, dip_channels=8)) == ALONE
    assert choose_rows(_run(Desk(tmp_path, fusion=FOUR), dip_channels=8)) == Rows(8, 0)
    assert choose_rows(_run(Desk(tmp_path))) == ALONE
    assert choose_rows(_run(auto, eval_images=9)) == ALONE

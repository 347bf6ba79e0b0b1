"""The founding report's program: its tables, its networks, its scoring, and the identity control."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from ablate.core.data import ImageSet
from ablate.core.replay.core import Replay
from ablate.core.replay.network import Autoencoder, ReplayDenoiser, draw
from ablate.core.replay.noise_tables import identity_psnr, mean_variance, noise_table
from ablate.core.replay.score import denoise, score
from ablate.core.replay.settings import ReplaySettings
from ablate.errors import DataError, DivergedError, StoppedError
from ablate.interface import EAGER, SERIAL, Compilation, Fusion
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe
from tests.core.whose import OneArm
from tests.sentences import SENTENCES


@dataclass
class Listener(OneArm):
    """A Report that writes nothing but what the core writes, and stops after a number of progress checks."""

    root: Path
    stop_after: int | None = None
    checkpoint_due: bool = False
    device: str = "cpu"
    threads: int = 1
    fusion: Fusion = SERIAL
    compilation: Compilation = EAGER
    wanted: frozenset[str] = frozenset()
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    saved: int = 0
    asked: int = 0

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def stop_requested(self) -> bool:
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after

    def checkpointed(self) -> None:
        self.saved += 1

    def folder(self, recipe: Recipe) -> Path:
        path = self.root / recipe.digest[:16]
        path.mkdir(parents=True, exist_ok=True)
        return path

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        assert 0 < done <= total

    def curve(self, recipe: Recipe, images: int, **values: float) -> None:
        # Times differ from run to run; everything else of a point does not.
        assert values.pop("train_seconds") > 0
        self.points.append((images, values))

    def log(self, recipe: Recipe, text: str) -> None: ...


@pytest.fixture(autouse=True)
def few_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty smooth images instead of the photographs: quick to load and to train on."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(40, 3, 4, 4, generator=generator) * 255
    images = torch.nn.functional.interpolate(coarse, size=32, mode="bicubic").clamp(0, 255).to(torch.uint8)
    few = ImageSet("skimage-patches", images[:32], images[32:], images[32:], "0" * 64)
    monkeypatch.setattr("ablate.core.replay.trial.load", lambda name: few)


SMALL: dict[str, Any] = {"batch_size": 8, "epochs": 2, "dip_epochs": 2, "num_blocks": 3, "test_images": 3}


def _recipe(seed: int = 0, **settings: Any) -> Recipe:
    return Recipe("replay", ReplaySettings(**{**SMALL, **settings}).resolved(), seed)


def _run(recipe: Recipe, context: Listener) -> Outcome:
    (pair,) = Replay().run([recipe], context)
    assert pair[0] == recipe
    assert pair[1].recipe_digest == recipe.digest
    return pair[1]


def _numbers(outcome: Outcome) -> dict[str, float]:
    """All metrics that are not times."""
    return {name: value for name, value in outcome.metrics.items() if "seconds" not in name}


# --- tables


def test_arms_that_differ_in_numbers_alone_need_one_measurement_of_memory() -> None:
    """On a GPU the first trial of every footprint has the device to itself."""
    same = (_recipe(1), _recipe(lr=0.01), _recipe(noise_schedule="cosine"), _recipe(epochs=7, dip_epochs=1))
    assert {Replay.memory_key(one) for one in same} == {Replay.memory_key(_recipe())}
    other = (_recipe(batch_size=3), _recipe(num_blocks=5), _recipe(method="ddpm"), _recipe(network="identity"))
    assert Replay.memory_key(_recipe()) not in {Replay.memory_key(one) for one in other}


def test_table_entries() -> None:
    """First, middle and last entries as the report's formulas give them."""
    assert noise_table("linear")[500] == pytest.approx(0.005)
    assert noise_table("exponential")[2] == pytest.approx(0.1 * 0.9025)
    assert noise_table("cosine")[0] == 1
    assert noise_table("cosine")[500] == pytest.approx(0.5)
    assert noise_table("polynomial-real")[500] == pytest.approx(0.25)
    assert all(len(noise_table(name)) == 1000 for name in ("linear", "exponential", "cosine", "polynomial"))


def test_mean_variances() -> None:
    """They differ by four orders of magnitude between the report's arms: amount, not shape."""
    assert mean_variance("linear") == pytest.approx(3.328e-5, rel=1e-3)
    assert mean_variance("exponential") == pytest.approx(1.026e-4, rel=1e-3)
    assert mean_variance("cosine") == pytest.approx(0.3755, rel=1e-3)


def test_polynomial_is_the_reports_cosine_and_the_real_one_is_not() -> None:
    """The report's mistake, kept; and what it meant, beside it."""
    assert noise_table("polynomial") == noise_table("cosine")
    pairs = zip(noise_table("polynomial-real"), noise_table("cosine"), strict=True)
    assert max(abs(a - b) for a, b in pairs) > 0.1


# --- networks


def test_parameter_counts() -> None:
    """168 in the autoencoder, 1,680 in ten blocks, none in the identity."""

    def count(network: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert count(Autoencoder()) == 168
    assert count(ReplayDenoiser(10, noise_table("linear"))) == 1680
    assert count(ReplayDenoiser(10, noise_table("linear"), identity=True)) == 0


def test_a_block_is_the_reports_block() -> None:
    """x + sigma_t n - net(x), the noise outside the network."""
    denoiser = ReplayDenoiser(1, [0.0, 0.5])
    draw(denoiser, torch.Generator().manual_seed(0))
    x = torch.rand(2, 3, 8, 8)
    silent = denoiser(x, torch.tensor([0]), torch.Generator().manual_seed(1))
    loud = denoiser(x, torch.tensor([1]), torch.Generator().manual_seed(1))
    noise = torch.randn((1, 2, 8, 8, 3), generator=torch.Generator().manual_seed(1)).permute(0, 1, 4, 2, 3)[0]
    assert torch.allclose(silent, x - denoiser.nets[0](x), atol=1e-6)
    assert torch.allclose(loud, silent + 0.5 * noise, atol=1e-6)


# --- scoring


@pytest.fixture
def identity() -> ReplayDenoiser:
    """The network that does nothing but add the report's noise."""
    return ReplayDenoiser(10, noise_table("linear"), identity=True)


@pytest.mark.acceptance("R1")
def test_identity_scores_what_its_noise_amounts_to(identity: ReplayDenoiser) -> None:
    """30.99 ± 1.33 dB: ten applications of ten noises, each application at a random level."""
    images = torch.zeros(8, 3, 32, 32)

    def restore(x: Tensor, noise: torch.Generator) -> Tensor:
        return denoise(identity, x, noise, 10)

    found = score(restore, images, images[:1], seed=0, draws=100).metrics
    standard_error = 1.33 / math.sqrt(800)
    assert found["psnr"] == pytest.approx(30.99, abs=5 * standard_error)
    assert found["psnr_eval_sd"] == pytest.approx(1.33, abs=0.15)
    assert identity_psnr("linear", 10, 10) == pytest.approx(30.80, abs=0.01)
    assert 26 < found["psnr_first_image"] < 37


def test_same_seed_same_noise_for_every_arm() -> None:
    """The noise met while scoring depends on the seed alone, so arms are compared on common random numbers."""
    images = torch.zeros(2, 3, 16, 16)
    states: list[Tensor] = []

    def restore(x: Tensor, noise: torch.Generator) -> Tensor:
        states.append(noise.get_state())
        return x + 0.1 * torch.randn(x.shape, generator=noise)

    for _ in range(2):
        score(restore, images, images[:1], seed=4, draws=2)
    assert torch.equal(states[0], states[3])
    assert not torch.equal(states[0], states[2])


@pytest.mark.acceptance("M6")
def test_perfect_images_are_left_out_and_noted() -> None:
    """An infinite PSNR is never averaged."""
    images = torch.rand(2, 3, 16, 16)
    found = score(lambda x, noise: x, images, images[:1], seed=0, draws=2)
    assert "psnr" not in found.metrics
    assert found.metrics["ssim"] == pytest.approx(1)
    assert found.notes == (SENTENCES["perfect images left out"],)


def test_non_finite_images_are_divergence() -> None:
    """Not a score."""
    images = torch.zeros(1, 3, 16, 16)
    with pytest.raises(DivergedError) as caught:
        score(lambda x, noise: x / 0, images, images, seed=0, draws=2, images_seen=7)
    assert caught.value.images_seen == 7


# --- trials


@pytest.mark.parametrize("method", ["ddpm", "dip", "dip+ddpm"])
def test_a_trial_measures_what_it_declares(method: str, tmp_path: Path) -> None:
    """Every metric is declared, times are positive, the curve has a point per epoch, the samples are there."""
    context = Listener(tmp_path)
    recipe = _recipe(method=method)
    outcome = _run(recipe, context)
    declared = {info.name for info in Replay.metrics}
    wanted = {"psnr", "ssim", "psnr_eval_sd", "psnr_first_image", "score_seconds"}
    wanted |= {"train_seconds", "train_loss", "seconds_per_epoch"} if "ddpm" in method else set()
    wanted |= {"dip_seconds", "dip_loss", "dip_seconds_per_epoch"} if "dip" in method.split("+") else set()
    assert outcome.kind is OutcomeKind.MEASURED
    assert wanted <= set(outcome.metrics) <= declared
    assert [images for images, _ in context.points] == [32, 64]
    assert all(set(values) == {"loss", "psnr"} for _, values in context.points)
    assert outcome.images_seen == (128 if method == "dip+ddpm" else 64)
    assert outcome.samples is not None
    assert (context.folder(recipe) / outcome.samples).is_file()


@pytest.mark.acceptance("M8")
def test_same_recipe_same_numbers(tmp_path: Path) -> None:
    """Bit for bit, without a shared cache; another seed gives others."""
    first, again, other = (
        _numbers(_run(_recipe(seed), Listener(tmp_path / name))) for seed, name in ((3, "a"), (3, "b"), (4, "c"))
    )
    assert first == again
    assert first != other


@pytest.mark.acceptance("R2")
def test_cosine_and_polynomial_are_bit_identical(tmp_path: Path) -> None:
    """Computed apart, the report's two arms give the same numbers; its real polynomial gives others."""
    cosine, polynomial, real = (
        _numbers(_run(_recipe(noise_schedule=name), Listener(tmp_path / name)))
        for name in ("cosine", "polynomial", "polynomial-real")
    )
    assert cosine == polynomial
    assert cosine != real


def test_identity_trains_nothing(tmp_path: Path) -> None:
    """No stage, no images seen, no training time."""
    recipe = _recipe(network="identity")
    outcome = _run(recipe, Listener(tmp_path))
    assert Replay.stages(recipe) == ()
    assert outcome.images_seen == 0
    assert "train_seconds" not in outcome.metrics


@pytest.mark.acceptance("U6")
@pytest.mark.parametrize("stop_after", [3, 8, 13])
def test_stopped_and_continued_is_undisturbed(stop_after: int, tmp_path: Path) -> None:
    """A stop in the autoencoder's or the denoiser's training loses nothing and changes no bit."""
    recipe = _recipe()
    undisturbed = Listener(tmp_path / "undisturbed")
    expected = _run(recipe, undisturbed)
    context = Listener(tmp_path / "stopped", stop_after=stop_after)
    with pytest.raises(StoppedError):
        _run(recipe, context)
    assert context.saved == 1
    context.stop_after = None
    assert _numbers(_run(recipe, context)) == _numbers(expected)
    assert dict(context.points) == dict(undisturbed.points)


def test_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    """A file that is not what was written is not trusted: the training starts from the state before it."""
    recipe = _recipe()
    expected = _run(recipe, Listener(tmp_path / "whole"))
    context = Listener(tmp_path / "torn", stop_after=13)
    with pytest.raises(StoppedError):
        _run(recipe, context)
    torn = list(context.cache.rglob("checkpoint-*.pt"))
    assert torn
    for path in torn:
        path.write_bytes(path.read_bytes()[:-20])
    assert _numbers(_run(recipe, replace(context, stop_after=None))) == _numbers(expected)


def test_due_checkpoints_are_written(tmp_path: Path) -> None:
    """Every update is a step boundary."""
    context = Listener(tmp_path, checkpoint_due=True)
    _run(_recipe(method="ddpm"), context)
    assert context.saved == 2 * 4


def test_longer_training_goes_on_from_a_shorter_one(tmp_path: Path) -> None:
    """Four epochs after two give the numbers of four at once; what was reused is named with what it cost."""
    shared, alone = Listener(tmp_path / "shared"), Listener(tmp_path / "alone")
    short = _run(_recipe(method="ddpm"), shared)
    long = _run(_recipe(method="ddpm", epochs=4), shared)
    assert _numbers(long) == _numbers(_run(_recipe(method="ddpm", epochs=4), alone))
    assert long.reused == {"denoiser": short.metrics["train_seconds"]}
    assert long.metrics["train_seconds"] > short.metrics["train_seconds"]
    assert _run(_recipe(method="ddpm"), shared).metrics["train_seconds"] == short.metrics["train_seconds"]


def test_arms_share_the_autoencoder(tmp_path: Path) -> None:
    """Arms that differ in the denoiser only train one autoencoder."""
    context = Listener(tmp_path)
    first, second = _run(_recipe(), context), _run(_recipe(lr=0.01), context)
    assert first.reused == {}
    assert second.reused == {"dip": first.metrics["dip_seconds"]}
    assert second.seconds >= first.metrics["dip_seconds"]


def test_divergence_is_an_outcome_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first non-finite loss ends the trial, with the images seen up to it."""
    seen = []

    def explode(self: ReplayDenoiser, x: Tensor, target: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(len(x))
        factor = math.inf if len(seen) == 3 else 1.0
        return factor * torch.stack([weight.square().sum() for weight in self.parameters()]).sum()

    monkeypatch.setattr(ReplayDenoiser, "loss", explode)
    outcome = _run(_recipe(method="ddpm"), Listener(tmp_path))
    assert outcome.kind is OutcomeKind.DIVERGED
    assert outcome.error == "denoiser loss became inf"
    assert outcome.images_seen == 24


def test_more_images_than_there_are(tmp_path: Path) -> None:
    """Nothing is drawn twice to make up the number."""
    with pytest.raises(DataError, match="train_images is 33, but skimage-patches has only 32"):
        _run(_recipe(train_images=33), Listener(tmp_path))


# --- stages and settings


def test_stage_digests_cover_what_a_stage_reads() -> None:
    """Durations and the table's name are not read; step size, batch and seed are."""
    base = {stage.name: stage.digest for stage in Replay.stages(_recipe())}

    def changed(seed: int = 0, **settings: Any) -> set[str]:
        other = {stage.name: stage.digest for stage in Replay.stages(_recipe(seed, **settings))}
        return {name for name, digest in base.items() if other[name] != digest}

    assert changed(epochs=9) == changed(eval_draws=9) == set()
    assert changed(lr=0.01) == changed(noise_schedule="cosine") == {"denoiser"}
    assert changed(dip_epochs=9) == {"denoiser"}
    assert changed(dip_lr=0.01) == changed(batch_size=9) == changed(seed=1) == {"dip", "denoiser"}


def test_check_warns_about_the_repeated_table() -> None:
    """The report can say why two arms agree to the last bit."""
    assert "cosine" in Replay.check(ReplaySettings(noise_schedule="polynomial"))[0]
    assert "is not trained" in Replay.check(ReplaySettings(network="identity"))[0]
    assert Replay.check(ReplaySettings()) == []


def test_identity_needs_a_denoiser() -> None:
    """Method dip has none to replace."""
    with pytest.raises(ValidationError, match="method: dip has none"):
        ReplaySettings(network="identity", method="dip")


def test_defaults_are_the_reports() -> None:
    """Its recipe as it stands."""
    settings = ReplaySettings()
    assert (settings.lr, settings.dip_lr, settings.batch_size) == (0.001, 0.001, 64)
    assert (settings.epochs, settings.dip_epochs, settings.num_blocks) == (10, 10, 10)
    assert (settings.method, settings.noise_schedule) == ("dip+ddpm", "linear")

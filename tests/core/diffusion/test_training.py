"""Training: the same numbers again, after an interruption, and after a shorter training that came before."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ablate.core.data import as_unit
from ablate.core.diffusion.cuda_graph_training import GraphedTrainer, trainer_for
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.forward_process import add_noise
from ablate.core.diffusion.training import Trainer, choose_images, learning_rate, train
from ablate.core.diffusion.training_course import TrainingCourse
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DivergedError, StoppedError
from ablate.interface import EAGER, SERIAL, Compilation, Fusion
from ablate.recipe import Recipe
from tests.core.whose import OneArm

TINY = DdpmDipSettings(
    channels=8, channel_mults="1", batch_size=4, epochs=2, warmup_steps=3, diffusion_steps=100, dropout=0.1
)


@pytest.fixture
def images() -> Tensor:
    """Eighteen images: four full batches of four and one of two per epoch."""
    return torch.randint(0, 256, (18, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@dataclass
class Listener(OneArm):
    """A report that asks for a checkpoint, or to stop, after chosen updates."""

    cache: Path
    stop_after: int = 10**9
    checkpoints: int = 0
    seen: list[int] = field(default_factory=list)
    device: str = "cpu"
    threads: int = 1
    fusion: Fusion = SERIAL
    compilation: Compilation = EAGER
    wanted: frozenset[str] = frozenset()
    looked: int = 0

    @property
    def stop_requested(self) -> bool:
        """True from the `stop_after`-th look on."""
        self.looked += 1
        return self.looked > self.stop_after

    @property
    def checkpoint_due(self) -> bool:
        return False

    def checkpointed(self) -> None:
        self.checkpoints += 1

    def folder(self, recipe: Recipe) -> Path:
        return self.cache

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        self.seen.append(done)

    def curve(self, recipe: Recipe, images: int, **values: float) -> None: ...

    def log(self, recipe: Recipe, text: str) -> None: ...


def run(
    settings: DdpmDipSettings,
    images: Tensor,
    root: Path,
    *,
    stop_after: int = 10**9,
    kind: type[Trainer] = Trainer,
) -> tuple[Trainer, float, list[int]]:
    points: list[int] = []
    trainer = kind(settings, images, 3)
    reused = train(
        trainer,
        StageFolder(root, "stage"),
        recipe=Recipe("ddpm-dip", settings.resolved(), 3),
        context=Listener(root, stop_after),
        on_point=lambda seen, seconds, denoiser: points.append(seen),
    )
    return trainer, reused, points


def weights(trainer: Trainer) -> list[Tensor]:
    return [weight.detach() for weight in trainer.denoiser.network.parameters()]


def same(first: Trainer, second: Trainer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


@pytest.mark.acceptance("U6")
def test_the_same_seed_gives_the_same_bits(images: Tensor, tmp_path: Path) -> None:
    """Whatever the global random state is, and wherever it is computed."""
    torch.manual_seed(1)
    first = run(TINY, images, tmp_path / "a")[0]
    torch.manual_seed(2)
    assert same(first, run(TINY, images, tmp_path / "b")[0])


@pytest.mark.acceptance("U6")
@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_an_interrupted_training_ends_bit_for_bit_alike(images: Tensor, tmp_path: Path, stop_after: int) -> None:
    whole = run(TINY, images, tmp_path / "a")[0]
    with pytest.raises(StoppedError):
        run(TINY, images, tmp_path / "b", stop_after=stop_after)
    resumed, reused, _ = run(TINY, images, tmp_path / "b")
    assert same(whole, resumed)
    assert 0 < reused < resumed.seconds


@pytest.mark.parametrize("stop_after", [1, 6])
def test_a_light_network_under_muon_ends_bit_for_bit_alike(images: Tensor, tmp_path: Path, stop_after: int) -> None:
    """Its averages are in the checkpoint as Adam's are."""
    settings = TINY.model_copy(update={"optimizer": "muon", "unet": "light", "channel_mults": "1-2"})
    whole = run(settings, images, tmp_path / "a")[0]
    assert not same(whole, run(settings.model_copy(update={"optimizer": "adam"}), images, tmp_path / "c")[0])
    with pytest.raises(StoppedError):
        run(settings, images, tmp_path / "b", stop_after=stop_after)
    assert same(whole, run(settings, images, tmp_path / "b")[0])


def test_a_longer_training_goes_on_from_a_shorter_one(images: Tensor, tmp_path: Path) -> None:
    """Two epochs after one give the bits of two epochs, and the measured seconds of the first are kept."""
    short = run(TINY.model_copy(update={"epochs": 1}), images, tmp_path / "a")[0]
    long, reused, _ = run(TINY, images, tmp_path / "a")
    assert reused == pytest.approx(short.seconds)
    assert long.seconds > reused
    assert same(long, run(TINY, images, tmp_path / "b")[0])
    again, reused, _ = run(TINY.model_copy(update={"epochs": 1}), images, tmp_path / "a")
    assert same(again, short)
    assert reused == again.seconds == short.seconds


def test_a_torn_checkpoint_costs_time_not_truth(images: Tensor, tmp_path: Path) -> None:
    whole = run(TINY, images, tmp_path / "a")[0]
    with pytest.raises(StoppedError):
        run(TINY, images, tmp_path / "b", stop_after=4)
    for path in (tmp_path / "b" / "stage").glob("step-*.pt"):
        path.write_bytes(path.read_bytes()[:-100])
    assert same(whole, run(TINY, images, tmp_path / "b")[0])


def test_curve_points_are_replayed_when_the_work_is_reused(images: Tensor, tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"epochs": 8})
    points = run(settings, images, tmp_path)[2]
    assert points == [TrainingCourse(18, 4, 8).images_seen(step) for step in TrainingCourse(18, 4, 8).curve_steps()]
    assert run(settings, images, tmp_path)[2] == points


@pytest.mark.acceptance("U8")
def test_a_non_finite_loss_ends_the_training_as_diverged(images: Tensor, tmp_path: Path) -> None:
    """Raised at the batch that gave it, with the images seen up to and including that batch."""
    settings = TINY.model_copy(update={"lr": 1.0, "grad_clip": 0.0, "warmup_steps": 0, "dropout": 0.0})
    trainer = Trainer(settings, images, 0)
    trainer.update()
    with torch.no_grad():
        trainer.denoiser.network.get_parameter("exit.bias").fill_(math.inf)
    with pytest.raises(DivergedError) as caught:
        trainer.update()
    assert caught.value.images_seen == 8


@pytest.mark.acceptance("U2")
def test_the_first_loss_is_the_noise_s_own_mean_square(images: Tensor) -> None:
    """An untrained network predicts 0, so the loss is E[eps^2] = 1."""
    trainer = Trainer(TINY.model_copy(update={"batch_size": 18}), images, 0)
    trainer.update()
    assert trainer.settle() == pytest.approx(1.0, abs=5 * (2 / images.numel()) ** 0.5)


def test_every_image_is_seen_once_per_epoch(images: Tensor) -> None:
    """Each epoch is a permutation of its own; the flip does not lose an image."""
    trainer = Trainer(TINY.model_copy(update={"horizontal_flip": False}), images, 0)
    orders = []
    for epoch in range(2):
        batches = [trainer._batch(step) for step in range(5 * epoch, 5 * epoch + 5)]
        assert [len(batch) for batch in batches] == [4, 4, 4, 4, 2]
        orders.append([float(image.sum()) for batch in batches for image in batch])
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_flips_are_drawn_per_image(images: Tensor) -> None:
    settings = TINY.model_copy(update={"batch_size": 18})
    plain = Trainer(settings.model_copy(update={"horizontal_flip": False}), images, 0)._batch(0)
    flipped = Trainer(settings, images, 0)._batch(0)
    mirrored = [torch.equal(b, a.flip(-1)) for a, b in zip(plain, flipped, strict=True)]
    unchanged = [torch.equal(b, a) for a, b in zip(plain, flipped, strict=True)]
    assert all(m != u for m, u in zip(mirrored, unchanged, strict=True))
    assert 0 < sum(mirrored) < 18


@pytest.mark.parametrize(
    ("step", "decay", "factor"),
    [(0, "constant", 0.1), (4, "constant", 0.5), (500, "constant", 1.0), (10, "cosine", 1.0), (60, "cosine", 0.5)],
)
def test_course_of_the_step_size(step: int, decay: str, factor: float) -> None:
    """Ten steps of linear warm-up, then constant, or half a cosine over the remaining hundred."""
    settings = DdpmDipSettings.model_validate({"lr": 0.01, "warmup_steps": 10, "lr_decay": decay})
    assert learning_rate(settings, step, 110) == pytest.approx(0.01 * factor)


def test_images_seen_and_curve_steps() -> None:
    course = TrainingCourse(images=18, batch=4, epochs=30)
    assert (course.per_epoch, course.total) == (5, 150)
    assert [course.images_seen(step) for step in (0, 1, 5, 6, 150)] == [0, 4, 18, 22, 540]
    assert course.curve_steps() == [25, 35, 50, 71, 100, 141, 150]
    assert TrainingCourse(images=8, batch=4, epochs=1).curve_steps() == [2]


def test_a_subset_is_seeded(images: Tensor) -> None:
    settings = TINY.model_copy(update={"train_images": 5})
    first, again, other = (choose_images(images, settings, seed) for seed in (0, 0, 1))
    assert len(first) == 5
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert choose_images(images, TINY, 0) is images


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
@pytest.mark.parametrize("loss_weight", ["simple", "min-snr"])
def test_every_prediction_learns(prediction: str, loss_weight: str, tmp_path: Path) -> None:
    """Twenty updates on one plain image lower the error of the predicted noise."""
    settings = DdpmDipSettings.model_validate(
        {
            **TINY.resolved(),
            "prediction": prediction,
            "loss_weight": loss_weight,
            "epochs": 4,
            "dropout": 0.0,
            "horizontal_flip": False,
            "ema_decay": 0.0,
            "lr": 0.003,
        }
    )
    one = torch.full((1, 3, 32, 32), 220, dtype=torch.uint8)
    before = error(Denoiser.build(settings, 3, torch.device("cpu")), one)
    trainer = run(settings, one.expand(18, -1, -1, -1).contiguous(), tmp_path)[0]
    assert error(trainer.denoiser, one) < before


def error(denoiser: Denoiser, image: Tensor) -> float:
    """Error of the noise at a middling step, on other noise over `image`."""
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    t = torch.full((4,), 30)
    xt = add_noise(as_unit(image).expand_as(noise), noise, denoiser.alpha_bar(t))
    return float((denoiser.epsilon(xt, t) - noise).square().mean())


def test_one_lane_trains_as_the_plain_loop(images: Tensor, tmp_path: Path) -> None:
    """What a GPU does as a graph, here without one: the same numbers within rounding, the same curve."""
    settings = TINY.model_copy(update={"dropout": 0.0, "epochs": 6})
    plain, _, points = run(settings, images, tmp_path / "plain")
    graphed, _, graphed_points = run(settings, images, tmp_path / "graphed", kind=GraphedTrainer)
    assert graphed_points == points
    first, second = (torch.cat([weight.flatten() for weight in weights(trainer)]) for trainer in (graphed, plain))
    assert float((first - second).norm() / second.norm()) < 1e-3


@pytest.mark.parametrize("stop_after", [2, 6])
def test_one_lane_continues_bit_for_bit(images: Tensor, tmp_path: Path, stop_after: int) -> None:
    settings = TINY.model_copy(update={"dropout": 0.0})
    whole = run(settings, images, tmp_path / "a", kind=GraphedTrainer)[0]
    with pytest.raises(StoppedError):
        run(settings, images, tmp_path / "b", stop_after=stop_after, kind=GraphedTrainer)
    assert same(whole, run(settings, images, tmp_path / "b", kind=GraphedTrainer)[0])


def test_only_a_gpu_gets_a_graph(images: Tensor) -> None:
    assert type(trainer_for(TINY, images, 0)) is Trainer

"""A small DDPM on the embedded photographs: validation loss against the linear bound, samples, Gabor-Fréchet distance.

    python benchmarks/small_ddpm.py                  # 4,000 updates and all measurements, about 20 CPU minutes
    python benchmarks/small_ddpm.py --updates 400    # past the bound at low noise
    python benchmarks/small_ddpm.py --draw ddpm.json # draw the loss curve from saved numbers

U-Net of 16 channels, mults 1-2-3, one block, attention at 8 pixels (454,371 parameters); linear schedule, T = 1000;
batch 32, step size 1e-3 with 100 updates of warm-up and a cosine course, averaged weights (0.995, ramp). Validation:
500 held-out patches, 20 steps spread over 1..T, fixed noise. Samples: DDIM with 20 evaluations from the same noise at
every point; 400 of them against 2,000 training patches.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablate.core.data import ImageSet, as_unit, load, to_uint8
from ablate.core.data.image_grids import save_grid
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.samplers import Reverse, reverse
from ablate.core.diffusion.training import Trainer
from ablate.core.diffusion.validation import Wiener, epsilon_errors, fixed_choice
from ablate.core.scores.features import FeatureScale, gabor_features
from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.memorisation import nearness
from ablate.core.scores.prdc import prdc
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.seeding import generator

BATCH = 32
AT = (100, 200, 400, 800, 1200, 1600, 2400, 3200, 4000)
SAMPLED_AT = (800, 1600, 2400, 4000)
LEVELS = [25 + 50 * part for part in range(20)]
"""Steps of the validation loss, middles of 20 equal parts of 1..1000."""
SAMPLES, REFERENCES = 400, 2000


def settings_for(updates: int) -> DdpmDipSettings:
    """The configuration above, as long as `updates`: one pass over that many batches."""
    return DdpmDipSettings.model_validate(
        {
            "channels": 16,
            "channel_mults": "1-2-3",
            "attention": "8",
            "batch_size": BATCH,
            "lr": 1e-3,
            "lr_decay": "cosine",
            "warmup_steps": 100,
            "ema_decay": 0.995,
            "epochs": max(1, updates // 500),
            "train_images": BATCH * min(updates, 500),
        }
    )


def losses(epsilon: Any, images: Tensor, schedule: Any) -> list[float]:
    """Error of the predicted noise at every step of `LEVELS`."""
    return epsilon_errors(epsilon, images, LEVELS, schedule)


def samples_of(denoiser: Denoiser) -> Tensor:
    """uint8 [400,3,32,32] by DDIM with 20 evaluations, from the same noise whatever the denoiser."""
    x = torch.randn(SAMPLES, 3, 32, 32, generator=generator(0, "small-ddpm-samples"))
    parts = [
        reverse(
            denoiser,
            part,
            start=denoiser.schedule.steps,
            schedule=denoiser.schedule,
            prediction=denoiser.prediction,
            settings=Reverse("ddim", 20),
            noise=lambda t: torch.zeros(()),
        )
        for part in x.split(100)
    ]
    return to_uint8(torch.cat(parts))


class Judge:
    """Compares sets of images with 2,000 training patches."""

    def __init__(self, train: Tensor) -> None:
        order = torch.randperm(len(train), generator=generator(0, "small-ddpm-reference"))
        self.reference = train[order[:REFERENCES]]
        self.others = train[order[REFERENCES : REFERENCES + SAMPLES]]
        raw = gabor_features(self.reference)
        self.scale = FeatureScale.fit(raw)
        self.real = self.scale(raw)

    def __call__(self, label: str, images: Tensor) -> dict[str, Any]:
        """Distances and shares of uint8 `images`."""
        features = self.scale(gabor_features(images))
        shares, near = prdc(self.real, features), nearness(images, self.reference)
        return {
            "set": label,
            "gfd78": frechet_distance(self.real, features),
            "coverage": shares.coverage,
            "recall": shares.recall,
            "nn_distance": float(near.distance.median()),
        }


def gaussian(train: Tensor) -> Tensor:
    """uint8 samples of a Gaussian with the training images' pixel mean and covariance: no network at all."""
    flat = as_unit(train).flatten(1)
    weights = torch.randn(SAMPLES, len(flat), generator=generator(0, "small-ddpm-gaussian")) / (len(flat) - 1) ** 0.5
    return to_uint8((flat.mean(0) + weights @ (flat - flat.mean(0))).unflatten(1, (3, 32, 32)))


def measure(updates: int, grid: Path) -> Iterator[dict[str, Any]]:
    """Train; yield what has been measured so far at every point, the samples of every sampled one drawn into `grid`."""
    torch.set_num_threads(1)
    images = load("skimage-patches")
    validation = as_unit(images.test[fixed_choice(len(images.test), 500, "validation-images")])
    settings = settings_for(updates)
    trainer = Trainer(settings, images.train[fixed_choice(len(images.train), settings.train_images, "small-ddpm")], 0)
    schedule = trainer.denoiser.schedule
    wiener = Wiener.fit(as_unit(images.train))
    bound = losses(lambda x, t: wiener.epsilon(x, torch.tensor(schedule.alpha_bars)[t[0] - 1]), validation, schedule)
    judge = Judge(images.train)
    table = [judge(label, found) for label, found in _comparisons(images, judge)]
    curve, rows = [], [("training patches", as_unit(judge.reference[:12]))]
    began = time.process_time()
    training = 0.0
    while not trainer.done:
        trainer.update()
        if trainer.step not in AT and not trainer.done:
            continue
        training += time.process_time() - began
        with trainer.ema.applied():
            found = losses(trainer.denoiser.epsilon, validation, schedule)
            curve.append({"updates": trainer.step, "levels": found, "mean": sum(found) / len(found), "cpu_s": training})
            print(trainer.step, f"{curve[-1]['mean']:.4f} {training:.0f} CPU s", flush=True)
            if trainer.step in SAMPLED_AT:
                made = samples_of(trainer.denoiser)
                table.append(judge(f"DDPM after {trainer.step} updates", made))
                rows.append((f"{trainer.step} updates", as_unit(made[:12])))
                save_grid(grid, rows)
        yield {"bound": bound, "levels": LEVELS, "curve": curve, "table": table, "torch": torch.__version__}
        began = time.process_time()


def _comparisons(images: ImageSet, judge: Judge) -> list[tuple[str, Tensor]]:
    held_out = images.test[fixed_choice(len(images.test), SAMPLES, "small-ddpm-held-out")]
    return [
        ("other training patches (the floor)", judge.others),
        ("held-out part of the photographs", held_out),
        ("Gaussian, same mean and covariance", gaussian(images.train)),
    ]


def show(found: dict[str, Any]) -> None:
    """Print both tables as Markdown."""
    bound = found["bound"]
    print("| updates | loss, mean | loss / bound | t = 25 | t = 475 | CPU s |\n|---|---|---|---|---|---|")
    mean = sum(bound) / len(bound)
    for point in found["curve"]:
        early, late = point["levels"][0], point["levels"][9]
        print(
            f"| {point['updates']} | {point['mean']:.4f} | {point['mean'] / mean:.2f} | {early:.3f} | {late:.4f} "
            f"| {point['cpu_s']:.0f} |"
        )
    print(f"| bound | {mean:.4f} | 1 | {bound[0]:.3f} | {bound[9]:.4f} | |\n")
    print("| set | GFD-78@400/2000 | coverage | recall | NN distance |\n|---|---|---|---|---|")
    for row in found["table"]:
        print(
            f"| {row['set']} | {row['gfd78']:.2f} | {row['coverage']:.3f} | {row['recall']:.3f} "
            f"| {row['nn_distance']:.1f} |"
        )


def draw(found: dict[str, Any], path: Path) -> None:
    """Write the figure: validation loss over updates with the bound, and loss over bound by diffusion step."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(context="paper", style="ticks", palette="colorblind")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    updates = [point["updates"] for point in found["curve"]]
    left.plot(updates, [point["mean"] for point in found["curve"]], "o-", ms=3, label="DDPM")
    left.axhline(sum(found["bound"]) / len(found["bound"]), color="C3", ls="--", lw=1, label="best linear denoiser")
    left.set(xscale="log", yscale="log", xlabel="updates (batch 32)", ylabel="error of the noise, mean over steps")
    left.legend(frameon=False)
    for point in found["curve"]:
        if point["updates"] in (200, 400, 800, 4000):
            ratio = [mine / best for mine, best in zip(point["levels"], found["bound"], strict=True)]
            right.plot(found["levels"], ratio, "o-", ms=2.5, lw=1, label=f"{point['updates']} updates")
    right.axhline(1, color="C3", ls="--", lw=1)
    right.set(yscale="log", xlabel="diffusion step t", ylabel="error / that of the best linear denoiser")
    right.legend(frameon=False, fontsize=7)
    sns.despine(figure)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=AT[-1], help="at most 500, or a multiple of it")
    parser.add_argument("--json", type=Path, default=Path("small_ddpm.json"), help="where the numbers go")
    parser.add_argument("--draw", type=Path, help="draw the numbers of this file, measure nothing")
    parser.add_argument("--figure", type=Path, default=Path("small_ddpm.png"))
    parser.add_argument("--grid", type=Path, default=Path("small_ddpm_samples.png"))
    asked = parser.parse_args()
    if asked.draw:
        found = json.loads(asked.draw.read_text(encoding="utf-8"))
    else:
        for found in measure(asked.updates, asked.grid):
            asked.json.write_text(json.dumps(found), encoding="utf-8")
    show(found)
    draw(found, asked.figure)


if __name__ == "__main__":
    main()

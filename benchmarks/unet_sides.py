"""One side of `unet_peers`, timed in a process of its own: the program a user of that library would write.

    python -m benchmarks.unet_sides ablate
    python -m benchmarks.unet_sides dip-authors --dip FOLDER

Prints JSON: CPU seconds of what the side does, each after a warm-up. All data are the embedded photographs: resident in
ablate, PIL images in memory for diffusers, PNG files for denoising-diffusion-pytorch, as each library's loop has them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.core.data import load
from ablate.core.diffusion.generation import from_noise, start_noise, step_noise
from ablate.core.diffusion.samplers import Reverse
from ablate.core.diffusion.training import Trainer
from ablate.core.dip.fit import DipSettings, Fitting
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import apply_numerics
from benchmarks.frame import clock

BATCH, SAMPLES, STEPS = 16, 16, 50
WARM_UP, UPDATES = 4, 16
IMAGES, ITERATIONS = 16, 6
"""Of the Deep Image Prior."""
FILES = 1600
"""PNG files for the library that reads a folder; a hundred updates."""
HOW = Reverse("ddim", STEPS, grid="trailing")
DIP = DipSettings(stop="fixed", steps=1000)
"""The defaults: 16 channels, 3 scales; long enough that none ends."""


def settings_of(**changes: Any) -> DdpmDipSettings:
    """The first study's network and training: a U-Net of 16 and 32 channels, batches of 16, Adam with clipping."""
    return DdpmDipSettings.model_validate({"epochs": 100, "batch_size": BATCH, **changes})


class Ablate:
    """ablate's trainer and sampler."""

    def __init__(self, **changes: Any) -> None:
        settings = settings_of(**changes)
        apply_numerics(settings)
        self.trainer = Trainer(settings, load("skimage-patches").train, 0)
        self.network = self.trainer.denoiser.network

    def update(self) -> None:
        """One update, of the average too."""
        self.trainer.update()

    def sample(self) -> Tensor:
        """Images [16,3,32,32] in [-1,1]."""
        start = start_noise(SAMPLES, (3, 32, 32), 0, torch.device("cpu"))
        return from_noise(self.trainer.denoiser, start, HOW, step_noise(start, 0, "unused"))


def diffusers_network() -> nn.Module:
    """UNet2DModel as ablate builds its own: same layers, same sizes; only steps are counted from 0 there."""
    from diffusers import UNet2DModel

    class CountedFrom1(UNet2DModel):  # type: ignore[misc]
        """Told step t - 1, it embeds t, so that weights of ablate's network give the same outputs."""

        def forward(self, sample: Tensor, timestep: Tensor, *rest: Any, **options: Any) -> Any:
            """Images [N,3,H,W], steps 0..T-1."""
            return super().forward(sample, timestep + 1, *rest, **options)

    return CountedFrom1(
        sample_size=32,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        add_attention=False,
        norm_num_groups=8,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    )


def give_weights(mine: nn.Module, theirs: nn.Module) -> None:
    """Copy the weights of ablate's U-Net into diffusers': the same layers in the same order, section by section."""
    sections = {"time": "time_embedding", "entry": "conv_in", "down": "down_blocks", "middle": "mid_block"}
    sections |= {"up": "up_blocks", "norm": "conv_norm_out", "exit": "conv_out"}
    with torch.no_grad():
        for ours, other in sections.items():
            from_, to = (
                [weight for name, weight in network.named_parameters() if name.startswith(prefix)]
                for network, prefix in ((mine, ours), (theirs, other))
            )
            for source, target in zip(from_, to, strict=True):
                target.copy_(source)


class Diffusers:
    """UNet2DModel in the loop of diffusers' tutorial and example: accelerate, AdamW, clipping, EMAModel."""

    def __init__(self, *, lr: float = 1e-3, plain_adam: bool = False) -> None:
        """`plain_adam` is ablate's optimiser: no weight decay, usual betas, a constant step size."""
        from accelerate import Accelerator
        from diffusers import DDPMScheduler
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel
        from tqdm.auto import tqdm

        network = diffusers_network()
        self.accelerator = Accelerator(cpu=True)
        own = {"betas": (0.9, 0.999), "weight_decay": 0.0} if plain_adam else {"betas": (0.95, 0.999)}
        optimizer = torch.optim.AdamW(network.parameters(), lr=lr, **({"weight_decay": 1e-6} | own))
        kind = "constant" if plain_adam else "cosine"
        course = get_scheduler(kind, optimizer, num_warmup_steps=500, num_training_steps=40_000)
        loader = torch.utils.data.DataLoader(_pictures(), batch_size=BATCH, shuffle=True)
        self.network, self.optimizer, self.loader, self.course = self.accelerator.prepare(
            network, optimizer, loader, course
        )
        self.ema = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True)
        self.scheduler = DDPMScheduler(1000)
        self.batches = self._endless()
        self.bar = tqdm(file=io.StringIO())

    def _endless(self) -> Iterator[Tensor]:
        while True:
            yield from self.loader

    def update(self) -> None:
        """One update, of the average too."""
        x0 = next(self.batches)
        noise = torch.randn(x0.shape)
        self.step(x0, noise, torch.randint(0, 1000, (len(x0),)))

    def step(self, x0: Tensor, noise: Tensor, t: Tensor) -> float:
        """The update after the draws; steps `t` are 0..T-1. Return the loss."""
        noisy = self.scheduler.add_noise(x0, noise, t)
        with self.accelerator.accumulate(self.network):
            loss = F.mse_loss(self.network(noisy, t).sample, noise)
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.course.step()
            self.optimizer.zero_grad()
        self.ema.step(self.network.parameters())
        value = float(loss.detach().item())
        self.bar.update(1)
        self.bar.set_postfix(loss=value, lr=self.course.get_last_lr()[0])
        return value

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Images [16,3,32,32] in [-1,1], by the DDIM pipeline; noise recomputed from clipped estimates as in ablate."""
        from diffusers import DDIMPipeline, DDIMScheduler

        scheduler = DDIMScheduler(1000, timestep_spacing="trailing")
        pipeline = DDIMPipeline(self.accelerator.unwrap_model(self.network), scheduler)
        pipeline.set_progress_bar_config(disable=True)
        made = pipeline(
            batch_size=SAMPLES,
            num_inference_steps=STEPS,
            use_clipped_model_output=True,
            output_type="np",
            generator=generator,
        ).images
        return torch.from_numpy(made).permute(0, 3, 1, 2) * 2 - 1


def _pictures() -> Any:
    """A data set of PIL images with the example's transforms."""
    from torchvision import transforms
    from torchvision.transforms.functional import to_pil_image

    prepare = transforms.Compose(
        [
            transforms.Resize(32),
            transforms.CenterCrop(32),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )
    pictures = [to_pil_image(image) for image in load("skimage-patches").train]

    class Pictures(torch.utils.data.Dataset[Tensor]):
        """Image by image."""

        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, place: int) -> Tensor:
            prepared: Tensor = prepare(pictures[place])
            return prepared

    return Pictures()


def lucidrains_network(*, attention: bool) -> nn.Module:
    """Unet of denoising-diffusion-pytorch with 16 and 32 channels; without `attention` as little of it as it takes."""
    from denoising_diffusion_pytorch import Unet

    least = {} if attention else {"attn_heads": 1, "attn_dim_head": 8}
    network: nn.Module = Unet(dim=16, dim_mults=(1, 2), **least)
    return network


class Lucidrains:
    """Unet, GaussianDiffusion and Trainer of denoising-diffusion-pytorch, on a folder of PNG files."""

    def __init__(self, folder: Path, *, attention: bool) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion
        from denoising_diffusion_pytorch import Trainer as TheirTrainer
        from torchvision.transforms.functional import to_pil_image

        for number, image in enumerate(load("skimage-patches").train[:FILES]):
            to_pil_image(image).save(folder / f"{number}.png")
        diffusion = GaussianDiffusion(
            lucidrains_network(attention=attention),
            image_size=32,
            sampling_timesteps=STEPS,
            objective="pred_noise",
            beta_schedule="linear",
        )
        self.trainer = TheirTrainer(
            diffusion,
            folder,
            train_batch_size=BATCH,
            train_num_steps=0,
            save_and_sample_every=10**9,
            results_folder=folder / "results",
            calculate_fid=False,
        )

    def updates(self, count: int) -> None:
        """Go on for `count` updates of `Trainer.train`."""
        self.trainer.train_num_steps = self.trainer.step + count
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            self.trainer.train()

    def sample(self) -> Tensor:
        """Images [16,3,32,32] in [0,1]."""
        with contextlib.redirect_stderr(io.StringIO()):
            made: Tensor = self.trainer.model.sample(batch_size=SAMPLES)
        return made


class DipAuthors:
    """One image's fit by the authors' network and optimiser, with the loop of their notebook for denoising.

    Left out, in their favour: printing, plots, and the two PSNRs against the clean image.
    """

    def __init__(self, folder: Path, noisy: Tensor) -> None:
        """`folder` is a checkout of their repository; `noisy` [1,3,H,W] in [0,1]."""
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        from models import get_net
        from utils.common_utils import get_noise, optimize

        self.optimize = optimize
        self.network = get_net(
            DIP.code_channels,
            "skip",
            "reflection",
            "bilinear",
            skip_n33d=DIP.channels,
            skip_n33u=DIP.channels,
            skip_n11=DIP.skip,
            num_scales=DIP.scales,
        ).to(noisy.dtype)
        self.noisy, self.code = noisy, get_noise(DIP.code_channels, "noise", noisy.shape[2:]).to(noisy.dtype)
        self.drawn = torch.empty_like(self.code)
        self.average: Tensor | None = None
        self.step, self.before = 0, 0.0
        self.saved: list[Tensor] = []

    def draw(self) -> Tensor:
        """The noise of the next iteration, like the code."""
        return self.drawn.normal_()

    def closure(self) -> Tensor:
        """One iteration up to the gradients; the loss."""
        output = self.network(self.code + self.draw() * DIP.input_noise)
        now = output.detach()
        self.average = now if self.average is None else self.average * DIP.ema + now * (1 - DIP.ema)
        loss = F.mse_loss(output, self.noisy)
        loss.backward()
        quality = -10 * float(loss.detach().log10())
        if self.step % 100:
            if quality - self.before < -DIP.fallback_db:
                for parameter, saved in zip(self.network.parameters(), self.saved, strict=True):
                    parameter.data.copy_(saved)
                return loss * 0
            self.saved, self.before = [parameter.detach().clone() for parameter in self.network.parameters()], quality
        self.step += 1
        return loss

    def run(self, iterations: int) -> None:
        """Fit for so many iterations, from the current weights and a fresh Adam."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.optimize("adam", list(self.network.parameters()), self.closure, DIP.lr, iterations)


def noisy_images() -> Tensor:
    """[16,3,32,32] in [0,1]: held-out photographs with noise of 25/255."""
    clean = load("skimage-patches").test[:IMAGES].float() / 255
    return (clean + 25 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def timed(work: Callable[[], Any], times: int = 1, warm_up: int = 0) -> float:
    """CPU seconds of one `work`, mean of `times` after `warm_up` others."""
    for _ in range(warm_up):
        work()
    began = clock()
    for _ in range(times):
        work()
    return (clock() - began) / times


def dip_ablate() -> dict[str, float]:
    """Seconds per image and iteration, for 16 images in one program and image by image."""
    images = noisy_images()

    def fitting(chosen: slice) -> Callable[[], Any]:
        fit = Fitting(images[chosen], DIP, 0, list(range(IMAGES))[chosen])
        return lambda: fit.follow(*fit.descend())

    together = timed(fitting(slice(0, IMAGES)), ITERATIONS, 2) / IMAGES
    alone = [timed(fitting(slice(n, n + 1)), ITERATIONS, 2) for n in range(IMAGES)]
    return {"dip": together, "dip-alone": sum(alone) / len(alone)}


def dip_authors(folder: Path) -> dict[str, float]:
    """The same by the authors' code, image by image."""
    took = []
    for image in noisy_images().split(1):
        fit = DipAuthors(folder, image)
        fit.run(2)
        took.append(timed(lambda fit=fit: fit.run(ITERATIONS)) / ITERATIONS)
    return {"dip": sum(took) / len(took)}


def run(side: str, folder: Path, dip: Path | None) -> dict[str, float]:
    """Seconds of each thing that `side` does."""
    if side == "dip-authors":
        assert dip is not None
        return dip_authors(dip)
    if side == "ablate-dip":
        return dip_ablate()
    if side.startswith("lucidrains"):
        other = Lucidrains(folder, attention=side == "lucidrains-default")
        other.updates(WARM_UP)
        updates = UPDATES // 2
        return {"update": timed(lambda: other.updates(updates)) / updates, "sample": timed(other.sample)}
    program = Ablate() if side == "ablate" else Diffusers()
    return {"update": timed(program.update, UPDATES, WARM_UP), "sample": timed(program.sample)}


def main() -> None:
    """Time one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides = ("ablate", "ablate-dip", "diffusers", "lucidrains", "lucidrains-default", "dip-authors")
    parser.add_argument("side", choices=sides)
    parser.add_argument("--dip", type=Path, help="checkout of the authors' Deep Image Prior")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(options.side, Path(folder), options.dip)))


if __name__ == "__main__":
    main()

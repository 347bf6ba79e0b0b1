"""The stage ``warm``: a U-Net that has met a few training images, to begin a training from.

As a DIP meets them: fixed noise z_k in, image x_k out, at t = T, all K images at every update. Or, as the control, by
as many ordinary denoising updates on the same images.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ablate.core.data import as_unit
from ablate.core.ddpm_dip.stages.digests import warm_stage
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.forward_process import add_noise, loss_weights, stratified_steps, target_of, x0_from
from ablate.core.diffusion.muon import optimizer_for
from ablate.core.diffusion.restoration import addressed_noise
from ablate.core.diffusion.training import choose_images
from ablate.core.shared.seeding import generator
from ablate.errors import DivergedError, StoppedError


def warm_weights(run: Run) -> dict[str, Tensor]:
    """Return the weights after `warm_steps` updates on `warm_images` images; what they took is recorded."""
    settings = run.settings
    with run.stage(warm_stage(settings, run.seed, run.core_version)) as folder:
        state = folder.load("warm", settings.warm_steps)
        if state is None:
            run.needs_training("warm")
            began = time.perf_counter()
            state = {"network": _fit(run).network.state_dict()}
            state["seconds"] = time.perf_counter() - began
            folder.save("warm", settings.warm_steps, state)
            folder.describe({"stage": "warm", "seconds": state["seconds"], "recipe": run.recipe.to_dict()})
            run.context.checkpointed()
        else:
            run.reused["warm"] = state["seconds"]
    run.found["warm_seconds"] = state["seconds"]
    weights: dict[str, Tensor] = state["network"]
    return weights


def _fit(run: Run) -> Denoiser:
    settings = run.settings
    images = as_unit(choose_images(run.images.train, settings, run.seed)[: settings.warm_images])
    denoiser = Denoiser.build(settings, run.seed, run.device)
    loss_of = _as_dip(run, denoiser, images) if settings.warm_source == "dip" else _denoising(run, denoiser, images)
    optimizer = optimizer_for(settings.optimizer, denoiser.network, settings.lr)
    denoiser.network.train()
    for step in range(settings.warm_steps):
        loss = loss_of(step)
        if not bool(loss.isfinite()):
            raise DivergedError(f"warm-up loss is not finite at step {step + 1}", images_seen=(step + 1) * len(images))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(denoiser.network.parameters(), settings.grad_clip or torch.inf)
        optimizer.step()
        run.context.progress(run.recipe, "warm", step + 1, settings.warm_steps, loss=float(loss.detach()))
        if run.context.stop_requested:
            raise StoppedError("stopped during the warm-up, which starts again")
    return denoiser


def _as_dip(run: Run, denoiser: Denoiser, images: Tensor) -> Callable[[int], Tensor]:
    """||x_k - x0(z_k + rho n)||^2 at t = T, z_k fixed.

    x0 is read off the output as the prediction has it. An epsilon prediction at t = T would multiply its own error by
    1 / sqrt(a_T), 157 under the linear schedule; there the output itself is fitted to the image.
    """
    code = addressed_noise(images.shape, run.seed, "warm-code").to(run.device)
    t = torch.full((len(images),), denoiser.schedule.steps, dtype=torch.int64, device=run.device)
    kind = "x0" if denoiser.prediction == "epsilon" else denoiser.prediction

    def loss(step: int) -> Tensor:
        fresh = torch.randn(code.shape, generator=_stream(run, "warm-input", step), device=run.device)
        shown = code + run.settings.dip_input_noise * fresh
        found = x0_from(kind, denoiser.output(shown, t), shown, denoiser.alpha_bar(t))
        return (found - images).square().mean()

    return loss


def _denoising(run: Run, denoiser: Denoiser, images: Tensor) -> Callable[[int], Tensor]:
    """The training's own loss on the same images: all of them at every update, t and noise drawn afresh."""
    settings = run.settings

    def loss(step: int) -> Tensor:
        noise = torch.randn(images.shape, generator=_stream(run, "warm-noise", step), device=run.device)
        t = stratified_steps(len(images), settings.diffusion_steps, _stream(run, "warm-steps", step))
        alpha_bar = denoiser.alpha_bar(t)
        output = denoiser.output(add_noise(images, noise, alpha_bar), t)
        error = (output - target_of(settings.prediction, images, noise, alpha_bar)).square().flatten(1).mean(1)
        weights: Any = loss_weights(settings.loss_weight, settings.prediction, alpha_bar).to(error.dtype)
        mean: Tensor = (weights * error).mean()
        return mean

    return loss


def _stream(run: Run, purpose: str, step: int) -> torch.Generator:
    return generator(run.seed, purpose, step, device=str(run.device))

"""The founding report's two networks in lanes, on images [K, B, 3, H, W]."""

from __future__ import annotations

from contextlib import ExitStack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.core.data import as_unit
from ablate.core.programs.lane_run import LaneTraining
from ablate.core.programs.lanes import AdamMoments, Lanes
from ablate.core.replay import conv_block
from ablate.core.replay.lane_conv import convolved
from ablate.core.replay.network import CHANNELS, Autoencoder, ReplayDenoiser
from ablate.core.replay.training import Training, save_epoch, tell_curve, tell_progress
from ablate.core.shared.seeding import generator
from ablate.core.shared.stage_cache import StageFolder
from ablate.interface import TrialContext
from ablate.recipe import Recipe


class ReplayLanes(Lanes):
    """Autoencoders, or denoisers with or without a frozen autoencoder of their own before them, on the same images."""

    def __init__(self, like: nn.Module, images: Tensor, width: int, batch: int, *, dips: bool) -> None:
        """`like` is a network of the shape to train; `images` uint8 [N,3,H,W]; `dips`: denoise a DIP's output."""
        super().__init__(like, width, batch, images.device)
        self.blocks = like.blocks if isinstance(like, ReplayDenoiser) else 0
        self.images = images
        shape = (width, batch, CHANNELS, *images.shape[-2:])
        self.chosen = torch.zeros(width, batch, dtype=torch.int64, device=self.device)
        """Which images each lane's batch holds."""
        self.sigma = torch.zeros(width, device=self.device)
        """Each lane's noise level of this update."""
        self.noise = torch.zeros(self.blocks, *shape, device=self.device)
        pair = Autoencoder().net.named_parameters() if dips else ()
        self.dip = {name: torch.zeros(width, *value.shape, device=self.device) for name, value in pair}

    def loss(self) -> Tensor:
        """Mean squared error of every lane's reconstruction, [K]."""
        pixels = self.images.index_select(0, self.chosen.view(-1))
        x = as_unit(pixels).view(self.width, self.batch, *pixels.shape[1:])
        y = x
        if self.dip:
            with torch.no_grad():
                y = self._pair(x, self.dip, "")
        if not self.blocks:
            y = self._pair(x, self.parameters, "net.")
        sigma = self.sigma[:, None, None, None, None]
        for block in range(self.blocks):
            y = torch.addcmul(y, self.noise[block], sigma) - self._pair(y, self.parameters, f"nets.{block}.")
        losses: Tensor = ((y - x).square().mean((2, 3, 4)) * self.weight).sum(1)
        return losses

    def _pair(self, x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
        """Two convolutions with a ReLU between them, in every lane."""
        hidden = F.relu(self._conv(x, weights, f"{name}0"))
        return self._conv(hidden, weights, f"{name}2")

    def _conv(self, x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
        return convolved(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    @torch.no_grad()
    def set_dip(self, lane: int, dip: Autoencoder) -> None:
        """Give a lane the frozen autoencoder before its denoiser."""
        for name, value in dip.net.named_parameters():
            self.dip[name][lane] = value


class ReplayLane(LaneTraining[ReplayLanes]):
    """A `Training` whose updates are done in a lane."""

    def __init__(
        self, training: Training, dip: Autoencoder | None, folder: StageFolder, recipe: Recipe, context: TrialContext
    ) -> None:
        self.training, self.dip, self.folder = training, dip, folder
        self.recipe, self.context = recipe, context
        self.network, self.optimizer = training.network, AdamMoments(training.adam)
        self.step, self.total = training.step, training.total
        self._held = ExitStack()
        self._shared = (0, 0)

    def begin(self) -> float:
        """Hold the stage and go on from the newest state in it."""
        self._held.enter_context(self.folder.locked(lambda: self.context.stop_requested))
        found = self.folder.newest("epoch", "checkpoint", at_most=self.total)
        if found is not None:
            self.training.restore(*found)
        self.step = self.training.step
        tell_curve(self.training, self.context, self.recipe, first=0)
        return self.training.seconds

    def end(self) -> None:
        """Release the stage."""
        self._held.close()

    def enter(self, lanes: ReplayLanes, lane: int) -> None:
        """The step size, and the autoencoder whose output is denoised."""
        lanes.lr[lane] = self.training.lr
        lanes.chosen[lane] = 0
        lanes.noise[:, lane] = 0.0
        self._shared = (0, 0)
        if self.dip is not None:
            lanes.set_dip(lane, self.dip)

    def feed(self, lanes: ReplayLanes, lane: int) -> None:
        """The same images, level and noise that `Training.update` would take at this step."""
        chosen = self.training.chosen_at(self.step)
        count = len(chosen)
        lanes.chosen[lane, :count] = chosen
        if (lane, count) != self._shared:
            lanes.share(lane, count)
            self._shared = (lane, count)
        network = self.network
        if isinstance(network, ReplayDenoiser):
            stream = generator(self.training.seed, f"{self.training.name}-noise", self.step, device=lanes.device.type)
            level = torch.randint(len(network.table), (1,), generator=stream, device=lanes.device)
            lanes.sigma[lane : lane + 1] = network.table[level]
            mine = lanes.noise[:, lane, :count]
            mine.copy_(conv_block.noise(lanes.blocks, mine[0], stream))

    def spend(self, seconds: float) -> None:
        """Count this training's share of a step of all lanes."""
        self.training.seconds += seconds

    def account(self, step: int, loss: float) -> None:
        """Take note of the loss of update `step`."""
        self.training.note(step, loss)
        tell_progress(self.training, self.context, self.recipe, step + 1, loss)

    def wants_state(self) -> bool:
        """True at the end of an epoch."""
        return self.step % self.training.per_epoch == 0

    def keep(self) -> None:
        """Close the epoch: score it, save it, tell it."""
        self.training.step = self.step
        self.training.end_epoch()
        save_epoch(self.training, self.folder, self.context, self.recipe)

    def checkpoint(self) -> None:
        """Save where the training stands."""
        self.training.step = self.step
        self.folder.save("checkpoint", self.step, self.training.state())
        self.folder.prune("checkpoint", 2)

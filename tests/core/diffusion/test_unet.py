"""The U-Net: the published size, its start at zero, and its averaged weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ablate.core.diffusion.build_unet import build_unet
from ablate.core.diffusion.ema import Ema, ema_decay_at
from ablate.core.diffusion.light_unet import LightUNet
from ablate.core.diffusion.unet import UNet, timestep_embedding


def small(attention: str = "none", seed: int = 0, kind: str = "standard") -> UNet | LightUNet:
    return build_unet(
        channels=8, mults=(1, 2), blocks=1, attention=attention, dropout=0.0, image_size=32, seed=seed, kind=kind
    )


@pytest.mark.acceptance("U1")
def test_the_paper_s_settings_give_the_paper_s_network() -> None:
    """35.7 million parameters for CIFAR-10, to the last one (Ho et al. 2020, appendix B)."""
    with torch.device("meta"):
        network = UNet(channels=128, mults=(1, 2, 2, 2), blocks=2, attention=16, dropout=0.1)
    assert sum(weight.numel() for weight in network.parameters()) == 35_746_307


@pytest.mark.acceptance("U2")
@pytest.mark.parametrize(
    ("attention", "kind"),
    [("none", "standard"), ("middle", "standard"), ("16", "standard"), ("none", "light"), ("middle", "light")],
)
def test_an_untrained_network_predicts_zero(attention: str, kind: str) -> None:
    """So the first loss is the mean square of the noise: 1."""
    x = torch.randn(4, 3, 32, 32)
    assert torch.equal(small(attention, kind=kind)(x, torch.tensor([1, 2, 500, 1000])), torch.zeros_like(x))


@pytest.mark.parametrize("kind", ["standard", "light"])
def test_output_depends_on_the_step_once_trained(kind: str) -> None:
    network = small(kind=kind)
    torch.nn.init.normal_(network.exit.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    x = torch.randn(1, 3, 32, 32).expand(2, -1, -1, -1)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("conv2.weight"):
                weight.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
        early, late = network(x, torch.tensor([1, 900]))
    assert float((early - late).abs().max()) > 1e-3


@pytest.mark.parametrize(("attention", "kind"), [("16", "standard"), ("middle", "light")])
def test_every_parameter_is_used(attention: str, kind: str) -> None:
    """After one step away from the zero layers, every weight has a gradient."""
    network = small(attention, kind=kind)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * 0.02)
    network(torch.randn(2, 3, 32, 32), torch.tensor([3, 700])).square().mean().backward()
    unused = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A key's bias adds the same to every position's score, which the softmax cancels.
    assert [name for name in unused if not name.endswith("key.bias")] == []


def test_weights_are_addressed_by_the_seed() -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, again, other = small(seed=1), small(seed=1), small(seed=2)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.entry.weight, other.entry.weight)


@pytest.mark.parametrize("network", [UNet, LightUNet])
def test_channels_must_fit_the_groups(network: type[UNet | LightUNet]) -> None:
    with pytest.raises(ValueError, match="groups"):
        network(channels=12, mults=(1, 2), blocks=1)


@pytest.mark.parametrize(("mults", "blocks", "share"), [((1, 2), 2, 0.5), ((1, 2, 2), 1, 0.6)])
def test_the_light_one_does_half_the_work(mults: tuple[int, ...], blocks: int, share: float) -> None:
    """Counted for one forward pass, against the standard one with one block per resolution."""

    def operations(network: UNet | LightUNet) -> int:
        with torch.device("meta"), FlopCounterMode(display=False) as counted:
            network.to("meta")(torch.zeros(1, 3, 32, 32), torch.ones(1, dtype=torch.int64))
        return int(counted.get_total_flops())

    light = LightUNet(channels=16, mults=mults, blocks=blocks)
    assert operations(light) < share * operations(UNet(channels=16, mults=mults, blocks=1, middle_attention=False))


def test_step_embedding_by_its_definition() -> None:
    """sin and cos of t / 10000^(k / (half - 1))."""
    found = timestep_embedding(torch.tensor([1, 250]), 8)
    rates = torch.tensor([1.0, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3), 1e-4])
    expected = torch.cat([torch.sin(250 * rates), torch.cos(250 * rates)])
    torch.testing.assert_close(found[1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.acceptance("U4")
@pytest.mark.parametrize(("update", "decay", "used"), [(1, 0.999, 2 / 11), (90, 0.999, 0.91), (10**6, 0.999, 0.999)])
def test_ramp_of_the_average(update: int, decay: float, used: float) -> None:
    assert ema_decay_at(update, decay) == pytest.approx(used)


def test_average_follows_its_definition() -> None:
    """e_n = d_n e_{n-1} + (1 - d_n) w_n with d_n = min(decay, (1 + n) / (10 + n))."""
    layer = torch.nn.Linear(1, 1, bias=False)
    ema, expected = Ema(layer, 0.5), float(layer.weight.detach())
    for update in range(1, 30):
        with torch.no_grad():
            layer.weight.fill_(float(update))
        ema.update(update)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * update
    assert float(ema.weights[0]) == pytest.approx(expected, rel=1e-6)


def test_applied_average_gives_the_weights_back() -> None:
    layer = torch.nn.Linear(2, 2)
    ema, untrained = Ema(layer, 0.9), layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1.0)
    trained: Tensor = layer.weight.detach().clone()
    with ema.applied():
        assert torch.equal(layer.weight, untrained)
    assert torch.equal(layer.weight, trained)

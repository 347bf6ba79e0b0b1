"""Muon: orthogonal updates of matrices, Adam for the rest, and a state that goes on bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ablate.core.diffusion.muon import ADAM_BETAS, UPDATE_RMS, Muon, optimizer_for, orthogonalised


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 72, 1))


def learn(network: nn.Module, optimizer: Muon, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        network(drawn(2, 3, 8, 8, seed=step)).square().mean().backward()
        optimizer.step()


def test_singular_vectors_stay_and_values_come_near_one() -> None:
    """By the definition: with A = U S V', the result is U f(S) V' and f(S) lies around one, whatever the scale."""
    matrices = torch.stack([drawn(8, 72), 1e-4 * drawn(8, 72, seed=1)]).double()
    found = orthogonalised(matrices)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    middle = u.mT @ found @ v.mT
    values = torch.diagonal(middle, dim1=1, dim2=2)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.25
    torch.testing.assert_close(middle, torch.diag_embed(values), atol=1e-6, rtol=0)


def test_one_matrix_as_torch_makes_it_orthogonal() -> None:
    """torch.optim.Muon (2.9 and newer) works in bfloat16, ours in float32."""
    muon = pytest.importorskip("torch.optim._muon", reason="torch.optim has Muon from 2.9 on")
    matrix = drawn(16, 48)
    theirs = muon._zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
    assert float((orthogonalised(matrix[None])[0] - theirs).norm() / theirs.norm()) < 0.03


@pytest.mark.parametrize("layer", [2, 3])
def test_an_update_has_the_stated_size(layer: int) -> None:
    """About UPDATE_RMS times lr in every weight of a matrix, also of a tall one (72 x 8)."""
    network = small()
    weight = network.get_parameter(f"{layer}.weight")
    before = weight.detach().clone()
    learn(network, Muon(network, lr=0.01), range(1))
    rms = float((weight.detach() - before).square().mean().sqrt())
    assert 0.6 * UPDATE_RMS * 0.01 < rms < 1.25 * UPDATE_RMS * 0.01


def test_everything_but_matrices_is_adam_s() -> None:
    """The first layer (three inputs), norms and biases move as Adam moves them."""
    ours, theirs = small(), small()
    gradients = [drawn(*weight.shape, seed=place) for place, weight in enumerate(ours.parameters())]
    for network, optimizer in (
        (ours, Muon(ours, lr=0.01)),
        (theirs, torch.optim.Adam(theirs.parameters(), lr=0.01, betas=ADAM_BETAS, fused=True)),
    ):
        for weight, gradient in zip(network.parameters(), gradients, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
    same = [torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)]
    names = [name for name, _ in ours.named_parameters()]
    assert [name for name, equal in zip(names, same, strict=True) if not equal] == ["2.weight", "3.weight"]


def test_a_saved_state_goes_on_bit_for_bit() -> None:
    network = small()
    optimizer = Muon(network, lr=0.01)
    learn(network, optimizer, range(3))
    again = small()
    again.load_state_dict(network.state_dict())
    other = Muon(again, lr=0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, its in ((network, optimizer), (again, other)):
        for group in its.param_groups:
            group["lr"] = 0.005
        learn(one, its, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_the_settings_name_the_optimizer() -> None:
    assert isinstance(optimizer_for("muon", small(), 0.01), Muon)
    assert isinstance(optimizer_for("adam", small(), 0.01), torch.optim.Adam)

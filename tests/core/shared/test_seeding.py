"""What torch makes of an address: a CPU generator takes its low 32 bits, one on a GPU all of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ablate.core.shared.seeding import address, generator

LOW = 2**32 - 1
SEEDS = st.integers(0, 2**63 - 1)


def drawn(seed: int, device: str = "cpu") -> list[int]:
    stream = torch.Generator(device=device).manual_seed(seed)
    return torch.randint(2**31, (8,), generator=stream, device=device).tolist()


@given(SEEDS)
def test_a_cpu_generator_is_seeded_with_the_low_32_bits(seed: int) -> None:
    assert drawn(seed) == drawn(seed & LOW)


@given(SEEDS, st.integers(0, 31))
def test_each_of_the_low_32_bits_counts(seed: int, bit: int) -> None:
    assert drawn(seed) != drawn(seed ^ (1 << bit))


@pytest.mark.gpu
def test_a_gpu_generator_is_seeded_with_all_bits() -> None:
    assert all(drawn(5, "cuda") != drawn(5 | (1 << bit), "cuda") for bit in range(32, 63))


@given(st.integers(0, 10_000), st.text(max_size=10), st.integers(0, 10_000))
def test_an_address_has_63_bits_and_gives_the_same_stream_again(seed: int, purpose: str, counter: int) -> None:
    assert 0 <= address(seed, purpose, counter) < 2**63
    first, second = (torch.rand(4, generator=generator(seed, purpose, counter)) for _ in range(2))
    assert torch.equal(first, second)


def test_shared_streams_are_as_rare_as_stated() -> None:
    """About n^2 / 2^33 pairs among n addresses: 10.5 expected here, and so many that no bit is left unused."""
    low = [address(seed, "noise", counter) & LOW for seed in range(100) for counter in range(3000)]
    shared = len(low) - len(set(low))
    expected = len(low) ** 2 / 2**33
    assert expected == pytest.approx(10.5, abs=0.1)
    assert 1 <= shared <= 25  # Poisson with that mean: outside once in ten thousand; the addresses are fixed

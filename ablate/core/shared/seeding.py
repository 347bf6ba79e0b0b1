"""Addressed randomness: every stream is named by (seed, purpose, counter), never consumed from a shared state.

A trial's numbers therefore do not depend on when, where, after what or beside whom it runs, and a run that continues
from a checkpoint draws exactly what the undisturbed run would have drawn.
"""

from __future__ import annotations

import hashlib

import torch


def address(seed: int, purpose: str, counter: int = 0) -> int:
    """Return a 63-bit integer that depends on all three arguments and on nothing else (SHA-256).

    torch's CPU generator (mt19937) is seeded with the low 32 bits of it only, its CUDA generator with all: on a CPU
    two of n addresses share a stream with a probability of about n^2 / 2^33, which is one pair among 93,000 addresses
    on average. Streams of one address never differ. Full width would change every number that was ever measured.
    """
    raw = hashlib.sha256(f"ablate|{seed}|{purpose}|{counter}".encode()).digest()
    return int.from_bytes(raw[:8], "big") >> 1


def generator(seed: int, purpose: str, counter: int = 0, *, device: str = "cpu") -> torch.Generator:
    """Return a fresh generator at the address (seed, purpose, counter) on `device`."""
    return torch.Generator(device=device).manual_seed(address(seed, purpose, counter))

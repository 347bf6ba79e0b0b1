"""Addressed randomness: every stream is named by (seed, purpose, counter), never consumed from a shared state.

A trial's numbers therefore do not depend on when, where, after what or beside whom it runs, and a run that continues
from a checkpoint draws exactly what the undisturbed run would have drawn.
"""

from __future__ import annotations

import hashlib

import torch


def address(seed: int, purpose: str, counter: int = 0) -> int:
    """Return a 63-bit integer that depends on all three arguments and on nothing else (SHA-256)."""
    raw = hashlib.sha256(f"ablate|{seed}|{purpose}|{counter}".encode()).digest()
    return int.from_bytes(raw[:8], "big") >> 1


def generator(seed: int, purpose: str, counter: int = 0, *, device: str = "cpu") -> torch.Generator:
    """Return a fresh generator at the address (seed, purpose, counter) on `device`."""
    return torch.Generator(device=device).manual_seed(address(seed, purpose, counter))

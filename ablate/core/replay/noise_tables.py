"""The founding report's noise tables: standard deviations on the [-1,1] scale, 1000 entries, as it wrote them."""

from __future__ import annotations

import math
from collections.abc import Callable

LENGTH = 1000


def noise_table(name: str) -> tuple[float, ...]:
    """Return the table called `name`; KeyError for an unknown name.

    ``polynomial`` is the report's: the formula under that heading is its cosine formula. ``polynomial-real`` falls
    from 1 to 0 like it, but as a polynomial: (1 - i/1000)^2.
    """
    formulas: dict[str, Callable[[int], float]] = {
        "linear": lambda i: 0.01 * (i / LENGTH),
        "exponential": lambda i: 0.1 * 0.95**i,
        "cosine": lambda i: 0.5 * (1 + math.cos((i / LENGTH) * math.pi)),
        "polynomial": lambda i: 0.5 * (1 + math.cos((i / LENGTH) * math.pi)),
        "polynomial-real": lambda i: (1 - i / LENGTH) ** 2,
    }
    return tuple(map(formulas[name], range(LENGTH)))


def mean_variance(name: str) -> float:
    """Return E[sigma_t^2] for t drawn uniformly from the table."""
    return math.fsum(sigma**2 for sigma in noise_table(name)) / LENGTH


def identity_psnr(name: str, blocks: int, steps: int) -> float:
    """Return 10 log10(4 / E[V]) in dB: about what a network that does nothing scores.

    Each of `steps` applications adds one noise per block, so E[V] = steps * blocks * E[sigma^2].
    """
    return 10 * math.log10(4 / (steps * blocks * mean_variance(name)))

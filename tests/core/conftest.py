"""What tests of several parts of the core begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ablate.core.shared.numerics import Plain, apply_numerics


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Torch's switches as in a trial: deterministic algorithms, no TF32, no memory filled with NaN."""
    apply_numerics(Plain())
    yield
    torch.use_deterministic_algorithms(False)

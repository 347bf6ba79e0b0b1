"""How the output is produced: the method, and where its reverse process starts."""

from __future__ import annotations

from typing import Literal

from ablate.core.settings.base import factor
from ablate.interface import CoreSettings

Method = Literal["ddpm", "dip", "dip+ddpm"]


class MethodSettings(CoreSettings):
    """Method and start."""

    method: Method = factor("dip+ddpm", "DDPM alone, Deep Image Prior alone, or DDPM started from the DIP's output")
    start_sigma: float = factor(
        15.0,
        "pixel noise to which the DIP output is re-noised before the reverse process",
        unit="/255",
        gt=0,
        le=100_000,
    )
    start_fraction: float | None = factor(
        None, "start step as a fraction of T, instead of start_sigma; 1 starts from nearly pure noise", gt=0, le=1
    )
    data_consistency: bool = factor(False, "pull every x0 estimate towards the noisy image (proximal step of DiffPIR)")

    @property
    def uses_dip(self) -> bool:
        """True when the method fits a Deep Image Prior."""
        return self.method != "ddpm"

    @property
    def uses_ddpm(self) -> bool:
        """True when the method trains a denoiser."""
        return self.method != "dip"

"""How the output is produced: every method of the core, by the name that the factor ``method`` gives it.

Imports: the wings of core below, and stages.
"""

from __future__ import annotations

from ablate.core.ddpm_dip.methods.base import Method, Models
from ablate.core.ddpm_dip.methods.combined import DipTarget, DipWarm, Truncated
from ablate.core.ddpm_dip.methods.standard import Ddpm, Dip
from ablate.core.ddpm_dip.methods.unlearned import Gaussian, NlMeans, TotalVariation

__all__ = ["METHODS", "Method", "Models"]

METHODS: dict[str, Method] = {
    "ddpm": Ddpm(),
    "dip": Dip(),
    "dip+ddpm": Ddpm(),
    "dip_target": DipTarget(),
    "truncated": Truncated(),
    "dip_warm": DipWarm(),
    "gaussian": Gaussian(),
    "nl-means": NlMeans(),
    "tv": TotalVariation(),
}

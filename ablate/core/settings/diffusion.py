"""The diffusion process: noise schedule, what the network predicts, how the reverse process is run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ablate.beta_tables import is_table, table_numbers
from ablate.core.settings.base import factor
from ablate.interface import CoreSettings

NoiseSchedule = Literal[
    "linear",
    "quad",
    "cosine",
    "sigmoid",
    "simple-linear",
    "cosine-tau",
    "polynomial",
    "exponential",
    "exponential-beta",
    "sigmoid-beta",
    "ve-geometric",
]

TableText = Annotated[str, Field(pattern=r"^\[")]
"""A table of betas as a recipe holds it; study files give it a name under `schedules`."""


class DiffusionSettings(CoreSettings):
    """Forward process, prediction and sampler."""

    noise_schedule: NoiseSchedule | TableText = factor(
        "linear",
        "how alpha-bar falls from 1 to about 0 over the diffusion steps; or the name of a table in the study's "
        "`schedules`",
        tables=True,
    )
    schedule_power: float = factor(
        2.0, "exponent p of polynomial, tau of cosine-tau; other schedules ignore it", gt=0, le=10
    )
    zero_terminal_snr: bool = factor(False, "rescale the schedule to alpha-bar = 0 at the last step (Lin et al. 2023)")
    diffusion_steps: int = factor(
        1000,
        "T, the length of the forward process; with a table, the table's length by default",
        unit="steps",
        ge=2,
        le=10_000,
    )
    prediction: Literal["epsilon", "x0", "v", "edm"] = factor(
        "epsilon", "what the network predicts; edm: with input and output scaled as in Karras et al. (2022)"
    )
    loss_weight: Literal["simple", "min-snr"] = factor("simple", "weight of each step's loss; min-snr has gamma = 5")
    step_law: Literal["uniform", "lognormal"] = factor(
        "uniform", "how training steps are drawn: t uniform, or the noise level log-normal as in Karras et al. (2022)"
    )

    sampler: Literal["ddim", "ancestral", "heun"] = factor("ddim", "sampler of the reverse process")
    sample_grid: Literal["linspace", "trailing", "karras", "log-snr"] = factor(
        "linspace",
        "spacing of the sampler's steps: even in t down to 1; even in t from the start (Lin et al. 2023); as in Karras "
        "et al. (2022); or even in log-SNR (the same noise levels in all schedules)",
    )
    sample_steps: int = factor(
        5, "largest number of network evaluations per restored image", unit="steps", ge=1, le=10_000
    )
    eta: float = factor(0.0, "DDIM's noise: 0 is deterministic, 1 is ancestral with small variance", ge=0, le=1)
    variance: Literal["large", "small"] = factor(
        "large", "variance of ancestral sampling: beta_t (large) or the posterior variance (small)"
    )

    @model_validator(mode="before")
    @classmethod
    def _length_of_table(cls, data: Any) -> Any:
        """Let a table decide how many steps there are, unless something else is stated and then refused."""
        if not isinstance(data, dict) or not is_table(data.get("noise_schedule")) or "diffusion_steps" in data:
            return data
        return {**data, "diffusion_steps": len(table_numbers(data["noise_schedule"]))}

"""A small core with every kind of factor, and helpers that write study files and read what is wrong with them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pytest
from pydantic import Field, model_validator

from ablate.errors import AblateError, Problem, StudyFileError
from ablate.interface import Core, CoreSettings, MetricInfo, Stage, TrialContext
from ablate.outcome import Outcome
from ablate.recipe import Recipe, canonical_json
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Study


class ToySettings(CoreSettings):
    """One factor of every kind."""

    method: Literal["ddpm", "dip", "dip+ddpm", "off"] = Field("ddpm", description="what is trained")
    noise_schedule: Literal["linear", "cosine", "exponential", "polynomial"] | str = Field(
        "linear", description="schedule", json_schema_extra={"tables": True}
    )
    lr: float = Field(0.001, gt=0, le=1, description="step size")
    dip_lr: float = Field(0.01, gt=0, description="step size of the DIP")
    batch_size: int = Field(64, ge=1, le=4096, description="images per step", json_schema_extra={"unit": "images"})
    epochs: int = Field(10, ge=1, description="passes")
    dip_epochs: int | None = Field(None, ge=1, description="passes of the DIP")
    ema: bool = Field(True, description="average the weights")
    warmup: bool = Field(True, description="raise lr slowly")
    data: Literal["patches", "cifar10"] = Field("patches", description="images")
    channels: int = Field(16, ge=8, multiple_of=8, description="width")
    note: str = Field("", description="free text")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.method == "dip" and self.ema and self.warmup:
            raise ValueError("method dip has no ema with warmup")
        return self


class Toy(Core):
    """Two stages: the prior reads `dip_lr` alone."""

    name = "toy"
    Settings = ToySettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = (
        MetricInfo("psnr", "max", unit="dB", margin=0.1),
        MetricInfo("ssim", "max", margin=0.005),
        MetricInfo("fid", "min", scale="log", margin=0.02),
        MetricInfo("train_seconds", "min", unit="s", scale="log"),
    )

    @classmethod
    def check(cls, settings: Any) -> list[str]:
        found = [f"lr {settings.lr} may diverge"] if settings.lr > 0.1 else []
        return [*found, "small batches are slow"] if settings.batch_size < 8 else found

    @classmethod
    def stages(cls, recipe: Recipe) -> tuple[Stage, ...]:
        def stage(name: str, cost: float, read: Iterable[str]) -> Stage:
            text = canonical_json([name, recipe.seed, {key: recipe.settings[key] for key in read}])
            return Stage(name, hashlib.sha256(text.encode()).hexdigest(), cost)

        return (stage("prior", 10.0, ["dip_lr"]), stage("denoiser", 1.0, sorted(recipe.settings)))

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> list[tuple[Recipe, Outcome]]:
        raise NotImplementedError


def resolve_toy(name: str, folder: Path) -> type[Core]:
    """Know two names: the default core's and the toy's own."""
    if name not in ("toy", "ddpm-dip"):
        raise AblateError(f"unknown core {name!r}", hint="did you mean 'toy'?")
    return Toy


Load = Callable[..., Study]
Refuse = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a study file and load it with the toy core."""

    def load_text(text: str | bytes, file: str = "study.yaml", **options: Any) -> Study:
        path = tmp_path / file
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_study(path, resolve_core=resolve_toy, **options)

    return load_text


@pytest.fixture
def refuse(load: Load) -> Refuse:
    """Write a study file that must be refused, and return its problems."""

    def refused(text: str | bytes, file: str = "study.yaml", **options: Any) -> tuple[Problem, ...]:
        with pytest.raises(StudyFileError) as caught:
            load(text, file, **options)
        problems = caught.value.problems
        assert problems, "refused without a reason"
        assert {problem.severity for problem in problems} == {"error"}
        return problems

    return refused


def carets(problem: Problem) -> str:
    """The text a problem points at."""
    return problem.source_line[problem.column - 1 : problem.column - 1 + problem.length]


@pytest.fixture
def pointed() -> Callable[[Problem], str]:
    """The text a problem points at."""
    return carets


@pytest.fixture
def toy() -> type[Core]:
    """The core behind every study that `load` reads."""
    return Toy

"""Factors of ddpm-dip: what is refused, what is the same, and which settings each shared stage reads."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.registry import core_class
from ablate.recipe import Recipe, Scalar


def stages(settings: Mapping[str, Scalar] | None = None, seed: int = 0) -> dict[str, str]:
    recipe = Recipe("ddpm-dip", DdpmDipSettings.model_validate(dict(settings or {})).resolved(), seed)
    return {stage.name: stage.digest for stage in DdpmDip.stages(recipe)}


def test_the_core_is_registered() -> None:
    assert core_class("ddpm-dip") is DdpmDip


def test_every_factor_says_what_it_is() -> None:
    assert all(field.description for field in DdpmDipSettings.model_fields.values())


def test_metric_names_are_unique() -> None:
    names = [metric.name for metric in DdpmDip.metrics]
    assert len(names) == len(set(names))
    assert names[0] == "psnr"


def test_resolved_settings_give_the_same_settings() -> None:
    settings = DdpmDipSettings(dip_epochs=7, method="dip")
    assert DdpmDipSettings.model_validate(settings.resolved()) == settings


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param({"zero_terminal_snr": True}, "prediction v or x0", marks=pytest.mark.acceptance("S6")),
        ({"channels": 20}, "multiple of 8"),
        ({"attention": "8", "channel_mults": "1-2"}, "has 32, 16 pixels"),
        ({"unet": "light", "attention": "16"}, "unet light with attention at 16 pixels"),
        ({"unet": "light", "channel_mults": "1"}, "unet light with channel_mults 1"),
        ({"dip_stop": "wmv", "dip_steps": 10}, "dip_window 20 is longer"),
        ({"diffusion_steps": 10}, "beta = "),
        ({"dip_epochs": 5, "dip_steps": 60}, "state only one"),
        ({"dip_epochs": 0}, "greater than or equal to 1"),
        ({"noise_schedule": "cosin"}, "'cosine'"),
        ({"noise_sigma": -1.0}, "greater than or equal to 0"),
        ({"noise_schedule": "[0.1,0.2]", "diffusion_steps": 3}, "of 2 betas, but diffusion_steps is 3"),
        ({"noise_schedule": "[0.1,1.0]"}, "the last step of table .* divides by alpha-bar = 0"),
        ({"noise_schedule": "[0.1,2.0]"}, "beta = 2.0 at t = 2"),
        ({"unknown": 1}, "not permitted"),
    ],
)
def test_the_impossible_is_refused(wrong: dict[str, Scalar], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DdpmDipSettings.model_validate(wrong)


@pytest.mark.parametrize(
    "right", [{"zero_terminal_snr": True, "prediction": "v"}, {"attention": "16"}, {"channels": 24}]
)
def test_the_possible_is_not(right: dict[str, Scalar]) -> None:
    DdpmDipSettings.model_validate(right)


@given(st.integers(1, 1000))
def test_epochs_of_the_dip_are_another_way_to_write_its_steps(epochs: int) -> None:
    """One duration has one digest, however it was written."""
    assert DdpmDipSettings(dip_epochs=epochs).resolved() == DdpmDipSettings(dip_steps=10 * epochs).resolved()


def test_stages_follow_the_method() -> None:
    assert set(stages({"method": "dip"})) == {"dip"}
    assert set(stages({"method": "ddpm"})) == {"denoiser"}
    assert set(stages({"method": "dip+ddpm"})) == {"dip", "denoiser"}
    assert set(stages({"method": "dip_target"})) == {"dip", "dip-train", "denoiser"}
    assert set(stages({"method": "dip_target", "dip_target_source": "blur"})) == {"dip-train", "denoiser"}
    assert set(stages({"method": "dip_warm"})) == {"warm", "denoiser"}
    assert set(stages({"method": "gaussian"})) == {"wiener"}
    start: dict[str, Scalar] = {"task": "generation", "method": "truncated"}
    assert set(stages(start)) == {"wiener", "denoiser", "reference"}
    assert set(stages({**start, "truncated_start": "noise"})) == {"denoiser", "reference"}
    assert set(stages({"method": "tv"})) == set()


def test_a_combination_trains_a_denoiser_of_its_own_and_a_start_does_not() -> None:
    """dip_start and ddpm share their training; what changes the training has another digest, each its own."""
    changes: list[dict[str, Scalar]] = [
        {"method": "ddpm"},
        {"method": "dip_target"},
        {"method": "dip_target", "dip_target_source": "blur"},
        {"method": "dip_target", "dip_target_form": "literal"},
        {"method": "dip_target", "dip_steps": 50},
        {"method": "truncated", "start_sigma": 50.0},
        {"method": "truncated", "start_sigma": 60.0},
        {"method": "dip_warm"},
        {"method": "dip_warm", "warm_source": "denoising"},
        {"method": "dip_warm", "warm_steps": 5},
    ]
    digests = [stages(change)["denoiser"] for change in changes]
    assert len(set(digests)) == len(digests)
    assert stages({"method": "dip_start"})["denoiser"] == digests[0]


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({"method": "ddpm"}, set()),
        ({"sample_steps": 7}, set()),
        ({"start_sigma": 5.0}, set()),
        ({"data_consistency": True}, set()),
        ({"noise_schedule": "cosine"}, {"denoiser"}),
        ({"schedule_power": 3.0}, set()),
        ({"lr": 1e-4}, {"denoiser"}),
        ({"optimizer": "muon"}, {"denoiser"}),
        ({"unet": "light"}, {"denoiser"}),
        ({"epochs": 2}, set()),
        ({"dip_steps": 50}, set()),
        ({"dip_patience": 30}, set()),
        ({"noise_sigma": 50.0}, {"dip"}),
        ({"eval_images": 8}, set()),
        ({"dip_lr": 0.02}, {"dip"}),
        ({"warm_steps": 5}, set()),
        ({"budget": "compute"}, set()),
        ({"eval_seeds": 2}, {"dip"}),
        ({"corruption": "super-resolution-2x"}, {"dip"}),
        ({"mask_fraction": 0.3}, set()),
        ({"timing_batch": 4}, set()),
        ({"quality": 30.0}, set()),
        ({"cap_per_image": 100}, {"dip", "denoiser"}),
        ({"precision": "bf16"}, {"denoiser"}),
    ],
    ids=lambda value: "+".join(sorted(value)) or "none" if isinstance(value, set) else str(value),
)
def test_a_stage_s_digest_covers_what_it_reads_and_nothing_else(change: dict[str, Scalar], moved: set[str]) -> None:
    before, after = stages(), stages(change)
    assert {name for name in after if after[name] != before[name]} == moved


def test_seed_and_duration_in_the_digest() -> None:
    """The seed moves what is random; the duration matters only when the step size depends on it."""
    first, second = stages(), stages(seed=1)
    assert {name for name in first if first[name] != second[name]} == {"dip", "denoiser"}
    short, long = ({"lr_decay": "cosine", "epochs": epochs} for epochs in (1, 2))
    assert stages(short)["denoiser"] != stages(long)["denoiser"]
    square: dict[str, Scalar] = {"noise_schedule": "polynomial", "schedule_power": 2.0}
    assert stages(square)["denoiser"] != stages({**square, "schedule_power": 3.0})["denoiser"]


def test_the_reference_of_generated_images_is_shared() -> None:
    """By all arms and seeds, unless a seed chooses what is trained on."""
    generation: dict[str, Scalar] = {"task": "generation", "method": "ddpm"}
    assert set(stages(generation)) == {"denoiser", "reference"}
    arms = [{**generation, **more} for more in ({"lr": 1e-4}, {"noise_schedule": "cosine"}, {"generation_steps": 50})]
    assert {stages(arm, seed)["reference"] for arm in arms for seed in (0, 1)} == {stages(generation)["reference"]}
    subset = {**generation, "train_images": 100}
    assert stages(subset, 0)["reference"] != stages(subset, 1)["reference"]
    assert stages(generation)["reference"] != stages({**generation, "samples": 100})["reference"]


def test_doubtful_settings_are_pointed_out() -> None:
    assert "0.151" in DdpmDip.check(DdpmDipSettings(noise_schedule="exponential-beta"))[0]
    assert not DdpmDip.check(DdpmDipSettings(noise_schedule="exponential-beta", method="dip"))
    assert any(
        "begins at" in text for text in DdpmDip.check(DdpmDipSettings(noise_schedule="exponential", start_sigma=5))
    )
    assert any("clean image" in text for text in DdpmDip.check(DdpmDipSettings(dip_stop="oracle")))
    assert not DdpmDip.check(DdpmDipSettings())


def test_a_table_decides_how_many_steps_there_are() -> None:
    assert DdpmDipSettings(noise_schedule="[0.1,0.2,0.9]").diffusion_steps == 3

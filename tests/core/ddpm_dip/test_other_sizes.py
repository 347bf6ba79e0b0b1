"""Images of another size and of one channel go through every method, task and metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.restoration import denoise_nl_means

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.ddpm_dip.methods.unlearned import NL_MEANS_STRENGTH, NlMeans
from ablate.core.ddpm_dip.stages.compute_budget import iteration_in_updates
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.restoration import Observation
from ablate.core.scores.features import FEATURES, feature_count, gabor_features
from ablate.core.settings import DdpmDipSettings
from ablate.errors import AblateError
from ablate.outcome import OutcomeKind
from ablate.recipe import Recipe
from tests.core.desk import MINI, Desk, compute

DIGITS: dict[str, Any] = {"data": "digits", "dip_scales": 2, "horizontal_flip": False}
EVERYTHING = frozenset(
    info.name for info in DdpmDip.metrics if not info.name.startswith(("fid", "steps_to")) and "gfd78" not in info.name
)


@pytest.mark.parametrize(
    "more",
    [
        {"method": "dip+ddpm", "channel_mults": "1-2", "attention": "middle"},
        {"method": "ddpm", "data_consistency": True, "corruption": "inpainting"},
        {"method": "dip", "corruption": "super-resolution-4x", "dip_architecture": "decoder"},
        {"method": "dip_target"},
        {"method": "dip_target", "dip_target_source": "blur", "dip_steps": 60},
        {"method": "dip_warm", "warm_steps": 2},
        {"method": "gaussian"},
        {"method": "nl-means"},
        {"method": "tv"},
        {"method": "ddpm", "task": "generation", "samples": 20, "curve_images": 20},
        {"method": "truncated", "task": "generation", "samples": 20, "curve_images": 20},
        {"method": "gaussian", "task": "generation", "samples": 20, "curve_images": 20},
    ],
    ids=lambda more: "-".join(map(str, more.values())),
)
def test_digits_go_through_everything(tmp_path: Path, more: dict[str, Any]) -> None:
    desk = Desk(tmp_path, wanted=EVERYTHING)
    outcome = compute(desk, **{**DIGITS, **more})
    assert outcome.kind is OutcomeKind.MEASURED
    expected = {"gfd26", "gfd26_gaussian", "nn_copies"} if "task" in more else {"psnr", "ssim", "gpd"}
    assert expected <= outcome.metrics.keys()
    assert not any("gfd78" in name for name in outcome.metrics)
    folder = next((tmp_path / "trials").iterdir())
    with Image.open(folder / "samples.png") as picture:
        assert picture.mode == "RGB"
    with np.load(folder / "restored.npz") as arrays:
        assert {array.shape[1:] for array in arrays.values()} == {(3, 8, 8)}


def test_the_price_of_a_dip_follows_the_size() -> None:
    """Both networks shrink with the image, so that the ratio stays about the same."""
    base = {**MINI, "dip_scales": 2}
    large = DdpmDipSettings.model_validate(base)
    small = DdpmDipSettings.model_validate({**base, "data": "digits"})
    assert 0.3 < iteration_in_updates(small) / iteration_in_updates(large) < 3


@pytest.mark.parametrize(
    ("data", "metric", "right"), [("digits", "gfd78_real", "gfd26_real"), ("svhn", "gfd26", "gfd78")]
)
def test_a_distance_of_other_images_is_refused_with_the_right_name(data: str, metric: str, right: str) -> None:
    settings = DdpmDip.Settings.model_validate({"data": data, "task": "generation", "method": "ddpm"})
    with pytest.raises(AblateError) as caught:
        DdpmDip.require_metrics(settings, [metric])
    assert right in (caught.value.hint or "")


def test_grey_images_have_the_features_of_their_one_channel() -> None:
    """They are those of Y of the same image in colour, whose chroma is constant."""
    grey = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found, colour = gabor_features(grey), gabor_features(grey.expand(-1, 3, -1, -1))
    assert found.shape == (5, 26)
    assert (feature_count(1), feature_count(3)) == (26, FEATURES)
    luminance = [*range(12), *range(36, 48), 72, 75]
    torch.testing.assert_close(found, colour[:, luminance], atol=1e-5, rtol=1e-5)
    assert gabor_features(grey[:0]).shape == (0, 26)


def test_nl_means_of_one_channel_is_that_of_the_plane(tmp_path: Path) -> None:
    """scikit-image 0.26 gives (1, H, W) back as (W, H)."""
    recipe = Recipe("ddpm-dip", DdpmDip.Settings.model_validate({**MINI, **DIGITS}).resolved(), 0)
    run = Run(recipe, Desk(tmp_path), "1", (15,))
    observed: Observation = run.observed
    sigma = observed.noise_std / 2
    plane = ((observed.noisy[0, 0] + 1) / 2).clamp(0, 1).double().numpy()
    expected = denoise_nl_means(
        plane, patch_size=5, patch_distance=6, h=NL_MEANS_STRENGTH * sigma, sigma=sigma, fast_mode=True
    )
    found = NlMeans().restore(run, None, observed, 1)  # type: ignore[arg-type]
    assert found.shape == observed.noisy.shape
    np.testing.assert_allclose(found[0, 0].numpy(), expected * 2 - 1, atol=1e-6)

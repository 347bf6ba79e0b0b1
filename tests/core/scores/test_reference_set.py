"""What generated images are scored against: known sets come out in their known order, copies are caught."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ablate.core.data import ImageSet, as_unit, load
from ablate.core.scores.memorisation import gallery_of
from ablate.core.scores.reference_set import (
    KNOWN,
    QUALITY,
    Reference,
    UsualNearness,
    gaussian_images,
    known_scores,
    reference_images,
)
from ablate.core.shared.requirements import image_counts

COUNT = 40
NAMES = [
    f"{name}_{known}" for name in (*sorted(set(QUALITY) - {"gfd26"}), "nn_copies", "nn_distance") for known in KNOWN
]


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load("skimage-patches", cap_per_image=60)


@pytest.fixture(scope="module")
def gallery(images: ImageSet) -> Tensor:
    return gallery_of(images.train, images.cells)


@pytest.fixture(scope="module")
def reference(images: ImageSet) -> Reference:
    return Reference.build(images, COUNT)


@pytest.fixture(scope="module")
def usual(images: ImageSet, gallery: Tensor) -> UsualNearness:
    return UsualNearness.build(images, gallery)


@pytest.fixture(scope="module")
def known(images: ImageSet, gallery: Tensor, reference: Reference, usual: UsualNearness) -> dict[str, float]:
    return known_scores(images, gallery, COUNT, reference, usual, None, NAMES)


def test_known_sets_come_out_in_their_known_order(known: dict[str, float]) -> None:
    """Other training images score best, a Gaussian with the right covariance far worse."""
    assert known["gfd78_real"] < known["gfd78_heldout"] < known["gfd78_gaussian"]
    assert known["coverage_real"] > known["coverage_gaussian"]
    assert known["nn_distance_heldout"] > 0


def test_the_reference_itself_has_distance_zero(reference: Reference, images: ImageSet) -> None:
    assert reference.distance(reference_images(images.train, COUNT)) == pytest.approx(0.0, abs=1e-8)
    assert reference.distance(reference_images(images.train, 12)) == pytest.approx(0.0, abs=1e-8)


def test_copies_score_well_and_are_caught(
    reference: Reference, usual: UsualNearness, gallery: Tensor, known: dict[str, float]
) -> None:
    """Perfect precision, and every one of them flagged: quality without novelty means nothing."""
    scores = usual.copying(gallery[:COUNT], gallery)
    assert scores["nn_copies"] == scores["carlini_copies"] == 1.0
    assert scores["nn_distance"] == 0.0
    assert reference.quality(gallery[:COUNT])["gfd78"] < known["gfd78_gaussian"]


def test_survives_the_stage_cache(reference: Reference, gallery: Tensor) -> None:
    again = Reference.from_state(reference.state(), torch.device("cpu"))
    assert again.quality(gallery[:9]) == reference.quality(gallery[:9])


@given(st.sets(st.sampled_from(NAMES), min_size=1))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_known_score_is_the_same_whatever_else_is_asked_for(
    images: ImageSet,
    gallery: Tensor,
    reference: Reference,
    usual: UsualNearness,
    known: dict[str, float],
    names: set[str],
) -> None:
    found = known_scores(images, gallery, COUNT, reference, usual, None, names)
    assert found == {name: known[name] for name in names if name in known}
    assert names - found.keys() <= {"nn_copies_real", "nn_distance_real"}


def test_the_gaussian_control_has_the_images_mean_and_covariance() -> None:
    """On images that stay within the range, where clipping changes nothing."""
    stream = torch.Generator().manual_seed(0)
    spread = torch.linspace(5, 25, 48).reshape(3, 4, 4)
    train = (128 + spread * torch.randn(600, 3, 4, 4, generator=stream)).round().clamp(0, 255).to(torch.uint8)
    drawn = as_unit(gaussian_images(train, 5000)).double().flatten(1)
    real = as_unit(train).double().flatten(1)
    torch.testing.assert_close(drawn.mean(0), real.mean(0), atol=0.02, rtol=0)
    # What 5,000 samples of a Gaussian scatter by: sqrt(2 / N), and a little rounding.
    torch.testing.assert_close(drawn.var(0), real.var(0), atol=0, rtol=5 * (2 / 5000) ** 0.5)
    assert torch.equal(gaussian_images(train, 7), gaussian_images(train, 300)[:7]) is False
    assert torch.equal(gaussian_images(train, 300)[:256], gaussian_images(train, 256))


def test_the_gallery_has_one_patch_per_cell(images: ImageSet, gallery: Tensor) -> None:
    """The first of each, in their order; all images where none overlap."""
    assert images.cells is not None
    cells = images.cells.numpy()
    kept = sorted(np.unique(cells, return_index=True)[1])
    assert len(kept) == len(set(cells.tolist())) == len(gallery)
    assert torch.equal(gallery, images.train[kept])
    assert gallery_of(images.train, None) is images.train


@pytest.mark.parametrize("split", ["block", "image"])
@pytest.mark.parametrize("cap", [30])
def test_counts_are_known_without_the_images(split: str, cap: int) -> None:
    found = load("skimage-patches", cap_per_image=cap, split=split)
    assert image_counts("skimage-patches", split, cap) == (len(found.train), len(found.test))

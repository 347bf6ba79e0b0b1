"""The small classifier: right about digits, unsure of what is none, the same at every training."""

from __future__ import annotations

import pytest
import torch

from ablate.core import data
from ablate.core.data import ImageSet
from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.scores.classifier import SCORES, Classifier
from ablate.core.scores.reference_set import known_set
from ablate.errors import AblateError


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return data.load("digits")


@pytest.fixture(scope="module")
def trained(digits: ImageSet) -> Classifier:
    assert digits.labels is not None
    return Classifier.fit(digits.train, digits.test, digits.labels)


def test_it_is_right_about_digits_that_it_has_not_seen(trained: Classifier, digits: ImageSet) -> None:
    assert digits.labels is not None
    found = trained.probabilities(digits.test)
    assert found.sum(1).tolist() == pytest.approx([1.0] * len(digits.test))
    assert trained.accuracy == float((found.argmax(1) == digits.labels.test).double().mean())
    assert trained.accuracy > 0.85


def test_it_is_surest_of_real_digits_and_least_of_noise(trained: Classifier, digits: ImageSet) -> None:
    noise = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sets = [digits.test, known_set(digits, 200, "gaussian"), noise]
    sure = [trained.scores(images)["classifier_confidence"] for images in sets]
    assert sure[0] > sure[1] + 0.1 > sure[2] + 0.2


def test_balance_counts_classes(trained: Classifier, digits: ImageSet) -> None:
    """All ten about equally often; one digit again and again is one class of ten."""
    assert trained.scores(digits.test)["class_balance"] > 0.95
    one = digits.test[:1].expand(50, -1, -1, -1)
    assert trained.scores(one)["class_balance"] == pytest.approx(0.1)
    assert trained.scores(one, {"class_balance", "gfd26"}).keys() == {"class_balance"}
    assert trained.scores(one, {"gfd26"}) == {}


def test_it_is_the_same_at_every_training_and_from_the_cache(trained: Classifier, digits: ImageSet) -> None:
    assert digits.labels is not None
    torch.manual_seed(3)
    for other in (
        Classifier.fit(digits.train, digits.test, digits.labels),
        Classifier.from_state(trained.state(), torch.device("cpu")),
    ):
        assert torch.equal(other.probabilities(digits.test), trained.probabilities(digits.test))
        assert other.accuracy == trained.accuracy


@pytest.mark.parametrize("name", SCORES)
def test_images_without_labels_have_no_classes(name: str) -> None:
    settings = DdpmDip.Settings.model_validate({"task": "generation", "method": "ddpm"})
    with pytest.raises(AblateError, match="needs images with labels"):
        DdpmDip.require_metrics(settings, [name])

"""FID under its name: only with the right package and the right bytes, said before anything starts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ablate.core import data
from ablate.core.data.images import as_unit
from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.diffusion.validation import Wiener
from ablate.core.scores import fid
from ablate.core.scores.fid import extractor, fid_features
from ablate.core.scores.frechet import frechet_distance
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared import requirements
from ablate.errors import DataError
from tests.core.desk import CPU, Desk, compute

CONTENT = b"not the Inception network"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that stands for the weights: its digest is taken for the recorded one, its network is tiny."""
    path = tmp_path / "inception.pth"
    path.write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setenv(requirements.FID_VARIABLE, str(path))
    monkeypatch.setattr(requirements, "FID_SHA256", digest)
    monkeypatch.setattr(fid, "FID_SHA256", digest)
    monkeypatch.setattr(requirements, "find_spec", lambda name: object())
    monkeypatch.setattr(fid, "version", lambda name: "0.0")
    monkeypatch.setattr(fid, "inception_network", lambda raw: Tiny())
    fid._load.cache_clear()
    yield path
    fid._load.cache_clear()


class Tiny(torch.nn.Module):
    """Four means of every channel, as a tuple like the real one."""

    def forward(self, images: Tensor) -> tuple[Tensor]:
        assert images.dtype == torch.uint8
        return (as_unit(images).reshape(len(images), 3, 32, 4, 8).mean((2, 4)).flatten(1),)


def require(names: list[str]) -> None:
    DdpmDip.require_metrics(DdpmDipSettings(), names)


def test_a_study_without_fid_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    require(["psnr", "ssim"])


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="torch-fidelity, which is not installed") as caught:
        require(["psnr", "fid"])
    assert "pip install 'ablate[fid]'" in str(caught.value.hint)


def test_without_the_weights_the_error_says_where_to_put_them(weights: Path) -> None:
    weights.unlink()
    with pytest.raises(DataError, match=f"{weights} does not exist") as caught:
        require(["fid"])
    assert "ablate data fetch inception" in str(caught.value.hint)
    assert requirements.FID_VARIABLE in str(caught.value.hint)


@pytest.mark.acceptance("M7")
def test_other_weights_are_refused(weights: Path) -> None:
    weights.write_bytes(CONTENT + b"!")
    with pytest.raises(DataError, match="is not the Inception network that defines FID"):
        require(["fid"])
    with pytest.raises(DataError, match="is not the Inception network"):
        extractor(CPU)


def test_what_is_loaded_is_what_was_verified(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file exchanged after the check is noticed: its bytes are read once, and verified as read."""
    monkeypatch.setattr(fid, "require_fid", lambda: None)
    weights.write_bytes(b"exchanged")
    with pytest.raises(DataError, match="changed while it was read"):
        extractor(CPU)


def test_the_right_weights_are_accepted(weights: Path) -> None:
    require(["fid"])
    images = torch.randint(0, 256, (130, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = fid_features(images, extractor(CPU))
    assert features.shape == (130, 12)
    assert features.dtype == torch.float64
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("task", ["generation", "restoration"])
def test_a_trial_measures_fid_only_when_asked(
    task: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash of the weights and the number of images stand in its environment."""
    white = Wiener(torch.zeros(3072), torch.ones(3072), torch.eye(3072))
    monkeypatch.setattr(Wiener, "fit", staticmethod(lambda images: white))
    few: dict[str, Any] = {"task": task, "method": "ddpm", "samples": 20, "curve_images": 2, "timing_batch": 2}
    known = {"fid_real", "fid_heldout", "fid_gaussian"} if task == "generation" else set()
    asked = compute(Desk(tmp_path, wanted=frozenset({"fid"})), **few)
    plain = compute(Desk(tmp_path, wanted=frozenset()), **few)
    assert asked.metrics.keys() - plain.metrics.keys() == {"fid"}
    if known:
        one = compute(Desk(tmp_path, wanted=frozenset({"fid", "fid_real"})), **few)
        every = compute(Desk(tmp_path, wanted=frozenset({"fid", *known})), **few)
        assert known <= every.metrics.keys()
        assert one.metrics.keys() & known == {"fid_real"}
        assert one.metrics["fid_real"] == every.metrics["fid_real"]
    assert asked.metrics["fid"] > 0
    assert hashlib.sha256(CONTENT).hexdigest() in asked.environment["fid"]
    assert f"N = {20 if task == 'generation' else 3} on either side" in asked.environment["fid"]


def test_fetch_verifies_what_it_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file URL: wrong bytes are refused and leave nothing behind, right ones are kept and not fetched again."""
    served = tmp_path / "served"
    served.write_bytes(CONTENT)
    monkeypatch.setattr("ablate.core.data.weights.FID_URL", served.as_uri())
    folder, said = tmp_path / "data", list[str]()
    with pytest.raises(DataError, match="are corrupt"):
        data.fetch("inception", folder)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr("ablate.core.data.weights.FID_SHA256", hashlib.sha256(CONTENT).hexdigest())
    path = data.fetch("inception", folder, said.append)
    assert path.read_bytes() == CONTENT
    served.unlink()
    assert data.fetch("inception", folder, said.append) == path
    assert said[-1].endswith(", verified")
    path.unlink()
    with pytest.raises(DataError, match="cannot download inception") as caught:
        data.fetch("inception", folder)
    assert requirements.FID_VARIABLE in str(caught.value.hint)


@pytest.mark.slow
def test_the_real_network_is_built_from_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights of the right names and shapes, which is all that can be had without the file."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    blank: dict[str, Tensor] = {}
    with monkeypatch.context() as patch:
        network = module.FeatureExtractorInceptionV3
        patch.setattr(module.torch, "load", lambda *args, **more: {})
        patch.setattr(network, "load_state_dict", lambda self, state: blank.update(self.state_dict()))
        network("shapes", ["2048"], feature_extractor_weights_path="")
    file = io.BytesIO()
    torch.save(blank, file)
    (features,) = fid.inception_network(file.getvalue())(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert features.shape == (2, 2048)

"""The Fréchet Inception Distance (Heusel et al. 2017), under that name only with the weights that define it.

Features are the 2048 of the last pooling layer of the Inception network of 2015-12-05, as torch-fidelity ports it from
TensorFlow, resizing included. Other Inception weights (torchvision's) or another resize give other numbers, which are
not FID. The distance is `frechet_distance`, as for the Gabor features: only the features differ.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablate.core.shared.requirements import FID_SHA256, fid_weights, require_fid
from ablate.errors import DataError

Extractor = Callable[[Tensor], Tensor]
"""uint8 images [N,3,H,W] -> features [N,D], on the images' device."""

_CHUNK = 64


def extractor(device: torch.device) -> Extractor:
    """Return the feature extractor, made once per process and device. Raises DataError when it cannot be had."""
    require_fid()
    return _load(fid_weights(), device)


@lru_cache(maxsize=1)
def _load(path: Path, device: torch.device) -> Extractor:
    network = inception_network(_verified(path)).to(device)

    def features(images: Tensor) -> Tensor:
        with torch.no_grad():
            (found,) = network(images)
        return torch.as_tensor(found)

    return features


def _verified(path: Path) -> bytes:
    """Read the file once: what was verified is what is loaded, whatever happens to the file in between."""
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != FID_SHA256:
        raise DataError(f"{path} changed while it was read")
    return raw


def inception_network(raw: bytes) -> Any:
    """Return torch-fidelity's network with the weights in `raw`."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # It unpickles without weights_only: harmless for bytes that are known to the last one.
    return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=io.BytesIO(raw))


def fid_features(images: Tensor, extract: Extractor) -> Tensor:
    """Return the features float64 [N,D] of uint8 `images` [N,C,H,W], a few at a time; grey ones as three channels."""
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    parts = [extract(images[first : first + _CHUNK]).double() for first in range(0, len(images), _CHUNK)]
    return torch.cat(parts)


def convention(count: int) -> str:
    """What has to stand beside every FID: weights, extractor, and how many images on either side."""
    return (
        f"Inception 2015-12-05 (sha256 {FID_SHA256}), 2048 features by torch-fidelity {version('torch-fidelity')}; "
        f"N = {count} on either side"
    )

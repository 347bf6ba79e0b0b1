"""``digits``: 1,797 handwritten digits of 8x8 pixels that come with ablate.

The file is byte for byte ``sklearn/datasets/data/digits.csv.gz`` of scikit-learn, a copy of the test set of
"Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository): 13
people wrote them; each pixel counts the ink in 4x4 pixels of a scan, 0 to 16. See ``digits.LICENSE``.

The split is by place in the file, where the digits of one person stand together: the first 1,257 train, the next 180
validate, the last 360 are held out.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from importlib import resources

import numpy as np
import torch

from ablate.core.data.images import ImageSet, Labels, digest_of_images
from ablate.errors import DataError

SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
TRAINED, VALIDATED = 1257, 180
MOST_INK = 16


def load() -> ImageSet:
    """Return the digits, uint8 [N,1,8,8], ink white on black. Raises DataError when the file was altered."""
    raw = resources.files("ablate.core.data").joinpath("digits.csv.gz").read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise DataError("the digits that came with ablate were altered", hint="reinstall ablate")
    table = np.loadtxt(io.BytesIO(gzip.decompress(raw)), delimiter=",", dtype=np.float64)
    levels = np.round(table[:, :-1] * (255 / MOST_INK)).astype(np.uint8)
    images = torch.from_numpy(levels).reshape(-1, 1, 8, 8).contiguous()
    classes = torch.from_numpy(table[:, -1].astype(np.int64))
    last = TRAINED + VALIDATED
    train, validation, test = images[:TRAINED], images[TRAINED:last], images[last:]
    labels = Labels(classes[:TRAINED], classes[last:])
    return ImageSet("digits", train, test, validation, digest_of_images(train, validation, test), labels=labels)

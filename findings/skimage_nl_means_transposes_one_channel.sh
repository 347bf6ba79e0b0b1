#!/usr/bin/env bash
# scikit-image 0.26.0: denoise_nl_means with channel_axis=0 on an image (1, H, W) returns it transposed, as (W, H).
#
# Expected by most: an output of the input's shape, as with three channels, where channel_axis=0 works.
# Seen: the channel axis is gone and rows and columns have changed places; no error and no warning. On a square image
# the shape alone does not tell. The numbers are right once transposed back, so a PSNR against the clean image falls
# by many decibels without anything else looking wrong.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "scikit-image==0.26.0" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PY'
import numpy as np
import skimage
from skimage.restoration import denoise_nl_means

options = {"patch_size": 5, "patch_distance": 6, "h": 0.08, "sigma": 0.1}
image = np.random.default_rng(0).random((1, 8, 12))
alone = denoise_nl_means(image[0], **options)
one = denoise_nl_means(image, channel_axis=0, **options)
three = denoise_nl_means(np.repeat(image, 3, axis=0), channel_axis=0, **options)
print("scikit-image", skimage.__version__, "in", image.shape, "out", one.shape, "three channels", three.shape)
assert three.shape == (3, 8, 12)
assert one.shape == (12, 8)
assert np.allclose(one.T, alone)
PY

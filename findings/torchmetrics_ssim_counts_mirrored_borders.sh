#!/usr/bin/env bash
# torchmetrics 0.11.4 and 1.9.0, structural_similarity_index_measure with its Gaussian window: the number changed between
# releases, and kernel_size does nothing.
#
# Expected by most: the same definition as scikit-image with gaussian_weights=True, sigma=1.5, use_sample_covariance=False
# (Wang et al. 2004), in every release, and a window of kernel_size pixels.
# Seen: the window is 2 int(3.5 sigma + 0.5) + 1 pixels wide whatever kernel_size says. 0.11.4 leaves the borders out, so it
# agrees with scikit-image; 1.9.0 mirrors them and counts them. On 32x32 images nearly half of all positions are border.
# What follows: SSIM of small images logged by different releases, or beside scikit-image, must not be compared.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/measure.py" <<'PY'
import sys
import numpy as np
import torch
import torchmetrics
from skimage.metrics import structural_similarity
from torchmetrics.functional import structural_similarity_index_measure as ssim

draw = np.random.default_rng(0)
rows, columns = np.mgrid[:32, :32] / 32
clean = 0.5 + 0.25 * np.sin(9 * rows + 4 * columns**2)
noisy = np.clip(clean + 0.1 * (1 + 2 * (rows < 0.2)) * draw.standard_normal((32, 32)), 0, 1)
a, b = (torch.tensor(image)[None, None] for image in (noisy, clean))
reference = structural_similarity(
    noisy, clean, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
)
found = [float(ssim(a, b, data_range=1.0, kernel_size=size)) for size in (3, 7, 11)]
print(f"torchmetrics {torchmetrics.__version__}: {found}, scikit-image {reference:.6f}")
assert len(set(found)) == 1, "kernel_size has an effect now"
assert (abs(found[0] - reference) < 1e-6) == (sys.argv[1] == "borders left out"), "the behaviour changed"
PY
for version in 0.11.4 1.9.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet "torchmetrics==$version" torch==2.14.1 numpy scikit-image==0.26.0 setuptools==80.9.0
done
"$work/0.11.4/bin/python" -W ignore "$work/measure.py" "borders left out"
"$work/1.9.0/bin/python" -W ignore "$work/measure.py" "borders counted"

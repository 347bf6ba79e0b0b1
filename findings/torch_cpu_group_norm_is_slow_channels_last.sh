#!/usr/bin/env bash
# torch 2.14.1, CPU, one thread: GroupNorm of a channels-last tensor with few channels per group takes about twice to three
# times as long, forward and backward together, as of the same tensor in the default format.
#
# Expected by most: channels_last is the faster format for convolutional networks on a CPU, so converting a U-Net is a
# gain everywhere; a normalisation reads and writes the same bytes in either format.
# Seen: convolutions gain a tenth to a fifth, and GroupNorm gives much of it back: with the shapes of a small U-Net (16
# images, 8 groups, 16 to 48 channels, 32x32) the numbers agree to rounding and the time is 1.5 to 6 times as long. Its
# author called it "slightly worse" (pytorch#49821), with layers of a ResNet-50: groups of more channels.
# What follows: in such a network normalisations cost an eighth of an update (a thirtieth in the default format), so timing
# channels_last on the whole network hides that its convolutions gained more; fuse or replace the GroupNorm.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.14.1 numpy
"$work/venv/bin/python" - <<'PY'
import time

import torch
from torch.nn import functional as F

torch.set_num_threads(1)


def both(x, gradient):
    """Forward and backward; the least of many times, in ms, and the gradient of x."""
    weight, bias = torch.ones(x.shape[1], requires_grad=True), torch.zeros(x.shape[1], requires_grad=True)
    least = float("inf")
    for _ in range(40):
        leaf = x.detach().requires_grad_()
        began = time.perf_counter()
        F.group_norm(leaf, 8, weight, bias).backward(gradient)
        least = min(least, time.perf_counter() - began)
    return 1e3 * least, leaf.grad


print("torch", torch.__version__)
ratios = []
for channels in (16, 32, 48):
    x, gradient = torch.randn(2, 16, channels, 32, 32)
    plain, expected = both(x, gradient)
    last, found = both(x.to(memory_format=torch.channels_last), gradient.to(memory_format=torch.channels_last))
    ratios.append(last / plain)
    print(f"{channels} channels: {plain:.2f} ms, channels-last {last:.2f} ms, {last / plain:.1f} times as long")
    assert torch.allclose(expected, found, atol=1e-4), "the numbers differ"
assert sorted(ratios)[1] > 1.4, "the behaviour changed"
PY

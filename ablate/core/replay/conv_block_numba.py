"""Machine code for blocks of two 3x3 convolutions of three channels, image by image, compiled by Numba.

An image of 3 x 32 x 32 with everything its gradients need stays in a core's cache, and sums over three channels and
nine taps fill its vector registers, which general convolutions leave three quarters empty.

A `plane` is one channel with a border of zeros, row after row in one vector: pixel (y, x) lies at (y + 1) ROW + x + 1.
A tap of a convolution is then a shift, and all pixels are one loop; what it writes into the border is cleared. Machine
code is kept beside this file, or where Numba finds a place, for the next process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

CHANNELS, SIZE = 3, 32
ROW = SIZE + 2
FIRST, COUNT = ROW + 1, SIZE * ROW - 2
"""Where the first pixel lies, and how many places there are from it to the last."""
PLANE = ROW * ROW + 6
"""Places of a plane; a multiple of what fills a vector register."""
_SHIFTS = (0, 1, 2, ROW, ROW + 1, ROW + 2, 2 * ROW, 2 * ROW + 1, 2 * ROW + 2)
_ZERO, _LOWEST = np.float32(0.0), np.float32(-np.inf)

Floats = NDArray[np.float32]
_Function = TypeVar("_Function", bound=Callable[..., object])


def _compiled(function: _Function) -> _Function:
    """Compile at the first call. Sums may be taken in another order; infinities and NaN are as IEEE 754 has them."""
    compile_: Any = partial(
        numba.njit, fastmath={"contract", "reassoc", "nsz"}, nogil=True, boundscheck=False, error_model="numpy"
    )
    try:
        compiled: _Function = compile_(cache=True)(function)
    except RuntimeError:  # no folder to keep machine code in: every process compiles its own
        compiled = compile_()(function)
    return compiled


@_compiled
def _convolve(x: Floats, weight: Floats, bias: Floats, least: np.float32, out: Floats) -> None:  # pragma: no cover
    """3x3 convolution [3,PLANE] -> [3,PLANE]; what is below `least` becomes `least`, NaN stays. Border not cleared."""
    red, green, blue = x[0], x[1], x[2]
    for d in range(CHANNELS):
        taps, to = weight[d], out[d]
        for i in range(COUNT):
            value = bias[d]
            for tap in range(9):
                at = i + _SHIFTS[tap]
                value += taps[0, tap] * red[at] + taps[1, tap] * green[at] + taps[2, tap] * blue[at]
            to[FIRST + i] = least if value <= least else value


@_compiled
def _for_weight(x: Floats, gradient: Floats, weight: Floats) -> None:  # pragma: no cover
    """Add to `weight` [3,3,9] the gradient of a convolution of `x` whose output has `gradient`, zero in its border."""
    first, second, third = gradient[0], gradient[1], gradient[2]
    for c in range(CHANNELS):
        plane = x[c]
        for row in range(3):
            a0 = a1 = a2 = b0 = b1 = b2 = c0 = c1 = c2 = _ZERO
            for i in range(COUNT):
                at = i + row * ROW
                left, middle, right = plane[at], plane[at + 1], plane[at + 2]
                value = first[FIRST + i]
                a0 += value * left
                a1 += value * middle
                a2 += value * right
                value = second[FIRST + i]
                b0 += value * left
                b1 += value * middle
                b2 += value * right
                value = third[FIRST + i]
                c0 += value * left
                c1 += value * middle
                c2 += value * right
            for d, sums in enumerate(((a0, a1, a2), (b0, b1, b2), (c0, c1, c2))):
                for k in range(3):
                    weight[d, c, 3 * row + k] += sums[k]


@_compiled
def _for_bias(gradient: Floats, bias: Floats) -> None:  # pragma: no cover
    """Add to `bias` [3] the sums of `gradient`, zero in its border."""
    for d in range(CHANNELS):
        plane, total = gradient[d], _ZERO
        for i in range(COUNT):
            total += plane[FIRST + i]
        bias[d] += total


@_compiled
def _clear(planes: Floats) -> None:  # pragma: no cover
    """Make the border zero."""
    for c in range(CHANNELS):
        plane = planes[c]
        plane[:FIRST] = _ZERO
        plane[FIRST + COUNT :] = _ZERO
        for y in range(1, SIZE):
            plane[(y + 1) * ROW - 1] = _ZERO
            plane[(y + 1) * ROW] = _ZERO


@_compiled
def _enter(image: Floats, planes: Floats) -> None:  # pragma: no cover
    """[3,SIZE,SIZE] -> [3,PLANE], the border zero."""
    for c in range(CHANNELS):
        for y in range(SIZE):
            start = (y + 1) * ROW + 1
            planes[c, start : start + SIZE] = image[c, y]
    _clear(planes)


@_compiled
def _leave(planes: Floats, image: Floats) -> None:  # pragma: no cover
    """[3,PLANE] -> [3,SIZE,SIZE]."""
    for c in range(CHANNELS):
        for y in range(SIZE):
            start = (y + 1) * ROW + 1
            image[c, y] = planes[c, start : start + SIZE]


@_compiled
def _residual(x: Floats, noise: Floats, sigma: np.float32, net: Floats, out: Floats) -> None:  # pragma: no cover
    """x + sigma noise - net, with noise [SIZE,SIZE,3]. The border is not cleared."""
    for y in range(SIZE):
        fresh, start = noise[y], (y + 1) * ROW + 1
        for k in range(SIZE):  # all channels of a pixel at once: their noise lies together
            at = start + k
            for c in range(CHANNELS):
                out[c, at] = x[c, at] + sigma * fresh[k, c] - net[c, at]


@_compiled
def forward(
    x: Floats, noise: Floats, sigma: Floats, weight: Floats, bias: Floats, kept: Floats, out: Floats
) -> None:  # pragma: no cover
    """Blocks one after the other: x + sigma noise - net(x) each, or net(x) where `noise` is empty.

    x and out [N,3,SIZE,SIZE], noise [B,N,SIZE,SIZE,3], sigma [N], weight [B,2,3,3,9], bias [B,2,3]. The input of every
    convolution stays in `kept` [N,B,2,3,PLANE]; in the same place for every image where that is [1,B,2,3,PLANE].
    """
    blocks = len(weight)
    net, after = np.empty((CHANNELS, PLANE), np.float32), np.empty((CHANNELS, PLANE), np.float32)
    for n in range(len(x)):
        own = kept[n % len(kept)]
        _enter(x[n], own[0, 0])
        for block in range(blocks):
            _convolve(own[block, 0], weight[block, 0], bias[block, 0], _ZERO, own[block, 1])
            _clear(own[block, 1])
            following = own[block + 1, 0] if block + 1 < blocks else after
            if len(noise):
                _convolve(own[block, 1], weight[block, 1], bias[block, 1], _LOWEST, net)
                _residual(own[block, 0], noise[block, n], sigma[n], net, following)
            else:
                _convolve(own[block, 1], weight[block, 1], bias[block, 1], _LOWEST, following)
            _clear(following)
        _leave(after, out[n])


@_compiled
def backward(
    gradient: Floats, turned: Floats, kept: Floats, residual: bool, weight: Floats, bias: Floats, for_x: Floats
) -> None:  # pragma: no cover
    """Add what `forward` sends back to `weight` and `bias`, shaped as there, and write `for_x` [N,3,SIZE,SIZE].

    `gradient` is that of `out`, `turned` [B,2,3,3,9] the kernels that take gradients to inputs. An empty `for_x` is
    not wanted. A `residual` block subtracts its net, and its second convolutions are given and receive the opposite.
    """
    scratch = np.zeros((3, CHANNELS, PLANE), np.float32)
    outer, inner, back = scratch[0], scratch[1], scratch[2]
    none = np.zeros(CHANNELS, np.float32)
    for n in range(len(gradient)):
        _enter(gradient[n], outer)
        for block in range(len(turned) - 1, -1, -1):
            x, hidden = kept[n, block, 0], kept[n, block, 1]
            _for_weight(hidden, outer, weight[block, 1])
            _for_bias(outer, bias[block, 1])
            _convolve(outer, turned[block, 1], none, _LOWEST, inner)
            for c in range(CHANNELS):
                for i in range(PLANE):
                    inner[c, i] = _ZERO if hidden[c, i] <= _ZERO else inner[c, i]
            _for_weight(x, inner, weight[block, 0])
            _for_bias(inner, bias[block, 0])
            if block == 0 and not len(for_x):
                break
            if residual:
                _convolve(inner, turned[block, 0], none, _LOWEST, back)
                for c in range(CHANNELS):
                    for i in range(PLANE):
                        outer[c, i] += back[c, i]
            else:
                _convolve(inner, turned[block, 0], none, _LOWEST, outer)
            _clear(outer)
        if len(for_x):
            _leave(outer, for_x[n])

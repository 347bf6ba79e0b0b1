"""Machine code for blocks of two 3x3 convolutions of three channels, image by image, compiled by Numba.

An image of 3 x 32 x 32 goes through all blocks and its gradient goes back before the next one is begun: everything
that this needs stays in a core's cache, its noise as well, which is made where it is added. A row of 32 pixels of three
channels is twelve vectors of sums, which stay in registers while all 27 taps of a convolution are added to them.

A `plane` is one channel with a border of zeros, row after row in one vector: pixel (y, x) lies at (y + 1) ROW + x + 1.
A tap of a convolution is then a shift. Nothing writes into the border. Machine code is kept beside this file, or where
Numba finds a place, for the next process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from ablate.core.replay.vectors import (
    LANES,
    bits_as_floats,
    bits_as_words,
    by_highest_bit,
    load,
    repeat,
    repeat_word,
    root,
    signed_to_floats,
    store,
    where_positive,
)

CHANNELS, SIZE, TAPS = 3, 32, 9
ROW = SIZE + 2
PLANE = ROW * ROW
FIRST = ROW + 1
"""Where the first pixel lies."""
PIXELS = SIZE * SIZE

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]
_f, _w, _u64 = np.float32, np.uint32, np.uint64
_Function = TypeVar("_Function", bound=Callable[..., object])


def _compiled(function: _Function, **options: Any) -> _Function:
    """Compile at the first call. Sums may be taken in another order; infinities and NaN are as IEEE 754 has them."""
    compile_: Any = partial(
        numba.njit, fastmath={"contract", "reassoc", "nsz"}, nogil=True, boundscheck=False, error_model="numpy"
    )
    try:
        compiled: _Function = compile_(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep machine code in: every process compiles its own
        compiled = compile_(**options)(function)
    return compiled


def _inlined(function: _Function) -> _Function:
    """Compile as a part of whatever calls it."""
    return _compiled(function, forceinline=True)


# --- noise: xoshiro128++ in eight lanes (Blackman and Vigna), seeded by SplitMix64; normal numbers by Box and Muller


@_compiled
def _seeded(key: np.uint64, image: int, state: Words) -> None:  # pragma: no cover
    """The generator of one image: `state` [4,LANES] are the outputs 16 image ... 16 image + 15 of SplitMix64(key)."""
    words = state.reshape(-1)
    for k in range(2 * LANES):
        z = key + _u64(0x9E3779B97F4A7C15) * (_u64(2 * LANES) * _u64(image) + _u64(k + 1))
        z = (z ^ (z >> _u64(30))) * _u64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> _u64(27))) * _u64(0x94D049BB133111EB)
        z = z ^ (z >> _u64(31))
        words[2 * k] = _w(z & _u64(0xFFFFFFFF))
        words[2 * k + 1] = _w(z >> _u64(32))


@_inlined
def _turned(x: Any, by: int) -> Any:  # pragma: no cover
    return (x << repeat_word(_w(by))) | (x >> repeat_word(_w(32 - by)))


@_inlined
def _next(a: Any, b: Any, c: Any, d: Any) -> Any:  # pragma: no cover
    """One step of xoshiro128++: 32 random bits per lane, and the state after it."""
    bits = _turned(a + d, 7) + a
    shifted = b << repeat_word(_w(9))
    c = c ^ a
    d = d ^ b
    b = b ^ c
    a = a ^ d
    return bits, a, b, c ^ shifted, _turned(d, 11)


@_inlined
def _logarithm(x: Any) -> Any:  # pragma: no cover
    """Natural logarithm of normal positive floats: Cephes's polynomial on [sqrt(1/2), sqrt(2))."""
    half_root = repeat_word(_w(0x3F3504F3))
    moved = bits_as_words(x) + (repeat_word(_w(0x3F800000)) - half_root)
    exponent = signed_to_floats((moved >> repeat_word(_w(23))) - repeat_word(_w(127)))
    m = bits_as_floats((moved & repeat_word(_w(0x007FFFFF))) + half_root) - repeat(_f(1.0))
    p = repeat(_f(7.0376836292e-2)) * m + repeat(_f(-1.1514610310e-1))
    p = p * m + repeat(_f(1.1676998740e-1))
    p = p * m + repeat(_f(-1.2420140846e-1))
    p = p * m + repeat(_f(1.4249322787e-1))
    p = p * m + repeat(_f(-1.6668057665e-1))
    p = p * m + repeat(_f(2.0000714765e-1))
    p = p * m + repeat(_f(-2.4999993993e-1))
    p = p * m + repeat(_f(3.3333331174e-1))
    return exponent * repeat(_f(0.6931471805599453)) + (m + m * m * (m * p - repeat(_f(0.5))))


@_inlined
def _normal_pair(first: Any, second: Any) -> Any:  # pragma: no cover
    """Two standard normal numbers per lane from two words of 32 random bits."""
    # 31 bits, in the middle of their interval: never 0, and no radius beyond 6.7.
    uniform = signed_to_floats(first >> repeat_word(_w(1))) * repeat(_f(2.0**-31)) + repeat(_f(2.0**-32))
    half_square = _logarithm(uniform)
    radius = root(repeat(_f(0.0)) - (half_square + half_square))
    # 30 bits choose an angle within 45 degrees, one bit exchanges sine and cosine, one the sign of both.
    angle = signed_to_floats(second << repeat_word(_w(2))) * repeat(_f(np.pi / 4 * 2.0**-31))
    q = angle * angle
    sine = (repeat(_f(-1.9515295891e-4)) * q + repeat(_f(8.3321608736e-3))) * q + repeat(_f(-1.6666654611e-1))
    sine = sine * q * angle + angle
    cosine = (repeat(_f(2.443315711809948e-5)) * q + repeat(_f(-1.388731625493765e-3))) * q
    cosine = ((cosine + repeat(_f(4.166664568298827e-2))) * q - repeat(_f(0.5))) * q + repeat(_f(1.0))
    radius = bits_as_floats(bits_as_words(radius) | (second & repeat_word(_w(0x80000000))))
    exchange = second << repeat_word(_w(1))
    return radius * by_highest_bit(exchange, cosine, sine), radius * by_highest_bit(exchange, sine, cosine)


@_compiled
def normals(key: np.uint64, out: Floats) -> None:  # pragma: no cover
    """Fill `out` [B,N,3,SIZE,SIZE] with the noise that blocks add: of an image it depends on `key` and its number."""
    state = np.empty((4, LANES), np.uint32)
    blocks, count = out.shape[0], out.shape[1]
    for n in range(count):
        _seeded(key, n, state)
        a, b, c, d = load(state, 0), load(state, LANES), load(state, 2 * LANES), load(state, 3 * LANES)
        for block in range(blocks):
            for y in range(SIZE):
                for half in range(2 * CHANNELS):
                    first, a, b, c, d = _next(a, b, c, d)
                    second, a, b, c, d = _next(a, b, c, d)
                    left, right = _normal_pair(first, second)
                    at = ((block * count + n) * CHANNELS + half // 2) * PIXELS + y * SIZE + half % 2 * 16
                    store(out, at, left)
                    store(out, at + LANES, right)


# --- convolutions of one image


@_inlined
def _sum_taps(x: Floats, y: int, weight: Floats, bias: Floats, sums: Floats) -> None:  # pragma: no cover
    """Row `y` of a 3x3 convolution of planes `x` [3,PLANE], before anything else: `sums` [3,SIZE]."""
    p0 = p1 = p2 = p3 = repeat(bias[0])
    q0 = q1 = q2 = q3 = repeat(bias[1])
    r0 = r1 = r2 = r3 = repeat(bias[2])
    for c in range(CHANNELS):
        for row in range(3):
            for column in range(3):
                at, tap = c * PLANE + (y + row) * ROW + column, 3 * row + column
                # Twelve sums, three weights and one vector of pixels: all of AVX2's sixteen registers.
                first, second, third = repeat(weight[0, c, tap]), repeat(weight[1, c, tap]), repeat(weight[2, c, tap])
                v = load(x, at)
                p0, q0, r0 = first * v + p0, second * v + q0, third * v + r0
                v = load(x, at + LANES)
                p1, q1, r1 = first * v + p1, second * v + q1, third * v + r1
                v = load(x, at + 2 * LANES)
                p2, q2, r2 = first * v + p2, second * v + q2, third * v + r2
                v = load(x, at + 3 * LANES)
                p3, q3, r3 = first * v + p3, second * v + q3, third * v + r3
    store(sums, 0, p0)
    store(sums, 8, p1)
    store(sums, 16, p2)
    store(sums, 24, p3)
    store(sums, 32, q0)
    store(sums, 40, q1)
    store(sums, 48, q2)
    store(sums, 56, q3)
    store(sums, 64, r0)
    store(sums, 72, r1)
    store(sums, 80, r2)
    store(sums, 88, r3)


@_compiled
def _plain(x: Floats, weight: Floats, bias: Floats, out: Floats) -> None:  # pragma: no cover
    """3x3 convolution [3,PLANE] -> [3,PLANE]."""
    sums = np.empty((CHANNELS, SIZE), np.float32)
    for y in range(SIZE):
        _sum_taps(x, y, weight, bias, sums)
        for c in range(CHANNELS):
            for k in range(0, SIZE, LANES):
                store(out, c * PLANE + FIRST + y * ROW + k, load(sums, c * SIZE + k))


@_compiled
def _with_relu(x: Floats, weight: Floats, bias: Floats, out: Floats) -> None:  # pragma: no cover
    """The convolution, and what is below 0 becomes 0; NaN stays."""
    sums = np.empty((CHANNELS, SIZE), np.float32)
    for y in range(SIZE):
        _sum_taps(x, y, weight, bias, sums)
        for c in range(CHANNELS):
            for k in range(0, SIZE, LANES):
                value = load(sums, c * SIZE + k)
                store(out, c * PLANE + FIRST + y * ROW + k, where_positive(value, value))


@_compiled
def _subtracted(
    x: Floats, weight: Floats, bias: Floats, before: Floats, sigma: np.float32, state: Words, out: Floats
) -> None:  # pragma: no cover
    """before + sigma times the next noise of `state` - the convolution of `x`."""
    sums = np.empty((CHANNELS, SIZE), np.float32)
    level = repeat(sigma)
    a, b, c, d = load(state, 0), load(state, LANES), load(state, 2 * LANES), load(state, 3 * LANES)
    for y in range(SIZE):
        _sum_taps(x, y, weight, bias, sums)
        for half in range(2 * CHANNELS):
            first, a, b, c, d = _next(a, b, c, d)
            second, a, b, c, d = _next(a, b, c, d)
            left, right = _normal_pair(first, second)
            at, k = half // 2 * PLANE + FIRST + y * ROW + half % 2 * 16, 16 * half
            store(out, at, load(before, at) + level * left - load(sums, k))
            store(out, at + LANES, load(before, at + LANES) + level * right - load(sums, k + LANES))
    store(state, 0, a)
    store(state, LANES, b)
    store(state, 2 * LANES, c)
    store(state, 3 * LANES, d)


@_compiled
def _masked(x: Floats, weight: Floats, bias: Floats, by: Floats, out: Floats) -> None:  # pragma: no cover
    """The convolution, and 0 where `by` is 0."""
    sums = np.empty((CHANNELS, SIZE), np.float32)
    for y in range(SIZE):
        _sum_taps(x, y, weight, bias, sums)
        for c in range(CHANNELS):
            for k in range(0, SIZE, LANES):
                at = c * PLANE + FIRST + y * ROW + k
                store(out, at, where_positive(load(sums, c * SIZE + k), load(by, at)))


@_compiled
def _added(x: Floats, weight: Floats, bias: Floats, to: Floats) -> None:  # pragma: no cover
    """Add the convolution of `x` to `to`."""
    sums = np.empty((CHANNELS, SIZE), np.float32)
    for y in range(SIZE):
        _sum_taps(x, y, weight, bias, sums)
        for c in range(CHANNELS):
            for k in range(0, SIZE, LANES):
                at = c * PLANE + FIRST + y * ROW + k
                store(to, at, load(to, at) + load(sums, c * SIZE + k))


@_compiled
def _for_weight(x: Floats, gradient: Floats, weight: Floats) -> None:  # pragma: no cover
    """Add to `weight` [3,3,9,LANES] the gradient of a convolution of `x` whose output has `gradient`."""
    for c in range(CHANNELS):
        for row in range(3):
            a0 = a1 = a2 = b0 = b1 = b2 = c0 = c1 = c2 = repeat(_f(0.0))
            for y in range(SIZE):
                at, to = c * PLANE + (y + row) * ROW, FIRST + y * ROW
                for k in range(0, SIZE, LANES):
                    left, middle, right = load(x, at + k), load(x, at + k + 1), load(x, at + k + 2)
                    value = load(gradient, to + k)
                    a0, a1, a2 = value * left + a0, value * middle + a1, value * right + a2
                    value = load(gradient, PLANE + to + k)
                    b0, b1, b2 = value * left + b0, value * middle + b1, value * right + b2
                    value = load(gradient, 2 * PLANE + to + k)
                    c0, c1, c2 = value * left + c0, value * middle + c1, value * right + c2
            first = (c * TAPS + 3 * row) * LANES
            for d, sums in enumerate(((a0, a1, a2), (b0, b1, b2), (c0, c1, c2))):
                for k, one in enumerate(sums):
                    place = first + (d * CHANNELS * TAPS + k) * LANES
                    store(weight, place, load(weight, place) + one)


@_compiled
def _for_bias(gradient: Floats, bias: Floats) -> None:  # pragma: no cover
    """Add to `bias` [3,LANES] the sums of `gradient`."""
    for c in range(CHANNELS):
        even = odd = repeat(_f(0.0))
        for y in range(SIZE):
            at = c * PLANE + FIRST + y * ROW
            even = even + load(gradient, at) + load(gradient, at + 8)
            odd = odd + load(gradient, at + 16) + load(gradient, at + 24)
        store(bias, c * LANES, load(bias, c * LANES) + even + odd)


# --- whole chains


@_compiled
def _enter(image: Floats, planes: Floats) -> None:  # pragma: no cover
    """[3,SIZE,SIZE] -> [3,PLANE]."""
    for c in range(CHANNELS):
        for y in range(SIZE):
            for k in range(0, SIZE, LANES):
                store(planes, c * PLANE + FIRST + y * ROW + k, load(image, c * PIXELS + y * SIZE + k))


@_compiled
def _through(
    kept: Floats, key: np.uint64, image: int, sigma: np.float32, residual: bool, weight: Floats, bias: Floats
) -> None:  # pragma: no cover
    """Blocks one after the other on the image in kept[0, 0]; `kept` [B+1,2,3,PLANE] holds all inputs of convolutions.

    What comes out is in kept[B, 0].
    """
    state = np.empty((4, LANES), np.uint32)
    _seeded(key, image, state)
    for block in range(len(weight)):
        x, hidden, after = kept[block, 0], kept[block, 1], kept[block + 1, 0]
        _with_relu(x, weight[block, 0], bias[block, 0], hidden)
        if residual:
            _subtracted(hidden, weight[block, 1], bias[block, 1], x, sigma, state, after)
        else:
            _plain(hidden, weight[block, 1], bias[block, 1], after)


@_compiled
def forward(
    x: Floats, key: np.uint64, sigma: Floats, residual: bool, weight: Floats, bias: Floats, out: Floats
) -> None:  # pragma: no cover
    """Blocks one after the other: x + sigma noise - net(x) each where `residual`, else net(x).

    x and out [N,3,SIZE,SIZE], sigma [N], weight [B,2,3,3,9], bias [B,2,3]; the noise is that of `normals` with `key`.
    """
    blocks = len(weight)
    kept = np.zeros((blocks + 1, 2, CHANNELS, PLANE), np.float32)
    for n in range(len(x)):
        _enter(x[n], kept[0, 0])
        _through(kept, key, n, sigma[n], residual, weight, bias)
        after = kept[blocks, 0]
        for c in range(CHANNELS):
            for y in range(SIZE):
                start = FIRST + y * ROW
                out[n, c, y] = after[c, start : start + SIZE]


@_compiled
def _differ(after: Floats, target: Floats, gradient: Floats) -> float:  # pragma: no cover
    """Sum of squares of `after` [3,PLANE] - `target` [3,SIZE,SIZE]; the difference itself goes into `gradient`."""
    lanes = np.empty(LANES, np.float32)
    total = repeat(_f(0.0))
    for c in range(CHANNELS):
        for y in range(SIZE):
            for k in range(0, SIZE, LANES):
                at = c * PLANE + FIRST + y * ROW + k
                difference = load(after, at) - load(target, c * PIXELS + y * SIZE + k)
                total = difference * difference + total
                store(gradient, at, difference)
    store(lanes, 0, total)
    whole = 0.0
    for lane in range(LANES):
        whole += lanes[lane]
    return whole


@_compiled
def squares(
    x: Floats,
    target: Floats,
    key: np.uint64,
    sigma: np.float32,
    residual: bool,
    weight: Floats,
    bias: Floats,
    turned: Floats,
    for_weight: Floats,
    for_bias: Floats,
) -> float:  # pragma: no cover
    """Return the sum of squares of what `forward` gives less `target`, and add half its gradients to the last two.

    `turned` [B,2,3,3,9] are the kernels that take gradients to inputs. for_weight [B,2,3,3,9,LANES] and for_bias
    [B,2,3,LANES] are to be summed over lanes. A `residual` block subtracts its net: its second convolutions are given,
    and receive, the opposite.
    """
    blocks = len(weight)
    kept = np.zeros((blocks + 1, 2, CHANNELS, PLANE), np.float32)
    scratch = np.zeros((2, CHANNELS, PLANE), np.float32)
    outer, inner = scratch[0], scratch[1]
    none = np.zeros(CHANNELS, np.float32)
    total = 0.0
    for n in range(len(x)):
        _enter(x[n], kept[0, 0])
        _through(kept, key, n, sigma, residual, weight, bias)
        total += _differ(kept[blocks, 0], target[n], outer)
        for block in range(blocks - 1, -1, -1):
            before, hidden = kept[block, 0], kept[block, 1]
            _for_weight(hidden, outer, for_weight[block, 1])
            _for_bias(outer, for_bias[block, 1])
            _masked(outer, turned[block, 1], none, hidden, inner)
            _for_weight(before, inner, for_weight[block, 0])
            _for_bias(inner, for_bias[block, 0])
            if block > 0 and residual:
                _added(inner, turned[block, 0], none, outer)
            elif block > 0:
                _plain(inner, turned[block, 0], none, outer)
    return total

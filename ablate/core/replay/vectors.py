"""Vectors of eight floats or 32-bit words as types of Numba, so that a kernel decides what its registers hold.

Numba's own vectors come from loops that its compiler recognises; it keeps a tile of sums in memory where twelve
registers would hold it. A vector becomes one of LLVM's: any processor computes it, in as many registers as it takes.

Numba dates machine code by the file of the function alone: after a change here, `touch` conv_block_numba.py.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

LANES = 8
_WORD = ir.IntType(32)
_ELEMENTS = {"float": ir.FloatType(), "word": _WORD}


class Vector(types.Type):
    """Eight elements, `float` or `word` (32 bits without a sign)."""

    def __init__(self, element: str) -> None:
        self.element = element
        super().__init__(name=f"Vector({element})")


@register_model(Vector)
class _InRegisters(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _in_llvm(vector))  # type: ignore[no-untyped-call]


FLOATS, WORDS = Vector("float"), Vector("word")
_Emit = Callable[[Any, Any], Any]


def _in_llvm(vector: Vector) -> Any:
    return ir.VectorType(_ELEMENTS[vector.element], LANES)


def _zeros(vector: Vector) -> Any:
    return ir.Constant(_in_llvm(vector), [0] * LANES)


def _operation(result: Vector, takes: tuple[Any, ...], emit: _Emit) -> Any:
    """Return a function for kernels: `emit(builder, arguments)` writes it in LLVM's language."""

    def typed(result: Vector, takes: tuple[Any, ...], emit: _Emit) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return emit(builder, arguments)

        return result(*takes), generate

    # Numba reads the number of arguments from the function's own.
    if len(takes) == 1:
        return intrinsic(lambda typing, a: typed(result, takes, emit))
    if len(takes) == 2:
        return intrinsic(lambda typing, a, b: typed(result, takes, emit))
    return intrinsic(lambda typing, a, b, c: typed(result, takes, emit))


def _repeat(builder: Any, arguments: Any) -> Any:
    (value,) = arguments
    nothing = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_WORD, LANES), [0] * LANES))


def _root(builder: Any, arguments: Any) -> Any:
    kind = ir.FunctionType(_in_llvm(FLOATS), [_in_llvm(FLOATS)])
    name = f"llvm.sqrt.v{LANES}f32"
    function = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
    return builder.call(function, arguments)


def _positive(builder: Any, arguments: Any) -> Any:
    value, by = arguments
    return builder.select(builder.fcmp_ordered("<=", by, _zeros(FLOATS)), _zeros(FLOATS), value)


def _choice(builder: Any, arguments: Any) -> Any:
    word, set_, clear = arguments
    return builder.select(builder.icmp_signed("<", word, _zeros(WORDS)), set_, clear)


repeat = _operation(FLOATS, (types.float32,), _repeat)
"""A float32 in all lanes."""
repeat_word = _operation(WORDS, (types.uint32,), _repeat)
"""A uint32 in all lanes."""
root = _operation(FLOATS, (FLOATS,), _root)
"""Square roots."""
where_positive = _operation(FLOATS, (FLOATS, FLOATS), _positive)
"""The first argument, but 0 where the second is 0 or below; where that is NaN the first stays."""
by_highest_bit = _operation(FLOATS, (WORDS, FLOATS, FLOATS), _choice)
"""The second argument where the highest bit of the first is set, else the third."""
bits_as_floats = _operation(FLOATS, (WORDS,), lambda builder, given: builder.bitcast(given[0], _in_llvm(FLOATS)))
"""The same 32 bits."""
bits_as_words = _operation(WORDS, (FLOATS,), lambda builder, given: builder.bitcast(given[0], _in_llvm(WORDS)))
"""The same 32 bits."""
signed_to_floats = _operation(FLOATS, (WORDS,), lambda builder, given: builder.sitofp(given[0], _in_llvm(FLOATS)))
"""Words read as integers with a sign, rounded to floats."""


def _place(context: Any, builder: Any, signature: Any, arguments: Any, vector: Vector) -> Any:
    """Pointer to the vector at a flat index: `arguments` begin with an array and the index."""
    (array, *_), (value, index, *_) = signature.args, arguments
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [index]), _in_llvm(vector).as_pointer())


def _load(typing: Any, array: Any, index: Any) -> Any:
    vector = FLOATS if array.dtype == types.float32 else WORDS

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_place(context, builder, signature, arguments, vector))
        value.align = 4
        return value

    return vector(array, types.intp), generate


def _store(typing: Any, array: Any, index: Any, vector: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        written = builder.store(arguments[2], _place(context, builder, signature, arguments, vector))
        written.align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


load: Any = intrinsic(_load)
"""Eight elements of a contiguous array, from a flat index on; bounds are not checked."""
store: Any = intrinsic(_store)
"""Write a vector where `load` would read it: array, index, vector."""


def _overload(symbol: Any, names: dict[str, str]) -> None:
    """Give vectors an operator: `names` are LLVM's for floats and words."""

    def operation(vector: Vector) -> Any:
        return _operation(
            vector, (vector, vector), lambda builder, both: getattr(builder, names[vector.element])(*both)
        )

    known = {vector: operation(vector) for vector in (FLOATS, WORDS) if vector.element in names}

    def implementation(a: Any, b: Any) -> Any:
        if a != b or a not in known:
            return None
        operation = known[a]
        return lambda a, b: operation(a, b)

    overload(symbol)(lambda a, b: implementation(a, b))  # Numba compares signatures: this one has no annotations


_overload(operator.add, {"float": "fadd", "word": "add"})
_overload(operator.sub, {"float": "fsub", "word": "sub"})
_overload(operator.mul, {"float": "fmul", "word": "mul"})
_overload(operator.xor, {"word": "xor"})
_overload(operator.or_, {"word": "or_"})
_overload(operator.and_, {"word": "and_"})
_overload(operator.lshift, {"word": "shl"})
_overload(operator.rshift, {"word": "lshr"})

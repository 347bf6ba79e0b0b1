"""Functions of tensors that are called again and again: on a GPU recorded as CUDA graphs and replayed.

A network of hundreds of small kernels leaves a GPU waiting for Python. A graph is asked for with one call, reads and
writes the same memory each time, and does what was asked of the GPU when it was recorded: the same kernels, so the same
bits. Numbers that change from call to call must therefore be tensors among the inputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

WARM_UPS = 3
"""Times a function runs before it is recorded, so that libraries have chosen their kernels."""
FIRST_CALLS = 4
"""Calls before a function is recorded. Recording costs about as many: never more than twice what was needed."""

Compute = Callable[..., Tensor]
"""A function of tensors alone; whatever else it reads must stay where it is in memory."""
Replay = Callable[[], object]
Record = Callable[[Callable[[], Tensor]], tuple[Replay, Tensor]]
"""A computation on fixed memory -> what does it once more, and the tensor its result is written to."""


def graph_of(compute: Callable[[], object], pool: Any = None) -> torch.cuda.CUDAGraph:
    """Record what `compute` asks of the GPU, with memory from a `pool` of torch or its own.

    It has run `WARM_UPS` times by then, and does not run while it is recorded.
    """
    side = recording_stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            compute()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # What other threads of the worker ask of the GPU meanwhile is no reason to fail.
    with _own_workspaces(), torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
        compute()
    return graph


@contextlib.contextmanager
def _own_workspaces() -> Iterator[None]:
    """Let cuBLAS take what it works in from the memory of the graph recorded inside, where nobody else finds it.

    torch keeps it per stream, and frees it when any graph of that stream is gone, though others still write there.
    """
    torch._C._cuda_clearCublasWorkspaces()
    try:
        yield
    finally:
        torch._C._cuda_clearCublasWorkspaces()


@cache
def recording_stream() -> torch.cuda.Stream:
    """Where this process warms up and records: memory of a pool is used again by its own stream only."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def on_gpu() -> Record:
    """Return what records computations as CUDA graphs that share memory.

    They must run one after the other and have their results copied out. The memory is given back with the last of
    them; torch refuses to open a pool again whose graphs are all gone, so a pool never outlives its `Programs`.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(compute: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        results: list[Tensor] = []

        def keep() -> None:
            results[:] = [compute()]

        graph = graph_of(keep, pool)
        return graph.replay, results[0]

    return record


class _Recorded:
    """A function recorded for inputs like the first ones, which hold the memory it reads from."""

    def __init__(self, record: Record, compute: Compute, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        self._replay, self._output = record(lambda: compute(*self._inputs))

    def __call__(self, *inputs: Tensor) -> Tensor:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._replay()
        return self._output.clone()


class Through(Protocol):
    """A way to call a function of tensors: directly, or as a program."""

    def __call__(self, name: Hashable, compute: Compute, *inputs: Tensor, evaluations: int = 1) -> Tensor:
        """Return ``compute(*inputs)``, which asks a network `evaluations` times; equal names are equal functions."""


def directly(name: Hashable, compute: Compute, *inputs: Tensor, evaluations: int = 1) -> Tensor:
    """Call the function."""
    return compute(*inputs)


class Programs:
    """Functions by name and shape of their inputs; those called often enough are recorded, where `record` is given."""

    def __init__(self, record: Record | None) -> None:
        self._record = record
        self._calls: dict[Hashable, int] = {}
        self._recorded: dict[Hashable, _Recorded] = {}

    @property
    def recorded(self) -> int:
        """How many programs have been recorded."""
        return len(self._recorded)

    @torch.no_grad()
    def run(self, name: Hashable, compute: Compute, *inputs: Tensor) -> Tensor:
        """Return ``compute(*inputs)``; functions of one `name` must be the same function."""
        if self._record is None:
            return compute(*inputs)
        key = (name, *((tensor.shape, tensor.dtype) for tensor in inputs))
        if key not in self._recorded:
            self._calls[key] = self._calls.get(key, 0) + 1
            if self._calls[key] <= FIRST_CALLS:
                return compute(*inputs)
            self._recorded[key] = _Recorded(self._record, compute, inputs)
        return self._recorded[key](*inputs)


def programs_on(device: torch.device) -> Programs:
    """Return the programs of something that computes on `device`: recorded on a GPU, called as they are on a CPU."""
    return Programs(on_gpu() if device.type == "cuda" else None)

"""What a message between a worker and the engine costs: a checked dataclass beside an unchecked dictionary.

    python -m benchmarks.message_cost

Processor time, the least of 15 repetitions of 20,000. Both sides make the same line of JSON.
"""

from __future__ import annotations

import functools
import json
import time
import timeit
from collections.abc import Callable
from typing import Any

from ablate.engine.workers.messages import (
    CurvePoint,
    FromWorker,
    Progress,
    Ready,
    Stop,
    decode_from_worker,
    decode_to_worker,
    encode,
)

REPEATS, NUMBER = 15, 20_000
DIGEST = "a" * 64
NUMBERS = {"loss": 0.0123456789, "it_s": 123.456}
VALUES = {"psnr": 24.123456789, "train_seconds": 123.456}


def as_dictionary(message: dict[str, Any]) -> bytes:
    """Write a dictionary as a line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def make_and_write(make: Callable[[], FromWorker]) -> bytes:
    """Make a message and write it as a line."""
    return encode(make())


CASES: dict[str, tuple[Callable[[], bytes], Callable[[], FromWorker]]] = {
    "progress": (
        lambda: as_dictionary(
            {"digest": DIGEST, "stage": "train", "done": 99, "total": 20000, "numbers": NUMBERS, "type": "progress"}
        ),
        lambda: Progress(DIGEST, "train", 99, 20000, NUMBERS),
    ),
    "curve": (
        lambda: as_dictionary({"digest": DIGEST, "images": 128000, "values": VALUES, "type": "curve"}),
        lambda: CurvePoint(DIGEST, 128000, VALUES),
    ),
}


def microseconds(work: Callable[[], object]) -> float:
    """Return what one call takes."""
    return min(timeit.repeat(work, timer=time.process_time, number=NUMBER, repeat=REPEATS)) / NUMBER * 1e6


def milliseconds(work: Callable[[], object]) -> float:
    """Return what the first call takes."""
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e3


def main() -> None:
    """Print one line per message and direction."""
    first = {
        "engine": milliseconds(lambda: decode_from_worker(encode(Ready()))),
        "worker": milliseconds(lambda: decode_to_worker(encode(Stop()))),
    }
    print("first message read: " + ", ".join(f"{side} {taken:.1f} ms" for side, taken in first.items()))
    for name, (bare, typed) in CASES.items():
        line = encode(typed())
        assert line == bare()
        made = microseconds(bare), microseconds(functools.partial(make_and_write, typed))
        read = (
            microseconds(functools.partial(json.loads, line)),
            microseconds(functools.partial(decode_from_worker, line)),
        )
        print(f"{name:9} {len(line)} bytes: made and written {made[0]:.2f} -> {made[1]:.2f} us", end="")
        print(f", read {read[0]:.2f} -> {read[1]:.2f} us")


if __name__ == "__main__":
    main()

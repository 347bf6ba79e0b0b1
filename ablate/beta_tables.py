"""Tables of numbers inside a recipe: a noise schedule that the user gives travels as its betas, written canonically.

Settings are scalars, so a table is a text: the JSON list of its betas as Python writes floats, which is exact and the
same for equal numbers. A recipe therefore holds the numbers themselves: its digest depends on them, and a worker
needs neither the study file nor the file or function that the numbers came from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Literal, get_args

from ablate.recipe import canonical_json

TableKind = Literal["betas", "alpha_bars"]
"""What a table lists: beta_t, or alpha-bar_t, for t = 1..T."""
KINDS: tuple[TableKind, ...] = get_args(TableKind)
SHORTEST, LONGEST = 2, 10_000
"""Steps that a table may have."""
_TABLE = re.compile(r"\[[0-9+-]*[.e][0-9.e+-]*(,[0-9.e+-]+)+\]")


def is_table(value: object) -> bool:
    """True for the text of a table: a list of floats without white space, which no other setting looks like."""
    return isinstance(value, str) and value.startswith("[") and _TABLE.fullmatch(value) is not None


def table_text(betas: Sequence[float]) -> str:
    """Return the canonical text of `betas`."""
    return canonical_json([float(beta) for beta in betas])


def table_numbers(text: str) -> list[float]:
    """Return the betas of a canonical text; raises ValueError for anything else."""
    try:
        numbers = json.loads(text)
    except ValueError as error:
        raise ValueError(f"a table is a JSON list of betas: {error}") from error
    if not isinstance(numbers, list) or not all(type(number) is float for number in numbers):
        raise ValueError("a table is a JSON list of betas, all with a decimal point or an exponent")
    if (fault := table_fault("betas", numbers)) is not None:
        raise ValueError(fault[1])
    return numbers


def table_label(text: str) -> str:
    """Return a short name of a table for figures and messages: equal numbers, equal label."""
    return f"table {hashlib.sha256(text.encode()).hexdigest()[:8]} of {text.count(',') + 1} betas"


def table_fault(kind: TableKind, numbers: Sequence[float]) -> tuple[int, str] | None:
    """Return (position, what is wrong) of the first number that cannot stand there, or None.

    A forward process destroys something at every step and everything at most at its last: 0 < beta < 1 and alpha-bar
    falls from below 1, but the last beta may be 1 and the last alpha-bar 0 (Lin et al. 2023). Position 0 also stands
    for the table as a whole.
    """
    if not SHORTEST <= len(numbers) <= LONGEST:
        return 0, f"{len(numbers)} {kind}: a table has {SHORTEST} to {LONGEST} numbers"
    before = 1.0
    for at, number in enumerate(numbers):
        last = at == len(numbers) - 1
        if kind == "betas" and not (0 < number < 1 or (last and number == 1)):
            return at, f"beta = {number!r} at t = {at + 1}: every beta lies between 0 and 1 (the last may be 1)"
        if kind == "alpha_bars" and not (0 < number < before or (last and number == 0)):
            rule = "alpha-bar falls at every step, from below 1 to above 0 (the last may be 0)"
            return at, f"alpha-bar = {number!r} at t = {at + 1}, after {before!r}: {rule}"
        before = number
    return None


def betas_of(kind: TableKind, numbers: Sequence[float]) -> list[float]:
    """Return betas from a faultless table: beta_t = 1 - alpha-bar_t / alpha-bar_{t-1} with alpha-bar_0 = 1.

    Raises ValueError when two alpha-bars are so close that float64 sees no noise between them.
    """
    if kind == "betas":
        return [float(number) for number in numbers]
    betas = [1.0 - here / before for before, here in zip([1.0, *numbers], numbers, strict=False)]
    if (fault := table_fault("betas", betas)) is not None:
        raise ValueError(fault[1])
    return betas

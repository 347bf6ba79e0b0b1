"""Blocks: the data sets, tasks or other conditions under which every arm of a study runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ablate.errors import AblateError
from ablate.json_values import JsonValue, frozen_settings, plain_settings

BlockKind = Literal["fixed", "random"]
KINDS: tuple[BlockKind, ...] = ("fixed", "random")
BEHIND = "@"
"""Between an arm's name and its block's: ``lr=0.1@cifar10``. No block has it in its name."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of a study, in study-file order: name -> the levels that every arm has there.

    `kind` says what the verdict over all blocks is about: ``fixed`` means exactly these blocks, ``random`` means others
    of their kind too, of which these are a sample.
    """

    levels: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    kind: BlockKind = "fixed"

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks, in order."""
        return tuple(self.levels)

    @property
    def factors(self) -> tuple[str, ...]:
        """What tells the blocks apart, in order: ``data``."""
        return tuple(dict.fromkeys(name for levels in self.levels.values() for name in levels))

    @property
    def word(self) -> str:
        """What one block is called: its factor, where there is one."""
        return self.factors[0] if len(self.factors) == 1 else "block"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data; a list, because the order means something."""
        named = [{"name": name, "levels": plain_settings(levels)} for name, levels in self.levels.items()]
        return {"kind": self.kind, "blocks": named}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Blocks:
        """Rebuild from `to_dict`; raises ValueError for a kind that there is not."""
        if data["kind"] not in KINDS:
            raise ValueError(f"blocks are {' or '.join(KINDS)}, not {data['kind']!r}")
        return cls({one["name"]: frozen_settings(one["levels"]) for one in data["blocks"]}, data["kind"])


def in_block(arm: str, block: str) -> str:
    """Return the name of `arm` in `block`."""
    return f"{arm}{BEHIND}{block}"


def split_name(name: str) -> tuple[str, str]:
    """Return the arm and the block of the name of an arm in a block."""
    arm, _, block = name.rpartition(BEHIND)
    return arm, block


def check_kind(kind: str, test: str, looks: int) -> None:
    """Refuse what random blocks cannot have: a test over seeds, and several looks at growing numbers of seeds."""
    if kind not in KINDS:
        raise AblateError(f"blocks are {' or '.join(KINDS)}, not {kind!r}")
    if kind == "random" and test != "paired":
        raise AblateError(f"the test {test!r} needs fixed blocks", hint="use the paired test, or fixed blocks")
    if kind == "random" and looks > 1:
        raise AblateError("several looks need fixed blocks: with random ones, what counts is the number of blocks")

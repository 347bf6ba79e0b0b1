"""A study whose core is a command: its sections read together into one specification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.core.command.spec.specification import COMMAND, CommandSpec
from ablate.study.problems import Problems
from ablate.study.reading.command_metrics import read_command_metrics
from ablate.study.reading.command_sections import COMMAND_KEYS, CommandReader
from ablate.study.reading.drafts import TOP_LEVEL
from ablate.study.reading.shared_places import warn_of_shared_places
from ablate.study.reading.yaml_tree import Leaf, Table
from ablate.study.spec import Arm


@dataclass(frozen=True)
class CommandStudy:
    """What a study file says of its command."""

    spec: CommandSpec
    metrics: Table
    """The section ``metrics`` without what only commands have: for the reader of every study."""
    reader: CommandReader

    def look_at_places(self, arms: Sequence[Arm], study: str) -> None:
        """Warn of places that several trials write to."""
        warn_of_shared_places(self.reader, arms, study, self.reader.problems)


def read_command(table: Table, folder: Path, problems: Problems) -> CommandStudy | None:
    """Return what the sections of a command say; None after recording everything that is wrong with them."""
    reader = CommandReader(table, folder, problems)
    stated, metrics = reader.read(), read_command_metrics(reader)
    if stated is None or metrics is None:
        return None
    spec = CommandSpec(**stated, metrics=metrics.metrics, curves=metrics.curves, primary=metrics.primary)
    return CommandStudy(spec, metrics.node, reader)


def is_command(table: Table) -> bool:
    """True for a study whose core is a command: it says so, or it names no core and has a command."""
    core = table.get("core")
    if core is None:
        return table.get(COMMAND) is not None
    return isinstance(core, Leaf) and core.text == COMMAND


def top_level(table: Table) -> tuple[str, ...]:
    """Return the keys that a study file may have, those of a command only where there is one."""
    return (*TOP_LEVEL, *COMMAND_KEYS) if is_command(table) else TOP_LEVEL

"""Where a command writes: results to stdout, everything else to stderr, in colour only where that is wanted."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from ablate.display.lasting import lasting

SCHEMA_VERSION = 1
PIPE_WIDTH = 120
"""Columns assumed where no terminal says how wide it is: a pipe should not cost an arm its name."""


@dataclass(frozen=True)
class Screen:
    """The two streams of one command, and how the user wants to see them."""

    out: Console
    err: Console
    json: bool = False
    quiet: bool = False
    live: bool = False
    """True when progress may redraw itself: stderr is a terminal and nothing asked for plain lines."""

    @classmethod
    def make(
        cls,
        *,
        json: bool = False,
        quiet: bool = False,
        plain: bool = False,
        no_color: bool = False,
        outlast: bool = False,
    ) -> Screen:
        """Open the screen for stdout and stderr as they are now.

        With `outlast` the command goes on when nobody reads its output any more; else a broken pipe ends it.
        """
        live = sys.stderr.isatty() and not (json or quiet or plain)
        colourless = no_color or plain
        out = lasting(sys.stdout) if outlast else sys.stdout
        return cls(console(out, colourless), console(lasting(sys.stderr), colourless), json, quiet, live)

    def say(self, text: str | Text = "") -> None:
        """Print a message for the user (stderr); silent with ``--quiet``."""
        if not self.quiet:
            self.err.print(text, soft_wrap=True)

    def tell(self, renderable: Any) -> None:
        """Print a result (stdout)."""
        self.out.print(renderable)

    def emit(self, event: str, data: Mapping[str, Any]) -> None:
        """Print one JSON object on one line (stdout), with `event` and the schema version in front."""
        line = json.dumps({"event": event, "schema_version": SCHEMA_VERSION, **data}, ensure_ascii=False, default=str)
        self.out.file.write(line + "\n")
        self.out.file.flush()


def console(stream: TextIO, colourless: bool = False) -> Console:
    """Return a rich console that prints text as it is: no markup, no emoji codes, no guessed highlighting."""
    made = Console(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        no_color=True if colourless else None,
        color_system=None if colourless else "auto",
    )
    if not stream.isatty() and "COLUMNS" not in made._environ:
        made.width = PIPE_WIDTH
    return made

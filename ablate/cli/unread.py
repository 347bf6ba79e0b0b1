"""Studies that cannot be read: named beside those that can, and told by the exit code."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ablate.api.stored_studies import Unread
from ablate.display.console import Screen
from ablate.display.error_display import show_error


def show_unread(unread: Sequence[Unread], screen: Screen) -> None:
    """Say of each study why it cannot be read."""
    for one in unread:
        show_error(one.error, screen.err)


def leave_unread(unread: Sequence[Unread]) -> None:
    """End with the exit code that a study which cannot be read gives alone, where there is one."""
    if unread:
        raise typer.Exit(int(unread[0].error.exit_code))

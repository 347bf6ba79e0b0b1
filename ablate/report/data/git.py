"""What git knows of a folder, read with the git program; everything is empty where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SECONDS = 10.0


def git_state(folder: Path | None = None) -> str:
    """Return the commit of `folder` (default: the working folder) and whether it has uncommitted changes."""
    commit = git(folder, "rev-parse", "HEAD").strip()
    if not commit:
        return ""
    changed = git(folder, "status", "--porcelain", "--untracked-files=no").strip()
    return f"{commit}{', with uncommitted changes' if changed else ''}"


def git(folder: Path | None, *arguments: str) -> str:
    """Return what ``git ARGUMENTS`` prints in `folder`, empty when it fails, takes too long or is not installed."""
    program = shutil.which("git")
    if program is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603  # a fixed program; arguments are fixed or come behind "--" or a commit
            [program, *arguments], cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""

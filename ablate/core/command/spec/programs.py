"""Whether a command line can be started at all: its program, and the script that an interpreter is given."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.errors import AblateError

_INTERPRETER = re.compile(r"python[\d.]*|pypy[\d.]*|bash|sh|zsh|dash|Rscript|julia|perl|ruby|node|lua|octave")


def require_program(words: Sequence[str], directory: Path, env: Mapping[str, str] = os.environ) -> None:
    """Raise AblateError when the program of a command line, or the script it runs, is not there."""
    if not directory.is_dir():
        raise AblateError(f"there is no folder {directory} for the command to run in")
    program = words[0]
    found = _found(program, directory, env)
    if found is None:
        raise AblateError(f"there is no command {program!r}", hint=_hint(program, directory, env))
    if not os.access(found, os.X_OK):
        raise AblateError(f"{program!r} is not executable", hint=f"chmod +x {found}, or name its interpreter in front")
    script = script_of(words)
    if script is not None and not (directory / script).exists():
        raise AblateError(f"there is no script {script!r} in {directory}", hint=_near(script, directory))


def script_of(words: Sequence[str]) -> str | None:
    """Return the script that an interpreter is called with, as far as that is plain: its first argument, no option."""
    if len(words) < 2 or not _INTERPRETER.fullmatch(Path(words[0]).name):
        return None
    return None if words[1].startswith("-") else words[1]


def _found(program: str, directory: Path, env: Mapping[str, str]) -> Path | None:
    if "/" in program:
        path = directory / program
        return path if path.is_file() else None
    place = shutil.which(program, path=env.get("PATH", os.defpath))
    return None if place is None else Path(place)


def _hint(program: str, directory: Path, env: Mapping[str, str]) -> str:
    if (directory / program).is_file():
        return f"did you mean './{program}'? a command without a slash is looked for on the PATH"
    if program == "python" and shutil.which("python3"):
        return "write python3, or activate the environment that has the packages of the script"
    near = _near(program, directory) or _near_on_path(program, env)
    return near or "it is searched on the PATH or, with a slash in it, in the study file's folder"


def _near_on_path(program: str, env: Mapping[str, str]) -> str | None:
    """Name the program that is probably meant, of those on the PATH."""
    names: set[str] = set()
    for folder in env.get("PATH", os.defpath).split(os.pathsep) if "/" not in program else ():
        with contextlib.suppress(OSError):
            names.update(entry.name for entry in Path(folder or ".").iterdir())
    close = difflib.get_close_matches(program, sorted(names), n=1, cutoff=0.8)
    return f"did you mean {close[0]!r}?" if close else None


def _near(name: str, directory: Path) -> str | None:
    """Name the file that is probably meant."""
    folder = (directory / name).parent
    names = [entry.name for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else []
    close = difflib.get_close_matches(Path(name).name, names, n=1)
    return f"did you mean {str(Path(name).with_name(close[0]))!r}?" if close else None

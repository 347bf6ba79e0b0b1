"""``ablate init``: a commented study file to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import Quiet
from ablate.display.console import Screen
from ablate.errors import AblateError
from ablate.paths import is_study_name


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("study.yaml"),
    quiet: Quiet = False,
) -> None:
    """Write a commented study file to start from. An existing file is never overwritten.

    \b
    Example:
      ablate init studies/mine.yaml
    """
    if not is_study_name(file.stem):
        raise AblateError(
            f"a study cannot be called {file.stem!r}", hint="letters, digits, spaces and _ . + - make a name"
        )
    text = resources.files("ablate.study").joinpath("template.yaml").read_text(encoding="utf-8")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise AblateError(f"{file} exists already", hint="name another file: ablate init other.yaml") from None
    except OSError as error:
        raise AblateError(f"cannot write {file}: {error.strerror}", hint="name a file in a folder you own") from error
    screen = Screen.make(quiet=quiet)
    screen.say(f"wrote {file}")
    screen.say(f"next:  ablate plan {file}")

"""``ablate init``: a commented study file to start from, or one of the studies that come with ablate."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import Quiet
from ablate.display.console import Screen
from ablate.display.text_columns import lay_out
from ablate.errors import AblateError
from ablate.paths import is_study_name
from ablate.study import examples


def init(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Where to write it (default: study.yaml, or studies/NAME.yaml for an example).",
            show_default=False,
        ),
    ] = None,
    example: Annotated[
        str | None, typer.Option("--example", metavar="NAME", help="Write a study that comes with ablate.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--list", help="Say which studies come with ablate, and write nothing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented study file to start from. An existing file is never overwritten.

    \b
    Example:
      ablate init studies/mine.yaml
      ablate init --list
      ablate init --example schedules
    """
    screen = Screen.make(quiet=quiet)
    if names:
        _list(screen)
        return
    if example is None:
        text = resources.files("ablate.study").joinpath("template.yaml").read_text(encoding="utf-8")
        target = file or Path("study.yaml")
    else:
        text = examples.example_text(example)
        target = file or examples.FOLDER / f"{example}.yaml"
    _write(target, text)
    screen.say(f"wrote {target}")
    screen.say(f"next:  ablate plan {shlex.quote(str(target))}")


def _list(screen: Screen) -> None:
    found = [(name, examples.example_question(name)) for name in examples.example_names()]
    for line in lay_out(("name", "question"), found, align="<<", width=screen.out.width, indent=""):
        screen.out.print(line, soft_wrap=True)


def _write(file: Path, text: str) -> None:
    if not is_study_name(file.stem):
        raise AblateError(
            f"a study cannot be called {file.stem!r}", hint="letters, digits, spaces and _ . + - make a name"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise AblateError(f"{file} exists already", hint="name another file: ablate init other.yaml") from None
    except OSError as error:
        raise AblateError(f"cannot write {file}: {error.strerror}", hint="name a file in a folder you own") from error

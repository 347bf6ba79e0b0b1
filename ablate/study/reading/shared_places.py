"""Trials of a command that would write to one place, as far as the study file shows it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ablate.core.command.spec.specification import IDENTITY
from ablate.core.command.spec.template import Template, TemplateError
from ablate.json_values import plain_settings
from ablate.study.problems import Problems
from ablate.study.reading.command_sections import CommandReader, Word, piece_mark
from ablate.study.spec import Arm

_WRITTEN = re.compile(
    r"-{0,2}(?:[\w.-]*(?:out|save|log|ckpt|checkpoint|result|run|work|exp)[\w.]*[-_.]?(?:dir|path|file|folder|root)"
    r"|o|out|output|save|logdir)",
    re.IGNORECASE,
)
"""Options and variables that name a place a script writes to, as scripts usually call them."""
_REDIRECTED = re.compile(r"(?:>|\btee\s)\s*(?:-\S+\s+)*((?:\{[^{}]*\}|[^\s&|;<>(){}])+)")
"""Where a line for a shell writes to. What is in a variable of the shell's is not known."""
_SHELLS = frozenset({"bash", "dash", "ksh", "sh", "zsh"})


def warn_of_shared_places(reader: CommandReader, arms: Sequence[Arm], study: str, problems: Problems) -> None:
    """Warn of files, and of options that seem to name places to write to, that are the same in several trials."""
    variables = ((word, f"{name}=") for name, word in reader.env.items() if _WRITTEN.fullmatch(name))
    stated = (
        *((place, "") for place in reader.places),
        *_options(reader.words),
        *variables,
        *_redirected(reader.words),
    )
    for word, what in stated:
        if "folder" in word.template.names:
            continue
        texts = [word.template.fill(values) for values in _trials(arms, study)]
        if len(set(texts)) == len(texts):
            continue
        problems.warn(
            piece_mark(word.node, word.template.source),
            f"several trials have {what}{word.template.source}: do they write to one place?",
            suggestion="{folder} is a folder of each trial's own",
        )


def _trials(arms: Sequence[Arm], study: str) -> Iterator[dict[str, Any]]:
    """What every arm's trials of two seeds are given."""
    for arm in arms:
        settings = plain_settings({name: value for name, value in arm.settings.items() if name not in IDENTITY})
        for seed in (0, 1):
            yield {**settings, "seed": seed, "index": seed, "arm": arm.name, "study": study}


def _redirected(words: Sequence[Word]) -> Iterator[tuple[Word, str]]:
    """The files of ``> FILE`` and ``tee FILE`` in a line that a shell is given (``bash -c LINE``)."""
    for before, word in zip((None, *words), words, strict=False):
        if before is None or before.template.source != "-c" or Path(words[0].template.source).name not in _SHELLS:
            continue
        for place in _REDIRECTED.findall(word.template.source):
            if "$" not in place and not place.startswith("/dev/") and not place.replace(".", "").isdigit():
                with contextlib.suppress(TemplateError):  # half of a brace, of awk for example
                    yield Word(Template.parse(place.strip("\"'")), word.node), "> "


def _options(words: Sequence[Word]) -> Iterator[tuple[Word, str]]:
    """The values of options that name a place: ``--out DIR``, ``--out=DIR`` and Hydra's ``out=DIR``."""
    for before, word in zip((None, *words), words, strict=False):
        source = word.template.source
        option, equals, value = source.partition("=")
        if equals and _WRITTEN.fullmatch(option):
            yield Word(Template.parse(value), word.node), f"{option}="
        elif before is not None and before.template.source.startswith("-") and not source.startswith("-"):
            option = before.template.source
            if _WRITTEN.fullmatch(option):
                yield word, f"{option} "

"""The studies that come with ablate: the repository's ``studies/``, which a wheel holds as ``ablate.examples``."""

from __future__ import annotations

import re
import shlex
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from ablate.errors import AblateError
from ablate.study.problems import nearest

FOLDER = Path("studies")
"""Where examples are written: their names in the documentation begin with it."""


def example_names() -> tuple[str, ...]:
    """Return the names of the examples, in alphabetical order."""
    found = (Path(entry.name) for entry in _folder().iterdir())
    return tuple(sorted(path.stem for path in found if path.suffix == ".yaml"))


def example_text(name: str) -> str:
    """Return the study file of the example `name`. Raises AblateError, with the nearest name, when there is none."""
    known = example_names()
    if name not in known:
        close = nearest(name, known)
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
        raise AblateError(f"no example is called {name!r}", hint=hint)
    return _folder().joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def example_question(name: str) -> str:
    """Return what the example asks."""
    found = re.search(r"^question: (.+)$", example_text(name), re.MULTILINE)
    return found[1] if found else ""


def init_command(path: Path) -> str | None:
    """Return the command that writes the example which a missing study file is named after; None where none is."""
    name = nearest(path.stem, example_names())
    if name is None:
        return None
    here = path == FOLDER / f"{name}.yaml" or path.stem != name
    return f"ablate init{'' if here else f' {shlex.quote(str(path))}'} --example {name}"


def _folder() -> Traversable:
    try:
        return resources.files("ablate.examples")
    except ModuleNotFoundError:  # A checkout that is not installed has them at its top.
        return Path(__file__).parents[2] / "studies"

"""The user's own Python: objects named ``module:name`` in a study file, looked for beside it."""

from __future__ import annotations

import difflib
import importlib
import sys
from pathlib import Path
from typing import Any

from ablate.errors import AblateError
from ablate.paths import is_in_results


def load_object(reference: str, *, what: str, search: Path | None = None) -> Any:
    """Return the object ``module:name``; modules beside the study file (`search`) come first.

    Importing runs the module's code: a study file is as trusted as the programs beside it. A copy of one in a results
    folder is not.
    Raises AblateError, naming `what` it is for, when the module cannot be imported or has no such name.
    """
    module_name, _, name = reference.partition(":")
    if search is not None and is_in_results(search):
        raise AblateError(
            f"{what} {reference!r}: the study file lies in a results folder, and nothing there is run",
            hint="what is there may come from somebody else: copy the study file to your own code, and use it there",
        )
    if search is not None and str(search) not in sys.path:
        sys.path.insert(0, str(search))
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        hint = _nearest_module(module_name, search)
        raise AblateError(f"{what} {reference!r}: cannot import {module_name!r}: {error}", hint=hint) from error
    found = getattr(module, name, None)
    if found is None and (close := difflib.get_close_matches(name, vars(module), n=1)):
        raise AblateError(f"{what} {reference!r}: {module_name!r} has no {name!r}", hint=f"did you mean {close[0]!r}?")
    return found


def _nearest_module(name: str, search: Path | None) -> str | None:
    """Say which module in sight may be meant, where there is none of that name."""
    folders = {folder.resolve() for folder in (search, Path.cwd()) if folder is not None}
    stems = {file.stem for folder in folders for file in folder.glob("*.py")}
    close = difflib.get_close_matches(name, stems - {name}, n=1)
    return f"did you mean {close[0]!r}?" if close and name not in stems else None

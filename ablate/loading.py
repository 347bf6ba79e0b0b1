"""The user's own Python: objects named ``module:name`` in a study file, looked for beside it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from ablate.errors import AblateError


def load_object(reference: str, *, what: str, search: Path | None = None) -> Any:
    """Return the object ``module:name``; modules beside the study file (`search`) come first.

    Importing runs the module's code: a study file is as trusted as the programs beside it.
    Raises AblateError, naming `what` it is for, when the module cannot be imported or has no such name.
    """
    module_name, _, name = reference.partition(":")
    if search is not None and str(search) not in sys.path:
        sys.path.insert(0, str(search))
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise AblateError(f"{what} {reference!r}: cannot import {module_name!r}: {error}") from error
    return getattr(module, name, None)

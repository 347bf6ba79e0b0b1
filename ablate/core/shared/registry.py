"""Which cores there are: the built-in ones by name, a user's own by ``module:Class``. Imports no torch."""

from __future__ import annotations

import difflib
from pathlib import Path

from ablate.errors import AblateError
from ablate.interface import Core
from ablate.loading import load_object

BUILT_IN = {
    "ddpm-dip": "ablate.core.ddpm_dip.core:DdpmDip",
    "replay": "ablate.core.replay.core:Replay",
}


def core_class(name: str, search: Path | None = None) -> type[Core]:
    """Return the core called `name`; a ``module:Class`` is looked for beside the study file (`search`) first.

    Raises AblateError when there is no such core, when its module cannot be imported, or when it is not a Core.
    """
    target = BUILT_IN.get(name, name)
    module_name, _, class_name = target.partition(":")
    if not class_name:
        close = difflib.get_close_matches(name, BUILT_IN, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(BUILT_IN)}, or your own as module:Class"
        raise AblateError(f"unknown core {name!r}", hint=hint)
    found = load_object(target, what="core", search=None if name in BUILT_IN else search)
    if not (isinstance(found, type) and issubclass(found, Core)):
        raise AblateError(f"core {name!r}: {class_name!r} in {module_name!r} is not a subclass of ablate.Core")
    return found

"""Which cores there are: the built-in ones by name, a user's own by ``module:Class``. Imports no torch."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Any

from ablate.errors import AblateError
from ablate.interface import Core, CoreSettings, MetricInfo
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
    if name not in BUILT_IN:
        _check(found, f"core {name!r}")
    return found


def _check(core: type[Core], who: str) -> None:
    """Raise AblateError for a class that cannot be a core, whatever the study asks of it."""
    settings, metrics = _attribute(core, "Settings"), _attribute(core, "metrics")
    if not (isinstance(settings, type) and issubclass(settings, CoreSettings)):
        raise AblateError(
            f"{who}: its Settings are no subclass of ablate.CoreSettings",
            hint="write in the class: Settings = YourSettings, a model with one field per factor",
        )
    if not isinstance(metrics, tuple | list) or not all(isinstance(one, MetricInfo) for one in metrics):
        raise AblateError(
            f"{who}: its metrics are no tuple of ablate.MetricInfo",
            hint='write in the class: metrics = (MetricInfo("loss", direction="min"),)',
        )
    if inspect.isabstract(core):
        raise AblateError(f"{who}: it has no {' and no '.join(sorted(core.__abstractmethods__))}")


def _attribute(core: type[Core], name: str) -> Any:
    return getattr(core, name, None)

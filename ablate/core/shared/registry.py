"""Which cores there are: built-in ones by name, a user's own by ``module:Class`` or ``train.py:function``. No torch."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ablate.core.functions.core import STORED, FunctionCore, function_core
from ablate.core.functions.stored import read_function
from ablate.errors import AblateError
from ablate.interface import Core, CoreSettings, MetricInfo
from ablate.loading import load_object

BUILT_IN = {
    "ddpm-dip": "ablate.core.ddpm_dip.core:DdpmDip",
    "replay": "ablate.core.replay.core:Replay",
    "command": "ablate.core.command.core:CommandCore",
}


_LIVE: dict[str, Callable[..., Any]] = {}
"""Functions of this process that studies name: those of a notebook, of a script, inside other functions."""


def core_class(name: str, search: Path | None = None, parameters: Mapping[str, Any] | None = None) -> type[Core]:
    """Return the core called `name`; ``module:name`` and ``file.py:name`` are looked for beside the study file first.

    A name may be that of a class or of a function. `search` is the study file's folder, `parameters` are what a study
    says of its core (`Study.core_parameters`).
    Raises AblateError when there is no such core, when its module cannot be imported, or when it is not a Core.
    """
    found = _found(name, search, parameters or {})
    return found.made_for(parameters, search) if parameters else found


def register_function(function: Callable[..., Any]) -> str:
    """Return the name by which studies of this process may name `function` as their core.

    One that workers can import goes by its module. Any other one is remembered here, and sent to them.
    """
    module, name = getattr(function, "__module__", None) or "__main__", getattr(function, "__qualname__", "function")
    reference = f"{module}:{name}"
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not function:
        _LIVE[reference] = function
    else:
        _LIVE.pop(reference, None)
    return reference


def is_imported(name: str) -> bool:
    """True for a function or class that workers import by its name."""
    return not is_sent(name) and name not in _LIVE


def is_sent(name: str) -> bool:
    """True for a core that only the process which has its function can run: it cannot be imported by its name."""
    return name.startswith("__main__:") or "<" in name


def _found(name: str, search: Path | None, parameters: Mapping[str, Any]) -> type[Core]:
    if (stored := parameters.get(STORED)) is not None:
        made = function_core(read_function(stored, f"core {name!r}"), name=name)
        return type("FunctionCore", (made,), {"sent": stored})
    if name in _LIVE:
        return type("FunctionCore", (function_core(_LIVE[name], name=name),), {"by_value": True})
    target = BUILT_IN.get(name, name)
    module_name, _, inner_name = target.rpartition(":")
    if not module_name or not inner_name:
        raise AblateError(f"unknown core {name!r}", hint=_meant(name, search))
    if is_sent(name):
        raise AblateError(
            f"core {name!r} is a function of a notebook or script, which only that can run",
            hint="call ablate.run(...) there again; reports need no core",
        )
    found = load_object(target, what="core", search=None if name in BUILT_IN else search)
    if isinstance(found, type) and issubclass(found, Core):
        if name not in BUILT_IN and not issubclass(found, FunctionCore):
            _check(found, f"core {name!r}")
        return found
    if isinstance(found, type) or not callable(found):
        raise AblateError(
            f"core {name!r}: {inner_name!r} in {module_name!r} is no subclass of ablate.Core, and no function"
        )
    return function_core(found, name=name)


def _meant(name: str, search: Path | None) -> str:
    """Say how a core is named that is none of those built in."""
    folder, (stem, _, inner) = search or Path.cwd(), name.rpartition(".")
    if name.endswith(".py"):
        return f"name the function or class in it: {name}:train"
    if stem and (folder / f"{stem}.py").is_file():
        return f"did you mean '{stem}.py:{inner}'?"
    close = difflib.get_close_matches(name, BUILT_IN, n=1)
    known = f"known: {', '.join(BUILT_IN)}, or your own as module:Class or train.py:function"
    return f"did you mean {close[0]!r}?" if close else known


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

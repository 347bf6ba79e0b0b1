"""The settings of a function: its parameters, with their types, defaults and descriptions, as a settings model."""

from __future__ import annotations

import inspect
import typing
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from ablate.core.functions.trial import Trial
from ablate.errors import AblateError
from ablate.interface import CoreSettings, TrialContext

SEED = "seed"
TRIAL = "trial"
"""Parameters that are no factors."""
_BUNDLES = frozenset({"args", "cfg", "conf", "config", "hparams", "opt", "options", "opts", "params"})
"""How a single parameter that holds all settings is usually called."""


class FunctionSettings(CoreSettings):
    """Base of the settings of functions; a default is checked and converted as a level is (``lr: float = 1``)."""

    model_config = ConfigDict(validate_default=True)


@dataclass(frozen=True)
class Signature:
    """What is passed to a function."""

    settings: type[CoreSettings]
    takes_seed: bool
    trial: str | None
    """Name of the parameter that takes the `Trial`."""


def signature_of(function: Callable[..., Any], who: str) -> Signature:
    """Read the signature of `function`; `who` names it in messages.

    Raises AblateError for a parameter that cannot be a factor: without a default, positional only, of a type that
    pydantic does not know, or with a default that is not of its type; and for a function that takes no seed.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise AblateError(f"{who}: its parameters cannot be read: {error}") from error
    fields: dict[str, Any] = {}
    trial = None
    for parameter, kind in _annotated(function, parameters, who):
        if kind in (Trial, TrialContext) or (parameter.name == TRIAL and kind is parameter.empty):
            if trial is not None:
                raise AblateError(f"{who}: both {trial!r} and {parameter.name!r} take the trial")
            trial = parameter.name
        elif parameter.name == TRIAL:
            raise AblateError(f"{who}: parameter 'trial' takes the trial", hint="annotate it: trial: ablate.Trial")
        elif parameter.name != SEED:
            fields[parameter.name] = _field(parameter, kind, who)
    if SEED not in parameters and trial is None:
        raise AblateError(
            f"{who} takes no seed: all its repetitions would be the same",
            hint="give it a parameter 'seed' (or 'trial', and use trial.seed), and take all randomness from it",
        )
    if not fields and any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        raise AblateError(
            f"{who} has nothing to vary: '**' does not say which settings there are",
            hint="name them, for example lr: float = 0.001",
        )
    return Signature(_model(fields, getattr(function, "__name__", "function"), who), SEED in parameters, trial)


def _annotated(
    function: Callable[..., Any], parameters: typing.Mapping[str, inspect.Parameter], who: str
) -> Iterator[tuple[inspect.Parameter, Any]]:
    """Every parameter that can be passed by name, with its annotation as an object."""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise AblateError(f"{who}: parameter {parameter.name!r} cannot be passed by name", hint="remove the '/'")
        yield parameter, _annotation(parameter, names, who)


def _annotation(parameter: inspect.Parameter, names: dict[str, Any], who: str) -> Any:
    if parameter.name == SEED or not isinstance(parameter.annotation, str):
        return parameter.annotation
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)[parameter.name]
    except Exception as error:
        if parameter.name == TRIAL:  # imported for the type checker alone
            return Trial
        raise AblateError(
            f"{who}: the type of {parameter.name!r} cannot be read: {parameter.annotation!r} gives "
            f"{type(error).__name__}: {error}",
            hint="import the type where the function is defined, not under TYPE_CHECKING",
        ) from error


def _field(parameter: inspect.Parameter, kind: Any, who: str) -> tuple[Any, Any]:
    default = parameter.default
    if default is parameter.empty and not _has_default(kind):
        one = "its settings are parameters of their own" if parameter.name in _BUNDLES else "every factor has one"
        name = "lr" if parameter.name in _BUNDLES else parameter.name
        raise AblateError(
            f"{who}: parameter {parameter.name!r} has no default",
            hint=f"{one}, for example {name}: float = 0.001; only seed and trial have none",
        )
    if kind is parameter.empty:
        plain = default.default if isinstance(default, FieldInfo) else default
        kind = Any if plain is None else type(plain)
    kind = _described(kind)
    return (kind, Field()) if default is parameter.empty else (kind, default)


def _has_default(kind: Any) -> bool:
    """True for ``Annotated[float, Field(default=0.1)]``."""
    return get_origin(kind) is Annotated and any(
        isinstance(one, FieldInfo) and not one.is_required() for one in get_args(kind)[1:]
    )


def _described(kind: Any) -> Any:
    """Turn a text in ``Annotated[float, "step size"]``, or a ``Doc``, into the factor's description."""
    if get_origin(kind) is not Annotated:
        return kind
    inner, *notes = get_args(kind)
    texts = [one if isinstance(one, str) else getattr(one, "documentation", None) for one in notes]
    kept = [one for one, text in zip(notes, texts, strict=True) if not isinstance(text, str)]
    found = next((text for text in texts if isinstance(text, str)), None)
    return Annotated[(inner, *kept, *([Field(description=found)] if found else []))] if notes else inner


def _model(fields: dict[str, Any], name: str, who: str) -> type[CoreSettings]:
    known = {one for one in dir(CoreSettings) if not one.startswith("_")}
    if taken := [one for one in fields if one in ("resolved", "model_config") or one.startswith("_") or one in known]:
        raise AblateError(f"{who}: a factor cannot be called {taken[0]!r}", hint="rename the parameter")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what pydantic thinks of names is not the user's concern
            model = create_model(f"{name}Settings", __base__=FunctionSettings, **fields)
        model()
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise AblateError(f"{who}: the default of {place!r} is not of its type: {detail['msg']}") from error
    except (PydanticUserError, TypeError, NameError) as error:
        hint = "settings are numbers, texts, lists, dicts and pydantic models"
        wrong = next((one for one, (kind, _) in fields.items() if not _is_setting(kind)), None)
        if wrong is not None:
            kind = getattr(fields[wrong][0], "__name__", fields[wrong][0])
            raise AblateError(
                f"{who}: parameter {wrong!r} cannot be a setting: its type is {kind}", hint=hint
            ) from error
        reason = " ".join(str(error).partition("\n")[0].split())
        raise AblateError(f"{who}: its parameters cannot be settings: {reason}", hint=hint) from error
    return model


def _is_setting(kind: Any) -> bool:
    try:
        TypeAdapter(kind)
    except (PydanticUserError, TypeError, NameError):
        return False
    return True

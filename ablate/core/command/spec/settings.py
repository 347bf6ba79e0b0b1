"""The settings model of a command: its factors, typed by their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, create_model, model_validator

from ablate.core.command.spec.specification import IDENTITY
from ablate.core.command.spec.template import FACTOR_NAME, RESERVED
from ablate.interface import CoreSettings
from ablate.recipe import Scalar


class CommandSettings(CoreSettings):
    """Base of every command's settings: the factors, and what the recipe says of the command itself."""

    identity: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_identity(cls, given: Any) -> Any:
        """Take resolved settings too: what they say of the command is not the user's to state."""
        return (
            {name: value for name, value in given.items() if name not in IDENTITY} if isinstance(given, dict) else given
        )

    def resolved(self) -> dict[str, Scalar]:
        """Return every factor, and the command with its environment and version, as plain scalars."""
        return {**super().resolved(), **self.identity}


def settings_model(factors: Mapping[str, Any], identity: Mapping[str, str]) -> type[CommandSettings]:
    """Return the settings model with these factors and defaults.

    A factor is of its default's type, or nothing; whole numbers are taken for a number with a decimal point.
    """
    fields: dict[str, Any] = {name: (_type_of(default), Field(default)) for name, default in factors.items()}
    model = create_model("CommandSettings", __base__=CommandSettings, **fields)
    model.identity = dict(identity)
    return model


def refusal(name: str) -> str | None:
    """Say why a factor cannot be called `name`; None when it can."""
    if name in RESERVED:
        return f"{{{name}}} is a placeholder of every command"
    if FACTOR_NAME.fullmatch(name) is None:
        return "a factor's name begins with a letter and holds letters, digits and _ . -"
    if name in IDENTITY or name.startswith("_") or hasattr(CommandSettings, name):
        return "the name is taken"
    return None


def _type_of(default: Any) -> Any:
    if isinstance(default, bool):
        return bool
    if default is None:
        return str | None
    return type(default) | None

"""The settings model of a command: its factors, typed by their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, create_model, model_validator

from ablate.core.command.spec.specification import IDENTITY
from ablate.core.command.spec.template import FACTOR_NAME, RESERVED
from ablate.interface import CoreSettings
from ablate.json_values import JsonValue


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

    def resolved(self) -> dict[str, JsonValue]:
        """Return every factor, and the command with its environment and version, as frozen JSON."""
        return {**super().resolved(), **self.identity}


def settings_model(factors: Mapping[str, Any], identity: Mapping[str, str]) -> type[CommandSettings]:
    """Return the settings model with these factors and defaults.

    A factor is of its default's type, or nothing; whole numbers are taken for a number with a decimal point, and a
    factor whose default is nothing takes anything.
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
        return Any
    if isinstance(default, list):
        return list[_item_type(default)] | None  # type: ignore[misc]
    return dict[str, Any] | None if isinstance(default, dict) else type(default) | None


def _item_type(items: list[Any]) -> Any:
    """The type of a list's items, where all are of one; one number with a decimal point makes all such numbers."""
    kinds = {type(item) for item in items}
    if kinds == {int, float}:
        return float
    return kinds.pop() if len(kinds) == 1 and kinds <= {bool, int, float, str} else Any

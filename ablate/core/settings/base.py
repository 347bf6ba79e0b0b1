"""What every group of factors is made of."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from pydantic.config import JsonDict

IMAGE_SIZE = 32
"""Height and width of every data set of this core, in pixels."""


def factor(default: Any, description: str, *, unit: str = "", **bounds: Any) -> Any:
    """Return a pydantic field with a description, bounds and a unit."""
    extra: JsonDict | None = {"unit": unit} if unit else None
    return Field(default, description=description, json_schema_extra=extra, **bounds)

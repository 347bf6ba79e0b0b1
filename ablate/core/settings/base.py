"""What every group of factors is made of."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from pydantic.config import JsonDict


def factor(default: Any, description: str, *, unit: str = "", tables: bool = False, **bounds: Any) -> Any:
    """Return a pydantic field with a description, bounds, a unit, and whether a level may name one of the tables."""
    extra: JsonDict = {"unit": unit} if unit else {}
    if tables:
        extra["tables"] = True
    return Field(default, description=description, json_schema_extra=extra or None, **bounds)

"""The page on factors: every setting of every built-in core, with its levels and default."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace

from ablate.cli.reference.markdown import code, from_docstring, head, table
from ablate.core.shared.registry import BUILT_IN, core_class
from ablate.interface import DEFAULT_CORE, Core, CoreSettings
from ablate.study.factors import FactorInfo, factors_of, level_text

_INTRO = """
A factor is a setting of a core. Every factor can be used under `baseline` or in any design of a
[study file](study-file.md); what a study does not name keeps the default.
An unknown factor or an impossible level is refused before anything starts, with the nearest known word.

For [your own core](../tutorials/own-class.md) the factors are the fields of its settings model.
"""
_KINDS = {"bool": "`true` or `false`", "int": "whole number", "float": "number", "text": "text"}


def page() -> str:
    """Return docs/reference/factors.md."""
    return head("Factors", _INTRO) + "".join(_core(name, core_class(name)) for name in BUILT_IN)


def _core(name: str, core: type[Core]) -> str:
    default = " A study that names no core uses this one." if name == DEFAULT_CORE else ""
    infos = factors_of(core.Settings)
    if not infos:  # a core that study files describe
        about = "Its factors are those that the study file names: see [commands](../tutorials/commands.md)."
        return f"\n## {name}\n\n{from_docstring((inspect.getdoc(core) or '').splitlines()[0])} {about}\n"
    groups = dict.fromkeys(_group(core.Settings, field) for field in infos)
    sections = [
        f"{_title(group) if len(groups) > 1 else ''}\n"
        + _rows(info for field, info in infos.items() if _group(core.Settings, field) is group)
        for group in groups
    ]
    return f"\n## {name}\n\n{from_docstring(inspect.getdoc(core) or '')}{default}\n{''.join(sections)}"


def _group(settings: type[CoreSettings], field: str) -> type:
    """The class among the bases of `settings` that declares a field."""
    return next(base for base in reversed(settings.__mro__) if field in vars(base).get("__annotations__", {}))


def _title(group: type) -> str:
    return f"\n### {(inspect.getdoc(group) or group.__name__).splitlines()[0].removesuffix('.')}\n"


def _rows(infos: Iterable[FactorInfo]) -> str:
    rows = [(code(info.name), _levels(info), info.unit, code(level_text(info.default)), info.doc) for info in infos]
    return table(("factor", "levels", "unit", "default", "what it is"), rows)


def _levels(info: FactorInfo) -> str:
    if info.choices:
        found = ", ".join(code(choice) for choice in info.choices)
        found += ", or a table of `schedules`" if info.tables else ""
    else:
        found = ", ".join(part for part in (_KINDS[info.kind], replace(info, unit="").range_text) if part)
    return f"{found}, or `null`" if info.optional else found

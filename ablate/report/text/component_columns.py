"""The layout of component tables: one column per boolean factor, a check mark where an arm has it."""

from __future__ import annotations

from ablate.errors import AblateError
from ablate.report.data.material import in_groups
from ablate.study.spec import Arm, Study

LAYOUTS = ("arms", "components")
"""Layouts of the table in report.md and table.tex."""


def check_layout(study: Study, layout: str) -> None:
    """Raise AblateError for an unknown layout, and for components where no boolean factor differs between arms."""
    if layout not in LAYOUTS:
        raise AblateError(f"unknown layout {layout!r}", hint=f"known: {', '.join(LAYOUTS)}")
    if layout == "components" and not components_of(study):
        raise AblateError(
            f"study {study.name} has no boolean factor that differs between its arms, so it has no components",
            hint="leave --layout out",
        )


def components_of(study: Study) -> tuple[str, ...]:
    """Return the boolean settings that differ between arms, stated ones first, in study-file order."""
    names = dict.fromkeys((*study.factors, *study.baseline.settings))
    return tuple(name for name in names if _is_component(name, study))


def _is_component(name: str, study: Study) -> bool:
    levels = [arm.settings.get(name) for arm in study.arms]
    return all(isinstance(level, bool) for level in levels) and len(set(levels)) > 1


def arms_in_order(study: Study, layout: str) -> tuple[Arm, ...]:
    """Return the arms in the order of a table's rows: as in the report, or by how many components they have."""
    arms = in_groups(study.arms)
    if layout != "components":
        return arms
    names = components_of(study)
    return (arms[0], *sorted(arms[1:], key=lambda arm: sum(arm.settings[name] is True for name in names)))


def are_told_apart(study: Study) -> bool:
    """True when the components alone tell all arms apart, so that a table needs no names."""
    names = components_of(study)
    return len({tuple(arm.settings[name] for name in names) for arm in study.arms}) == len(study.arms)

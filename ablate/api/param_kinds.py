"""How the factors of a core are stored as Optuna's params."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.interface import Core
    from ablate.storage.levels import ParamKind


def param_kinds(core: type[Core]) -> dict[str, ParamKind]:
    """Return how each factor of a core is stored; names with all that the core knows, so that levels can be added."""
    from ablate.study.factors import factors_of

    return {
        name: info.choices if info.kind == "name" else info.kind for name, info in factors_of(core.Settings).items()
    }

"""A comparison as plain JSON data: one shape, wherever it is written."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from ablate.report.data.two_studies import Across
from ablate.report.statistics.blocks.findings import BlockFindings
from ablate.report.statistics.model import Comparison

SCHEMA_VERSION = 1
"""Of report.json. Fields are added without a new version; it changes when one is renamed, removed or redefined."""


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Return every number behind every verdict; rows in arm order, metrics in study order inside each arm."""
    keys = [(arm, metric.name) for arm in comparison.arms for metric in comparison.metrics]
    return {
        "baseline": comparison.baseline,
        "reference": comparison.reference,
        "primary": comparison.primary.name,
        "alpha": comparison.alpha,
        "study_alpha": comparison.study_alpha,
        "look_level": comparison.look_level,
        "look": comparison.look,
        "looks": list(comparison.looks),
        "tested": comparison.tested,
        "test": comparison.test,
        "noise": comparison.noise,
        "correct": comparison.correct,
        "equivalence": comparison.equivalence,
        "boundaries": comparison.boundaries,
        "futility": comparison.futility,
        "declared": comparison.declared.to_dict() if comparison.declared is not None else None,
        "bayes": asdict(comparison.bayes) if comparison.bayes is not None else None,
        "problem": comparison.problem,
        "lints": [asdict(lint) for lint in comparison.lints],
        "rows": [asdict(comparison.rows[key]) for key in keys if key in comparison.rows],
        "stability": {arm: asdict(found) for arm, found in comparison.stability.items()},
        "blocks": None if comparison.blocks is None else _blocks(comparison.blocks),
    }


def _blocks(found: BlockFindings) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "word": found.word,
        "comparisons": {name: comparison_data(one) for name, one in found.comparisons.items()},
        "arms": {arm: asdict(own) for arm, own in found.arms.items()},
        "ranks": None if found.ranks is None else asdict(found.ranks),
    }


def across_json(across: Across) -> str:
    """Return a comparison of two studies as JSON text."""
    data = {
        "schema_version": SCHEMA_VERSION,
        "before": across.before,
        "after": across.after,
        "pairs": [asdict(pair) for pair in across.pairs],
        "only_before": list(across.only_before),
        "only_after": list(across.only_after),
        "metrics": [asdict(metric) for metric in across.comparison.metrics],
        "comparison": comparison_data(across.comparison),
        "before_rows": [asdict(row) | {"after": arm} for (arm, _), row in across.first.items()],
    }
    return json_text(data)


def json_text(data: Any) -> str:
    """Return JSON with a line end; what JSON has no word for (non-finite numbers) becomes null."""
    return json.dumps(_finite_only(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite_only(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite_only(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_only(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

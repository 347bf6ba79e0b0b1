"""The data files of a report: trials.csv, arms.csv, curves.csv, report.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from ablate.paths import StudyPaths
from ablate.report.data.material import Material, Point, Results
from ablate.report.formats.csv_cells import CURVE_COLUMNS, csv_text
from ablate.report.formats.json_shape import SCHEMA_VERSION, comparison_data, json_text
from ablate.report.statistics.model import ARM_COLUMNS, MORE_COLUMNS, Comparison, Row
from ablate.report.text.answer import lines_of_answer
from ablate.storage.rows import TrialRow, core_versions, version_of
from ablate.study.blocks import split_name
from ablate.study.spec import Study


def trials_csv(study: Study, rows: Sequence[TrialRow]) -> str:
    """Return one row per trial, failed and repeated ones too, in order of their numbers.

    Of a study with blocks, arms are named without their block, which has a column of its own.
    """
    known = [metric.name for metric in study.metrics]
    rest = sorted({name for row in rows for name in row.metrics} - set(known))
    metrics = [*known, *rest]
    fixed = ("study", "arm", "seed", "outcome", "seconds", "device", "recipe_digest", "core_version")
    # A metric that is called like one of the other columns is told apart by a prefix.
    lead = fixed[:4] if study.blocks is None else ("study", "arm", "block", "seed", "outcome")
    names = [f"metric.{name}" if name in (*lead, *fixed) else name for name in metrics]
    body = (
        (
            study.name,
            *((row.arm,) if study.blocks is None else split_name(row.arm)),
            row.seed,
            row.outcome.value if row.outcome else "running",
            *(row.metrics.get(name) for name in metrics),
            row.seconds,
            row.device,
            row.recipe_digest,
            version_of(row),
        )
        for row in sorted(rows, key=lambda row: row.number)
    )
    return csv_text([*lead, *names, *fixed[4:]], body)


def blocks_csv(comparison: Comparison) -> str:
    """Return one row per block, arm and metric with every number behind its verdict there, the whole's first."""
    names = (*ARM_COLUMNS, *MORE_COLUMNS)
    within = comparison.blocks.comparisons if comparison.blocks is not None else {}
    parts = {"": comparison, **within}
    body = (
        [block, *(_cell(row, name) for name in names)] for block, part in parts.items() for row in ordered_rows(part)
    )
    return csv_text(("block", *names), body)


def arms_csv(comparison: Comparison) -> str:
    """Return one row per arm and metric with every number behind its verdict."""
    names = (*ARM_COLUMNS, *MORE_COLUMNS)
    return csv_text(names, ([_cell(row, name) for name in names] for row in ordered_rows(comparison)))


def _cell(row: Row, name: str) -> object:
    value = getattr(row, name)
    return value.value if name == "verdict" and value is not None else value


def ordered_rows(comparison: Comparison) -> list[Row]:
    """Return every row, arms in study order, metrics in study order inside each arm."""
    keys = [(arm, metric.name) for arm in comparison.arms for metric in comparison.metrics]
    return [comparison.rows[key] for key in keys if key in comparison.rows]


def curve_points(study: Study, results: Results, paths: StudyPaths | None) -> list[Point]:
    """Return every point of the learning curves of the trials that count, arms in study order.

    The primary metric's comes from the storage; what else a trial recorded comes from its ``curve.jsonl`` (nothing
    does where there are no `paths`).
    """
    order = {arm.name: at for at, arm in enumerate(study.arms)}
    primary = study.primary.name
    found: list[Point] = []
    for (arm, seed), row in sorted(results.items(), key=lambda item: (order.get(item[0][0], -1), item[0])):
        own = {(images, primary): value for images, value in row.curve}
        for images, values in _recorded(paths, arm, seed) if paths is not None else ():
            own |= {(images, name): value for name, value in values.items()}
        found += [(arm, seed, images, name, own[images, name]) for images, name in sorted(own)]
    return found


def _recorded(paths: StudyPaths, arm: str, seed: int) -> list[tuple[int, dict[str, float]]]:
    """Points of a trial's curve file; a line that a killed process left unfinished is passed over."""
    try:
        text = paths.trial(arm, seed).curve.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [point for line in text.splitlines() if (point := _point(line)) is not None]


def _point(line: str) -> tuple[int, dict[str, float]] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("images"), int):
        return None
    values = {str(name): number for name, value in data.items() if (number := _number(value)) is not None}
    values.pop("images", None)
    return data["images"], values


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def curves_csv(study: Study, points: Iterable[Point]) -> str:
    """Return one row per point of a learning curve."""
    return csv_text(CURVE_COLUMNS, ((study.name, *point) for point in points))


def report_json(material: Material) -> str:
    """Return everything the pages show as JSON, with ``schema_version``."""
    comparison = material.comparison
    data: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "study": {
            **(material.planned or material.study).to_dict(),
            "text": material.provenance.study_text,
            "file": _fact(material),
        },
        "state": asdict(material.state) | {"word": material.state.word},
        "answer": lines_of_answer(material),
        "comparison": comparison_data(comparison),
        "contrasts": [asdict(family) for family in material.families],
        "trends": [asdict(trend) for trend in material.trends],
        "races": [asdict(race) for race in material.races],
        "equal": [asdict(one) for one in material.equal],
        "front": asdict(material.front) if material.front is not None else None,
        "core_versions": core_versions(material.rows),
        "costs": {arm: asdict(cost) for arm, cost in material.costs.items()},
        "provenance": asdict(material.provenance),
        "generated_at": material.generated_at,
    }
    return json_text(data)


def _fact(material: Material) -> str:
    return dict(material.provenance.facts)["study file"]

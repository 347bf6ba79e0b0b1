"""The whole report of a study: data first, then tables, figures and pages, each file written in one step."""

from __future__ import annotations

import datetime
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.errors import AblateError, ResultsError
from ablate.paths import REPORT_FORMATS, StudyPaths, write_atomic
from ablate.report.data.block_results import rows_within, without_blocks
from ablate.report.data.curve_area import races_of
from ablate.report.data.frames import CheckedResults, compare_results, latest_results
from ablate.report.data.material import Material, Point, costs_of, results_of, state_of, trends_of, without_numbers
from ablate.report.data.mixed_results import import_lints
from ablate.report.data.planned_contrasts import families_of
from ablate.report.data.provenance import collect, scrub
from ablate.report.data.search_results import search_results_of
from ablate.report.figures.figure import Drawing
from ablate.report.figures.image_strips import Strip, strips_of
from ablate.report.formats import csv_json
from ablate.report.formats.blocks_latex import blocks_latex
from ablate.report.formats.latex import table_latex
from ablate.report.formats.markdown import report_markdown
from ablate.report.html.page import report_html
from ablate.report.statistics.equal_budget import equal_budgets
from ablate.report.statistics.families import Family
from ablate.report.statistics.model import Bayes, Comparison
from ablate.report.statistics.pareto import front_of
from ablate.report.statistics.posterior import with_posterior
from ablate.report.statistics.trend import Trend
from ablate.report.text.columns import check_columns
from ablate.report.text.component_columns import check_layout
from ablate.storage.rows import TrialRow
from ablate.study.spec import Study
from ablate.study.verdict_method import Method


def build_report(
    study: Study,
    rows: Sequence[TrialRow],
    paths: StudyPaths,
    *,
    formats: Collection[str] = REPORT_FORMATS,
    figures: bool = True,
    layout: str = "arms",
    columns: Sequence[str] = (),
    now: datetime.datetime | None = None,
    storage: str | None = None,
    command: str | None = None,
    method: Method | None = None,
    attributes: Mapping[str, object] | None = None,
) -> Comparison:
    """Write the report of `study` into its folder and return the comparison behind it.

    The same results give the same bytes, except for the line that says when (`now`, or the environment's
    SOURCE_DATE_EPOCH, or the clock). Without `figures` nothing imports matplotlib. `method` is how verdicts are taken
    (default: as the study declares). `command` is what the study was run with, overrides included: commands that the
    pages suggest begin with it. `layout` is the table's in report.md and table.tex: `components` gives every boolean
    factor a column. `columns` are those of the comparison table, see `ablate.report.text.columns`.

    Raises NothingComparableError after everything that could be written has been, ResultsError when the folder cannot
    be written, and AblateError for an unknown format, or a layout or a column that does not fit the study.
    """
    material = gather(
        study,
        rows,
        paths,
        layout=layout,
        columns=columns,
        now=now,
        storage=storage,
        command=command,
        method=method,
        attributes=attributes,
    )
    write_report(material, paths, formats=formats, figures=figures)
    return material.comparison


def write_report(
    material: Material, paths: StudyPaths, *, formats: Collection[str] = REPORT_FORMATS, figures: bool = True
) -> None:
    """Write every file of the report; raises as `build_report` does."""
    unknown = sorted(set(formats) - set(REPORT_FORMATS))
    if unknown:
        raise AblateError(f"unknown report format {unknown[0]!r}", hint=f"known: {', '.join(REPORT_FORMATS)}")
    try:
        _write_all(material, paths, formats=formats, figures=figures)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResultsError(
            f"cannot write the report into {paths.folder}: {reason}",
            hint="free some space, or choose another --results",
        ) from error
    if not (material.study.searches and len(material.study.arms) == 1):  # a search alone compares nothing
        material.comparison.check_comparable()


def gather(
    study: Study,
    rows: Sequence[TrialRow],
    paths: StudyPaths | None = None,
    *,
    layout: str = "arms",
    columns: Sequence[str] = (),
    now: datetime.datetime | None = None,
    storage: str | None = None,
    command: str | None = None,
    method: Method | None = None,
    attributes: Mapping[str, object] | None = None,
    bayes: Bayes | None = None,
) -> Material:
    """Compare, and collect everything the pages say; `paths` hold the learning curves. Writes nothing.

    `attributes` are the study's, as stored. `bayes` asks for a Bayesian reading beside the verdicts.

    Raises AblateError for a layout or a column that does not fit the study.
    """
    asked = _Asked(
        layout=layout,
        columns=columns,
        now=now,
        storage=storage,
        command=command,
        method=method,
        attributes=attributes or {},
        bayes=bayes,
    )
    return _gathered(study, rows, paths, asked)


@dataclass(frozen=True)
class _Asked:
    """What a report is to be like, over all blocks and in each."""

    layout: str
    columns: Sequence[str]
    now: datetime.datetime | None
    storage: str | None
    command: str | None
    method: Method | None
    attributes: Mapping[str, object]
    bayes: Bayes | None

    def compared(self, study: Study, rows: Sequence[TrialRow], read: CheckedResults) -> Comparison:
        """Return the comparison, with what an import left behind, and with the chances where they are asked for."""
        found = compare_results(read, self.method)
        found = replace(found, lints=(*import_lints(study, rows, self.attributes), *found.lints))
        return found if self.bayes is None else with_posterior(found, self.bayes)


def _gathered(study: Study, rows: Sequence[TrialRow], paths: StudyPaths | None, asked: _Asked) -> Material:
    """Collect for a study, or for one block of it."""
    check_layout(study, asked.layout)
    asked = replace(asked, columns=check_columns(study, asked.columns, bayes=asked.bayes is not None))
    if study.blocks is not None:
        return _over_blocks(study, rows, paths, asked)
    read = CheckedResults.of(study, rows)
    rows = read.rows
    results = results_of(read)
    points = csv_json.curve_points(study, results, paths)
    comparison = asked.compared(study, rows, read)
    return Material(
        # Pages are passed on: what they quote of the study has nothing private in it.
        study=replace(study, file=scrub(study.file), question=scrub(study.question)),
        rows=rows,
        results=results,
        comparison=comparison,
        costs=costs_of(study, rows, results),
        trends=trends_of(read),
        families=families_of(read),
        races=races_of(read),
        equal=equal_budgets(study, points, without_numbers(results, comparison)),
        front=front_of(comparison),
        points=tuple(points),
        state=state_of(study, results, stale=_is_stale(study)),
        provenance=collect(study, rows, storage=asked.storage, attributes=asked.attributes),
        generated_at=_timestamp(asked.now),
        command=scrub(asked.command) if asked.command else None,
        layout=asked.layout,
        columns=tuple(asked.columns),
        searched=search_results_of(study, rows),
    )


def _over_blocks(study: Study, rows: Sequence[TrialRow], paths: StudyPaths | None, asked: _Asked) -> Material:
    """Collect what the pages say over all blocks, and what the report of every block does."""
    read = CheckedResults.of(study, rows)
    assert read.blocks is not None
    trials = tuple(sorted(rows, key=lambda row: row.number))
    # One comparison: what a block's own report says is what stands in the tables over all.
    comparison = asked.compared(study, rows, read)
    whole = read.study
    results, random = results_of(read), read.blocks.blocks.kind == "random"
    assert comparison.blocks is not None
    contradicted = {arm for arm, own in comparison.blocks.arms.items() if own.opposite}
    state = state_of(study, _latest(trials), stale=_is_stale(study))
    return Material(
        study=replace(whole, file=scrub(whole.file), question=scrub(whole.question)),
        rows=tuple(without_blocks(trials)),
        results=results,
        comparison=comparison,
        costs=costs_of(whole, without_blocks(trials), results),
        trends=() if random else _of_one_mind(trends_of(read), contradicted, read.study),
        families=() if random else tuple(one for one in families_of(read) if not contradicted & _arms_of(one)),
        races=(),
        equal=(),
        front=front_of(comparison),
        points=(),
        state=state,
        provenance=collect(study, trials, storage=asked.storage, attributes=asked.attributes),
        generated_at=_timestamp(asked.now),
        command=scrub(asked.command) if asked.command else None,
        layout=asked.layout,
        columns=tuple(asked.columns),
        planned=replace(study, file=scrub(study.file), question=scrub(study.question)),
        trials=trials,
        blocks={
            name: _gathered(
                study.within(name),
                rows_within(study, rows, name),
                None if paths is None else paths.within(name),
                asked,
            )
            for name in read.blocks.blocks.names
        },
    )


def _of_one_mind(trends: Sequence[Trend], contradicted: set[str], study: Study) -> tuple[Trend, ...]:
    """Trends without an arm that blocks contradict each other about: their average would hide that."""
    factors = {arm.factor for arm in study.arms if arm.name in contradicted}
    return tuple(trend for trend in trends if trend.factor not in factors)


def _arms_of(family: Family) -> set[str]:
    """Return the arms that a family's contrasts are made of."""
    return {arm for effect in family.effects for arm in effect.weights}


def _latest(rows: Sequence[TrialRow]) -> dict[tuple[str, int], TrialRow]:
    running = {(row.arm, row.seed): row for row in rows if row.outcome is None}
    return running | {(row.arm, row.seed): row for row in latest_results(rows)}


def _timestamp(now: datetime.datetime | None) -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch.isdigit():
        now = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
    moment = now or datetime.datetime.now(datetime.UTC)
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_stale(study: Study) -> bool:
    """True when the study's file is still there and reads differently now."""
    if not study.file or not study.text or not study.core:
        return False
    path = Path(study.file)
    try:
        # The path may come from somebody else's machine: what is there is read only if it can be the study's file.
        if not path.is_file():
            return False
        return path.stat().st_size != len(study.text.encode()) or path.read_text(encoding="utf-8") != study.text
    except (OSError, UnicodeDecodeError, ValueError):
        return False


def _write_all(material: Material, paths: StudyPaths, *, formats: Collection[str], figures: bool) -> None:
    paths.folder.mkdir(parents=True, exist_ok=True)
    points = material.points
    beside = {path.name: text.encode() for path, text in _data_files(material, points, paths, formats).items()}
    strips = strips_of(material, paths)
    drawings = _draw(material, points, strips) if figures else []
    beside |= {f"figures/{name}": data for drawing in drawings for name, data in drawing.files().items()}
    if drawings:
        paths.figures.mkdir(exist_ok=True)
    for name, data in beside.items():
        write_atomic(paths.folder / name, data)
    for path, text in _pages(material, paths, formats, drawings, strips, beside).items():
        write_atomic(path, text)
    for name, own in material.blocks.items():
        _write_all(own, paths.within(name), formats=formats, figures=figures)


def _data_files(
    material: Material, points: Sequence[Point], paths: StudyPaths, formats: Collection[str]
) -> dict[Path, str]:
    found: dict[Path, str] = {}
    if "csv" in formats:
        found[paths.trials_csv] = csv_json.trials_csv(
            material.planned or material.study, material.trials or material.rows
        )
        found[paths.arms_csv] = csv_json.arms_csv(material.comparison)
        if material.blocks:
            found[paths.blocks_csv] = csv_json.blocks_csv(material.comparison)
        else:
            found[paths.curves_csv] = csv_json.curves_csv(material.study, points)
    if "tex" in formats:
        found[paths.table_tex] = table_latex(material)
        if material.blocks:
            found[paths.blocks_tex] = blocks_latex(material)
    return found


def _draw(material: Material, points: Sequence[Point], strips: Sequence[Strip]) -> list[Drawing]:
    # Only here, because matplotlib takes longer to import than the rest of the report to write.
    from ablate.report.figures.all import draw_all

    return draw_all(material, points, strips)


def _pages(
    material: Material,
    paths: StudyPaths,
    formats: Collection[str],
    drawings: Sequence[Drawing],
    strips: Sequence[Strip],
    beside: Mapping[str, bytes],
) -> dict[Path, str]:
    found: dict[Path, str] = {}
    if "json" in formats:
        found[paths.report_json] = csv_json.report_json(material)
    if "md" in formats:
        shown = [(f"{drawing.name}.png", drawing.alt) for drawing in drawings]
        found[paths.report_md] = report_markdown(material, shown)
    if "html" in formats:
        found[paths.report_html] = report_html(material, drawings, strips, beside)
    return found

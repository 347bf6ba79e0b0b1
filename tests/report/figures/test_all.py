"""Figures: the numbers of the comparison, drawn the same every time, for every reader."""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from ablate.outcome import OutcomeKind
from ablate.report.figures.all import draw_all
from ablate.report.figures.base import t_interval, titled
from ablate.report.figures.divergence import stability
from ablate.report.figures.figure import Drawing
from ablate.report.figures.forest import forest
from ablate.report.figures.image_strips import read_images, read_points, sheet, strips_of
from ablate.report.figures.learning_curves import curves
from ablate.report.figures.noise_schedules import schedules, schedules_of
from ablate.report.figures.pareto import pareto
from ablate.report.formats.csv_json import curve_points
from ablate.report.html.page import report_html
from ablate.study.spec import MetricSpec


def rows_of(drawing: Drawing | None) -> list[dict[str, str]]:
    assert drawing is not None
    return list(csv.DictReader(io.StringIO(drawing.csv)))


def test_every_figure_is_drawn_and_is_the_same_twice(make_case: Callable[..., Any]) -> None:
    case = make_case(images=True, seeds=3)
    material = case.material()
    points, strips = curve_points(case.study, material.results, case.paths), strips_of(material, case.paths)
    settings = dict(mpl.rcParams)
    first, second = draw_all(material, points, strips), draw_all(material, points, strips)

    names = ["forest", "schedules", "dose-dip_epochs", "curves", "budgets", "cost", "stability"]
    names += ["restored", "generated", "training"]
    assert [drawing.name for drawing in first] == names
    assert [drawing.files() for drawing in first] == [drawing.files() for drawing in second]
    assert all(drawing.alt and drawing.caption for drawing in first)
    assert dict(mpl.rcParams) == settings


def test_a_table_is_drawn_under_the_name_the_study_gives_it(case: Any) -> None:
    """Settings hold the numbers; the legend holds the name."""
    text = "[0.1,0.5,0.9]"
    base = case.study.baseline
    mine = replace(
        base,
        name="noise_schedule=mine",
        levels={"noise_schedule": "mine"},
        settings={**base.settings, "noise_schedule": text, "diffusion_steps": 3},
    )
    study = replace(case.study, arms=(base, mine))
    found = schedules_of(study)
    assert list(found) == ["linear", "mine, diffusion_steps=3"]
    assert found["mine, diffusion_steps=3"].betas.tolist() == [0.1, 0.5, 0.9]


def test_the_forest_shows_the_intervals_of_the_comparison(case: Any) -> None:
    material = case.material()
    for row in rows_of(forest(material)):
        known = material.comparison.row(row["arm"])
        for name in ("diff", "ci_low", "ci_high", "holm_low", "holm_high"):
            value = getattr(known, name)
            assert row[name] == ("" if value is None else repr(value))
        if row["seed"]:
            assert float(row["seed_diff"]) == known.differences[int(row["seed"])]


def test_the_inline_svg_is_described_and_takes_the_colours_of_the_page(case: Any) -> None:
    drawing = forest(case.material())
    assert drawing is not None
    element = str(drawing.element())

    assert 'role="img" aria-labelledby="forest-title forest-desc"' in element
    assert "1 better, 1 worse, 1 equivalent, 1 undecided, 1 diverged" in element
    assert "currentColor" in element
    assert "#1b2026" not in element
    assert "<metadata>" not in element
    assert "<text" in element


def test_hostile_names_stay_text_in_a_figure(case: Any) -> None:
    name = "<script>alert(1)</script>$x$"
    arms = (*case.study.arms[:-1], replace(case.study.arms[-1], name=name))
    rows = [
        replace(row, arm=name, outcome=OutcomeKind.DIVERGED) if row.arm == "both lr 0.03" else row for row in case.rows
    ]
    drawing = forest(replace(case, study=replace(case.study, arms=arms), rows=rows).material())

    assert drawing is not None
    assert "<script" not in str(drawing.element())


def test_nothing_to_draw_gives_no_figure(case: Any) -> None:
    material = replace(case, rows=[]).material()
    assert [drawing.name for drawing in draw_all(material, [], [])] == ["schedules"]


def test_curves_of_a_diverged_arm_have_no_mean_over_survivors(case: Any) -> None:
    material = case.material()
    [drawing] = curves(material, curve_points(case.study, material.results, case.paths))
    drawn = rows_of(drawing)
    survivors = [row for row in drawn if row["arm"] == "both lr 0.03" and int(row["images"]) > 2000]

    assert {row["seed"] for row in survivors} == {"2"}


def test_curves_are_drawn_over_seconds_where_points_have_times(case: Any) -> None:
    """The same points, each at the seconds its own seed had trained; a point without a time is left out."""
    material = case.material()
    points = curve_points(case.study, material.results, case.paths)
    timed = [(arm, seed, images, "train_seconds", (1 + seed) * images / 1e3) for arm, seed, images, _, _ in points]
    first, second = curves(material, [*points, *timed[:-1]])
    drawn = rows_of(second)

    assert [first.name, second.name] == ["curves", "curves-seconds"]
    assert "seconds" not in rows_of(first)[0]
    assert len(drawn) == len(points) - 1
    assert {float(row["seconds"]) for row in drawn if row["images"] == "2000" and row["seed"] == "1"} == {4.0}
    assert {row["metric"] for row in drawn} == {"psnr"}


def test_schedules_are_those_of_arms_that_use_one(case: Any) -> None:
    """A setting of the schedule makes a schedule of its own; an arm without a denoiser has none."""
    arms = case.study.arms
    other = replace(arms[1], name="long", settings={**arms[1].settings, "diffusion_steps": 500})
    alone = replace(arms[1], name="dip", settings={**arms[1].settings, "method": "dip", "noise_schedule": "quad"})
    study = replace(case.study, arms=(*arms, other, alone))

    assert list(schedules_of(study)) == ["linear", "cosine", "exponential", "cosine, diffusion_steps=500"]


def test_the_schedule_figure_holds_the_closed_form(case: Any) -> None:
    for row in rows_of(schedules(case.material())):
        if row["schedule"] == "exponential":
            assert float(row["alpha_bar"]) == pytest.approx(math.exp(-12 * int(row["step"]) / 1000), rel=1e-9)


def test_noise_tables_of_the_founding_report_are_drawn(case: Any) -> None:
    study = replace(case.study, core="replay")
    drawn = rows_of(schedules(replace(case, study=study).material()))
    assert float(next(row["sigma"] for row in drawn if row["schedule"] == "linear" and row["entry"] == "500")) == 0.005


def test_the_band_is_a_t_interval() -> None:
    values = np.array([1.0, 2.0, 4.0])
    expected = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))

    assert t_interval(values) == pytest.approx(expected)
    assert all(math.isnan(bound) for bound in t_interval([1.0]))


def test_image_rows_start_with_the_truth_and_are_lossless(make_case: Callable[..., Any]) -> None:
    from PIL import Image

    case = make_case(images=True)
    strips = strips_of(case.material(), case.paths)
    labels = [strip.label for strip in strips if strip.kind == "restored"]
    kept = read_images(case.paths.trial("baseline", 0).folder / "restored.npz")
    first = np.asarray(Image.open(io.BytesIO(strips[0].png)))

    assert labels[:4] == ["original", "noisy input", "DIP output", "baseline"]
    assert len(labels) == 8
    assert np.array_equal(first[:, :32], kept["original"][0].transpose(1, 2, 0))
    assert Image.open(io.BytesIO(sheet(strips))).width > 8 * 96


def test_learning_curves_say_the_unit_of_their_metric(case: Any) -> None:
    material = case.material()
    first = curves(material, curve_points(case.study, material.results, case.paths))[0]
    assert ">PSNR (dB)<" in (first.svg or "")


def test_images_of_one_kind_have_one_size_however_many_stand_in_a_row(make_case: Callable[..., Any]) -> None:
    case = make_case(images=True, seeds=3)
    folder = case.paths.trial("noise_schedule=cosine", 0).folder
    points = read_points(folder / "training.npz")
    first: dict[str, Any] = {str(images): points[images] for images in list(points)[:2]}
    np.savez_compressed(folder / "training.npz", **first)
    strips = strips_of(case.material(), case.paths)
    shares = {strip.label: strip.share for strip in strips if strip.kind == "training"}
    assert shares.pop("noise_schedule=cosine") == 2 / len(points)
    assert set(shares.values()) == {1.0}


def test_a_long_name_over_a_panel_ends_before_the_next_panel() -> None:
    axis = Figure().subplots()
    titled(axis, "noise_schedule=exponential-beta", 22)
    assert axis.get_title(loc="left") == "noise_schedule=\nexponential-beta"
    titled(axis, "lr=0.01", 22)
    assert axis.get_title(loc="left") == "lr=0.01"


def test_images_over_training_are_in_the_order_of_images_seen(make_case: Callable[..., Any]) -> None:
    """One row per arm: its first image at every point, however the file orders its arrays."""
    case = make_case(images=True)
    strips = [strip for strip in strips_of(case.material(), case.paths) if strip.kind == "training"]
    points = read_points(case.paths.trial("dip_epochs=5", 0).folder / "training.npz")

    assert list(points) == [400, 560, 1000, 2000, 2800]
    assert [strip.label for strip in strips] == [arm.name for arm in case.study.arms[:-1]]
    assert strips[3].note == "400 to 2,800 images"
    assert np.array_equal(strips[3].pixels, np.stack([images[0] for images in points.values()]))


def test_pictures_of_a_command_are_shown_for_one_seed_of_every_arm(case: Any) -> None:
    from PIL import Image

    arms = [arm.name for arm in case.study.arms]
    for number, arm in enumerate(arms):
        path = case.paths.trial(arm, 0).samples
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 if number else 40, 30), (200, 0, 0)).save(path)
    case.paths.trial(arms[1], 0).samples.write_bytes(b"no picture")
    case.paths.trial(arms[2], 0).samples.write_bytes(png_header(100_000, 100_000))
    assert strips_of(case.material(), case.paths) == [], "only where the study names them"

    study = replace(case.study, core_parameters={"pictures": ["{folder}/*.png"]})
    material = replace(case, study=study).material()
    strips = strips_of(material, case.paths)
    measured = [arm for (arm, seed), row in material.results.items() if seed == 0 and row.outcome == "measured"]
    assert {strip.label for strip in strips} == set(measured) - {arms[1], arms[2]}
    assert (strips[0].label, strips[0].pixels.shape, strips[0].share) == ("baseline", (1, 3, 30, 40), 1.0)
    assert {strip.share for strip in strips[1:]} == {0.5}
    assert Image.open(io.BytesIO(sheet(strips))).height < len(strips) * 40 + 10
    page = report_html(material, strips=strips)
    assert page.count('class="strip"') == len(strips)
    assert ">Pictures<" in page


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that says it is of this size."""
    data = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + data + zlib.crc32(data).to_bytes(4)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY"])
def test_a_broken_image_file_is_passed_over(case: Any, content: bytes) -> None:
    folder = case.paths.trial("baseline", 0).folder
    folder.mkdir(parents=True)
    (folder / "restored.npz").write_bytes(content)
    (folder / "training.npz").write_bytes(content)

    assert strips_of(case.material(), case.paths) == []


def test_image_files_of_another_shape_or_with_objects_are_passed_over(case: Any) -> None:
    folder = case.paths.trial("baseline", 0).folder
    folder.mkdir(parents=True)
    path = folder / "restored.npz"
    np.savez(path, original=np.zeros((2, 32, 32), np.uint8), restored=np.zeros((2, 3, 32, 32), np.float32))
    flat = read_images(path)
    np.savez(path, original=np.array([{"a": 1}], dtype=object))

    assert flat == {}
    assert read_images(path) == {}


def test_figures_import_no_torch() -> None:
    code = "import sys, ablate.report.figures.all; print([name for name in ('torch', 'optuna') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_shares_of_diverged_runs_are_drawn_where_any_did(case: Any) -> None:
    """With the exact intervals of the comparison; a study without a divergence has no such figure."""
    material = case.material()
    rows = {row["arm"]: row for row in rows_of(stability(material))}
    whole = [row for row in case.rows if row.arm != "both lr 0.03"]

    assert len(rows) == 6
    assert float(rows["both lr 0.03"]["share"]) == 0.8
    assert float(rows["baseline"]["high"]) == material.comparison.stability["baseline"].high
    assert stability(replace(case, rows=whole).material()) is None


def test_quality_is_drawn_against_the_time_that_most_arms_have(make_case: Callable[..., Any]) -> None:
    """An arm that trains nothing has no training time, and belongs into the picture all the same."""
    metrics = make_case().study.metrics
    case = make_case(metrics=(*metrics, MetricSpec("seconds_per_image", "min", scale="log", unit="s")))
    rows = [
        replace(row, metrics={name: value for name, value in row.metrics.items() if name != "train_seconds"}
                | {"seconds_per_image": 10.0 ** (row.arm == "baseline") + 0.1 * row.seed})
        if row.metrics and row.arm in ("baseline", "dip_epochs=5") else
        replace(row, metrics={**row.metrics, "seconds_per_image": 1.0 + 0.1 * row.seed}) if row.metrics else row
        for row in case.rows
    ]  # fmt: skip
    drawing = pareto(replace(case, rows=rows).material())
    drawn = {row["arm"]: row for row in rows_of(drawing)}

    assert drawing is not None
    assert "seconds per image" in drawing.alt
    assert float(drawn["baseline"]["time"]) == pytest.approx(10.2)
    assert "mathdefault" not in (drawing.svg or "")


def test_a_very_wide_thin_interval_leaves_room_for_the_rest(case: Any) -> None:
    """At an early look the level of the decision is small: what goes beyond the axis gets an arrow."""
    material = case.material()
    arm = "dip_epochs=20"
    row = material.comparison.row(arm)
    wide = replace(row, holm_low=-50.0, holm_high=50.0)
    rows = {**material.comparison.rows, (arm, row.metric): wide}
    cut = forest(replace(material, comparison=replace(material.comparison, rows=rows)))
    whole = forest(material)
    assert cut is not None
    assert whole is not None
    assert "Arrow: the thin interval goes on." in cut.caption
    assert "Arrow" not in whole.caption
    assert "50.0" in {row["holm_high"] for row in rows_of(cut)}

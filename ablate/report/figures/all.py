"""All figures of a report, each as SVG, PNG and the CSV behind it."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.data.material import Material, Point
from ablate.report.figures.blocks import blocks
from ablate.report.figures.divergence import stability
from ablate.report.figures.equal_budget import budgets
from ablate.report.figures.figure import Drawing
from ablate.report.figures.forest import forest
from ablate.report.figures.image_strips import Strip, sheet
from ablate.report.figures.interaction import interactions
from ablate.report.figures.learning_curves import curves
from ablate.report.figures.noise_schedules import schedules
from ablate.report.figures.pareto import doses, pareto
from ablate.report.figures.time_to_event import reaching

_SHEETS = {
    "restored": ("Restored images", "Held-out images, their noisy versions, and what every arm made of them."),
    "generated": ("Generated images", "Images generated from pure noise; the same noise in every arm."),
    "pictures": ("Pictures of the trials", "Pictures that the command wrote; the same seed in every arm."),
    "training": ("Images over training", "One image at points of the learning curve; the same noise in every arm."),
}


def draw_all(material: Material, points: Sequence[Point], strips: Sequence[Strip]) -> list[Drawing]:
    """Return every figure there is data for, in the order of the page."""
    found = [*blocks(material), forest(material), schedules(material), *doses(material), *curves(material, points)]
    found += [budgets(material, points), *reaching(material), pareto(material)]
    found += [*interactions(material), stability(material)]
    return [*(drawing for drawing in found if drawing is not None), *image_sheets(strips)]


def image_sheets(strips: Sequence[Strip]) -> list[Drawing]:
    """Return the labelled rows of images as one PNG per kind; a page shows the rows themselves instead."""
    found = []
    for kind, (title, caption) in _SHEETS.items():
        own = [strip for strip in strips if strip.kind == kind]
        if own:
            alt = f"Rows of images: {', '.join(strip.label for strip in own)}"
            found.append(Drawing(kind, "", title, alt, caption, png=sheet(own)))
    return found

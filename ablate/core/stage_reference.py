"""The stage ``reference``: what generated images are scored against, the same for all arms that train on the same."""

from __future__ import annotations

import time

from torch import Tensor

from ablate.core.memorisation import gallery_of
from ablate.core.reference import Reference
from ablate.core.run import Run
from ablate.core.stages import reference_stage
from ablate.core.training import chosen_images


def gallery(run: Run) -> Tensor:
    """The images that the trial trains on, without overlapping ones: uint8 [M,3,H,W]."""
    train, cells = run.images.train, run.images.cells
    chosen = chosen_images(len(train), run.settings, run.seed)
    if chosen is not None:
        train = train[chosen.to(train.device)]
        cells = None if cells is None else cells[chosen]
    return gallery_of(train, cells)


def reference(run: Run, gallery: Tensor) -> Reference:
    """Return the reference, measured once per digest."""
    with run.stage(reference_stage(run.settings, run.seed, run.core_version)) as folder:
        state = folder.load("reference", 0)
        if state is not None:
            run.reused["reference"] = float(state["seconds"])
            return Reference.from_state(state, run.device)
        run.report.progress(run.recipe, "reference", 0, 1)
        began = time.perf_counter()
        found = Reference.build(run.images, gallery, run.settings.samples)
        seconds = time.perf_counter() - began
        folder.save("reference", 0, {**found.state(), "seconds": seconds})
        folder.describe({"stage": "reference", "seconds": seconds, "recipe": run.recipe.to_dict()})
        return found

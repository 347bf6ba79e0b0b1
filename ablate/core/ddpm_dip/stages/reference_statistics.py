"""The stage ``reference``: what generated images are scored against, the same for all arms that train on the same."""

from __future__ import annotations

import time

from torch import Tensor

from ablate.core.ddpm_dip.stages.digests import fid_stage, reference_stage
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.training import chosen_images
from ablate.core.scores.fid import Extractor, fid_features
from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.memorisation import gallery_of
from ablate.core.scores.reference_set import Reference, known_sets
from ablate.core.shared.requirements import FID_SHA256


def gallery(run: Run) -> Tensor:
    """The images that the trial trains on, without overlapping ones: uint8 [M,3,H,W]."""
    return run.once("gallery", lambda: _gallery(run))


def _gallery(run: Run) -> Tensor:
    train, cells = run.images.train, run.images.cells
    chosen = chosen_images(len(train), run.settings, run.seed)
    if chosen is not None:
        train = train[chosen.to(train.device)]
        cells = None if cells is None else cells[chosen]
    return gallery_of(train, cells)


def fid_scores(run: Run, extract: Extractor, samples: Tensor) -> dict[str, float]:
    """Return FID of uint8 `samples` [N,3,H,W] to the reference images, and of the known sets, at the same N."""
    features, known = _fid_reference(run, extract)
    return {"fid": frechet_distance(features, fid_features(samples, extract)), **known}


def _fid_reference(run: Run, extract: Extractor) -> tuple[Tensor, dict[str, float]]:
    """Inception features of the reference images, and FID of the known sets; computed once per digest."""
    count = run.settings.samples
    with run.stage(fid_stage(run.settings, FID_SHA256, run.core_version)) as folder:
        state = folder.load("fid", 0)
        if state is None:
            run.context.progress(run.recipe, "fid", 0, 1)
            began = time.perf_counter()
            sets = known_sets(run.images, count)
            features = {name: fid_features(images, extract) for name, images in sets.items()}
            own = features.pop("reference")
            known = {f"fid_{name}": frechet_distance(own, found) for name, found in features.items()}
            state = {"features": own, "known": known, "seconds": time.perf_counter() - began}
            folder.save("fid", 0, state)
            folder.describe({"stage": "fid", "seconds": state["seconds"], "recipe": run.recipe.to_dict()})
        else:
            run.reused["fid"] = float(state["seconds"])
    return state["features"].to(run.device), {str(name): float(value) for name, value in state["known"].items()}


def reference(run: Run) -> Reference:
    """Return the reference, measured once per digest."""
    return run.once("reference", lambda: _reference(run))


def _reference(run: Run) -> Reference:
    with run.stage(reference_stage(run.settings, run.seed, run.core_version)) as folder:
        state = folder.load("reference", 0)
        if state is not None:
            run.reused["reference"] = float(state["seconds"])
            return Reference.from_state(state, run.device)
        run.context.progress(run.recipe, "reference", 0, 1)
        began = time.perf_counter()
        found = Reference.build(run.images, gallery(run), run.settings.samples)
        seconds = time.perf_counter() - began
        folder.save("reference", 0, {**found.state(), "seconds": seconds})
        folder.describe({"stage": "reference", "seconds": seconds, "recipe": run.recipe.to_dict()})
        return found

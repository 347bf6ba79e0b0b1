"""The stage ``reference``: what generated images are scored against, the same for all arms that train on the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from ablate.core.ddpm_dip.stages.digests import classifier_stage, fid_stage, reference_stage
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.training import chosen_images
from ablate.core.scores.classifier import HIDDEN, SCORES, Classifier
from ablate.core.scores.fid import Extractor, fid_features
from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.memorisation import gallery_of
from ablate.core.scores.reference_set import (
    KNOWN,
    SHOWN,
    Reference,
    UsualNearness,
    asks_for_copies,
    gaussian_images,
    known_scores,
    known_set,
)
from ablate.core.shared.requirements import FID_SHA256
from ablate.core.shared.stage_cache import StageFolder


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
    """Return FID of uint8 `samples` [N,C,H,W] to the reference images, and of the known sets asked for, at one N."""
    asked = [name for name in KNOWN if run.asks(f"fid_{name}")]
    with run.stage(fid_stage(run.settings, FID_SHA256, run.core_version)) as folder:
        state = folder.load("fid", 0)
        if state is not None:
            run.reused["fid"] = float(state["seconds"])
        known = {} if state is None else dict(state["known"])
        missing = [name for name in asked if f"fid_{name}" not in known]
        if state is None or missing:
            run.context.progress(run.recipe, "fid", 0, 1)
            began = time.perf_counter()
            own = _fid_of(run, extract, "reference") if state is None else state["features"].to(run.device)
            known |= {f"fid_{name}": frechet_distance(own, _fid_of(run, extract, name)) for name in missing}
            before = 0.0 if state is None else float(state["seconds"])
            state = {"features": own, "known": known, "seconds": before + time.perf_counter() - began}
            folder.save("fid", 0, state)
            folder.describe({"stage": "fid", "seconds": state["seconds"], "recipe": run.recipe.to_dict()})
    distance = frechet_distance(state["features"].to(run.device), fid_features(samples, extract))
    return {"fid": distance, **{f"fid_{name}": float(known[f"fid_{name}"]) for name in asked}}


def _fid_of(run: Run, extract: Extractor, name: str) -> Tensor:
    return fid_features(known_set(run.images, run.settings.samples, name), extract)


def reference(run: Run) -> Reference:
    """Return the reference, measured once per digest."""
    return run.once("reference", lambda: Reference.from_state(_kept(run, "reference", _build), run.device))


def _build(run: Run) -> dict[str, Any]:
    return Reference.build(run.images, run.settings.samples).state()


def usual_nearness(run: Run) -> UsualNearness:
    """Return how near held-out images come to those that were trained on, measured once per digest."""
    return run.once("usual", lambda: UsualNearness(*_kept(run, "usual", _usual)["low"]))


def _usual(run: Run) -> dict[str, Any]:
    found = UsualNearness.build(run.images, gallery(run))
    return {"low": [found.low_nn_ratio, found.low_carlini_ratio]}


def gaussian_pictures(run: Run) -> Tensor:
    """A few images of the Gaussian control, to be looked at: uint8 [SHOWN,C,H,W]."""
    found: Tensor = _kept(run, "pictures", lambda run: {"gaussian": gaussian_images(run.images.train, SHOWN)})[
        "gaussian"
    ].to(run.device)
    return found


def asks_for_classes(names: Collection[str]) -> bool:
    """True when one of `names` is what the classifier says of samples or of a known set."""
    return any(name.startswith(SCORES) for name in names)


def classifier(run: Run) -> Classifier:
    """Return the classifier of the data set, trained at its first use in any study; its accuracy is recorded."""
    found = run.once("classifier", lambda: _classifier(run))
    held_out = len(run.images.test)
    run.environment["classifier"] = (
        f"one hidden layer of {HIDDEN} units, trained by ablate on the labels of {run.images.name}; right about "
        f"{found.accuracy:.1%} of {held_out} held-out images"
    )
    return found


def _classifier(run: Run) -> Classifier:
    images = run.images
    with run.stage(classifier_stage(run.settings, run.core_version)) as folder:
        state = folder.load("classifier", 0)
        if state is not None:
            run.reused["classifier"] = float(state["seconds"])
            return Classifier.from_state(state, run.device)
        run.context.progress(run.recipe, "classifier", 0, 1)
        began = time.perf_counter()
        assert images.labels is not None  # asked before anything started
        found = Classifier.fit(images.train, images.test, images.labels)
        seconds = time.perf_counter() - began
        folder.save("classifier", 0, {**found.state(), "seconds": seconds})
        folder.describe({"stage": "classifier", "seconds": seconds, "recipe": run.recipe.to_dict()})
        return found


def known_values(run: Run) -> dict[str, float]:
    """Return the scores of known sets that were asked for, each measured once per digest."""
    asked = {name for name in run.context.wanted if name.rpartition("_")[2] in KNOWN}
    if not asked:
        return {}
    against = reference(run)
    usual = usual_nearness(run) if asks_for_copies(asked) else None
    with _stage(run) as folder:
        state = folder.load("known", 0) or {"values": {}, "seconds": 0.0}
        values = {str(name): float(value) for name, value in state["values"].items()}
        missing = asked - values.keys()
        if values:
            run.reused["reference"] = run.reused.get("reference", 0.0) + float(state["seconds"])
        if missing:
            run.context.progress(run.recipe, "reference", 0, 1)
            began = time.perf_counter()
            sure = classifier(run) if asks_for_classes(missing) else None
            values |= known_scores(run.images, gallery(run), run.settings.samples, against, usual, sure, missing)
            seconds = float(state["seconds"]) + time.perf_counter() - began
            folder.save("known", 0, {"values": values, "seconds": seconds})
    return {name: values[name] for name in sorted(asked) if name in values}


def _kept(run: Run, kind: str, build: Callable[[Run], dict[str, Any]]) -> dict[str, Any]:
    """A part of the stage, from the cache or built now."""
    with _stage(run) as folder:
        state = folder.load(kind, 0)
        if state is not None:
            run.reused["reference"] = run.reused.get("reference", 0.0) + float(state["seconds"])
            return state
        run.context.progress(run.recipe, "reference", 0, 1)
        began = time.perf_counter()
        state = build(run)
        state["seconds"] = time.perf_counter() - began
        folder.save(kind, 0, state)
        folder.describe({"stage": "reference", "seconds": state["seconds"], "recipe": run.recipe.to_dict()})
        return state


def _stage(run: Run) -> AbstractContextManager[StageFolder]:
    return run.stage(reference_stage(run.settings, run.seed, run.core_version))

"""Metrics said in one word, ``psnr:max:0.1``, and metrics found in a table that nobody described."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import pandas as pd

from ablate.errors import AblateError
from ablate.report.statistics.model import Lint
from ablate.study.spec import Direction, MetricSpec

GRAMMAR = "NAME:max or NAME:min, then optionally a margin (0.1, or 2%) and log: psnr:max:0.1, seconds:min:5%:log"
KEYS = frozenset({"arm", "seed", "outcome", "study", "device", "recipe_digest", "images_seen", "trial", "error"})
"""Columns that are never a metric unless somebody says so."""
_HIGHER = frozenset(
    [
        "acc",
        "accuracy",
        "auc",
        "auroc",
        "bleu",
        "f1",
        "iou",
        "miou",
        "map",
        "precision",
        "psnr",
        "recall",
        "reward",
        "rouge",
        "ssim",
    ]
)
_PARTS = frozenset(
    [
        "clip",
        "document",
        "episode",
        "example",
        "fold",
        "frame",
        "game",
        "image",
        "img",
        "instance",
        "item",
        "prompt",
        "question",
        "rollout",
        "sample",
        "sentence",
        "subject",
        "trajectory",
        "utterance",
        "video",
    ]
)
"""Words for parts of a run, or of what it is tested on."""
_COUNTING = frozenset(["id", "idx", "index", "no", "nr", "num", "number", "test", "eval", "cv"])
"""Words that may stand beside them."""
_LOWER = frozenset(
    [
        "bpd",
        "cer",
        "error",
        "fid",
        "kid",
        "latency",
        "loss",
        "lpips",
        "mae",
        "mse",
        "nll",
        "perplexity",
        "ppl",
        "rmse",
        "second",
        "seconds",
        "time",
        "wer",
    ]
)


def read_metric(text: str) -> MetricSpec:
    """Return the metric that ``NAME:DIRECTION[:MARGIN[%]][:log]`` declares; raises AblateError.

    A margin with % is a fraction of the baseline, and so is every margin on the log scale.
    """
    name, *words = (part.strip() for part in text.split(":"))
    if not name or not words or words[0] not in ("max", "min"):
        raise AblateError(f"the metric {text!r} does not say which direction is better", hint=GRAMMAR)
    direction: Direction = "max" if words.pop(0) == "max" else "min"
    log = "log" in words
    margins = [word for word in words if word != "log"]
    if len(margins) > 1 or words.count("log") > 1:
        raise AblateError(f"the metric {text!r} has too many parts", hint=GRAMMAR)
    margin, relative = _margin(margins[0], text) if margins else (None, False)
    return MetricSpec(name, direction, "log" if log else "identity", margin, relative=relative)


def _margin(word: str, text: str) -> tuple[float, bool]:
    number = word.removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        raise AblateError(f"the metric {text!r}: {word!r} is not a margin", hint=GRAMMAR) from None
    relative = word.endswith("%")
    return (value / 100 if relative else value), relative


One = TypeVar("One")

Metrics = Sequence[MetricSpec | str] | Mapping[str, str]
"""Metrics as texts (see `read_metric`) or read already, or by name as in a study: ``{"accuracy": "max:0.5%"}``."""


def metric_texts(metrics: Sequence[One] | Mapping[str, str]) -> tuple[One | str, ...]:
    """Return the metrics one by one, those of a mapping as texts; raises AblateError for anything else."""
    if isinstance(metrics, str):
        raise AblateError(f"metrics must be a list, got the text {metrics!r}", hint=f"write [{metrics!r}]")
    if not isinstance(metrics, Mapping):
        return tuple(metrics)
    for name, text in metrics.items():
        if not isinstance(text, str):
            raise AblateError(f"the metric {name!r} must be a text, got {text!r}", hint=f"{{{name!r}: 'max:0.5%'}}")
    return tuple(f"{name}:{text}" for name, text in metrics.items())


def declared_metrics(metrics: Metrics) -> tuple[MetricSpec, ...]:
    """Return the metrics, those given as text read; where none is primary, the first one is."""
    found = [read_metric(metric) if isinstance(metric, str) else metric for metric in metric_texts(metrics)]
    if found and not any(metric.primary for metric in found):
        found[0] = replace(found[0], primary=True)
    return tuple(found)


def found_metrics(frame: pd.DataFrame) -> tuple[tuple[MetricSpec, ...], tuple[Lint, ...]]:
    """Return a metric for every column of numbers whose name says which way is better, without margins.

    The first one is primary. Other columns of numbers are named in a lint: whether more of them is better is not a
    thing to guess. Raises AblateError when no column is left.
    """
    if not isinstance(frame, pd.DataFrame):
        raise AblateError(f"compare takes a pandas DataFrame with one row per trial, got {type(frame).__name__}")
    numeric = [
        str(name)
        for name, kind in frame.dtypes.items()
        if name not in KEYS
        and not is_part(str(name))
        and pd.api.types.is_numeric_dtype(kind)
        and not pd.api.types.is_bool_dtype(kind)
    ]
    known = [MetricSpec(name, way) for name in numeric if (way := direction_of(name)) is not None]
    unknown = [name for name in numeric if direction_of(name) is None]
    if not known:
        example = f"metrics=['{unknown[0]}:max']" if unknown else "metrics=['psnr:max:0.1']"
        raise AblateError(
            "no metric was given, and no numeric column has a name that says which direction is better",
            hint=f"for example {example}",
        )
    lints = (
        (Lint("not-compared", f"{', '.join(unknown)}: not compared, because no direction was given"),)
        if unknown
        else ()
    )
    return declared_metrics(known), lints


def is_part(name: str) -> bool:
    """True for a column that, by its name, counts parts of a run rather than runs: ``episode``, ``test_image``."""
    words = {word.removesuffix("s") for word in re.split(r"[^a-z]+", name.casefold()) if word}
    return bool(words & _PARTS) and words <= _PARTS | _COUNTING


def direction_of(name: str) -> Direction | None:
    """Return which way is better where the name of a column says so, else None."""
    words = set(re.split(r"[^a-z0-9]+", name.casefold()))
    higher, lower = bool(words & _HIGHER), bool(words & _LOWER)
    if higher == lower:
        return None
    return "max" if higher else "min"

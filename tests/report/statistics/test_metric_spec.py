"""Metrics in one word, and metrics of a table that nobody described."""

from __future__ import annotations

import pandas as pd
import pytest

import ablate.report
from ablate.errors import AblateError
from ablate.report.statistics.metric_spec import read_metric
from ablate.study.spec import MetricSpec

BASE = [29.1, 29.4, 28.8, 29.0]


def frame(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"arm": ["baseline"] * 4 + ["wide"] * 4, "seed": [0, 1, 2, 3] * 2, **columns})


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("psnr:max", MetricSpec("psnr", "max")),
        ("psnr:max:0.1", MetricSpec("psnr", "max", margin=0.1)),
        ("fid:min:2%", MetricSpec("fid", "min", margin=0.02, relative=True)),
        ("seconds:min:5%:log", MetricSpec("seconds", "min", "log", 0.05, relative=True)),
        (" val loss : min : log ", MetricSpec("val loss", "min", "log")),
    ],
)
def test_a_metric_is_read_from_one_word(text: str, metric: MetricSpec) -> None:
    assert read_metric(text) == metric


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("psnr", "does not say which direction is better"),
        ("psnr:higher", "does not say which direction is better"),
        (":max", "does not say which direction is better"),
        ("psnr:max:wide", "'wide' is not a margin"),
        ("psnr:max:0.1:0.2", "too many parts"),
    ],
)
def test_a_word_that_is_no_metric_is_refused_with_the_grammar(text: str, message: str) -> None:
    with pytest.raises(AblateError, match=message) as caught:
        read_metric(text)
    assert "psnr:max:0.1" in (caught.value.hint or "")


def test_text_and_spec_give_the_same_comparison() -> None:
    table = frame(psnr=[*BASE, *(value + gain for value, gain in zip(BASE, (0.5, 0.6, 0.4, 0.55), strict=True))])
    by_text = ablate.compare(table, baseline="baseline", metrics=["psnr:max:0.1"])
    by_spec = ablate.compare(table, metrics=[MetricSpec("psnr", "max", margin=0.1, primary=True)])
    assert by_text.rows == by_spec.rows
    assert by_text.row("wide").verdict == "better"


def test_metrics_are_named_as_for_a_run() -> None:
    table = frame(psnr=[*BASE, *BASE], seconds=[1.0] * 8)
    by_name = ablate.compare(table, metrics={"psnr": "max:0.1", "seconds": "min:5%:log"})
    assert by_name.metrics == ablate.compare(table, metrics=["psnr:max:0.1", "seconds:min:5%:log"]).metrics
    with pytest.raises(AblateError, match="the metric 'psnr' must be a text"):
        ablate.compare(table, metrics={"psnr": 0.1})  # type: ignore[dict-item]


def test_metrics_are_found_by_names_that_say_which_way_is_better() -> None:
    table = frame(val_accuracy=[*BASE, *BASE], seconds=[1.0] * 8, lr=[0.1] * 8, images_seen=[64.0] * 8)
    found = ablate.compare(table)
    assert [(metric.name, metric.direction, metric.primary) for metric in found.metrics] == [
        ("val_accuracy", "max", True),
        ("seconds", "min", False),
    ]
    assert "lr: not compared, because no direction was given" in [lint.message for lint in found.lints]


def test_a_table_without_a_known_metric_asks_for_directions() -> None:
    with pytest.raises(AblateError, match="no numeric column has a name that says") as caught:
        ablate.compare(frame(quality=[*BASE, *BASE]))
    assert caught.value.hint == "for example metrics=['quality:max']"


def test_a_list_of_metrics_is_not_one_text() -> None:
    with pytest.raises(AblateError, match="metrics must be a list"):
        ablate.compare(frame(psnr=[*BASE, *BASE]), metrics="psnr:max")

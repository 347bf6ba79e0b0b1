"""The metrics section: margins, directions, and exactly one primary metric."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ablate.errors import Problem
from ablate.study.spec import MetricSpec, Study

Load = Callable[..., Study]
Refuse = Callable[..., tuple[Problem, ...]]

HEAD = "baseline: {}\nvary: {lr: [0.01]}\n"


def test_a_metric_takes_what_the_core_knows_about_it(load: Load) -> None:
    study = load(HEAD + "metrics: {psnr: {primary: true, margin: 0.2}, train_seconds: {margin: null}}")
    assert study.metrics == (
        MetricSpec("psnr", "max", margin=0.2, primary=True, unit="dB"),
        MetricSpec("train_seconds", "min", scale="log", relative=True, unit="s"),
    )
    assert study.primary.name == "psnr"
    assert study.warnings == ()


@pytest.mark.parametrize(
    ("written", "margin", "relative"),
    [
        ("0.1", 0.1, False),
        ("1e-2", 0.01, False),
        ("2%", 0.02, True),
        ("'2 %'", 0.02, True),
        ("7%", 0.07, True),
        ("0.29%", 0.0029, True),
        ("1e-1%", 0.001, True),
        ("null", None, False),
    ],
)
def test_a_margin_is_a_number_or_a_percentage(written: str, margin: float | None, relative: bool, load: Load) -> None:
    study = load(HEAD + f"metrics: {{psnr: {{primary: true, margin: {written}}}}}")
    assert (study.primary.margin, study.primary.relative) == (margin, relative)


@pytest.mark.parametrize(
    "order", ["{margin: 0.05, scale: log}", "{scale: log, margin: 0.05}", "{scale: log, margin: 5%}"]
)
def test_on_the_log_scale_a_margin_is_a_fraction(order: str, load: Load) -> None:
    study = load(HEAD + f"metrics: {{psnr: {order}}}")
    assert (study.primary.scale, study.primary.margin, study.primary.relative) == ("log", 0.05, True)


@pytest.mark.parametrize("order", ["{margin: 3, scale: identity}", "{scale: identity, margin: 3}"])
def test_on_the_identity_scale_it_has_the_metrics_unit(order: str, load: Load) -> None:
    study = load(HEAD + f"metrics: {{train_seconds: {order}}}")
    assert (study.primary.scale, study.primary.margin, study.primary.relative) == ("identity", 3.0, False)


def test_a_percentage_stays_one_when_the_scale_becomes_identity(load: Load) -> None:
    study = load(HEAD + "metrics: {train_seconds: {margin: 5%, scale: identity}}")
    assert (study.primary.margin, study.primary.relative) == (0.05, True)


@pytest.mark.parametrize("stated", ["", "{}", "~"])
def test_a_metric_alone_is_primary(stated: str, load: Load) -> None:
    assert load(HEAD + f"metrics: {{ssim: {stated}}}").primary.name == "ssim"


def test_a_list_of_names_takes_the_margins_of_the_core(load: Load) -> None:
    study = load(HEAD + "metrics: [ssim, psnr]")
    assert [(metric.name, metric.margin, metric.primary) for metric in study.metrics] == [
        ("ssim", 0.005, True),
        ("psnr", 0.1, False),
    ]


@pytest.mark.parametrize(
    ("section", "column", "suggestion"),
    [
        ("{psnr: {primary: true}}", 11, "0.1 dB is a usual margin"),
        ("{fid: {primary: true}}", 11, "2% is a usual margin"),
        ("{train_seconds: {primary: true}}", 11, None),
    ],
)
def test_a_missing_margin_is_a_warning(section: str, column: int, suggestion: str | None, load: Load) -> None:
    (warning,) = load(HEAD + f"metrics: {section}").warnings
    assert warning.message.startswith("no margin for metric ")
    assert warning.message.endswith(': no arm can be "equivalent"')
    assert (warning.line, warning.column, warning.severity) == (3, column, "warning")
    assert warning.suggestion == suggestion


@pytest.mark.parametrize(
    "section", ["{psnr: {margin: 0.1, primary: true}, train_seconds: {}}", "[psnr, train_seconds]"]
)
def test_secondary_metrics_without_a_usual_margin_are_shown_without_a_word(section: str, load: Load) -> None:
    assert load(HEAD + f"metrics: {section}").warnings == ()


def test_another_direction_than_the_cores_is_a_warning(load: Load) -> None:
    study = load(HEAD + "metrics: {psnr: {direction: min, margin: 1}}")
    assert study.primary.direction == "min"
    assert [warning.message for warning in study.warnings] == ["psnr: the core says max, this study says min"]


@pytest.mark.parametrize(
    ("section", "message", "column", "suggestion"),
    [
        ("{sim: {}}", "unknown metric 'sim'", 11, "did you mean 'ssim'?"),
        ("[psn]", "unknown metric 'psn'", 11, "did you mean 'psnr'?"),
        ("psn", "unknown metric 'psn'", 10, "did you mean 'psnr'?"),
        ("[psnr, psnr]", "metric 'psnr' is listed twice", 17, "remove one"),
        ("[[psnr]]", "expected a metric's name, got a list", 11, None),
        ("[]", "'metrics' is empty", 1, None),
        ("{}", "'metrics' is empty", 1, None),
        ("", "'metrics' is empty", 1, None),
        ("{psnr: 0.1}", "psnr: expected a mapping", 17, "did you mean psnr: {margin: 0.1}?"),
        ("{psnr: [0.1]}", "psnr: expected a mapping", 17, None),
        ("{psnr: {margn: 1}}", "unknown key of a metric 'margn'", 18, "did you mean 'margin'?"),
        ("{psnr: {margin: -1}}", "psnr margin: a margin must be above 0, got -1", 26, "write null for no margin"),
        ("{psnr: {margin: 0%}}", "psnr margin: a margin must be above 0, got 0%", 26, "write null for no margin"),
        ("{psnr: {margin: some}}", "psnr margin: expected a number, got 'some'", 26, None),
        ("{psnr: {direction: maxx}}", "psnr direction: unknown name 'maxx'", 29, "did you mean 'max'?"),
        ("{psnr: {scale: logs}}", "psnr scale: unknown name 'logs'", 25, "did you mean 'log'?"),
        ("{psnr: {primary: 1}}", "psnr primary: expected true or false, got '1'", 27, "did you mean true?"),
        (
            "{psnr: {margin: 1}, ssim: {margin: 1}}",
            "no primary metric: one metric decides the verdicts",
            1,
            "write psnr: {primary: true}",
        ),
        ("{psnr: {primary: true}, ssim: {primary: true}}", "a second primary metric", 34, None),
    ],
)
def test_a_wrong_metric_is_refused(
    section: str, message: str, column: int, suggestion: str | None, refuse: Refuse
) -> None:
    (problem,) = refuse(HEAD + f"metrics: {section}")
    assert (problem.message, problem.line, problem.column, problem.suggestion) == (message, 3, column, suggestion)

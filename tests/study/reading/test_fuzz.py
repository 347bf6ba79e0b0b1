"""Whatever is in a study file: a study comes out, or a list of problems with places. Nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.errors import StudyFileError
from ablate.study.spec import Study

Load = Callable[..., Study]

# `load` writes one file again and again, which is what is wanted here.
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

KEYS = st.sampled_from(
    [
        "question",
        "core",
        "data",
        "baseline",
        "vary",
        "arms",
        "grid",
        "zip",
        "leave-one-out",
        "leave_one_out",
        "leave-all-out",
        "only-one",
        "factorial",
        "path",
        "seeds",
        "metrics",
        "alpha",
        "budget",
        "search",
        "tune",
        "sedes",
        "lr",
    ]
)
NAMES = st.sampled_from(
    [
        "lr",
        "epochs",
        "ema",
        "method",
        "note",
        "dip_epochs",
        "channels",
        "psnr",
        "ssim",
        "primary",
        "margin",
        "looks",
        "factors",
        "from",
        "to",
        "log",
        "step",
        "when",
        "levels",
        "trials",
        "pruner",
        "hours",
        "baseline",
        "a",
        "A",
    ]
) | st.sampled_from(["", " "])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["dip", "ddpm", "cosine", "toy", "2%", "1e-3", "010", "12:30", "off", "64", 0.01, 0.02, 5, 10]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
FRAGMENTS = st.one_of(
    st.sampled_from(
        ["baseline: {}\n", "vary: {lr: [0.01]}\n", "arms:\n", "  ", "\t", "\n", "---\n", "%YAML 1.1\n", "|\n"]
    ),
    st.sampled_from(["- ", "{", "}", "[", "]", ": ", "lr", "&a ", "*a", "!x ", "<<: ", "'", '"', "\\", "#", "? ", ","]),
    st.sampled_from(["\r", "\x85", "\u2028", "\ufeff", "\x00", "é", "0x1"]),
)


def check(load: Load, text: str | bytes, **options: Any) -> None:
    """Load `text`; whatever is refused has places that exist, and whatever is accepted survives its JSON."""
    refused: StudyFileError | None = None
    try:
        study = load(text, **options)
    except StudyFileError as error:
        refused = error
    if refused is None:
        check_study(study)
    else:
        check_problems(refused)


def check_problems(error: StudyFileError) -> None:
    """Every problem says something and stands somewhere."""
    assert error.problems
    for problem in error.problems:
        assert problem.message
        assert problem.severity == "error"
        assert problem.length >= 1
        assert problem.line == 0 or 1 <= problem.column <= len(problem.source_line) + 1


def check_study(study: Study) -> None:
    """No two arms share a name, or a recipe without a word; designs place every arm; nothing is lost in JSON."""
    names = [arm.name for arm in study.arms]
    assert names[0] == "baseline"
    assert len(set(names)) == len(names)
    assert len(names) > 1 or study.searches
    twins = len(names) - len({study.recipe(arm, 0).digest for arm in study.arms})
    assert twins <= sum("same recipe" in warning.message for warning in study.warnings)
    assert {arm for design in study.designs for arm in design.cells} | {"baseline"} == set(names)
    assert sum(metric.primary for metric in study.metrics) == 1
    assert list(study.looks) == sorted(set(study.looks))
    assert Study.from_dict(study.to_dict()).to_dict() == study.to_dict()


@fuzz
@given(st.text())
def test_any_text(load: Load, text: str) -> None:
    check(load, text)


@fuzz
@given(st.binary())
def test_any_bytes(load: Load, raw: bytes) -> None:
    check(load, raw)


@fuzz
@given(st.lists(FRAGMENTS, max_size=25).map("".join))
def test_any_pile_of_yaml_pieces(load: Load, text: str) -> None:
    check(load, text)


@fuzz
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_mapping_with_known_words(load: Load, data: dict[str, Any]) -> None:
    check(load, yaml.safe_dump(data, allow_unicode=True))


@fuzz
@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_any_section_beside_a_good_study(load: Load, data: dict[str, Any]) -> None:
    good: dict[str, Any] = {"baseline": {"lr": 0.3}, "vary": {"lr": [0.4]}, "seeds": 2, "metrics": ["psnr"]}
    check(load, yaml.safe_dump(good | data, allow_unicode=True))


@fuzz
@given(st.lists(st.text(max_size=20) | st.builds("{}={}".format, KEYS | NAMES, st.text(max_size=12)), max_size=3))
def test_any_override(load: Load, overrides: list[str]) -> None:
    check(load, "baseline: {lr: 0.3}\nvary: {lr: [0.4]}\nmetrics: {psnr: {}}", overrides=overrides)

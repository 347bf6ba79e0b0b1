"""Results that ablate did not produce: read strictly, every problem with its line, then a report like any other."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import AblateError, TableError
from ablate.outcome import OutcomeKind
from ablate.paths import StudyPaths
from ablate.report.build import build_report
from ablate.report.data.foreign_results import read_results
from ablate.report.data.frames import compare_study
from tests.sentences import SENTENCES

GOOD = """arm,seed,outcome,psnr,width,note
plain,0,measured,29.1,64,
plain,1,measured,29.4,64,x
plain,2,measured,28.8,64,
wide,0,measured,29.6,128,
wide,1,measured,30.0,128,y
wide,2,measured,29.25,128,
odd,0,diverged,,64,
odd,1,diverged,,64,
odd,2,measured,29.1,64,
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(GOOD, encoding="utf-8")
    return path


def problems_of(path: Path, text: str, *metrics: str, baseline: str = "a") -> list[tuple[int, int, str]]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TableError) as caught:
        read_results(path, baseline=baseline, metrics=metrics)
    return [(problem.line, problem.column, problem.message) for problem in caught.value.problems]


def test_a_table_becomes_a_study_with_levels_of_its_arms(written: Path) -> None:
    study, rows = read_results(written, baseline="plain", metrics=["psnr:max:0.1"])
    assert [arm.name for arm in study.arms] == ["plain", "wide", "odd"]
    assert study.arms[1].levels == {"width": 128}
    assert study.arms[1].factor == "width"
    assert (study.name, study.core, study.looks, study.primary.margin) == ("runs", "", (), 0.1)
    assert len(rows) == 9
    assert rows[6].outcome is OutcomeKind.DIVERGED
    comparison = compare_study(study, rows)
    assert comparison.row("odd").verdict == "diverged"
    assert comparison.row("wide").pairs == 3
    assert not [lint for lint in comparison.lints if lint.code in ("extra-seeds", "partial", "same-recipe")]


def test_a_whole_report_is_written_and_suggests_no_run(written: Path, tmp_path: Path) -> None:
    study, rows = read_results(written, baseline="plain", metrics=["psnr:max:0.1"])
    paths = StudyPaths(tmp_path / "runs")
    build_report(study, rows, paths, figures=False)
    page = paths.report_md.read_text(encoding="utf-8")
    assert "ablate run" not in page
    assert "ablate run" not in paths.report_html.read_text(encoding="utf-8")
    assert "<dd></dd>" not in paths.report_html.read_text(encoding="utf-8")
    assert "The results were made elsewhere" in page


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_semicolons_tabs_and_a_byte_order_mark_are_read(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("\ufeff" + GOOD.replace(",", delimiter), encoding="utf-8")
    assert len(read_results(path, baseline="plain")[1]) == 9


def test_every_problem_is_found_in_one_pass_with_its_place(tmp_path: Path) -> None:
    text = 'arm,seed,psnr\na,0,1\na,x,2\na,0,3\nb,1,inf\n,2,4\n"b, c",2,\nb,3,zz\n'
    assert problems_of(tmp_path / "bad.csv", text) == [
        (3, 3, "a seed must be a whole number, got 'x'"),
        (4, 1, "a second result of arm 'a', seed 0"),
        (5, 5, SENTENCES["every problem found one"]),
        (6, 1, "no arm"),
        (7, 1, SENTENCES["every problem found one 2"]),
        (8, 5, "psnr is not a number: 'zz'"),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("arm,seed,psnr\na,0\n", (2, 1, "2 cells, the header has 3")),
        ("arm,seed,psnr,psnr\na,0,1,2\n", (1, 15, "two columns are called 'psnr'")),
        ("arm,,psnr\na,0,1\n", (1, 5, "column 2 has no name")),
        ("arm,seed,outcome,psnr\na,0,fine,1\n", (2, 5, "unknown outcome 'fine'")),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, text: str, problem: tuple[int, int, str]) -> None:
    assert problems_of(tmp_path / "bad.csv", text) == [problem]


def test_a_log_scale_refuses_what_has_no_logarithm(tmp_path: Path) -> None:
    found = problems_of(tmp_path / "bad.csv", "arm,seed,seconds\na,0,0\n", "seconds:min:log")
    assert found == [(2, 5, "seconds must be above 0 on the log scale, got 0")]


@pytest.mark.parametrize(
    ("text", "arguments", "message", "hint"),
    [
        (None, {}, "cannot read", None),
        ("", {}, "is empty", "arm,seed,psnr"),
        ("name,seed,psnr\na,0,1\n", {}, "no column 'arm'", "the columns are"),
        ("arm,sed,psnr\na,0,1\n", {}, "no column 'seed'", "did you mean 'sed'?"),
        ("arm,seed,psnr\nplain,0,1\n", {}, "has no arm 'baseline'", "--baseline NAME"),
        ("arm,seed,psnr\nplain,0,1\n", {"baseline": "plian"}, "has no arm 'plian'", "did you mean 'plain'?"),
        (
            "arm,seed,quality\na,0,1\n",
            {"baseline": "a"},
            "which direction is better (quality)",
            "--metric psnr:max:0.1",
        ),
        ("arm,seed,psnr\na,0,1\n", {"metrics": ["pnsr:max"]}, "no column 'pnsr'", "did you mean 'psnr'?"),
        ('arm,seed,psnr\na,0,"1\n', {"baseline": "a"}, "unexpected end of data", "needs quotes"),
        ("arm,seed,psnr\na,0,\x00\n", {"baseline": "a"}, "is not a text file", None),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, text: str | None, arguments: dict[str, object], message: str, hint: str | None
) -> None:
    path = tmp_path / "runs.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(AblateError) as caught:
        read_results(path, **arguments)  # type: ignore[arg-type]
    assert message in caught.value.message
    assert (hint or "") in (caught.value.hint or "")


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(b"arm,seed,psnr\nb\xe9te,0,1\n")
    with pytest.raises(AblateError, match=r"runs.csv:2: byte 0xE9 is not UTF-8"):
        read_results(path)


@given(text=st.text(alphabet='ab,;\n\t"01.-', max_size=60))
def test_no_text_gives_anything_but_a_study_or_an_expected_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_text(f"arm,seed,psnr\n{text}", encoding="utf-8")
    with contextlib.suppress(AblateError):
        assert read_results(path, baseline="a")[0].baseline.name == "a"

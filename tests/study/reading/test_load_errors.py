"""Study files that are wrong: every problem in one pass, each with its place and what was probably meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.errors import ExitCode, Problem, StudyFileError
from ablate.interface import Core, CoreSettings
from ablate.study.problems import Mark, Problems, Source
from ablate.study.reading.load_study import load_study
from tests.sentences import SENTENCES

Refuse = Callable[..., tuple[Problem, ...]]

BASE = "baseline: {lr: 0.001}\n"
ARM = "vary: {lr: [0.01]}\n"


def marked(text: str) -> tuple[str, list[tuple[int, int, int]]]:
    """Take the places between « and » out of `text`: (line, column, length) of each, in order."""
    lines, places = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        while "«" in line:
            start, end = line.index("«"), line.index("»")
            places.append((number, start + 1, end - start - 1))
            line = line.replace("«", "", 1).replace("»", "", 1)
        lines.append(line)
    return "\n".join(lines), places


CASES = [
    # Keys of the study file.
    ("«sedes»: 3\n" + BASE + ARM, ["unknown key 'sedes'"], "did you mean 'seeds'?"),
    ("«lr»: 3\n" + BASE + ARM, ["unknown key 'lr'"], "'lr' is a factor: put it under 'baseline' or 'vary'"),
    (
        "«dip_lrr»: 3\n" + BASE + ARM,
        ["unknown key 'dip_lrr'"],
        "did you mean the factor 'dip_lr'? it goes under 'baseline' or 'vary'",
    ),
    (
        "search: «{}»\n" + BASE + ARM,
        ["'search' is empty"],
        None,
    ),
    (
        BASE + ARM + "«leave-one-out»:\n«leave_one_out»: {a: {lr: 0.1}}",
        ["empty", "'leave-one-out' is given twice"],
        None,
    ),
    # The baseline.
    ("«v»ary: {lr: [0.01]}\n", ["no baseline to compare the arms with"], None),
    ("«baseline»:\n" + ARM, ["baseline: expected a mapping, got nothing"], "write {} for the core's defaults"),
    ("baseline: «[lr]»\n" + ARM, ["baseline: expected a mapping, got a list"], None),
    ("baseline: {«shedule»: linear}\n" + ARM, ["unknown factor 'shedule'"], "did you mean 'noise_schedule'?"),
    (
        "baseline: {«seeds»: 3}\n" + ARM,
        ["'seeds' is not a factor"],
        "move 'seeds' to the top level of the study file",
    ),
    ("baseline: {lr: «fast»}\n" + ARM, ["lr: expected a number, got 'fast'"], None),
    ("baseline: {lr: «-1»}\n" + ARM, ["lr: -1 is out of range: above 0, at most 1"], None),
    (
        "baseline: {epochs: «010»}\n" + ARM,
        ["epochs: 010 is ambiguous: YAML 1.1 reads it as 8, other readers as 10"],
        "write 10",
    ),
    (
        "baseline: {batch_size: «0»}\n" + ARM,
        ["batch_size: 0 is out of range: at least 1, at most 4096 images"],
        None,
    ),
    ("baseline: {method: «dip-ddpm»}\n" + ARM, ["method: unknown name 'dip-ddpm'"], "did you mean 'dip+ddpm'?"),
    ("baseline: {ema: «1»}\n" + ARM, ["ema: expected true or false, got '1'"], "did you mean true?"),
    (
        "baseline: {lr: «[0.1, 0.2]»}\n" + ARM,
        ["lr: expected one level, got a list"],
        "levels to compare go under 'vary: {lr: [...]}'",
    ),
    ("«baseline»: {method: dip}\n" + ARM, ["method dip has no ema with warmup"], None),
    ("baseline: {channels: «12»}\n" + ARM, ["channels: Input should be a multiple of 8"], None),
    ("data: cifar10\nbaseline: {«data»: cifar10}\n" + ARM, ["data is given twice"], "remove one"),
    ("data: «mnist»\n" + BASE + ARM, ["data: unknown name 'mnist'"], None),
    # Arms.
    ("«b»aseline: {}\n", ["nothing is compared with the baseline"], "add 'vary: {factor: [level, ...]}'"),
    (BASE + "«vary»:\n", ["'vary' is empty"], None),
    (BASE + "vary: «{}»\n", ["'vary' is empty"], None),
    (BASE + "vary: «[lr]»\n", ["'vary': expected a mapping, got a list"], None),
    (BASE + "vary: {«lr»: []}\n", ["'lr' lists no levels"], None),
    (BASE + "vary: {«lr»: }\n", ["'lr' lists no levels"], None),
    (BASE + "vary: {lr: [«{a: 1}»]}\n", ["lr: expected one level, got a mapping"], None),
    (
        BASE + "vary: {lr: [0.01, «1e-3»]}\n",
        ["lr=0.001 is the baseline's own level"],
        "remove it: the baseline is an arm already",
    ),
    (BASE + "vary: {lr: [0.01, «1e-2»]}\n", ["arm 'lr=0.01' is defined twice"], "remove one of them"),
    (
        BASE + "arms: {«same»: {lr: 0.001, epochs: 10}}\n",
        ["arm 'same' resolves to the same recipe as the baseline"],
        "remove one of them",
    ),
    (BASE + "arms: {«lr=0.01»: {epochs: 3}}\nvary: {lr: [«0.01»]}\n", [None, "two arms are called 'lr=0.01'"], None),
    (
        BASE + "arms: {Slow: {epochs: 3}, «slow»: {epochs: 4}}\n",
        ["two arms are called 'slow', which differs from 'Slow' only in case"],
        "choose another name",
    ),
    (BASE + "arms: {«baseline»: {lr: 0.1}}\n", ["'baseline' is the name of the baseline"], "choose another name"),
    (BASE + 'arms: {«"a\\nb"»: {lr: 0.1}}\n', ["unprintable character in the arm name 'a\\nb'"], None),
    (BASE + "arms: {«' '»: {lr: 0.1}}\n", ["an arm's name begins and ends with a visible character: ' '"], None),
    (
        BASE + f"arms: {{? «{'x' * 201}» : {{lr: 0.1}}}}\n",
        ["an arm's name has at most 200 characters, this one has 201"],
        None,
    ),
    (BASE + "arms: {«a»: }\n", ["'a' is empty"], None),
    (BASE + "arms: {a: «{}»}\n", ["'a' is empty"], None),
    (BASE + "arms: {a: «0.1»}\n", ["'a': expected a mapping, got '0.1'"], None),
    (BASE + "arms: {«a»: {method: dip}}\n", ["method dip has no ema with warmup"], None),
    (BASE + "vary: {method: [«dip»]}\n", ["method dip has no ema with warmup"], None),
    (BASE + "vary: {channels: [«20»]}\n", ["channels: Input should be a multiple of 8"], None),
    # Seeds, alpha, budget, question.
    (BASE + ARM + "seeds: «0»", ["seeds: 0 is out of range: at least 1, at most 1000 seeds"], None),
    (BASE + ARM + "seeds: «2.5»", ["seeds: expected a whole number, got '2.5'"], None),
    (
        BASE + ARM + "seeds: «[3, 5]»",
        ["seeds: a list names seeds that follow one another"],
        "write {looks: [3, 5, 10]} for several looks",
    ),
    (BASE + ARM + "seeds: «[]»", ["seeds: a list names seeds that follow one another"], None),
    (BASE + ARM + "seeds: «[999, 1000]»", ["seeds: 1000 is out of range: below 1000"], None),
    (BASE + ARM + "seeds: «[3, 4.5]»", ["seeds: expected a whole number, got '4.5'"], None),
    (BASE + ARM + "seeds: «{}»", ["seeds: expected a list of seed counts"], "write {looks: [3, 5, 10]}"),
    (BASE + ARM + "seeds: {looks: «3»}", ["seeds: expected a list of seed counts"], "write {looks: [3, 5, 10]}"),
    (BASE + ARM + "seeds: {looks: [3, «3», 10]}", ["looks must increase, but 3 follows 3"], None),
    (BASE + ARM + "seeds: {looks: [3], «lok»: 3}", ["unknown key of seeds 'lok'"], None),
    (
        BASE + ARM + "seeds: {looks: [3, 5], boundaries: «spendign»}",
        ["seeds boundaries: unknown name 'spendign'"],
        "did you mean 'spending'?",
    ),
    (
        BASE + ARM + "seeds: {looks: [3, 5], futility: «10»}",
        ["seeds futility: a chance is wanted, from 0 (never stop) to 0.5"],
        "did you mean 0.1?",
    ),
    (BASE + ARM + "seeds: {looks: [3], «futility»: 0.1}", ["seeds futility: needs several looks"], "leave it out"),
    (
        BASE + ARM + "report: {equivalence: «hlm»}",
        ["report equivalence: unknown name 'hlm'"],
        "did you mean 'holm'?",
    ),
    (BASE + ARM + "alpha: «5»", ["alpha: out of range: above 0, at most 0.5"], "did you mean 0.05?"),
    (BASE + ARM + "alpha: «5%»", ["alpha: expected a number, got '5%'"], None),
    (BASE + ARM + "budget: «2»", ["budget: a unit is needed"], "did you mean {hours: 2}?"),
    (BASE + ARM + "budget: {«hour»: 2}", ["unknown unit of a budget 'hour'"], "did you mean 'hours'?"),
    (BASE + ARM + "budget: {hours: «0»}", ["budget: a budget must be above 0"], None),
    (BASE + ARM + "«budget»: {hours: 1, minutes: 30}", ["a budget can have only one unit"], None),
    (BASE + ARM + "question: «[why]»", ["question: expected a text, got a list"], None),
    # The method.
    (BASE + ARM + "report: «welch»", ["report: expected a mapping, got 'welch'"], None),
    (BASE + ARM + "«report»: ", ["report: expected a mapping, got nothing"], "leave it out for the defaults"),
    (BASE + ARM + "«report»: {}", ["report: expected a mapping, got an empty one"], "leave it out for the defaults"),
    (BASE + ARM + "report: {«tset»: welch}", ["unknown key of 'report' 'tset'"], "did you mean 'test'?"),
    (BASE + ARM + "report: {test: «welsh»}", ["report test: unknown name 'welsh'"], "did you mean 'welch'?"),
    (BASE + ARM + "report: {correct: «null»}", ["report correct: unknown name 'null'"], None),
    (BASE + ARM + "report: {noise: «[own]»}", ["report noise: expected a name, got a list"], None),
    (
        BASE + ARM + "report: {test: welch, noise: «pooled»}",
        ["report noise: pooled noise needs the paired test, not welch"],
        "leave out one of them",
    ),
    (
        BASE + ARM + "seeds: 30\nreport: {test: «permutation»}",
        ["report test: exact sign flips work for at most 20 shared seeds; the study plans 30"],
        "use the paired test",
    ),
    # The core.
    ("core: «tyo»\n" + BASE + ARM, ["unknown core 'tyo'"], "did you mean 'toy'?"),
    ("core: «[toy]»\n" + BASE + ARM, ["core: expected the name of a core, got a list"], None),
]


def test_a_long_list_of_known_words_does_not_hide_the_nearest_one() -> None:
    """It is shown where nothing is near: then it is all the help there is."""
    problems, known = Problems(), [f"factor_{number}" for number in range(30)]
    source = Mark(Source("study.yaml", ("factr_1: 1",)), 1, 1, 7)
    problems.unknown(source, "factor", "factr_1", known)
    problems.unknown(source, "factor", "zz", known)
    near, far = problems.errors
    assert (near.suggestion, near.note) == ("did you mean 'factor_1'?", None)
    assert far.note is not None
    assert far.note.endswith("factor_29")


@pytest.mark.parametrize(("text", "messages", "suggestion"), CASES, ids=range(len(CASES)))
def test_a_problem_has_its_place_and_a_remedy(
    text: str, messages: list[str | None], suggestion: str | None, refuse: Refuse
) -> None:
    """Each case marks the places that the carets must underline; the suggestion is that of the last problem."""
    plain, places = marked(text)
    problems = refuse(plain)
    expected = [place for place, message in zip(places, messages, strict=True) if message is not None]
    assert [(problem.line, problem.column, problem.length) for problem in problems] == expected
    for problem, message in zip(problems, [message for message in messages if message], strict=True):
        assert message in problem.message
        assert problem.source_line == plain.split("\n")[problem.line - 1]
    assert problems[-1].suggestion == suggestion or suggestion is None


def test_every_problem_is_found_in_one_pass(refuse: Refuse, pointed: Callable[[Problem], str]) -> None:
    """Also those under a misspelt key, and in file order."""
    problems = refuse(
        "baselin: {shedule: linear, lr: 7}\n"
        "vary:\n"
        "  noise_schedule: [cosin, cosine]\n"
        "  batch_size: [0.5]\n"
        "arms:\n"
        "  fast: {lr: quick, sedes: 3}\n"
        "seeds: none\n"
        "metrics: {psnr: {primary: true, margin: -1}, sim: {}}\n"
        "alpha: 7\n"
        "colour: red\n"
    )
    assert [(problem.line, pointed(problem)) for problem in problems] == [
        (1, "baselin"),
        (1, "shedule"),
        (1, "7"),
        (3, "cosin"),
        (4, "0.5"),
        (6, "quick"),
        (6, "sedes"),
        (7, "none"),
        (8, "-1"),
        (8, "sim"),
        (9, "7"),
        (10, "colour"),
    ]


def test_a_broken_baseline_does_not_accuse_the_arms(refuse: Refuse) -> None:
    """Arms are compared with a baseline that can be resolved, or not at all."""
    problems = refuse("baseline: {lr: fast}\nvary: {lr: [0.001], epochs: [10]}\n")
    assert [problem.message for problem in problems] == ["lr: expected a number, got 'fast'"]


def test_known_words_are_listed(refuse: Refuse) -> None:
    (problem,) = refuse("baseline: {method: cnn}\n" + ARM)
    assert problem.note == "known: ddpm, dip, dip+ddpm, off"


def test_the_place_of_the_baseline_is_named(refuse: Refuse) -> None:
    (stated,) = refuse(BASE + "vary: {lr: [0.001]}")
    (default,) = refuse("baseline: {}\nvary: {lr: [0.001]}")
    assert stated.note is not None
    assert stated.note.endswith("study.yaml:1:16")
    assert default.note == "the baseline's: the core's default"


def test_one_sentence_about_many_arms_is_said_once(refuse: Refuse) -> None:
    """A grid has one place for all its arms."""
    (problem,) = refuse(BASE + "grid: {method: [dip, ddpm], epochs: [1, 2, 3, 4]}")
    assert problem.message == "method dip has no ema with warmup"
    assert problem.note is not None
    assert problem.note.startswith("arms: method=dip, epochs=1, method=dip, epochs=2")
    assert problem.note.endswith("and 1 more")


@pytest.mark.parametrize(
    ("raw", "message", "place"),
    [
        (b"", "the study file is empty", (1, 1)),
        (b"# nothing\n", "the study file is empty", (1, 1)),
        (b"{}", "the study file is empty", (1, 1)),
        (b"- a\n- b\n", "a study file is a mapping of keys, not a list", (1, 1)),
        (b"hello", "a study file is a mapping of keys, not 'hello'", (1, 1)),
        ("baseline: {}".encode("utf-16"), "is UTF-16, a study file is UTF-8", (0, 0)),
        ("question: ä\nname: ö".encode("latin-1"), "byte 0xE4 is not UTF-8", (1, 11)),
        ("question: ä\nquestion: ".encode() + b"\xff", "byte 0xFF is not UTF-8", (2, 11)),
        (b"\xef\xbb\xbfa: \xff", "byte 0xFF is not UTF-8", (1, 4)),
        (b"a: 1\r\x80", "byte 0x80 is not UTF-8", (2, 1)),
        (b" " * 8_000_001, "too long for a study file: more than 8000000 bytes", (0, 0)),
    ],
)
def test_what_is_no_study_file_at_all(raw: bytes, message: str, place: tuple[int, int], refuse: Refuse) -> None:
    (problem,) = refuse(raw)
    assert problem.message == message
    assert (problem.line, problem.column) == place


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "schedules.yaml").write_text("")
    with pytest.raises(StudyFileError) as caught:
        load_study(tmp_path / "schedule.yaml", resolve_core=lambda name, folder: pytest.fail("not reached"))
    (problem,) = caught.value.problems
    assert problem.message == "no such study file"
    assert problem.suggestion == f"did you mean {str(tmp_path / 'schedules.yaml')!r}?"


def test_a_folder_is_not_a_study_file(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError) as caught:
        load_study(tmp_path, resolve_core=lambda name, folder: pytest.fail("not reached"))
    assert caught.value.problems[0].message == "cannot be read: Is a directory"


@pytest.mark.parametrize("file", ["a:b.yaml", ".hidden.yaml", "ends with space .yaml"])
def test_a_file_name_that_cannot_be_a_folder(file: str, refuse: Refuse) -> None:
    (problem,) = refuse(BASE + ARM, file)
    assert problem.message.endswith("cannot be a study's name")
    assert problem.line == 0


def test_the_count_of_errors_is_the_message(refuse: Refuse, load: Callable[..., object]) -> None:
    with pytest.raises(StudyFileError, match="2 errors, nothing was started") as caught:
        load("baseline: {lr: 7}\nvary: {lr: [8]}")
    assert caught.value.exit_code is ExitCode.USAGE


def test_too_many_arms_are_refused(refuse: Refuse) -> None:
    levels = ", ".join(str(number) for number in range(1, 102))
    (problem,) = refuse(BASE + f"grid: {{batch_size: [{levels}], epochs: [{levels}]}}")
    assert problem.message == "'grid' has 10201 combinations, at most 10000"


def test_very_many_levels_are_refused(refuse: Refuse) -> None:
    levels = ", ".join(str(number) for number in range(11, 10_012))
    (problem,) = refuse(BASE + f"vary: {{epochs: [{levels}]}}")
    assert problem.message == "10001 arms, at most 10000"


def test_a_core_without_defaults_cannot_be_varied(tmp_path: Path, toy: type[Core]) -> None:
    """What is wrong with the user's core is said like what is wrong with the study file."""

    class Settings(CoreSettings):
        lr: float

    class Mine(toy):  # type: ignore[valid-type, misc]  # the toy comes from a fixture
        pass

    Mine.Settings = Settings
    path = tmp_path / "study.yaml"
    path.write_text("core: mine:Mine\n" + BASE + ARM)
    with pytest.raises(StudyFileError) as caught:
        load_study(path, resolve_core=lambda name, folder: Mine)
    assert [problem.message for problem in caught.value.problems] == ["setting 'lr' of Settings has no default"]


def test_a_core_that_measures_nothing_is_refused(tmp_path: Path, toy: type[Core]) -> None:
    class Mine(toy):  # type: ignore[valid-type, misc]  # the toy comes from a fixture
        metrics = ()

    path = tmp_path / "study.yaml"
    path.write_text("core: mine:Mine\n" + BASE + ARM)
    with pytest.raises(StudyFileError) as caught:
        load_study(path, resolve_core=lambda name, folder: Mine)
    (problem,) = caught.value.problems
    assert problem.message == SENTENCES["core measures nothing refused"]
    assert (problem.line, problem.column, problem.length) == (1, 7, 9)


def test_a_core_without_factors_is_refused(tmp_path: Path, toy: type[Core]) -> None:
    class Mine(toy):  # type: ignore[valid-type, misc]  # the toy comes from a fixture
        Settings = CoreSettings

    path = tmp_path / "study.yaml"
    path.write_text("core: mine:Mine\nbaseline: {}\n")
    with pytest.raises(StudyFileError) as caught:
        load_study(path, resolve_core=lambda name, folder: Mine)
    assert caught.value.problems[0].message == SENTENCES["core without factors refused"]


def test_a_path_that_cannot_be_is_refused() -> None:
    with pytest.raises(StudyFileError) as caught:
        load_study(Path("a\0b.yaml"), resolve_core=lambda name, folder: pytest.fail("not reached"))
    assert caught.value.problems[0].message == "cannot be read: embedded null byte"

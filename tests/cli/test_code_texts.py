"""Code that is edited between two runs of a study: its results mix, and everybody who shows them says so."""

from __future__ import annotations

import json
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ablate as api
from ablate.storage.read import read_study
from ablate.storage.rows import code_texts, mixed_text, mixed_texts, texts_of

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

URL = "sqlite:///results/ablate.db"
RUN = ("--slots", "1", "--gpus", "none", "--no-report", "--quiet")
SCRIPT = """
import sys

print("score", float(sys.argv[1]) + int(sys.argv[2]) % 7 + 0)
"""
COMMAND = f"""
question: Does the step size matter?
command: {sys.executable} c.py {{lr}} {{seed}} --config base.yaml --out scores.txt
factors: {{lr: 0.1}}
baseline: {{}}
vary: {{lr: [0.2]}}
seeds: 2
metrics: {{score: {{primary: true, direction: max, margin: 0.1, from: 'stdout:score (.*)'}}}}
"""
FUNCTION = """
def train(*, lr: float = 0.1, seed: int) -> dict[str, float]:
    return {"score": lr + seed % 7 + 0}
"""
FUNCTIONS = """
question: Does the step size matter?
core: train.py:train
baseline: {}
vary: {lr: [0.2]}
seeds: 2
metrics: {score: {primary: true, direction: max, margin: 0.1}}
"""
CLASS = """
from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind


class Settings(CoreSettings):
    lr: float = 0.1


class Mine(Core):
    name = "mine"
    Settings = Settings
    metrics = (MetricInfo("score", "max"),)

    def run(self, recipes, context):
        for recipe in recipes:
            score = recipe.settings["lr"] + recipe.seed % 7 + 0
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"score": score})
"""
QUIET: dict[str, Any] = {"slots": 1, "gpus": "none", "progress": "none"}


@pytest.fixture(params=["command", "function", "class"])
def code(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study whose code is in the file that is returned."""
    monkeypatch.chdir(tmp_path)
    for name in ("train", "mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    name, text, study = {
        "command": ("c.py", SCRIPT, COMMAND),
        "function": ("train.py", FUNCTION, FUNCTIONS),
        "class": ("mine.py", CLASS, FUNCTIONS.replace("train.py:train", "mine.py:Mine")),
    }[request.param]
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "base.yaml").write_text("a: 1\n", encoding="utf-8")
    (tmp_path / "steps.yaml").write_text(study, encoding="utf-8")
    return tmp_path / name


def edit(code: Path) -> None:
    code.write_text(code.read_text(encoding="utf-8").replace("+ 0", "+ 0.5"), encoding="utf-8")


def one_line(text: str) -> str:
    return " ".join(text.split())


def page(name: str) -> str:
    return one_line(Path("results/steps", name).read_text(encoding="utf-8"))


def test_an_edit_between_two_runs_is_said_by_everybody(ablate: Ablate, code: Path) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    edit(code)
    older = rf"4 results from another text of {re.escape(code.name)} than there is now"
    where = r"text [0-9a-f]{12}: baseline, lr=0\.2 \(seeds 0-1\)"
    planned = ablate("plan", "steps.yaml", "--seeds", "3")
    assert planned.code == 0
    assert re.search(older, one_line(planned.err))
    (plan,) = [json.loads(line) for line in ablate("plan", "steps.yaml", "--json").out.splitlines()]
    assert re.search(where, str(plan["warnings"]))
    ran = ablate("run", "steps.yaml", "--seeds", "3", "--slots", "1", "--gpus", "none", "--no-report")
    assert ran.code == 0
    assert re.search(older, one_line(ran.err))
    assert "--name" in one_line(ran.err)

    both = (
        rf"2 texts of {re.escape(code.name)}, oldest first: {where}; text [0-9a-f]{{12}}: baseline, lr=0\.2 \(seed 2\)"
    )
    assert ablate("report", "steps", "--no-figures").code == 0
    for name in ("report.md", "report.html"):
        assert re.search(both, page(name)), name
    report = json.loads(Path("results/steps/report.json").read_text(encoding="utf-8"))
    assert "code-texts" in [lint["code"] for lint in report["comparison"]["lints"]]
    audited = ablate("audit", "steps")
    assert audited.code == 0  # another text may do the same
    assert "sound" in audited.out
    assert re.search(f"note: code-texts: study steps: its results are of {both}", one_line(audited.out))
    (found,) = [json.loads(line) for line in ablate("audit", "steps", "--json").out.splitlines()]
    assert [note["kind"] for note in found["notes"]] == ["code-texts"]


def test_an_edit_is_said_where_nothing_is_left_to_run(ablate: Ablate, code: Path) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    edit(code)
    said = ablate("run", "steps.yaml", "--slots", "1", "--gpus", "none")
    assert said.code == 0
    assert "nothing to run" in said.err
    assert "another text" in one_line(said.err)


def test_code_that_is_unchanged_is_nothing_to_speak_of(ablate: Ablate, code: Path) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    Path("scores.txt").write_text("what a script writes is no code", encoding="utf-8")
    planned = ablate("plan", "steps.yaml", "--seeds", "3")
    ran = ablate("run", "steps.yaml", "--seeds", "3", "--slots", "1", "--gpus", "none", "--no-report")
    assert (planned.code, ran.code) == (0, 0)
    assert ablate("report", "steps", "--no-figures").code == 0
    audited = ablate("audit", "steps")
    for text in (planned.err, ran.err, audited.out, page("report.md"), page("report.html")):
        assert not re.search(r"texts? of |code-texts", text)
    rows = read_study(URL, "steps")[1]
    assert all(code.name in texts_of(row) for row in rows)
    assert mixed_texts(rows) == {}


def test_reading_imports_no_code(ablate: Ablate, code: Path) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    code.write_text("raise SystemExit('this was run')\n", encoding="utf-8")
    assert ablate("report", "steps", "--no-figures").code == 0
    assert ablate("audit", "steps").code == 0


@pytest.mark.parametrize("code", ["command"], indirect=True)
def test_a_configuration_file_of_a_command_belongs_to_it(ablate: Ablate, code: Path) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    (code.parent / "base.yaml").write_text("a: 2\n", encoding="utf-8")
    said = one_line(ablate("plan", "steps.yaml", "--seeds", "3").err)
    assert "another text of base.yaml" in said
    assert "of c.py" not in said


@pytest.mark.parametrize("code", ["command"], indirect=True)
def test_arms_with_a_script_each_are_no_edit(ablate: Ablate, code: Path) -> None:
    (code.parent / "d.py").write_text(f"{SCRIPT}# another one\n", encoding="utf-8")
    study = COMMAND.replace("c.py {lr}", "{script} 1").replace("{lr: 0.1}", "{script: c.py}")
    (code.parent / "steps.yaml").write_text(study.replace("lr: [0.2]", "script: [d.py]"), encoding="utf-8")
    assert ablate("run", "steps.yaml", *RUN).code == 0
    rows = read_study(URL, "steps")[1]
    assert set(code_texts(rows)) == {"c.py", "d.py", "base.yaml"}
    assert mixed_texts(rows) == {}
    assert "text of" not in ablate("plan", "steps.yaml", "--seeds", "3").err


@pytest.mark.parametrize("code", ["function"], indirect=True)
def test_the_text_is_the_one_that_was_imported(ablate: Ablate, code: Path) -> None:
    """The file is edited while its function runs."""
    code.write_text(
        FUNCTION.replace(
            "    return", f"    with open({str(code)!r}, 'a') as file:\n        file.write('#')\n    return"
        ),
        encoding="utf-8",
    )
    assert ablate("run", "steps.yaml", *RUN).code == 0
    assert code.read_text(encoding="utf-8").endswith("####")
    (text,) = {texts_of(row)["train.py"] for row in read_study(URL, "steps")[1]}
    assert text
    assert "another text of train.py" in one_line(ablate("plan", "steps.yaml", "--seeds", "3").err)


@pytest.mark.parametrize("code", ["function"], indirect=True)
def test_a_version_that_is_stated_says_it_all(ablate: Ablate, code: Path) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    edit(code)
    with code.open("a", encoding="utf-8") as file:
        file.write('\n\ntrain.version = "2"\n')
    sys.modules.pop("train", None)
    said = ablate("plan", "steps.yaml", "--seeds", "3").err
    assert "of version 1 of core" in one_line(said)
    assert "another text" not in said
    assert ablate("run", "steps.yaml", "--seeds", "3", "--keep-old", *RUN).code == 0
    assert mixed_texts(read_study(URL, "steps")[1]) == {}


@pytest.mark.parametrize("code", ["function"], indirect=True)
def test_an_import_of_another_text_says_so(ablate: Ablate, code: Path) -> None:
    assert ablate("run", "steps.yaml", "--seed-range", "0..1", *RUN).code == 0
    assert ablate("archive", "steps").code == 0
    Path("results").rename("elsewhere")
    edit(code)
    assert ablate("run", "steps.yaml", "--seed-range", "2..3", *RUN).code == 0
    said = ablate("import", "steps.ablate.zip")
    assert said.code == 0
    older, newer = (rf"text \w+: baseline, lr=0\.2 \(seeds {seeds}\)" for seeds in ("0-1", "2-3"))
    assert re.search(f"2 texts of train.py, oldest first: {older}; {newer}", one_line(said.err))


def test_a_function_that_is_defined_again_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook: the same name, other lines, and one study."""
    monkeypatch.chdir(tmp_path)
    asked: dict[str, Any] = {"vary": {"lr": [0.2]}, "metrics": {"score": "max:0.1"}, **QUIET}

    def train(*, lr: float = 0.1, seed: int) -> dict[str, float]:
        return {"score": lr + seed % 7}

    def same() -> Any:
        def train(*, lr: float = 0.1, seed: int) -> dict[str, float]:
            return {"score": lr + seed % 7}

        return train

    first, again, other = same(), same(), train
    for function in (first, again, other):
        function.__qualname__ = "train"
    api.run(first, seeds=2, **asked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        api.run(again, seeds=3, **asked)

    def train(*, lr: float = 0.1, seed: int) -> dict[str, float]:  # type: ignore[no-redef]
        return {"score": lr + seed % 7 + 0.5}

    train.__qualname__ = "train"
    with pytest.warns(UserWarning, match="6 results from another text of train than there is now"):
        done = api.run(train, seeds=4, **asked)
    assert done.complete
    said = mixed_text(mixed_texts(read_study(URL, "train")[1]))
    assert re.fullmatch(
        r"2 texts of train, oldest first: text \w+: baseline, lr=0\.2 \(seeds 0-2\); "
        r"text \w+: baseline, lr=0\.2 \(seed 3\)",
        said,
    )

"""A study of a command is read with every mistake in one pass, each where it stands."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from ablate.core.command.spec.specification import CommandSpec
from ablate.core.shared.registry import core_class
from ablate.errors import Problem, StudyChangedError, StudyFileError
from ablate.study.changes import check_against_stored
from ablate.study.plan import replicates
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Study

COMMAND = "sh train.sh --lr {lr} --layers {layers:,} {augment:--augment} --seed {seed} --out {folder}"
METRICS = """
metrics:
  accuracy: {primary: true, direction: max, margin: 0.5%, from: "json:{folder}/m.json#test/accuracy"}
  loss: {direction: min, unit: nats, scale: log, margin: 5%, from: 'stdout:final loss: ([0-9.e+-]+)'}
  curve: {from: "csv:{folder}/log.csv", x: epoch, accuracy: val_acc}
"""
STUDY = f"""
command: {COMMAND}
factors: {{lr: 0.001, layers: [64, 64], augment: true}}
baseline: {{}}
vary: {{lr: [0.01, 1], layers: [[32], []]}}
{METRICS}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.sh").touch()
    return tmp_path


def load(folder: Path, text: str, **more: Any) -> Study:
    path = folder / "toy.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_study(path, resolve_core=core_class, **more)


def problems(folder: Path, text: str, **more: Any) -> tuple[Problem, ...]:
    with pytest.raises(StudyFileError) as caught:
        load(folder, text, **more)
    return caught.value.problems


def changed(**sections: str) -> str:
    """The study with some of its lines replaced, or others added."""
    lines = STUDY.splitlines()
    for name, value in sections.items():
        at = next((n for n, line in enumerate(lines) if line.startswith(f"{name}:")), None)
        if at is None:
            lines.append(f"{name}: {value}")
        else:
            lines[at] = f"{name}: {value}"
    return "\n".join(lines)


def test_a_study_of_a_command_is_read_whole(folder: Path) -> None:
    study = load(folder, STUDY)
    assert study.core == "command"
    assert [arm.name for arm in study.arms] == ["baseline", "lr=0.01", "lr=1", "layers=[32]", "layers=[]"]
    line = "sh train.sh --lr '{lr}' --layers '{layers:,}' '{augment:--augment}' --seed '{seed}' --out '{folder}'"
    assert dict(study.arms[2].settings) == {
        "lr": 1.0,
        "layers": (64, 64),
        "augment": True,
        "command": line,
    }
    assert [(one.name, one.direction, one.unit, one.scale) for one in study.metrics] == [
        ("accuracy", "max", "", "identity"),
        ("loss", "min", "nats", "log"),
    ]
    assert study.primary.name == "accuracy"
    assert study.warnings == ()
    spec = CommandSpec.from_dict(study.core_parameters)
    assert spec.words == tuple(COMMAND.split())
    assert spec.curves[0].columns == {"accuracy": "val_acc"}
    assert spec.primary == "accuracy"


def test_the_study_and_its_recipes_survive_storage(folder: Path) -> None:
    study = load(folder, STUDY)
    again = Study.from_dict(study.to_dict())
    assert again.core_parameters == study.core_parameters
    core = core_class(again.core, folder, again.core_parameters)
    for replicate in replicates(study, seeds=1):
        settings = dict(replicate.recipe.settings)
        assert core.Settings.model_validate(settings).resolved() == settings


def digests(study: Study) -> list[str]:
    return [one.recipe.digest for one in replicates(study, seeds=1)]


def test_a_recipe_depends_on_command_environment_and_version_and_not_on_the_place_of_the_study(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other" / "deep"
    for place in (one, other):
        place.mkdir(parents=True)
        (place / "train.sh").touch()
    base = digests(load(one, STUDY))
    as_list = f"[{', '.join(repr(word) for word in COMMAND.split())}]"
    same = [
        load(other, STUDY),
        load(one, changed(command=as_list)),
        load(one, changed(progress="'epoch (.*)'", diverged="[3, nan]", resume="--go {folder}/x")),
    ]
    assert [digests(study) for study in same] == [base] * 3
    changes = {"command": f"{COMMAND} -v", "env": "{A: 1}", "version": "2"}
    others = [digests(load(one, changed(**{name: value}))) for name, value in changes.items()]
    assert all(set(found).isdisjoint(base) for found in others)


def test_a_text_and_a_list_and_lines_are_one_command(folder: Path) -> None:
    folded = changed(
        command=">\n  sh train.sh --lr {lr} --layers {layers:,}\n  {augment:--augment} --seed {seed} --out {folder}"
    )
    assert digests(load(folder, folded)) == digests(load(folder, STUDY))


@pytest.mark.parametrize(
    ("default", "level", "value"),
    [
        ("1", "2", 2),
        ("1.0", "2", 2.0),
        ("1e-3", "1", 1.0),
        ("true", "false", False),
        ("adam", "sgd", "sgd"),
        ("'1'", "2", "2"),
        ("0.5", "null", None),
        ("null", "0.5", 0.5),
        ("null", "sgd", "sgd"),
        ("[64, 64]", "[32]", (32,)),
        ("[0.5, 1]", "[1]", (1.0,)),
        ("[]", "[a, 1]", ("a", 1)),
        ("{lr: 0.1}", "{lr: 1}", {"lr": 1}),
    ],
)
def test_the_default_decides_what_a_level_is(folder: Path, default: str, level: str, value: object) -> None:
    text = f"""
    command: sh train.sh {{x}} {{seed}}
    factors: {{x: {default}}}
    baseline: {{}}
    vary: {{x: [{level}]}}
    metrics: {{acc: {{direction: max, from: 'stdout:x', margin: 1}}}}
    """
    found = load(folder, text).arms[1].settings["x"]
    assert found == value
    assert type(found) is type(value) or isinstance(value, dict)


MISTAKES = [
    ({"command": f"{COMMAND} {{layer}}"}, "placeholder {layer}", "did you mean 'layers'?", "{layer}"),
    ({"command": f"{COMMAND} {{x}}"}, "no factor for the placeholder {x}", "add 'x: DEFAULT'", "{x}"),
    ({"command": COMMAND.replace("{lr}", "{lr*}")}, "{lr*} wants a list", None, "{lr*}"),
    ({"command": COMMAND.replace("{folder}", "{folder:,}")}, "folder is one value", "write {folder}", "{folder:,}"),
    ({"command": f"{COMMAND} {{"}, "a single {", "{{", "{"),
    ({"command": f"{COMMAND} > log.txt"}, "'>' needs a shell", "bash", ">"),
    ({"command": f'{COMMAND} "open'}, "cannot be split into words", "close the quotes", None),
    ({"command": "{a: b}"}, "expected a text or a list of words", None, None),
    ({"command": "[sh, [x]]"}, "expected a word, got a list", None, "[x]"),
    ({"command": ""}, "command is empty", "python train.py", None),
    ({"command": COMMAND.replace("sh", "pyton3", 1)}, "no command 'pyton3'", "did you mean 'python3", "pyton3"),
    ({"command": COMMAND.replace("sh", "no-such-shell", 1)}, "no command 'no-such-shell'", "PATH", "no-such-shell"),
    (
        {"command": COMMAND.replace("train.sh", "trian.sh")},
        "no script 'trian.sh'",
        "did you mean 'train.sh'?",
        "trian.sh",
    ),
    ({"pictures": "samples.png"}, "'samples.png' is not in {folder}", "'{folder}/*.png'", "samples.png"),
    ({"pictures": "['{folder}/../a.png']"}, "is not in {folder}", "'{folder}/*.png'", None),
    ({"pictures": "'{folder}/{x}.png'"}, "no factor for the placeholder {x}", "add 'x: DEFAULT'", "{x}"),
    ({"pictures": "{a: b}"}, "pictures: expected a path in {folder}", None, None),
    ({"factors": "{}"}, "factors: expected a mapping", None, None),
    (
        {"factors": "{lr: 1.0, layers: [1], augment: true, seed: 3}"},
        "'seed' cannot be a factor's name",
        "placeholder",
        "seed",
    ),
    ({"factors": "{lr: 1.0, layers: [1], augment: true, model_fields: 3}"}, "the name is taken", None, "model_fields"),
    ({"factors": "{lr: .inf, layers: [1], augment: true}"}, "finite", None, ".inf"),
    ({"env": "[A]"}, "env: expected a mapping", None, None),
    ({"env": "{A: '{rate}'}"}, "no factor for the placeholder {rate}", None, "{rate}"),
    ({"env": "{ABLATE_SEED: 1}"}, "is set by ablate", None, "ABLATE_SEED"),
    ({"env": "{a-b: 1}"}, "is no variable's name", None, "a-b"),
    ({"directory": "gone"}, "there is no folder 'gone'", None, "gone"),
    ({"resume": "--resume"}, "resume names no file in {folder}", "last.ckpt", "--resume"),
    ({"resume": "{file: x}"}, "expected file and add", None, None),
    ({"progress": "'epoch \\d+'"}, "which part is the number?", "(\\d+)", None),
    ({"progress": "'epoch ('"}, "not a regular expression", None, None),
    ({"progress": "{from: 'csv:x'}"}, "which part is the number?", None, None),
    ({"progress": "{form: x}"}, "unknown key of 'progress' 'form'", "did you mean 'from'?", "form"),
    ({"warm": "[torch]"}, "'sh' is not python", "leave warm out", None),
    ({"warm": "[torch vision]"}, "warm: expected a module's name", "[torch]", "torch vision"),
    ({"warm": "{torch: 1}"}, "warm: expected a module's name", "[torch]", None),
    ({"diverged": "0"}, "from 1 to 255", "quote it", "0"),
    ({"diverged": "'('"}, "not a regular expression", None, None),
    ({"failed": "[{a: 1}]"}, "expected a pattern or an exit code", None, None),
    ({"core": "ddpm-dip"}, "unknown key 'command'", "write core: command", "command"),
    ({"factorz": "{}"}, "unknown key 'factorz'", "did you mean 'factors'?", "factorz"),
]


@pytest.mark.parametrize(("sections", "message", "suggestion", "piece"), MISTAKES, ids=[one[1] for one in MISTAKES])
def test_a_mistake_is_said_where_it_stands(
    folder: Path, sections: dict[str, str], message: str, suggestion: str | None, piece: str | None
) -> None:
    found = problems(folder, changed(**sections))
    [mine] = [one for one in found if message in one.message] or [found[0]]
    assert message in mine.message
    assert (suggestion or "") in (mine.suggestion or mine.note or "")
    if piece is not None:
        at = mine.column - 1
        assert mine.source_line[at : at + mine.length] == piece


METRIC_MISTAKES = [
    ("acc: {from: 'json:m.json'}", "is higher or lower better?", "direction: max"),
    ("acc: {direction: max}", "acc: from where?", "json:{folder}/metrics.json#acc"),
    ("acc: {direction: up, from: 'json:m.json'}", "unknown name 'up'", "max, min"),
    ("acc: {direction: max, form: 'json:m.json'}", "unknown key of a metric 'form'", "did you mean 'from'?"),
    ("acc: {direction: max, from: 'jsn:m.json'}", "unknown source 'jsn'", "did you mean json:?"),
    ("acc: {direction: max, from: 'json:{fodler}/m.json'}", "no factor for the placeholder {fodler}", "folder"),
    ("acc: {direction: max, from: 'stdout:(a)(b)'}", "2 groups", "(?P<value>...)"),
    ("acc: 'json:m.json'", "acc: expected a mapping", "direction: max"),
    ("curve: {from: 'csv:m.csv', x: epoch}", "a learning curve alone measures nothing", "direction: max"),
    ("curve: {from: 'json:m.json', x: epoch, a: b}", "unknown source 'json'", "did you mean jsonl:?"),
    ("curve: {from: 'tensorboard:x', x: epoch, a: b}", "the x of TensorBoard's scalars", "write x: step"),
    ("curve: {x: epoch}", "curve: from where?", "csv:{folder}/log.csv"),
]


@pytest.mark.parametrize(("entry", "message", "suggestion"), METRIC_MISTAKES, ids=[one[1] for one in METRIC_MISTAKES])
def test_a_mistake_in_the_metrics_is_said(folder: Path, entry: str, message: str, suggestion: str) -> None:
    found = problems(folder, STUDY.replace(METRICS, f"metrics:\n  {entry}\n"))
    mine = [one for one in found if message in one.message]
    assert len(mine) == 1, found
    assert suggestion in f"{mine[0].suggestion} {mine[0].note}"
    assert mine[0].line > 0


def test_several_mistakes_are_found_in_one_pass(folder: Path) -> None:
    text = changed(command=COMMAND.replace("{lr}", "{rl}"), env="{ABLATE_X: 1}", diverged="0", seeds="many")
    found = [one.message for one in problems(folder, text.replace("direction: max, ", ""))]
    assert len(found) == 5


WARNINGS = [
    (
        {"command": COMMAND.replace("--lr {lr} ", "")},
        "factor 'lr' has no placeholder in the command: it changes nothing",
        "lr",
    ),
    ({"command": COMMAND.replace(" --seed {seed}", "")}, "the command has no {seed}", "command"),
    ({"command": f"{COMMAND} --home $HOME"}, "'$HOME' is handed on as it is", "$HOME"),
    ({"command": COMMAND.replace("{folder}", "runs/1")}, "several trials have --out runs/1", "runs/1"),
    ({"command": COMMAND.replace("{folder}", "{arm}")}, "several trials have --out {arm}", "{arm}"),
    ({"command": f"{COMMAND} -o runs"}, "several trials have -o runs", "runs"),
    ({"env": "{OUTPUT_DIR: runs}"}, "several trials have OUTPUT_DIR=runs", "runs"),
    ({"command": f"[sh, -c, '{COMMAND} > log.txt']"}, "several trials have > log.txt", "log.txt"),
    ({"command": f"[sh, -c, '{COMMAND} 2>&1 | tee -a logs/a.txt']"}, "several trials have > logs/a.txt", "logs/a.txt"),
    ({"command": f"{COMMAND} hydra.run.dir=runs"}, "several trials have hydra.run.dir=runs", "runs"),
]


@pytest.mark.parametrize(("sections", "message", "piece"), WARNINGS, ids=[one[1] for one in WARNINGS])
def test_what_is_doubtful_is_warned_of_where_it_stands(
    folder: Path, sections: dict[str, str], message: str, piece: str
) -> None:
    [warning] = load(folder, changed(**sections)).warnings
    assert message in warning.message
    assert warning.suggestion is not None
    at = warning.column - 1
    assert warning.source_line[at : at + warning.length].startswith(piece)


def python(folder: Path) -> str:
    """A command of Python with the placeholders of the shell's."""
    (folder / "train.py").write_text("", encoding="utf-8")
    words = ", ".join(json.dumps(word) for word in [sys.executable, "-u", "train.py", *COMMAND.split()[2:]])
    return f"[{words}]"


def test_warm_is_read_and_changes_no_recipe(folder: Path) -> None:
    plain = load(folder, changed(command=python(folder)))
    assert CommandSpec.from_dict(plain.core_parameters).warm == ()
    for text, expected in (("torch", ("torch",)), ("[torch, a.b]", ("torch", "a.b")), ("null", ()), ("[]", ())):
        warm = load(folder, changed(command=python(folder), warm=text))
        assert CommandSpec.from_dict(warm.core_parameters).warm == expected
        assert warm.baseline.settings == plain.baseline.settings
        assert warm.warnings == ()


def test_a_variable_that_no_two_trials_share_is_no_matter_for_a_warm_start_and_that_is_warned_of(folder: Path) -> None:
    text = changed(command=python(folder), warm="[torch]", env="{RUN_NAME: 'x-{arm}'}")
    [warning] = load(folder, text).warnings
    assert "warm has no effect" in warning.message


def test_places_that_differ_in_every_trial_are_no_doubt(folder: Path) -> None:
    for place in ("{folder}/x", "runs/{arm}/{seed}", "runs/{arm}-{index}", "{lr}{layers:,}{seed}"):
        assert load(folder, changed(command=COMMAND.replace("{folder}", place))).warnings == ()
    assert load(folder, changed(command=f"{COMMAND} --data-dir /data --checkpoint best")).warnings == ()
    for line in ("> {folder}/log", "2>&1 > /dev/null", "| tee $0", "> log-{arm}-{seed}"):
        assert load(folder, changed(command=f"[sh, -c, '{COMMAND} {line}']")).warnings == ()
    assert load(folder, changed(env="{OUTPUT_DIR: '{folder}/x', DATA: /data}")).warnings == ()
    words = COMMAND.partition(" ")[2].replace("{", "'{").replace("}", "}'").split()
    code = f"[python3, -c, 'print(2 > 1)', {', '.join(words)}]"
    assert load(folder, changed(command=code)).warnings == ()
    assert load(folder, changed(command=f"[sh, -c, '{COMMAND} | awk \"{{{{if (x > 3) print}}}}\"']")).warnings == ()


def test_a_metric_that_all_trials_write_to_one_file_is_warned_of(folder: Path) -> None:
    [warning] = load(folder, STUDY.replace("json:{folder}/m.json", "json:m.json")).warnings
    assert "several trials have m.json" in warning.message


def test_a_curve_of_a_metric_that_is_nearly_one_of_the_studys_is_warned_of(folder: Path) -> None:
    [warning] = load(folder, STUDY.replace("accuracy: val_acc", "acuracy: val_acc")).warnings
    assert warning.suggestion == "did you mean 'accuracy'?"


def test_a_curve_without_columns_has_those_called_as_the_metrics(folder: Path) -> None:
    spec = CommandSpec.from_dict(load(folder, STUDY.replace(", accuracy: val_acc", "")).core_parameters)
    assert spec.curves[0].columns == {"accuracy": "accuracy", "loss": "loss"}


def test_resume_and_progress_are_read(folder: Path) -> None:
    text = changed(
        resume="--resume={folder}/last.ckpt",
        progress="{from: 'jsonl:{folder}/p#at/step', total: '{lr}'}",
        failed="[3, ^no]",
    )
    spec = CommandSpec.from_dict(load(folder, text).core_parameters)
    assert (spec.resume, spec.resume_file) == (("--resume={folder}/last.ckpt",), "{folder}/last.ckpt")
    assert spec.progress is not None
    assert (spec.progress.done, spec.progress.total) == ("at/step", "{lr}")
    assert dataclasses.astuple(spec.ends["failed"]) == ((3,), ("^no",))
    text = changed(resume="{file: '{folder}/ckpt', add: [--resume, auto]}", progress="'(\\d+) of (\\d+)'")
    spec = CommandSpec.from_dict(load(folder, text).core_parameters)
    assert (spec.resume, spec.resume_file) == (("--resume", "auto"), "{folder}/ckpt")


def test_a_metric_that_is_read_from_elsewhere_is_another_metric_once_there_are_results(folder: Path) -> None:
    before, after = load(folder, STUDY), load(folder, STUDY.replace("#test/accuracy", "#val/accuracy"))
    check_against_stored(before, after, has_results=False)
    change = "accuracy: was read from json:{folder}/m.json#test/accuracy, now from json:{folder}/m.json#val/accuracy"
    with pytest.raises(StudyChangedError, match=re.escape(change)):
        check_against_stored(Study.from_dict(before.to_dict()), after)


def test_overrides_change_the_command_and_the_baseline(folder: Path) -> None:
    study = load(folder, STUDY, overrides=["version=3", "lr=0.5", "out_of_memory=9", "factors.augment=false"])
    assert study.baseline.settings["lr"] == 0.5
    assert study.baseline.settings["augment"] is False
    assert study.baseline.settings["command version"] == "3"
    assert CommandSpec.from_dict(study.core_parameters).ends["out_of_memory"].codes == (9,)


def test_a_factor_may_be_called_as_a_section_of_commands_in_other_studies(folder: Path) -> None:
    """``env`` and ``version`` are names of factors as good as any where there is no command."""
    (folder / "envcore.py").write_text(
        "from ablate import Core, CoreSettings, MetricInfo\n"
        "class Settings(CoreSettings):\n    env: str = 'a'\n"
        "class Own(Core):\n    name = 'own'\n    Settings = Settings\n    metrics = (MetricInfo('score', 'max'),)\n"
        "    def run(self, recipes, context):\n        return []\n",
        encoding="utf-8",
    )
    text = "core: envcore:Own\nbaseline: {env: b}\nvary: {env: [c]}\n"
    study = load(folder, text, overrides=["env=d"])
    assert study.baseline.settings == {"env": "d"}


def test_a_command_study_has_designs_and_searches_like_any_other(folder: Path) -> None:
    study = load(folder, changed(vary="{lr: [0.1]}", grid="{augment: [true, false], lr: [0.5]}"))
    assert [arm.name for arm in study.arms[1:]] == ["lr=0.1", "augment=true, lr=0.5", "augment=false, lr=0.5"]
    ranges = "{trials: 3, factors: {lr: {from: 0.001, to: 1, log: true}, augment: [true, false]}}"
    [search] = load(folder, changed(vary="{lr: [0.1]}", search=ranges)).searches
    assert [one.factor for one in search.ranges] == ["lr", "augment"]


def test_a_command_of_a_study_file_in_a_results_folder_is_never_run(tmp_path: Path) -> None:
    """What lies there may have come with somebody else's archive."""
    place = tmp_path / "results" / "toy"
    (place / "trials").mkdir(parents=True)
    (place / "plan.json").touch()
    [problem] = problems(place, STUDY)
    assert "nothing there is run" in problem.message

"""The tutorial on commands says what is so: its study files are read, its first one is the example."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ablate.core.command.spec.specification import CommandSpec
from ablate.core.command.spec.template import Command
from ablate.core.shared.registry import core_class
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Study

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "tutorials" / "commands.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def read(folder: Path, text: str) -> Study:
    (folder / "page.yaml").write_text(text, encoding="utf-8")
    return load_study(folder / "page.yaml", resolve_core=core_class)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(EXAMPLES / "argparse" / "train.py", tmp_path / "train.py")
    return tmp_path


def test_the_first_study_of_the_page_is_the_example(folder: Path) -> None:
    page, example = read(folder, BLOCKS[0]), load_study(EXAMPLES / "argparse" / "moons.yaml", resolve_core=core_class)
    assert page.warnings == example.warnings == ()
    assert [arm.settings for arm in page.arms] == [arm.settings for arm in example.arms]
    assert page.primary == example.primary


def test_the_sources_of_the_page_are_read(folder: Path) -> None:
    metrics = next(block for block in BLOCKS if block.startswith("metrics:"))
    head = "command: python train.py --lr {lr} --seed {seed}\nfactors: {lr: 0.1}\nbaseline: {}\nvary: {lr: [1]}\n"
    spec = CommandSpec.from_dict(read(folder, head + metrics).core_parameters)
    assert [metric.source.kind for metric in spec.metrics.values()] == ["json", "csv", "jsonl", "tensorboard", "stdout"]
    assert spec.curves[0].columns == {"accuracy": "val_acc"}


@pytest.mark.parametrize(
    "line",
    [
        "progress: 'epoch (\\d+)/(\\d+)'",
        "resume: --resume {folder}/last.ckpt",
        'resume: {file: "{folder}/last.ckpt", add: --resume}',
        'progress: {from: "jsonl:{folder}/log.jsonl", done: step, total: "{steps}"}',
        "diverged: loss is nan",
        'pictures: "{folder}/samples-*.png"',
        "diverged: 3",
        'failed: "^WARNING: no data"',
        'env: {WANDB_MODE: offline, DATA: "/data/{data}"}',
        'command: [bash, -c, "python train.py --lr $0 | tee log", "{lr}"]',
    ],
)
def test_a_line_of_the_page_is_read(folder: Path, line: str) -> None:
    assert line.split(": ", 1)[1] in PAGE
    command = "" if line.startswith("command") else "command: python train.py --lr {lr} --seed {seed}\n"
    rest = (
        "factors: {lr: 0.1, steps: 3, data: x}\nbaseline: {}\nvary: {lr: [1]}\n"
        "metrics: {a: {direction: max, margin: 1, from: 'stdout:x'}}\n"
    )
    assert read(folder, f"{command}{rest}{line}\n").core == "command"


@pytest.mark.parametrize(
    ("words", "values", "given"),
    [
        ("--lr {lr}", {"lr": 0.01}, "--lr 0.01"),
        ("--layers {layers:,}", {"layers": [64, 64]}, "--layers 64,64"),
        ("--layers {layers*}", {"layers": [64, 64]}, "--layers 64 64"),
        ("layers={layers}", {"layers": [64, 64]}, "layers=[64,64]"),
        ("{adam:--adam|--no-adam}", {"adam": False}, "--no-adam"),
        ("--decay {decay}", {"decay": None}, ""),
        ("--verbose {file}", {"file": None}, ""),
    ],
)
def test_the_placeholders_of_the_page_give_what_it_says(words: str, values: dict[str, object], given: str) -> None:
    assert words.replace("|", "\\|") in PAGE
    assert " ".join(Command.parse(["x", *words.split()]).arguments(values)) == f"x {given}".strip()


def test_the_studies_of_the_overview_are_read_without_a_warning(folder: Path) -> None:
    page = (ROOT / "docs" / "tutorials" / "own-code.md").read_text(encoding="utf-8")
    command, function = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert read(folder, command).core == "command"
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (folder / "train.py").write_text(code, encoding="utf-8")
    study = read(folder, function)
    assert (study.core, study.primary.name) == ("train.py:train", "accuracy")
    assert study.warnings == ()

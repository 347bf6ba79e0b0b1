"""The documentation stays true: links lead somewhere, examples run, and it speaks of ablate alone."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ablate
from ablate.outcome import OutcomeKind
from ablate.report.statistics.model import Verdict

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page: Path) -> None:
    links = [match.group(1) for match in LINK.finditer(page.read_text(encoding="utf-8"))]
    local = [link for link in links if not link.startswith(("http://", "https://", "mailto:"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_no_path_of_one_machine(page: Path) -> None:
    assert not re.search(r"/(home|root|work|Users)/", page.read_text(encoding="utf-8"))


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for match in LINK.finditer(page.read_text(encoding="utf-8")):
            target = (page.parent / match.group(1)).resolve()
            if target.is_dir():
                waiting.extend(target.glob("*.md"))
            elif target.exists():
                waiting.append(target)
    assert sorted(str(page.relative_to(ROOT)) for page in set(PAGES) - reached) == []


def test_the_example_of_the_readme_is_a_core() -> None:
    """With a training of the test in the place of the reader's."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    code = next(text for kind, text in FENCE.findall(page) if kind == "python")
    names: dict[str, Any] = {"fit": lambda lr, width, seed: SimpleNamespace(accuracy=lr * width + seed)}
    exec(code, names)
    core = ablate.function_core(names["train"], metrics={"accuracy": "max"})
    assert list(core.Settings.model_fields) == ["lr", "width"]
    assert names["train"](seed=2) == {"accuracy": pytest.approx(8.4)}


def write_own_code(folder: Path) -> None:
    """Write the two files of the page on own code."""
    blocks = FENCE.findall((ROOT / "docs" / "tutorials" / "own-class.md").read_text(encoding="utf-8"))
    (folder / "mycore.py").write_text(next(text for kind, text in blocks if kind == "python"), encoding="utf-8")
    (folder / "parabola.yaml").write_text(next(text for kind, text in blocks if kind == "yaml"), encoding="utf-8")


def test_the_own_core_example_runs_as_printed(tmp_path: Path) -> None:
    write_own_code(tmp_path)
    command = [sys.executable, "-m", "ablate", "run", "parabola.yaml", "--slots", "1", "--no-figures"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    arms = (tmp_path / "results" / "parabola" / "arms.csv").read_text(encoding="utf-8")
    assert "lr=0.2" in arms
    check_results_page(tmp_path / "results", "parabola", metrics={"loss"})


def test_the_own_function_page_runs_as_printed(tmp_path: Path) -> None:
    blocks = FENCE.findall((ROOT / "docs" / "tutorials" / "own-function.md").read_text(encoding="utf-8"))
    functions = [text for kind, text in blocks if kind == "python"]
    (tmp_path / "train.py").write_text(functions[0], encoding="utf-8")
    (tmp_path / "widths.yaml").write_text(next(text for kind, text in blocks if kind == "yaml"), encoding="utf-8")
    command = [sys.executable, "-m", "ablate", "run", "widths.yaml", "--slots", "1", "--no-figures"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert "layers=[32, 32]" in (tmp_path / "results" / "widths" / "arms.csv").read_text(encoding="utf-8")
    check_results_page(tmp_path / "results", "widths", metrics={"accuracy", "parameters"})
    for text in functions:
        names: dict[str, Any] = {"__name__": "page"}
        exec(text, names)
        assert ablate.function_core(names["train"]).metrics_from_study


def test_the_python_page_runs_as_printed(tmp_path: Path) -> None:
    """Its blocks are one script, beside the files of the page on own code."""
    write_own_code(tmp_path)
    page = (ROOT / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
    script = "".join(text for kind, text in FENCE.findall(page) if kind == "python")
    (tmp_path / "script.py").write_text(f"{script}\nprint(len(frame), 'rows')\n", encoding="utf-8")
    run = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("9 9\nTrue\n")
    assert run.stdout.endswith("\n3 rows\n")


def check_results_page(results: Path, study: str, *, metrics: set[str]) -> None:
    """Every file and trial attribute of a real run is on the page of results."""
    page = (ROOT / "docs" / "reference" / "results.md").read_text(encoding="utf-8")
    made = [path.relative_to(results).parts for path in results.rglob("*") if path.is_file()]
    patterns = {
        "/".join(("results", "STUDY" if parts[0] == study else parts[0], *parts[1:2]))
        if parts[1:2] != ("trials",)
        else f"results/STUDY/trials/ARM-sSEED/{parts[3]}"
        for parts in made
    }
    assert {name for name in patterns if f"`{name}`" not in page and f"`{name}/`" not in page} == set()
    query = "select distinct key from trial_user_attributes"
    with closing(sqlite3.connect(results / "ablate.db")) as database:
        keys = {key for (key,) in database.execute(query)}
    assert {key for key in keys - metrics if f"`{key}`" not in page} == set()


WORDS = [*OutcomeKind, *Verdict, "study", "factor", "level", "arm", "baseline", "replicate", "recipe", "trial", "stage"]
WORDS += ["batch", "outcome", "slot", "engine", "launcher", "core", "verdict", "look", "lane", "footprint", "fusion"]


def test_every_word_of_the_vocabulary_has_a_definition() -> None:
    page = (ROOT / "docs" / "explanation" / "concepts.md").read_text(encoding="utf-8")
    defined = {word for cell in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE) for word in cell.split(", ")}
    source = (ROOT / "ablate" / "core" / "ddpm_dip" / "stages" / "digests.py").read_text(encoding="utf-8")
    stages = {f"`{name}`" for name in re.findall(r'\bStage\("(\w+)"', source)}
    assert len(stages) > 4
    assert {*map(str, WORDS), *stages} - defined == set()


def test_every_file_that_contributing_names_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| a ")]
    assert len(table) >= 10
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*|mkdocs\.yml)`", "\n".join(table)))
    assert len(named) > 40
    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert [line for line in table if "`tests/" not in line] == []


CHECKS = {"S": 7, "P": 8, "G": 7, "I": 7, "U": 8, "M": 8, "R": 2}
"""How many acceptance checks there are, by letter."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    missing = [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")]
    assert missing == []


def test_every_acceptance_check_has_a_test_and_no_other_name_is_used() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    marked = {name for text in sources for name in re.findall(r'mark\.acceptance\("(\w+)"\)', text)}
    assert marked == {f"{letter}{number}" for letter, count in CHECKS.items() for number in range(1, count + 1)}


def test_the_acceptance_page_shows_every_check_or_says_why_not() -> None:
    page = (ROOT / "docs" / "evidence" / "acceptance.md").read_text(encoding="utf-8")
    said, _, table = page.partition("## Measured")
    shown = set(re.findall(r"^\| ([SPGIUMR]\d) \|", table, re.MULTILINE))
    every = {f"{letter}{number}" for letter, count in CHECKS.items() for number in range(1, count + 1)}
    assert {name for name in every - shown if name not in said} == set()
    assert shown <= every
    assert "**no**" not in table

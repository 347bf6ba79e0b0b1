"""What ``--compile`` means, what a plan says of it, and what a failure does to a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.engine.compile_choice import MODES, compilation_of, compilation_within, require_compilable, updates_waiting
from ablate.engine.run_study import RunOptions
from ablate.engine.workers.slots import Slot
from ablate.errors import AblateError
from ablate.interface import EAGER, Compilation, Stage
from tests.engine.conftest import Bench

CPU = (Slot(0, "cpu", 1, None, "a processor"),)
STAGES = (
    Stage("denoiser", "a", steps=100, program="p"),
    Stage("denoiser", "a", steps=300, program="p"),
    Stage("denoiser", "b", steps=51, program="p"),
    Stage("denoiser", "c", steps=7, program="q"),
    Stage("dip", "d", steps=1000),
)


@pytest.mark.parametrize("text", ["", "yes", "ON", "1"])
def test_anything_but_the_three_words_is_refused(text: str) -> None:
    with pytest.raises(AblateError, match="is not possible") as caught:
        compilation_of(text, CPU)
    assert caught.value.hint == "auto, off, on"
    assert [compilation_of(mode, ()).mode for mode in MODES] == list(MODES)


def test_on_without_a_compiler_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(AblateError, match=r"no C\+\+ compiler"):
        compilation_of("on", CPU)
    assert compilation_of("auto", CPU).mode == "auto"


def test_on_is_refused_where_nothing_can_be_compiled() -> None:
    require_compilable(Compilation("on"), STAGES)
    require_compilable(Compilation("auto"), STAGES[-1:])
    with pytest.raises(AblateError, match="no trial of this study"):
        require_compilable(Compilation("on"), STAGES[-1:])


def test_updates_are_counted_per_program_and_slot_and_shared_ones_once() -> None:
    """The longest of one digest; rounded up."""
    assert updates_waiting(STAGES, 2) == {"p": 176, "q": 4}
    assert compilation_within(Compilation("auto"), "s", {"p": 1}, fixed=True) == Compilation("auto", "s", {"p": 1})
    assert compilation_within(Compilation("auto"), "s", {}, fixed=False) == EAGER
    assert compilation_within(Compilation("on"), "s", {}, fixed=False).mode == "on"


STUDY = """
question: is this long enough to compile
baseline: {epochs: 400, train_images: 6400, batch_size: 64}
vary: {noise_schedule: [cosine]}
metrics: [psnr]
seeds: 1
"""


def test_plan_says_what_might_be_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trainings of 40,000 updates on two slots; nothing without a compiler, and nothing of a short study."""
    file = tmp_path / "long.yaml"
    file.write_text(STUDY, encoding="utf-8")

    def plan(*options: str) -> str:
        words = ["plan", str(file), "--results", str(tmp_path / "r"), "--gpus", "none", "--slots", "2", *options]
        said = CliRunner().invoke(app, words)
        assert said.exit_code == 0, said.output
        return said.stdout

    monkeypatch.setattr("ablate.core.programs.compile_rules.missing", lambda device: None)
    monkeypatch.setattr("ablate.engine.compile_choice.missing", lambda device: None)
    line = "compile networks of 40,000 updates per slot"
    assert f"{line}, where a measurement shows that it pays" in plan()
    assert f"{line}\n" in plan("--compile", "on")
    assert "--compile on" in plan("--compile", "on").splitlines()[-1]
    assert "compile" not in plan("--compile", "off").replace("--compile off", "").replace(file.stem, "")
    assert "networks of" not in plan("--set", "epochs=1")
    monkeypatch.setattr("ablate.core.programs.compile_rules.missing", lambda device: "C++ compiler")
    assert "networks of" not in plan()


def test_a_failure_to_compile_ends_the_run_and_no_trial_counts_as_failed(bench: Bench) -> None:
    """What the core raises under ``on`` is one clear error; the same command goes on when it is mended."""
    core = bench.folder / "toycore.py"
    working = core.read_text(encoding="utf-8")
    broken = working.replace(
        "        settings = Settings(**recipe.settings)\n", "        raise CompileError('no luck')\n"
    )
    assert broken != working
    core.write_text(broken.replace("import DivergedError", "import CompileError, DivergedError"), encoding="utf-8")
    text = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 2\n"
    with pytest.raises(AblateError, match="no luck"):
        bench.run(text, options=RunOptions(stop_s=5.0))
    assert {row.outcome.value for row in bench.rows() if row.outcome is not None} <= {"stopped", "lost"}
    core.write_text(working, encoding="utf-8")
    assert bench.run(text).done == 4

"""A study small enough to run a hundred times, on a core without torch whose behaviour the study file decides."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ablate.core.shared.registry import core_class
from ablate.engine.display.display_events import DisplayEvent
from ablate.engine.run_study import RunOptions, RunSummary, run_study
from ablate.engine.workers.launcher_api import Launcher, LocalLauncher
from ablate.engine.workers.slots import Slot, cluster_slots
from ablate.interface import Core
from ablate.paths import ResultsPaths, StudyPaths
from ablate.search import Search
from ablate.storage.candidates import tried_of
from ablate.storage.levels import ParamKind
from ablate.storage.read import read_study
from ablate.storage.rows import TrialRow
from ablate.study.plan import replicates
from ablate.study.reading.load_study import load_study
from ablate.study.settle import stand
from ablate.study.spec import Study

TOY_CORE = """
from __future__ import annotations

import json
import os
import resource
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind, Recipe, TrialContext
from ablate.errors import DivergedError, StoppedError


class Settings(CoreSettings):
    mode: Literal["ok", "diverge", "raise", "hang", "die", "memory", "exit", "gate", "full", "file"] = Field(
        "ok", description="what happens"
    )
    steps: int = Field(3, ge=1, description="number of steps")
    offset: float = Field(0.0, description="added to the score")


class Toy(Core):
    name = "toy"
    Settings = Settings
    metrics = (MetricInfo("score", direction="max", doc="a number that every step changes"),)

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> Iterator[tuple[Recipe, Outcome]]:
        for recipe in recipes:
            yield recipe, self.compute(recipe, context)

    def compute(self, recipe: Recipe, context: TrialContext) -> Outcome:
        settings = Settings(**recipe.settings)
        folder = context.folder(recipe)
        checkpoint = folder / "checkpoint.json"
        step, score = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, settings.offset + recipe.seed)
        computed = 0
        (folder / "whose.txt").write_text(f"{context.study} {context.arm(recipe)} {context.seed_index(recipe)}")
        while step < settings.steps:
            step, score, computed = step + 1, score * 1.000001 + 0.1, computed + 1
            with (folder / "steps.txt").open("a") as handle:
                handle.write(f"{step} {os.getpid()}\\n")
            context.curve(recipe, step, score=score)
            context.progress(recipe, "steps", step, settings.steps, loss=1 / step)
            (folder / "new.json").write_text(json.dumps([step, score]))
            os.replace(folder / "new.json", checkpoint)
            context.checkpointed()
            if context.stop_requested:
                raise StoppedError
            if step >= 2:
                self.strike(settings.mode, recipe, context)
        return Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"score": score}, images_seen=step,
                       notes=tuple(f"asked for {name}" for name in sorted(context.wanted)))

    def strike(self, mode: str, recipe: Recipe, context: TrialContext) -> None:
        folder = context.folder(recipe)
        struck = folder / "struck"
        first = not struck.exists()
        struck.touch()
        if mode == "diverge":
            raise DivergedError("loss is nan", images_seen=2)
        if mode == "raise":
            raise RuntimeError(f"this cannot work with seed {recipe.seed}")
        if mode == "exit":
            raise SystemExit(3)
        if mode == "memory":
            raise MemoryError
        if mode == "die" and first:
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "hang" and first:
            signal.pause()
        if mode == "gate" and first:
            # A step that takes for ever, but looks whether it should stop; the stage's name tells the test.
            context.progress(recipe, "gate", 0, 1)
            while not context.stop_requested:
                threading.Event().wait(0.005)
        while mode == "file" and not (folder / "go").exists():
            threading.Event().wait(0.005)
        if mode == "full" and first:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
"""

DRIVER = """
import json, sys
from pathlib import Path

from ablate.core.shared.registry import core_class
from ablate.engine.clusters.job_launcher import ClusterLauncher, Listen
from ablate.engine.clusters.job_options import JobOptions
from ablate.engine.workers.launcher_api import LocalLauncher
from ablate.engine.run_study import RunOptions, run_study
from ablate.engine.workers.slots import Slot
from ablate.engine.clusters.slurm import Slurm
from ablate.errors import AblateError
from ablate.paths import ResultsPaths
from ablate.storage.candidates import tried_of
from ablate.storage.read import read_study
from ablate.study.reading.load_study import load_study
from ablate.study.plan import replicates
from ablate.study.settle import stand

folder = Path(sys.argv[1])
written = load_study(folder / "toy.yaml", resolve_core=core_class)
results = ResultsPaths(folder / "results")
core = core_class(written.core, folder)
rows = read_study(results.default_storage, written.name)[1] if results.database.exists() else []
found = stand(written, core, tried_of(rows))
study = found.study
slots = int(sys.argv[2]) if len(sys.argv) > 2 else 2
jobs = len(sys.argv) > 3
places = [f"job-{index}" if jobs else "" for index in range(slots)]
try:
    summary = run_study(
        study,
        core,
        () if found.open else replicates(study),
        searches=found.open,
        results=results,
        storage_url=results.default_storage,
        slots=[Slot(index, "cpu", 1, None, "test processor", place=place) for index, place in enumerate(places)],
        listen=lambda event: print(json.dumps(event.to_dict()), flush=True),
        options=RunOptions(),
        kinds={"mode": "text", "steps": "int", "offset": "float"},
        launcher=ClusterLauncher(Slurm(JobOptions()), Listen()) if jobs else LocalLauncher(),
    )
except AblateError as error:
    sys.exit(f"{type(error).__name__}: {error.message}")
sys.exit(int(summary.exit_code))
"""
DEADLINE_S = 120.0

KINDS: Mapping[str, ParamKind] = {"mode": "text", "steps": "int", "offset": "float"}


E = TypeVar("E", bound=DisplayEvent)


@dataclass
class Bench:
    """A folder with the toy core and study files, and a way to run them in this process."""

    folder: Path
    events: list[DisplayEvent] = field(default_factory=list)
    server: str = ""
    """URL of a storage on a database server; empty for the file in the results folder."""

    @property
    def storage(self) -> str:
        return self.server or self.results.default_storage

    @property
    def results(self) -> ResultsPaths:
        return ResultsPaths(self.folder / "results")

    @property
    def paths(self) -> StudyPaths:
        return self.results.study("toy")

    def write(self, text: str, name: str = "toy") -> Path:
        """Write a study file; question, core, metrics and seeds are added."""
        head = "question: Does it hold?\ncore: toycore:Toy\nmetrics: {score: {primary: true}}\n"
        path = self.folder / f"{name}.yaml"
        path.write_text(head + textwrap.dedent(text), encoding="utf-8")
        return path

    def run(
        self,
        text: str,
        *,
        slots: int = 1,
        options: RunOptions | None = None,
        listen: Callable[[DisplayEvent], None] | None = None,
        arms: Sequence[str] = (),
        launcher: Launcher | None = None,
    ) -> RunSummary:
        """Run a study file in this process: its searches, if one is not finished, else its arms."""
        path = self.write(text)
        written = load_study(path, resolve_core=core_class)
        core = core_class(written.core, self.folder)
        study, searches = standing(written, core, self.results) if not self.server else (written, ())
        return run_study(
            study,
            core,
            () if searches else replicates(study, arms=arms),
            results=self.results,
            storage_url=self.storage,
            slots=cpu_slots(slots) if launcher is None else cluster_slots(slots, kind="test", gpu=False, threads=1),
            launcher=launcher or LocalLauncher(),
            listen=listen or self.events.append,
            options=options or RunOptions(),
            kinds=KINDS,
            searches=searches,
        )

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def rows(self) -> list[TrialRow]:
        """Return what is stored."""
        return read_study(self.storage, "toy")[1]

    def results_of(self) -> dict[tuple[str, int], tuple[str, float | None]]:
        """Return (arm, seed) -> outcome and score, of every trial that is a result; each key must occur once."""
        found: dict[tuple[str, int], tuple[str, float | None]] = {}
        for row in self.rows():
            if row.outcome is not None and row.outcome.is_result:
                assert (row.arm, row.seed) not in found
                found[(row.arm, row.seed)] = (row.outcome.value, row.metrics.get("score"))
        return found

    def steps(self, arm: str, seed: int) -> list[int]:
        """Return the steps that were computed for a replicate, in order, over all attempts."""
        text = (self.paths.trial(arm, seed).folder / "steps.txt").read_text(encoding="utf-8")
        return [int(line.split()[0]) for line in text.splitlines()]

    def start(self, text: str, *, slots: int = 2, slurm: bool = False) -> Driven:
        """Run a study file in a process of its own."""
        self.write(text)
        return Driven(
            subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(self.folder), str(slots), *(["slurm"] if slurm else [])],
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        )


def standing(written: Study, core: type[Core], results: ResultsPaths) -> tuple[Study, tuple[Search, ...]]:
    """Return how a study stands by what is stored, and its open searches."""
    rows = read_study(results.default_storage, written.name)[1] if results.database.exists() else []
    found = stand(written, core, tried_of(rows))
    return found.study, found.open


@dataclass
class Driven:
    """A run in another process, whose events can be waited for."""

    process: subprocess.Popen[bytes]
    rest: bytes = b""
    seen: list[dict[str, Any]] = field(default_factory=list)

    def wait_for(self, count: int = 1, **fields: object) -> None:
        """Read events until `count` of them had these fields; fails after a generous deadline."""
        assert self.process.stdout is not None
        while sum(fields.items() <= event.items() for event in self.seen) < count:
            ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE_S)
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert data, f"no {fields} among {self.seen}"
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.seen += [json.loads(line) for line in lines]

    def end(self) -> int:
        """Wait for the end of the process; return its exit code."""
        self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode


def wait_until_gone(pid: int) -> bool:
    """Wait until a process that is no child of ours has ended; False when it is still there after the deadline."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], DEADLINE_S)[0])
    finally:
        os.close(descriptor)


def score_after(steps: int, start: float = 0.0) -> float:
    """Return what the toy core measures when nothing disturbs it."""
    score = start
    for _ in range(steps):
        score = score * 1.000001 + 0.1
    return score


def cpu_slots(count: int) -> tuple[Slot, ...]:
    """Return CPU slots of one thread."""
    return tuple(Slot(index, "cpu", 1, None, "test processor") for index in range(count))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Return an empty bench; its core is forgotten afterwards, because every test has its own copy."""
    folder = tmp_path / "it's a bench"
    folder.mkdir()
    (folder / "toycore.py").write_text(TOY_CORE, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.delitem(sys.modules, "toycore", raising=False)
    yield Bench(folder)
    sys.modules.pop("toycore", None)

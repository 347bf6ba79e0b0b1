"""Studies whose processes may be killed at any moment, and what has to be true of them afterwards."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.core.shared.registry import core_class
from ablate.engine.records.audit import audit
from ablate.paths import ResultsPaths
from ablate.storage.read import read_study
from ablate.study.reading.load_study import load_study
from tests.engine.conftest import wait_until_gone

CHECKPOINTS = '''
import hashlib, json, os, shutil
from pathlib import Path


def save(folder, state):
    """Keep the last two, each with a digest; the newest is there at any moment."""
    with (folder / "steps.txt").open("a") as handle:
        handle.write(f"{state[0]}\\n")
    text = json.dumps(state)
    (folder / "new").write_text(json.dumps([text, hashlib.sha256(text.encode()).hexdigest()]))
    if (folder / "last.json").exists():
        shutil.copyfile(folder / "last.json", folder / "before.json")
    os.replace(folder / "new", folder / "last.json")


def newest(folder):
    for name in ("last.json", "before.json"):
        try:
            text, digest = json.loads((folder / name).read_text())
        except (OSError, ValueError):
            continue
        if hashlib.sha256(text.encode()).hexdigest() == digest:
            return json.loads(text)
    return [0, 0.0, 0.0]


def walk(seed, stride, steps, start):
    """A random walk; yields [steps done, place, furthest place] after every twenty steps."""
    step, x, far = start
    while step < steps:
        word = hashlib.sha256(f"{seed} walk {step}".encode()).digest()
        x += stride * (int.from_bytes(word[:6], "big") / 2**48 - 0.5)
        far, step = max(far, abs(x)), step + 1
        for _ in range(600):  # some work that cannot be left out
            word = hashlib.sha256(word).digest()
        if step % 20 == 0:
            yield [step, x, far]
'''
"""A random walk with checkpoints it can trust."""
WALKER = (
    CHECKPOINTS
    + """

from pydantic import Field

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind
from ablate.errors import StoppedError


class Settings(CoreSettings):
    stride: float = Field(1.0, description="length of a step")
    steps: int = Field(400, description="steps, a multiple of 20")


class Walker(Core):
    name = "walker"
    Settings = Settings
    metrics = (MetricInfo("end", direction="max"), MetricInfo("far", direction="max"))

    def run(self, recipes, context):
        for recipe in recipes:
            yield recipe, self.walked(recipe, context)

    def walked(self, recipe, context):
        folder, asked = context.folder(recipe), Settings(**recipe.settings)
        step, x, far = newest(folder)
        for step, x, far in walk(recipe.seed, asked.stride, asked.steps, [step, x, far]):
            context.curve(recipe, step, end=x)
            context.progress(recipe, "walk", step, asked.steps)
            save(folder, [step, x, far])
            if context.stop_requested:
                raise StoppedError
        return Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"end": x, "far": far}, images_seen=step)
"""
)
WALKS = """question: How far does it walk?
core: walker:Walker
baseline: {stride: 1.0}
vary: {stride: [0.5, 2.0, 4.0]}
seeds: 6
metrics: {end: {primary: true}, far: {}}
"""
SCRIPT = (
    CHECKPOINTS
    + """

import argparse

options = argparse.ArgumentParser()
for name, kind in (("stride", float), ("seed", int), ("steps", int), ("folder", Path)):
    options.add_argument(f"--{name}", type=kind)
options.add_argument("--resume", action="store_true")
asked = options.parse_args()
with open("pids.txt", "a") as handle:
    handle.write(f"{os.getpid()}\\n")
step, x, far = newest(asked.folder) if asked.resume else [0, 0.0, 0.0]
for step, x, far in walk(asked.seed, asked.stride, asked.steps, [step, x, far]):
    save(asked.folder, [step, x, far])
    print(f"step {step}/{asked.steps}", flush=True)
(asked.folder / "metrics.json").write_text(json.dumps({"end": x, "far": far}))
"""
)
"""The same walk as a script, for the core `command`."""
COMMANDS = """question: How far does a script walk?
command: python walk.py --stride {stride} --seed {seed} --steps {steps} --folder {folder}
factors: {stride: 1.0, steps: 400}
baseline: {}
vary: {stride: [0.5, 2.0, 4.0]}
seeds: 6
resume: {file: "{folder}/last.json", add: --resume}
progress: 'step (\\d+)/(\\d+)'
metrics:
  end: {from: "json:{folder}/metrics.json#end", direction: max, primary: true}
  far: {from: "json:{folder}/metrics.json#far", direction: max}
"""
DRIVER = """
import json, sys
from pathlib import Path

from ablate.api.param_kinds import param_kinds
from ablate.core.shared.registry import core_class
from ablate.engine.run_study import RunOptions, run_study
from ablate.engine.workers.slots import Slot
from ablate.interface import Fusion
from ablate.paths import ResultsPaths
from ablate.study.reading.load_study import load_study
from ablate.study.plan import replicates

file = Path(sys.argv[1])
study = load_study(file, resolve_core=core_class)
core = core_class(study.core, file.parent, study.core_parameters)
results = ResultsPaths(file.parent / "results")
summary = run_study(
    study, core, replicates(study), results=results, storage_url=results.default_storage,
    slots=[Slot(index, "cpu", 1, None, "a processor") for index in range(int(sys.argv[4]))],
    listen=lambda event: print(json.dumps(event.to_dict()), flush=True),
    options=RunOptions(checkpoint_s=float(sys.argv[2]), fusion=Fusion(int(sys.argv[3]), forced=True)),
    kinds=param_kinds(core),
)
sys.exit(int(summary.exit_code))
"""
DEADLINE_S = 240.0


@dataclass
class Victim:
    """A study in a folder, run in processes of its own that may be killed."""

    file: Path
    checkpoint_s: float = 20.0
    fuse: int = 1
    slots: int = 2
    kills: int = 0
    parents: int = 0
    """Of the kills, those of the run itself."""
    workers: set[int] = field(default_factory=set)

    @property
    def results(self) -> ResultsPaths:
        return ResultsPaths(self.file.parent / "results")

    def start(self) -> subprocess.Popen[bytes]:
        numbers = map(str, (self.checkpoint_s, self.fuse, self.slots))
        command = [sys.executable, "-c", DRIVER, str(self.file), *numbers]
        return subprocess.Popen(
            command, bufsize=0, stdout=subprocess.PIPE, start_new_session=True, cwd=self.file.parent
        )

    def undisturbed(self) -> list[dict[str, Any]]:
        """Run the study to its end; return the run's events."""
        run = self.start()
        out, _ = run.communicate(timeout=4 * DEADLINE_S)
        assert run.returncode == 0
        return [json.loads(line) for line in out.splitlines()]

    def killed(self, when: Callable[[dict[str, Any]], bool]) -> None:
        """Run the study, and kill the parent at the first event for which `when` is true; its workers go with it."""
        run = self.start()
        while (line := self._line(run)) is not None and not when(json.loads(line)):
            pass
        self.living()
        run.kill()
        run.communicate()
        assert run.returncode == -signal.SIGKILL
        assert all(wait_until_gone(pid) for pid in self.workers)

    def checkpoints(self, kind: str) -> list[Path]:
        """Return the checkpoints of `kind` in the stage cache, oldest first."""
        return sorted(self.results.cache.rglob(f"{kind}-*.pt"), key=lambda path: path.name)

    def commands(self) -> list[int]:
        """Return the processes that commands of the study ever had."""
        file = self.file.parent / "pids.txt"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def steps(self) -> int:
        """Return how many steps were walked, over all attempts at all trials."""
        lines = (path.read_text().split() for path in self.file.parent.rglob("steps.txt"))
        return 20 * sum(map(len, lines))

    def log(self) -> str:
        """Return what the trials' logs say."""
        return "".join(path.read_text(encoding="utf-8") for path in self.file.parent.rglob("log.txt"))

    def living(self) -> list[int]:
        """Return the workers that the lock lists now."""
        try:
            marks = json.loads(self.results.study(self.file.stem).lock.read_bytes())["workers"]
        except (OSError, ValueError):
            return []  # just being written
        found = [int(mark["pid"]) for mark in marks]
        self.workers.update(found)
        return found

    def disturbed(self, source: random.Random, kills: int) -> None:
        """Run the study until it is done; before that, kill workers and parents so many times after random events."""
        while True:
            run = self.start()
            assert run.stdout is not None
            patience = source.randrange(1, 6)
            while (line := self._line(run)) is not None:
                patience -= json.loads(line)["event"] in ("start", "progress")
                if patience > 0 or self.kills >= kills:
                    continue
                patience = source.randrange(1, 6)
                workers = self.living()
                self.kills += 1
                if source.random() < 0.5 or not workers:
                    self.parents += 1
                    run.kill()
                    break
                try:
                    os.kill(source.choice(workers), signal.SIGKILL)
                except ProcessLookupError:
                    self.kills -= 1
            self.living()
            run.communicate(timeout=DEADLINE_S)
            if run.returncode == 0:
                return

    @staticmethod
    def _line(run: subprocess.Popen[bytes]) -> bytes | None:
        assert run.stdout is not None
        ready, _, _ = select.select([run.stdout], [], [], DEADLINE_S)
        assert ready, "the run has hung"
        line = run.stdout.readline()
        return line if line.endswith(b"\n") else None

    def numbers(self) -> dict[tuple[str, int], dict[str, float]]:
        """Return every metric of every result that does not measure time; each replicate has one."""
        found: dict[tuple[str, int], dict[str, float]] = {}
        for row in read_study(self.results.default_storage, self.file.stem)[1]:
            if row.outcome is not None and row.outcome.is_result:
                assert (row.arm, row.seed) not in found
                metrics = {name: value for name, value in row.metrics.items() if "second" not in name}
                found[(row.arm, row.seed)] = metrics
        return found

    def faults(self) -> list[Any]:
        study = load_study(self.file, resolve_core=core_class)
        rows = read_study(self.results.default_storage, self.file.stem)[1]
        return audit(study, rows, self.results, deep=True).faults


def victim(folder: Path, text: str, name: str, checkpoint_s: float = 20.0, fuse: int = 1, slots: int = 2) -> Victim:
    """Return a study in a new folder, beside both forms of the walk."""
    folder.mkdir()
    (folder / "walker.py").write_text(WALKER, encoding="utf-8")
    (folder / "walk.py").write_text(SCRIPT, encoding="utf-8")
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return Victim(folder / f"{name}.yaml", checkpoint_s, fuse, slots)

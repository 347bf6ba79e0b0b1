"""Kill whatever runs, at any moment, again and again: in the end every number is that of an undisturbed run."""

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

import pytest

from ablate.core.shared.registry import core_class
from ablate.engine.records.audit import audit
from ablate.paths import ResultsPaths
from ablate.storage.read import read_study
from ablate.study.reading.load_study import load_study
from tests.engine.conftest import wait_until_gone

WALKER = '''
import hashlib, json, os
from pathlib import Path

from pydantic import Field

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind
from ablate.errors import StoppedError


class Settings(CoreSettings):
    stride: float = Field(1.0, description="length of a step")


class Walker(Core):
    """A random walk of 400 steps, with checkpoints it can trust: the last two, each with a digest."""

    name = "walker"
    Settings = Settings
    metrics = (MetricInfo("end", direction="max"), MetricInfo("far", direction="max"))

    def run(self, recipes, context):
        for recipe in recipes:
            yield recipe, self.walk(recipe, context)

    def walk(self, recipe, context):
        folder, stride = context.folder(recipe), Settings(**recipe.settings).stride
        step, x, far = newest(folder)
        while step < 400:
            word = hashlib.sha256(f"{recipe.seed} walk {step}".encode()).digest()
            x += stride * (int.from_bytes(word[:6], "big") / 2**48 - 0.5)
            far, step = max(far, abs(x)), step + 1
            for _ in range(600):  # some work that cannot be left out
                word = hashlib.sha256(word).digest()
            if step % 20 == 0:
                context.curve(recipe, step, end=x)
                context.progress(recipe, "walk", step, 400)
                save(folder, [step, x, far])
                with (folder / "steps.txt").open("a") as handle:
                    handle.write(f"{step}\\n")
                if context.stop_requested:
                    raise StoppedError
        return Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"end": x, "far": far}, images_seen=step)


def save(folder, state):
    text = json.dumps(state)
    (folder / "new").write_text(json.dumps([text, hashlib.sha256(text.encode()).hexdigest()]))
    if (folder / "last.json").exists():
        os.replace(folder / "last.json", folder / "before.json")
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
'''
WALKS = """question: How far does it walk?
core: walker:Walker
baseline: {stride: 1.0}
vary: {stride: [0.5, 2.0, 4.0]}
seeds: 6
metrics: {end: {primary: true}, far: {}}
"""
SMALL = """question: Does a DIP go on where it was killed?
core: ddpm-dip
baseline: {method: dip, dip_steps: 400, eval_images: 4, dip_channels: 8}
vary: {dip_lr: [0.02]}
seeds: 1
metrics: {psnr: {primary: true}, ssim: {}}
"""
TRAINED = """question: Does a training go on where it was killed?
core: ddpm-dip
baseline:
  {method: dip+ddpm, cap_per_image: 30, train_images: 96, epochs: 6, batch_size: 4, channels: 8, channel_mults: "1",
   warmup_steps: 2, dip_steps: 300, dip_channels: 4, dip_scales: 2, eval_images: 2, sample_steps: 3,
   generated_images: 2, generation_steps: 3}
vary: {sample_steps: [2]}
seeds: 1
metrics: {psnr: {primary: true}, ssim: {}}
"""
SINGLE = """question: Does a fit in a program of several trials go on where it was killed?
core: ddpm-dip
baseline: {method: dip, dip_steps: 80, eval_images: 1, dip_channels: 8}
vary: {dip_lr: [0.02, 0.005]}
seeds: 2
metrics: {psnr: {primary: true}, ssim: {}}
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
core = core_class(study.core, file.parent)
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
    folder.mkdir()
    (folder / "walker.py").write_text(WALKER, encoding="utf-8")
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return Victim(folder / f"{name}.yaml", checkpoint_s, fuse, slots)


@pytest.mark.slow
def test_twenty_four_random_kills_change_no_number_and_leave_nothing_behind(tmp_path: Path) -> None:
    calm, killed = victim(tmp_path / "calm", WALKS, "walks"), victim(tmp_path / "killed", WALKS, "walks")
    calm.undisturbed()
    killed.disturbed(random.Random(20261125), 24)
    assert killed.kills == 24
    assert killed.numbers() == calm.numbers()
    assert len(killed.numbers()) == 24
    assert killed.faults() == []
    assert all(wait_until_gone(pid) for pid in killed.workers)
    # One checkpoint interval (20 steps) at most is done again for each worker that a kill can have hit: two per kill.
    steps = sum(len(path.read_text().split()) for path in killed.file.parent.rglob("steps.txt"))
    assert steps <= 24 * 20 + 2 * killed.kills


@pytest.mark.slow
@pytest.mark.parametrize(("text", "fuse", "trials"), [(SMALL, 1, 2), (SINGLE, 4, 6)])
def test_the_built_in_core_goes_on_from_its_checkpoints_with_the_same_numbers(
    text: str, fuse: int, trials: int, tmp_path: Path
) -> None:
    """The run is killed while its workers compute, also several trials in one program; the next takes up what is left.

    Fits of single images have other digits in a program than alone: the same come out only if they are never mixed.
    """
    calm = victim(tmp_path / "calm", text, "small", checkpoint_s=0.02, fuse=fuse)
    hurt = victim(tmp_path / "hurt", text, "small", checkpoint_s=0.02, fuse=fuse)
    calm.undisturbed()
    hurt.killed(lambda event: event["event"] == "progress")
    hurt.undisturbed()
    assert hurt.numbers() == calm.numbers()
    assert len(hurt.numbers()) == trials
    assert hurt.faults() == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], dict[str, float]]:
    """The numbers of a training, and of the DIP before it, that nobody disturbed."""
    calm = victim(tmp_path_factory.mktemp("calm") / "calm", TRAINED, "trained", checkpoint_s=0.02, slots=1)
    calm.undisturbed()
    numbers = calm.numbers()
    assert [len(metrics) > 8 for metrics in numbers.values()] == [True, True]
    return numbers


def intact(path: Path) -> None:
    """Leave it as it is."""


def truncated(path: Path) -> None:
    """Leave the first half, as a disk that lost its last pages."""
    os.truncate(path, path.stat().st_size // 2)


def garbled(path: Path) -> None:
    """Same size, other bytes in the middle."""
    raw = path.read_bytes()
    half = len(raw) // 2
    path.write_bytes(raw[:half] + bytes(255 - byte for byte in raw[half : half + 64]) + raw[half + 64 :])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "kind", "damage", "hit", "says"),
    [
        pytest.param("denoiser", "step", intact, 0, "", id="training"),
        pytest.param("denoiser", "step", truncated, 1, "is used instead", id="training, newest truncated"),
        pytest.param("dip", "state", garbled, 2, "there is none before it", id="DIP, all garbled"),
    ],
)
def test_a_killed_trial_goes_on_from_its_newest_sound_checkpoint_with_the_same_numbers(
    stage: str,
    kind: str,
    damage: Callable[[Path], None],
    hit: int,
    says: str,
    trained: dict[tuple[str, int], dict[str, float]],
    tmp_path: Path,
) -> None:
    hurt = victim(tmp_path / "hurt", TRAINED, "trained", checkpoint_s=0.02, slots=1)

    def two_checkpoints_in(event: dict[str, Any]) -> bool:
        return event["event"] == "progress" and event["stage"] == stage and len(hurt.checkpoints(kind)) > 1

    hurt.killed(two_checkpoints_in)
    found = hurt.checkpoints(kind)
    for path in found[-hit:] if hit else ():
        damage(path)
    events = hurt.undisturbed()
    assert hurt.numbers() == trained
    assert hurt.faults() == []
    notes = [event["text"] for event in events if event["event"] == "note" and "damaged" in event["text"]]
    assert [note.endswith(says) for note in notes] == [True] * min(hit, 1)
    assert all(note.partition(": ")[2] in hurt.log() for note in notes)
    assert [path.with_suffix(".damaged").exists() for path in found] == [False] * (len(found) - hit) + [True] * hit

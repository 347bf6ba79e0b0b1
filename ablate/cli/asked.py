"""What a command line asks for: the study as it is meant, what is stored of it, and the plan that follows."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.cli.options import RESULTS
from ablate.cli.stored import Place, Stored, kinds_of
from ablate.study.spec import Replicate, Study

if TYPE_CHECKING:
    from ablate.interface import Core
    from ablate.study.plan import Plan


@dataclass(frozen=True)
class Request:
    """The words of a command line that `ablate plan` and `ablate run` share."""

    file: Path
    overrides: tuple[str, ...] = ()
    seeds: int | None = None
    arms: tuple[str, ...] = ()
    results: Path = RESULTS
    storage: str | None = None
    name: str | None = None
    gpus: str | None = None
    slots: int | None = None

    def command(self) -> str:
        """Return the command that runs, or takes up, exactly this."""
        words = ["ablate", "run", str(self.file)]
        for option, values in (("--set", self.overrides), ("--arms", self.arms)):
            words += [word for value in values for word in (option, value)]
        singles = {
            "--seeds": self.seeds,
            "--results": None if self.results == RESULTS else self.results,
            "--storage": self.storage,
            "--name": self.name,
            "--gpus": self.gpus,
            "--slots": self.slots,
        }
        words += [word for option, one in singles.items() if one is not None for word in (option, str(one))]
        return shlex.join(words)


@dataclass(frozen=True)
class Asked:
    """A study file with its overrides, resolved and checked against what is stored."""

    request: Request
    study: Study
    core: type[Core]
    replicates: tuple[Replicate, ...]
    place: Place
    stored: Stored | None
    plan: Plan


def ask(request: Request) -> Asked:
    """Load the study, and compare it with what is stored under its name. Writes nothing.

    ``--seeds`` without ``--arms`` is what a study with a single look is now declared to have; with ``--arms``, or where
    several looks are declared, it is only how far this run goes: the declaration, and with it alpha, stays as it is.
    """
    from ablate.core.registry import core_class
    from ablate.study.load import load_study
    from ablate.study.plan import check_against_stored, make_plan, replicates

    def beside(name: str, folder: Path) -> type[Core]:
        """The core `name`; its folder as an absolute path, because Python remembers what it found where."""
        return core_class(name, folder.absolute())

    study = load_study(request.file, resolve_core=beside, overrides=request.overrides, name=request.name)
    if request.seeds is not None and not request.arms and len(study.looks) == 1:
        study = dataclasses.replace(study, looks=(request.seeds,))
    core = beside(study.core, request.file.parent)
    wanted = replicates(study, seeds=request.seeds, arms=request.arms)
    place = Place.of(request.results, request.storage)
    stored = place.known(study.name)
    if stored is not None:
        check_against_stored(stored.study, study)
    results = kinds_of(stored.rows) if stored is not None else {}
    return Asked(request, study, core, wanted, place, stored, make_plan(study, core, wanted, results))

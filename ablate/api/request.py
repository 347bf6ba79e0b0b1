"""What is asked for: the study as it is meant, what is stored of it, and the plan that follows."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.api import looks
from ablate.api.choices import RESULTS, Until
from ablate.api.launch_options import HERE, LaunchOptions
from ablate.api.stored_studies import ResultsLocation, StoredStudy, outcome_kinds
from ablate.api.study_source import StudyDefinition
from ablate.errors import AblateError, Problem
from ablate.paths import ResultsPaths
from ablate.search import Search
from ablate.storage.address import without_password
from ablate.storage.candidates import tried_of
from ablate.storage.commands import place_options, without
from ablate.storage.rows import TrialRow, code_texts, core_versions, versions_text
from ablate.study.spec import Replicate, Study

if TYPE_CHECKING:
    from ablate.interface import Core
    from ablate.study.plan import Plan
    from ablate.study.settle import Standing


def seeds_in(text: str) -> range:
    """Return the seeds of ``3..5``, which are 3, 4 and 5; raises AblateError for anything else."""
    found = re.fullmatch(r"([0-9]{1,3})\.\.([0-9]{1,3})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise AblateError(f"{text!r} is no range of seeds", hint="write the first and the last: 3..5 are 3, 4 and 5")
    return range(int(found[1]), int(found[2]) + 1)


def range_text(seeds: range) -> str:
    """Return ``3..5``, as `seeds_in` reads it."""
    return f"{seeds[0]}..{seeds[-1]}"


@dataclass(frozen=True)
class Request:
    """What `ablate.plan` and `ablate.run` are asked for, in Python and at a terminal."""

    source: Path | StudyDefinition
    overrides: tuple[str, ...] = ()
    seeds: int | None = None
    arms: tuple[str, ...] = ()
    results: Path = RESULTS
    storage: str | None = None
    name: str | None = None
    """What the study is called instead of its file's stem; always there for a study written in Python."""
    where: LaunchOptions = HERE
    add_seeds: int | None = None
    until: Until | None = None
    confirm: bool = False
    keep_old: bool = False
    seed_range: range | None = None
    """The seeds that this run measures, of those that the study has."""
    fuse: str = "auto"
    compile: str = "auto"
    track: tuple[str, ...] = ()
    """Trackers, ``mlflow:URI``."""

    def command(self) -> str:
        """Return the command that runs, or takes up, exactly this; without the passwords of URLs."""
        singles = {
            "--seeds": self.seeds,
            "--seed-range": None if self.seed_range is None else range_text(self.seed_range),
            "--add-seeds": self.add_seeds,
            "--until": self.until,
            **place_options(self.results, self.storage),
            "--name": self.name,
        }
        options: dict[str, Sequence[str]] = {
            "--set": self.overrides,
            "--arms": self.arms,
            **{option: (str(one),) for option, one in singles.items() if one is not None},
            **self.where.words(),
            "--fuse": () if self.fuse == "auto" else (self.fuse,),
            "--compile": () if self.compile == "auto" else (self.compile,),
            "--track": tuple(map(without_password, self.track)),
        }
        words = ["ablate", "run", str(self._file)]
        words += [word for option, values in options.items() for value in values for word in (option, value)]
        words += ["--confirm"] * self.confirm + ["--keep-old"] * self.keep_old
        return shlex.join(words)

    @property
    def _file(self) -> Path:
        """The study file; of a study written in Python the copy that the first run leaves among the results."""
        if isinstance(self.source, StudyDefinition):
            return ResultsPaths(self.results).study(self.source.name).study_file
        return self.source

    def __str__(self) -> str:
        return f"study {self.source.name!r}" if isinstance(self.source, StudyDefinition) else str(self.source)


@dataclass(frozen=True)
class PreparedRun:
    """A study file with its overrides, resolved and checked against what is stored."""

    request: Request
    study: Study
    core: type[Core]
    replicates: tuple[Replicate, ...]
    place: ResultsLocation
    stored: StoredStudy | None
    plan: Plan
    written: Study
    """The study before its searches decided anything."""
    round: looks.NextLook | None = None
    """With ``--until``: the look the replicates belong to."""
    only: range | None = None
    """The seeds that are run, where that is not all of those that the study has."""
    searches: tuple[Search, ...] = ()
    """Searches that are not finished: they are run first, and `replicates` are what follows as far as is known."""
    changed: tuple[Problem, ...] = ()
    """Warnings of the plan that a run without anything to run gives too: the code has changed, its version has not."""

    def check_version(self) -> None:
        """Raise StudyChangedError when another version of the core gave what is stored, unless that is kept."""
        from ablate.study.core_version import check_version

        rows = self.stored.rows if self.stored is not None else ()
        check_version(self.study, self.core, core_versions(rows), keep_old=self.request.keep_old)

    @property
    def next_replicates(self) -> tuple[Replicate, ...]:
        """The replicates of arms that the next run computes: none before the searches are finished."""
        return () if self.searches else self.replicates


def prepare(request: Request) -> PreparedRun:
    """Load the study, and compare it with what is stored under its name. Writes nothing.

    ``--seeds`` without ``--arms`` is what a study with a single look is now declared to have; with ``--arms``, or where
    several looks are declared, it is only how far this run goes: the declaration, and with it alpha, stays as it is.
    The same holds for ``--add-seeds``.
    """
    from ablate.core.shared.registry import core_class
    from ablate.study.changes import check_against_stored
    from ablate.study.reading.load_study import load_study

    def beside(name: str, folder: Path) -> type[Core]:
        """The core `name`; its folder as an absolute path, because Python remembers what it found where."""
        return core_class(name, folder.absolute())

    written = request.source
    if isinstance(written, StudyDefinition):
        path, text = written.path, written.to_yaml()
    else:
        path, text = written, None
    study = load_study(path, resolve_core=beside, overrides=request.overrides, name=request.name, text=text)
    _check_options(request, study)
    core = core_class(study.core, path.parent.absolute(), study.core_parameters)
    place = ResultsLocation.of(request.results, request.storage)
    stored = place.known(study.name, "plain")
    if stored is not None:
        study = study.keeping(stored.study.method)
    if request.confirm:
        study = _confirmation(request, _as_it_stands(study, core, stored), stored, place)
        stored = place.known(study.name, "plain")
    request = _counted(request, _as_it_stands(study, core, stored), stored)
    if (seeds := _seeds_of(request)) is not None and not request.arms and len(study.looks) == 1:
        study = dataclasses.replace(study, looks=(seeds,))
    study, only = _split(request, study, stored)
    prepared = _planned(request, study, core, place, stored, only)
    if stored is not None:
        has_results = any(row.outcome is not None and row.outcome.is_result for row in stored.rows)
        check_against_stored(stored.study, prepared.study, has_results=has_results)
    return prepared


def prepare_again(prepared: PreparedRun) -> PreparedRun:
    """Ask the same of what is stored by now; the study stays as it was read first."""
    return _planned(
        prepared.request,
        prepared.written,
        prepared.core,
        prepared.place,
        prepared.place.known(prepared.study.name, "plain"),
        prepared.only,
    )


def _split(request: Request, study: Study, stored: StoredStudy | None) -> tuple[Study, range | None]:
    """The study with all its seeds, and those that this run measures where others are measured elsewhere.

    Without ``--arms``, seeds beyond the declared ones are declared too where there is a single look, as by ``--seeds``.
    A study file that names other seeds than those stored under its name (``seeds: [3, 4]``) adds to them.
    """
    from ablate.study.changes import with_seeds_of  # only here: it needs pydantic, and help does not

    only = request.seed_range
    if only is not None and not request.arms:
        study = with_seeds_of(study, dataclasses.replace(study, first_seed=only.start, looks=(len(only),)))
    elif only is None and stored is not None and stored.study.first_seed != study.first_seed:
        whole = with_seeds_of(study, stored.study)
        return whole, study.seed_range() if whole != study else None
    return study, only


def _as_it_stands(written: Study, core: type[Core], stored: StoredStudy | None) -> Study:
    """The study with the arms that its searches have decided by now."""
    from ablate.study.settle import stand

    return stand(written, core, tried_of(stored.rows) if stored is not None else ()).study


def _planned(
    request: Request,
    written: Study,
    core: type[Core],
    place: ResultsLocation,
    stored: StoredStudy | None,
    only: range | None = None,
) -> PreparedRun:
    """Plan what is asked for against what is stored."""
    from ablate.study.plan import make_plan, search_plan
    from ablate.study.settle import stand

    rows = stored.rows if stored is not None else ()
    tried = tried_of(rows)
    standing = stand(written, core, tried)
    now, wanted = _wanted(request, standing, rows, only)
    searches = [search_plan(search, tried) for search in standing.open]
    plan = make_plan(standing.study, core, wanted, outcome_kinds(rows), searches)
    changed = tuple(_text_warnings(standing.study, core, rows, wanted))
    versions = _version_warning(request, standing.study, core, rows)
    plan = dataclasses.replace(plan, warnings=(*versions, *changed, *plan.warnings))
    known = (request, standing.study, core, wanted, place, stored, plan, written, now, only, standing.open)
    return PreparedRun(*known, changed=changed)


def _text_warnings(
    study: Study, core: type[Core], rows: Sequence[TrialRow], wanted: Sequence[Replicate]
) -> Iterator[Problem]:
    """Warn that what is stored came from another text of the user's code, by the same version."""
    from ablate.study.core_version import older_texts, text_sentence, texts_now

    if not (stored := code_texts(rows, str(core.version))):
        return
    recipes = {one.arm: one.recipe for one in wanted}  # the seed is no part of a script's name
    if not recipes:
        recipes = {arm.name: study.recipe(arm, study.first_seed) for arm in study.arms if arm.settings}
    for name, texts in older_texts(texts_now(core, recipes.values()), stored).items():
        yield Problem(
            text_sentence(study, name, texts),
            file=study.file,
            severity="warning",
            suggestion=f"{versions_text(texts, 'text')}; new results join them. Another name (--name) measures "
            "everything again; with a `version` that changes when the code does, a run asks first",
        )


def _version_warning(request: Request, study: Study, core: type[Core], rows: Sequence[TrialRow]) -> Iterator[Problem]:
    """Warn that what is stored was measured by another version of the core."""
    from ablate.study.core_version import other_versions, version_sentence

    versions = core_versions(rows)
    if others := other_versions(core, versions):
        to_do = "they stay beside the new ones" if request.keep_old else "a run needs --keep-old, or another --name"
        yield Problem(
            version_sentence(study, core, others),
            file=study.file,
            severity="warning",
            suggestion=f"{versions_text(versions)}; {to_do}",
        )


def _wanted(
    request: Request, standing: Standing, rows: Sequence[TrialRow], only: range | None
) -> tuple[looks.NextLook | None, tuple[Replicate, ...]]:
    """The look, with ``--until``, and the replicates of arms that are asked for."""
    from ablate.study.plan import replicates

    if request.seed_range is not None and standing.open:
        raise AblateError(
            "--seed-range splits the seeds of arms, and a search of this study is not finished",
            hint="finish it in one place first, and take its results to the others with: ablate archive, ablate import",
        )
    study = standing.study
    if len(study.arms) == 1:
        # With nothing to compare it with (yet), the baseline is not run either.
        return None, ()
    if request.until is None or standing.open:
        return None, replicates(study, seeds=_seeds_of(request), arms=request.arms, only=only)
    now = looks.next_round(study, rows, request.arms)
    return now, now.replicates


def _confirmation(request: Request, study: Study, stored: StoredStudy | None, place: ResultsLocation) -> Study:
    """The study that confirms the best arm of what is stored; once it has begun, its arm and its seeds are settled."""
    from ablate.report.data.frames import compare_study
    from ablate.report.statistics.confirmation import confirm_name, confirmation, winner_of

    if request.arms or request.add_seeds is not None or request.until is not None:
        raise AblateError(
            "--confirm runs one arm and the baseline once", hint="leave out --arms, --add-seeds and --until"
        )
    if stored is None:
        raise AblateError(f"study {study.name!r} has not been run: there is nothing to confirm", hint="run it first")
    begun = place.known(confirm_name(study.name), "plain")
    if begun is not None:
        if request.seeds not in (None, begun.study.seeds):
            raise AblateError(
                f"the confirmation was begun with {begun.study.seeds} seeds: more of them would be another look",
                hint="leave out --seeds",
            )
        own = begun.study if begun.study.blocks is None else begun.study.over_blocks()
        return dataclasses.replace(confirmation(study, own.arms[1].name, begun.study.seeds), text=study.text)
    winner = winner_of(compare_study(stored.study, stored.rows))
    return confirmation(study, winner, request.seeds or study.looks[-1])


def _check_options(request: Request, study: Study) -> None:
    others = (request.seeds, request.add_seeds, request.until)
    if request.seed_range is not None and (request.confirm or any(one is not None for one in others)):
        raise AblateError(
            "--seed-range names the seeds themselves", hint="leave out --seeds, --add-seeds, --until and --confirm"
        )
    if request.until is None:
        return
    if request.seeds is not None or request.add_seeds is not None:
        raise AblateError(
            "--until goes from look to look and takes no number of seeds", hint="leave out --seeds and --add-seeds"
        )
    if len(study.looks) < 2:
        raise AblateError(
            f"--until decided needs looks, and {request} declares none",
            hint="declare before the first run how many seeds per arm are looked at, for example "
            "`seeds: {looks: [3, 5, 10]}`",
        )


def _seeds_of(request: Request) -> int | None:
    """Seeds per arm the request names; None for what is declared."""
    if request.add_seeds is None:
        return request.seeds
    return (request.seeds or 0) + request.add_seeds


def _counted(request: Request, study: Study, stored: StoredStudy | None) -> Request:
    """Fill in what ``--add-seeds`` counts from: what is declared, or what every chosen arm has if that is more.

    The command stored with the study names that number. So the same command, typed again after a run that was
    stopped, goes on to where that run was going instead of adding still more.
    """
    if request.add_seeds is None or request.seeds is not None:
        return request
    results = outcome_kinds(stored.rows) if stored is not None else {}
    before = _counted_before(request, stored) if stored is not None else None
    if before is not None:
        from ablate.study.plan import replicates

        wanted = replicates(study, seeds=before + request.add_seeds, arms=request.arms)
        if not all(one.key in results and results[one.key].is_result for one in wanted):
            return dataclasses.replace(request, seeds=before)
    base = max(study.seeds, looks.seeds_of_all(study, results, request.arms))
    return dataclasses.replace(request, seeds=base)


def _counted_before(request: Request, stored: StoredStudy) -> int | None:
    """What the last run counted from, if it was asked for the same."""
    last = shlex.split(stored.command)
    options = ("--seeds", "--results", "--storage", "--gpus", "--slots", "--launcher", "--job", "--listen", "--track")
    if "--seeds" not in last or without(last, *options) != without(shlex.split(request.command()), *options):
        return None
    return int(last[last.index("--seeds") + 1])

"""Reports of stored studies, of two studies, and of results that ablate did not make."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.api.stored_studies import ResultsLocation, StoredStudy, base_command, name_of
from ablate.errors import AblateError, NothingComparableError, ResultsError
from ablate.paths import REPORT_FORMATS
from ablate.storage.address import without_password
from ablate.storage.commands import command_at
from ablate.study.verdict_method import Method

if TYPE_CHECKING:
    from ablate.report.data.material import Material
    from ablate.report.data.two_studies import Across
    from ablate.report.statistics.model import Bayes

Choose = Callable[[Method], Method]
"""From what a study declares to what a report uses."""


def as_declared(method: Method) -> Method:
    """Take verdicts as the study declares."""
    return method


def choose_method(**given: str | None) -> Choose:
    """Return what puts `given` (test, noise, correct; None for as declared) over a study's own method.

    Raises AblateError, when it is used, for a word that is none.
    """
    changes: dict[str, Any] = {word: choice for word, choice in given.items() if choice is not None}

    def choose(declared: Method) -> Method:
        # Where equivalence is corrected as differences are, it goes on being so.
        together = {"equivalence": changes["correct"]} if "correct" in changes else {}
        same = declared.equivalence == declared.correct and "equivalence" not in changes
        return dataclasses.replace(declared, **changes, **(together if same else {}))

    return choose


def check_formats(formats: Collection[str]) -> tuple[str, ...]:
    """Return `formats`; AblateError for none, and for one that is not known."""
    unknown = [word for word in formats if word not in REPORT_FORMATS]
    if unknown or not formats:
        raise AblateError(
            f"unknown format {unknown[0]!r}" if unknown else "no format", hint=f"known: {', '.join(REPORT_FORMATS)}"
        )
    return tuple(formats)


def write_study_report(
    stored: StoredStudy,
    *,
    formats: Collection[str] = REPORT_FORMATS,
    figures: bool = True,
    layout: str = "arms",
    columns: Sequence[str] = (),
    choose: Choose = as_declared,
    bayes: Bayes | None = None,
) -> Material:
    """Write the report of one study and return what is in it.

    Raises as `ablate.report.build.build_report` does.
    """
    from ablate.report.build import gather, write_report

    material = gather(
        stored.study,
        stored.rows,
        stored.paths,
        layout=layout,
        columns=columns,
        storage=stored.url or None,
        command=base_command(stored),
        method=choose(stored.study.method),
        attributes=stored.attributes,
        bayes=bayes,
    )
    write_report(material, stored.paths, formats=formats, figures=figures)
    return material


FEWEST_AT_ONCE = 4
"""Reports with figures from which processes are started: each imports for as long as a report takes to write."""


def write_study_reports(
    sources: Sequence[StoredStudy],
    *,
    formats: Collection[str] = REPORT_FORMATS,
    figures: bool = True,
    layout: str = "arms",
    columns: Sequence[str] = (),
    choose: Choose = as_declared,
    bayes: Bayes | None = None,
    processes: int | None = None,
) -> Iterator[Material | NothingComparableError]:
    """Write the reports of several studies; yield, in their order, what is in each, or why it compares nothing.

    Several `processes` write them (default: one per core from `FEWEST_AT_ONCE` reports with figures on, else this
    one alone); every file is the same to the byte. Raises for the rest as `write_study_report` does.
    """
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    options = {"formats": formats, "figures": figures, "layout": layout, "columns": columns, "bayes": bayes}
    methods = [choose(stored.study.method) for stored in sources]
    if processes is None:
        processes = min(len(sources), joblib.cpu_count()) if figures and len(sources) >= FEWEST_AT_ONCE else 1
    if processes == 1:
        yield from (_written(stored, method, options) for stored, method in zip(sources, methods, strict=True))
        return
    jobs = (joblib.delayed(_written)(stored, method, options) for stored, method in zip(sources, methods, strict=True))
    try:
        yield from joblib.Parallel(processes, return_as="generator")(jobs)
    except TerminatedWorkerError as error:
        raise ResultsError(
            "a process that wrote reports was killed (out of memory?)", hint="one study at a time: ablate report NAME"
        ) from error


def _written(stored: StoredStudy, method: Method, options: Mapping[str, Any]) -> Material | NothingComparableError:
    try:
        return write_study_report(stored, choose=lambda _: method, **options)
    except NothingComparableError as error:
        return error


@dataclass(frozen=True)
class ForeignSource:
    """Results that ablate did not make, and how they are to be read."""

    source: str
    """``KIND:PLACE#NAME``, see `ablate.report.sources.choose.read_source`."""
    baseline: str | None = None
    metrics: tuple[str, ...] = ()
    name: str | None = None
    pattern: str | None = None
    seed_key: str | None = None
    within: str | None = None
    """Column that counts parts of a run (episodes, images): these are averaged within each arm and seed first."""
    blocks: str | None = None
    """Column that says which data set or task a row is of; None for one that is called so."""
    blocks_are: str = "fixed"
    """``fixed`` or ``random``, see `ablate.study.blocks.Blocks`."""

    def command(self, baseline: str) -> str:
        """Return the command line that reads this, without the password of a URL."""
        options = {
            "--baseline": baseline,
            "--within": self.within,
            "--blocks": self.blocks,
            "--blocks-are": None if self.blocks_are == "fixed" else self.blocks_are,
            "--pattern": self.pattern,
            "--seed-key": self.seed_key,
            "--name": self.name,
        }
        words = ["ablate", "report", "--from", without_password(self.source)]
        words += [word for option, text in options.items() if text is not None for word in (option, text)]
        return shlex.join([*words, *(word for metric in self.metrics for word in ("--metric", metric))])


def read_foreign_results(
    asked: ForeignSource, place: ResultsLocation, *, choose: Choose = as_declared
) -> tuple[StoredStudy, tuple[str, ...]]:
    """Return results as if they were stored, and what had to be assumed to read them.

    Nobody declared anything: the method that is chosen here is the study's own. Refuses the folder of a study that
    ablate ran.
    """
    from ablate.report.data.foreign_results import results_of
    from ablate.report.sources.choose import read_source
    from ablate.report.sources.runs import Naming

    names = tuple(metric.partition(":")[0] for metric in asked.metrics)
    found = read_source(asked.source, Naming(asked.pattern, asked.seed_key, asked.blocks), names)
    study, rows = results_of(
        found.table,
        baseline=asked.baseline,
        metrics=asked.metrics,
        name=asked.name,
        within=asked.within,
        curves=found.curves,
        blocks=asked.blocks,
        blocks_are=asked.blocks_are,
    )
    paths = place.results.study(study.name)
    if paths.plan.exists() or paths.study_file.exists():
        raise AblateError(f"{paths.folder} holds a study that ablate ran", hint="give these results another --name")
    study = dataclasses.replace(study, method=choose(study.method))
    baseline = study.baseline.name if study.blocks is None else study.over_blocks().baseline.name
    command = command_at(shlex.split(asked.command(baseline)), place.results.folder, None)
    return StoredStudy(study, rows, paths, url="", command=command), found.remarks


def locate(word: str, place: ResultsLocation) -> StoredStudy:
    """Return the study that `word` names: NAME, its file, or DIR/NAME for one in another folder of results."""
    if word.endswith((".yaml", ".yml")) or "/" not in word:
        return place.study(name_of(word))
    folder = Path(word)
    return ResultsLocation.of(folder.parent, None).study(folder.name)


def compare_two(
    words: tuple[str, str],
    place: ResultsLocation,
    *,
    formats: Collection[str],
    choose: Choose = as_declared,
    bayes: Bayes | None = None,
) -> tuple[Across, Path]:
    """Compare every arm of the second study with the same arm of the first, and write the files.

    `choose` gets the method that the second study declares. Returns the comparison and the folder of its files.
    """
    from ablate.report.data.two_studies import compare_studies
    from ablate.report.statistics.posterior import with_posterior

    first, second = (locate(word, place) for word in words)
    if (first.url, first.study.name) == (second.url, second.study.name):
        raise AblateError(f"{words[0]} and {words[1]} are the same study", hint="name two studies, or DIR/NAME")
    labels = words if first.study.name == second.study.name else (first.study.name, second.study.name)
    across = compare_studies(
        (first.study, first.rows),
        (second.study, second.rows),
        labels=(labels[0], labels[1]),
        method=choose(second.study.method),
    )
    if bayes is not None:
        across = dataclasses.replace(across, comparison=with_posterior(across.comparison, bayes))
    folder = second.paths.folder / f"against-{re.sub('[^A-Za-z0-9._+-]', '_', across.before)}"
    _write_two(across, folder, formats)
    return across, folder


def _write_two(across: Across, folder: Path, formats: Collection[str]) -> None:
    """Write arms.csv, report.md and report.json of the comparison, as far as `formats` asks for them."""
    from ablate.paths import write_atomic
    from ablate.report.formats.csv_json import arms_csv
    from ablate.report.formats.json_shape import across_json
    from ablate.report.text.two_studies_page import across_markdown

    texts = {
        "csv": ("arms.csv", arms_csv(across.comparison)),
        "md": ("report.md", across_markdown(across)),
        "json": ("report.json", across_json(across)),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for form in formats:
            if form in texts:
                name, text = texts[form]
                write_atomic(folder / name, text)
    except OSError as error:
        raise ResultsError(
            f"cannot write the report into {folder}: {error.strerror or error}", hint="choose another --results"
        ) from error

"""``ablate report A B``: the arms that two studies share, each against itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.api.stored_studies import ResultsLocation, StoredStudy, name_of
from ablate.cli.display.console import Screen
from ablate.errors import AblateError, ResultsError
from ablate.study.verdict_method import Method

if TYPE_CHECKING:
    from ablate.report.data.two_studies import Across
    from ablate.report.statistics.model import Comparison


def locate(word: str, place: ResultsLocation) -> StoredStudy:
    """Return the study that `word` names: NAME, its file, or DIR/NAME for one in another folder of results."""
    if word.endswith((".yaml", ".yml")) or "/" not in word:
        return place.study(name_of(word))
    folder = Path(word)
    return ResultsLocation.of(folder.parent, None).study(folder.name)


def write_versus(
    words: tuple[str, str],
    place: ResultsLocation,
    screen: Screen,
    *,
    choose: Callable[[Method], Method],
    formats: tuple[str, ...],
) -> Comparison:
    """Compare two stored studies, print table and sentences, and write files into the second one's folder.

    `choose` gets the method that the second study declares, and returns the one that is used.
    """
    from ablate.report.data.two_studies import compare_studies
    from ablate.report.formats.terminal import comparison_table
    from ablate.report.text.two_studies_page import across_sentences

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
    comparison = across.comparison
    if screen.json:
        for row in comparison.rows.values():
            screen.emit("comparison", {"before": across.before, "study": across.after, **dataclasses.asdict(row)})
    else:
        screen.tell(comparison_table(comparison))
        screen.tell("")
        for sentence in across_sentences(across):
            screen.out.print(sentence)
    folder = second.paths.folder / f"against-{re.sub('[^A-Za-z0-9._+-]', '_', across.before)}"
    write_files(across, folder, formats)
    screen.say(f"report:  {folder}")
    comparison.check_comparable()
    return comparison


def write_files(across: Across, folder: Path, formats: tuple[str, ...]) -> None:
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

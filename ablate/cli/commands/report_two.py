"""``ablate report A B``: the arms that two studies share, each against itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ablate.api.reports import Choose, compare_two
from ablate.api.stored_studies import ResultsLocation
from ablate.display.console import Screen

if TYPE_CHECKING:
    from ablate.report.statistics.model import Bayes, Comparison


def write_versus(
    words: tuple[str, str],
    place: ResultsLocation,
    screen: Screen,
    *,
    choose: Choose,
    formats: tuple[str, ...],
    bayes: Bayes | None = None,
) -> Comparison:
    """Compare two stored studies, print table and sentences, and write files into the second one's folder.

    `choose` gets the method that the second study declares, and returns the one that is used.
    """
    from ablate.report.formats.terminal import comparison_table
    from ablate.report.text.two_studies_page import across_sentences

    across, folder = compare_two(words, place, formats=formats, choose=choose, bayes=bayes)
    comparison = across.comparison
    if screen.json:
        for row in comparison.rows.values():
            screen.emit("comparison", {"before": across.before, "study": across.after, **dataclasses.asdict(row)})
    else:
        screen.tell(comparison_table(comparison))
        screen.tell("")
        for sentence in across_sentences(across):
            screen.out.print(sentence)
    screen.say(f"report:  {folder}")
    comparison.check_comparable()
    return comparison

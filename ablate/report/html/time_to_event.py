"""The section of report.html about times to a declared quality."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from ablate.report.data.material import Material
from ablate.report.statistics.time_to_event import Race
from ablate.report.text import numerals
from ablate.report.text.html_elements import Html, join, scroller, table, tag
from ablate.report.text.time_cells import HEAD, race_caption, race_cells


def reaching_section(material: Material, drawn: Sequence[Html]) -> Html | None:
    """Return one table per time to a quality, and the curves; None where no quality was declared."""
    if not material.races:
        return None
    tables = [_table(race, material) for race in material.races]
    # Each table with its curves below; without figures the tables alone.
    return join([[table, *own] for table, *own in zip_longest(tables, drawn)])


def _table(race: Race, material: Material) -> Html:
    rows = [
        tag("tr", tag("th", arm, scope="row"), [tag("td", cell, class_="num") for cell in cells])
        for arm, *cells in race_cells(race, material.comparison.stability)
    ]
    return scroller(numerals.label(race.metric), table(race_caption(race), HEAD, rows))

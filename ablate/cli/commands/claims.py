"""``ablate claims``: the founding report's claims, each with what has been measured of it so far."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation
from ablate.cli.options import Json, NoColor, Quiet, Results, Storage
from ablate.cli.unread import leave_unread, show_unread
from ablate.display.console import Screen
from ablate.human_units import visible

if TYPE_CHECKING:
    from ablate.report.text.claim_cards import Card


def claims(
    results: Results = RESULTS,
    storage: Storage = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show the founding report's claims, and what the stored studies say of each.

    A claim reads yes only when every measurement it needs has the verdict it needs. What no study has measured is
    said to be not measured.

    \b
    Example:
      ablate claims
    """
    from ablate.report.text.claim_cards import cards_of, known_claims

    screen = Screen.make(json=json, quiet=quiet, no_color=no_color)
    place = ResultsLocation.of(results, storage)
    missing = place.database is not None and not place.database.exists()
    found, unread = ([], []) if missing else place.find(None)
    studies = [(stored.study, stored.rows) for stored in found]
    for card in cards_of(known_claims(), studies):
        if screen.json:
            screen.emit("claim", dataclasses.asdict(card))
        else:
            for line in _lines(card):
                screen.out.print(line, soft_wrap=True)
    if missing:
        screen.say(f"nothing has been run: {place.database} does not exist")
    show_unread(unread, screen)
    leave_unread(unread)


def _lines(card: Card) -> list[str]:
    claim = card.claim
    lines = [f"{card.reading.upper()}  {claim.claim}", f"  reads yes when: {claim.yes_when} ({claim.task})"]
    for one in card.evidence:
        rest = "; exploratory" if one.exploratory else ""
        seeds = f"{one.seeds} seed{'s' * (one.seeds != 1)}"
        lines.append(f"  {one.reading}: {visible(one.study)}, {one.metric}: {visible(one.found)} ({seeds}{rest})")
    return [*lines, *(f"  not measured: {test}" for test in card.missing)]

"""``ablate measure``: metrics that a study did not ask for, from what its trials left in the stage cache."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation
from ablate.cli.options import Json, NoColor, Quiet, Results, Storage
from ablate.display.console import Screen
from ablate.errors import ResultsError
from ablate.human_units import plural, visible

Known = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or its file.", show_default=False)]


def measure(
    study: Known,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            "-m",
            metavar="NAME",
            help="A metric of the study's core; repeatable. Default: all that the study names.",
        ),
    ] = None,
    results: Results = RESULTS,
    storage: Storage = None,
    quiet: Quiet = False,
    json: Json = False,
    no_color: NoColor = False,
) -> None:
    """Measure more of trials that have ended, from their checkpoints in the stage cache. Nothing is trained.

    A trial computes only the metrics that its study names. Values measured here join its outcome and the storage;
    a report shows them once the study names them. Fails where what a trial left is gone.

    \b
    Example:
      ablate measure schedules --metric val_loss
    """
    from ablate.api.measuring import measure as measure_study
    from ablate.api.measuring import told

    screen = Screen.make(quiet=quiet, json=json, no_color=no_color)

    def tell(arm: str, seed: int, values: dict[str, float]) -> None:
        if json:
            screen.emit("measured", {"arm": arm, "seed": seed, "metrics": values})
            return
        shown = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
        screen.tell(f"{visible(arm)}, seed {seed}: {shown}")

    place = ResultsLocation.of(results, storage)
    found = measure_study(place, study, metric or [], tell)
    for sentence in told(found):
        screen.say(sentence)
    known = f", {plural(len(found.known), 'trial')} had it already" if found.known else ""
    screen.say(f"measured {plural(len(found.added), 'trial')}{known}")
    if found.gone:
        (arm, seed), why = next(iter(found.gone.items()))
        raise ResultsError(
            f"{plural(len(found.gone), 'trial')} cannot be measured later; {arm}, seed {seed}: {why}",
            hint="a run that names the metric measures it: run the study under another --name",
        )

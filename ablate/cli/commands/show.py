"""``ablate show``: everything about one arm or one trial."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation, StoredStudy, Unread, latest, name_of, unknown_arm
from ablate.beta_tables import is_table, table_label
from ablate.cli.options import Json, NoColor, Results, Storage, whole
from ablate.cli.unread import leave_unread, show_unread
from ablate.display import interim_results
from ablate.display.console import Screen
from ablate.display.text_columns import lay_out
from ablate.errors import AblateError
from ablate.human_units import number, spoken, visible
from ablate.json_values import json_label
from ablate.storage.candidates import is_candidate
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm

_ARM_AND_SEED = re.compile(r"(?P<arm>.+?)[ ]+s(?P<seed>[0-9]+)")


def show(
    what: Annotated[
        str, typer.Argument(metavar="ARM|TRIAL", help="An arm, 'ARM sSEED', or a trial's number.", show_default=False)
    ],
    study: Annotated[
        str | None, typer.Option("--study", metavar="STUDY", help="Which study, where several are stored.")
    ] = None,
    lines: Annotated[
        int,
        typer.Option("--lines", metavar="N", parser=whole(0), help="Lines of the log to show, counted from its end."),
    ] = 10,
    results: Results = RESULTS,
    storage: Storage = None,
    json: Json = False,
    no_color: NoColor = False,
) -> None:
    """Show everything about one arm or one trial.

    An arm: its settings against the baseline, its seeds and values. A trial: its error, files and the end of its log.

    \b
    Example:
      ablate show noise_schedule=cosine --study schedules
      ablate show "baseline s0"
      ablate show 12
    """
    screen = Screen.make(json=json, no_color=no_color)
    stored, unread = _choose(ResultsLocation.of(results, storage), study, what)
    trial = _trial(stored, what)
    arm = next((arm for arm in stored.study.arms if arm.name == what), None)
    if trial is not None:
        _tell(screen, "trial", trial_data(stored, trial), _trial_text(stored, trial, lines))
    elif arm is not None:
        _tell(screen, "arm", arm_data(stored, arm), _arm_text(stored, arm, screen.out.width))
    else:
        raise unknown_arm(what, stored.study)
    show_unread(unread, screen)
    leave_unread(unread)


def _tell(screen: Screen, event: str, data: dict[str, Any], text: Text) -> None:
    if screen.json:
        screen.emit(event, data)
    else:
        screen.tell(text)


def _choose(place: ResultsLocation, study: str | None, what: str) -> tuple[StoredStudy, list[Unread]]:
    """The study that is meant: the named one, the only one, or the only one that has such an arm or trial.

    With it those that cannot be read, which may have one too.
    """
    if study is not None:
        return place.study(name_of(study)), []
    found, unread = place.find(None)
    fitting = [stored for stored in found if _has(stored, what)] if len(found) > 1 or unread else found
    if len(fitting) == 1:
        return fitting[0], unread
    if unread and not fitting:  # it may be in there
        raise unread[0].error
    names = ", ".join(stored.study.name for stored in fitting or found)
    reason = "is in several studies" if fitting else "is in no study"
    raise AblateError(f"{what!r} {reason}", hint=f"say which: --study NAME, one of {names}")


def _has(stored: StoredStudy, what: str) -> bool:
    return any(arm.name == what for arm in stored.study.arms) or _trial(stored, what) is not None


def _trial(stored: StoredStudy, what: str) -> TrialRow | None:
    """The trial of that number, the one that counts for 'ARM sSEED', or the first of a candidate; arms come first."""
    if any(arm.name == what for arm in stored.study.arms):
        return None
    if what.isascii() and what.isdecimal():
        return next((row for row in stored.rows if row.number == int(what)), None)
    match = _ARM_AND_SEED.fullmatch(what)
    counting = latest(stored.rows)
    if match:
        return counting.get((match["arm"], int(match["seed"])))
    return next((row for row in counting.values() if row.arm == what and is_candidate(row)), None)


def changes(stored: StoredStudy, arm: Arm) -> dict[str, tuple[Any, Any]]:
    """Setting -> (baseline's value, arm's value) where they differ."""
    base = stored.study.baseline_of(arm.name).settings
    return {
        name: (base.get(name), arm.settings.get(name))
        for name in sorted(base.keys() | arm.settings.keys())
        if base.get(name) != arm.settings.get(name)
    }


def arm_data(stored: StoredStudy, arm: Arm) -> dict[str, Any]:
    """Return the arm as JSON-ready data."""
    rows = [row for row in latest(stored.rows).values() if row.arm == arm.name]
    return {
        "study": stored.study.name,
        "arm": arm.name,
        "settings": dict(arm.settings),
        "changes": {name: {"baseline": old, "arm": new} for name, (old, new) in changes(stored, arm).items()},
        "trials": [trial_data(stored, row) for row in sorted(rows, key=lambda row: row.seed)],
    }


def trial_data(stored: StoredStudy, row: TrialRow) -> dict[str, Any]:
    """Return the trial as JSON-ready data."""
    paths = stored.paths.trial(row.arm, row.seed)
    return {
        "study": stored.study.name,
        "trial": row.number,
        "arm": row.arm,
        "seed": row.seed,
        "outcome": row.outcome,
        "state": row.state,
        "metrics": dict(row.metrics),
        "levels": row.attributes.get("levels"),
        "seconds": row.seconds,
        "device": row.device,
        "recipe_digest": row.recipe_digest,
        "error": row.attributes.get("error"),
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "folder": str(paths.folder),
        "log": str(paths.log),
    }


def _arm_text(stored: StoredStudy, arm: Arm, width: int) -> Text:
    study = stored.study
    lines = [Text(f"{visible(arm.name)}   study {study.name}, core {study.core}", style="bold")]
    if arm.name in study.baselines:
        pairs = [(name, _value(value)) for name, value in arm.settings.items()]
        lines += lay_out(("setting", "value"), pairs, align="<~", width=width)
    elif differing := changes(stored, arm):
        table = [(name, _value(new), _value(old)) for name, (old, new) in differing.items()]
        lines += lay_out(("setting", "arm", "baseline"), table, align="<<~", width=width)
    else:
        lines.append(Text("  the same settings as the baseline"))
    rows = sorted((row for row in latest(stored.rows).values() if row.arm == arm.name), key=lambda row: row.seed)
    lines += [Text(""), *_seed_table(stored, rows, width)]
    differences = {
        one.arm: one
        for one in interim_results.interim_arms(study, {}, interim_results.results_of(study, latest(stored.rows)))
    }
    if arm.name in differences and differences[arm.name].diff is not None:
        diff = interim_results.difference_text(differences[arm.name].diff, study.primary)
        lines.append(Text(f"  {study.primary.name}: {diff} against the baseline, mean over the seeds both have"))
    return Text("\n").join(lines)


def _seed_table(stored: StoredStudy, rows: list[TrialRow], width: int) -> list[Text]:
    if not rows:
        return [Text("  no trial yet")]
    metrics = [metric for metric in stored.study.metrics if any(metric.name in row.metrics for row in rows)][:4]
    header = ("seed", "trial", "outcome", *(metric.name for metric in metrics), "seconds")
    table = []
    for row in rows:
        values = [number(row.metrics[m.name], m.digits) if m.name in row.metrics else "" for m in metrics]
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        table.append((f"s{row.seed}", f"#{row.number}", row.outcome or "running", *values, seconds))
    return lay_out(header, table, align=">><" + ">" * len(metrics) + ">", width=width) + [
        Text(f"  files: {stored.paths.trial(row.arm, row.seed).folder}") for row in rows
    ]


def _trial_text(stored: StoredStudy, row: TrialRow, count: int) -> Text:
    paths = stored.paths.trial(row.arm, row.seed)
    title = f"#{row.number}  {visible(row.arm)} s{row.seed}   {row.outcome or 'running'}   study {stored.study.name}"
    lines = [Text(title, style="bold")]
    digits = {metric.name: metric.digits for metric in stored.study.metrics}
    facts = {name: number(value, digits.get(name, 3)) for name, value in row.metrics.items()}
    tried = row.attributes.get("levels")
    if isinstance(tried, dict):
        from ablate.study.factors import level_text  # with pydantic, which `ablate --help` does without

        facts = {name: level_text(level) for name, level in tried.items()} | facts
    if row.seconds is not None:
        facts["took"] = spoken(row.seconds)
    facts |= {"device": row.device, "started": row.started_at or "", "finished": row.finished_at or ""}
    facts["recipe"] = row.recipe_digest[:12]
    facts["folder"] = str(paths.folder)
    facts["samples"] = str(paths.samples) if paths.samples.exists() else ""
    lines += [Text(f"  {name:<18} {visible(value)}") for name, value in facts.items() if value]
    if error := row.attributes.get("error"):
        lines.append(Text(f"  error: {visible(str(error))}", style="red"))
    if count and (tail := log_tail(paths.log, count)):
        lines.append(Text(f"  end of {paths.log}:", style="dim"))
        lines += [Text(f"  | {visible(line)}") for line in tail]
    return Text("\n").join(lines)


def log_tail(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of a log, or nothing where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as handle:
            return [line.rstrip("\n") for line in deque(handle, maxlen=count)]
    except OSError:
        return []


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "off" if value is False else "on" if value else "none"
    if isinstance(value, tuple | dict):
        return json_label(value)
    return table_label(value) if is_table(value) else str(value)

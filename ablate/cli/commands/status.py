"""``ablate status``: how a study stands, read from the storage while it runs or after."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation, StoredStudy, Unread, base_command, latest, seeds_asked
from ablate.cli.options import Json, NoColor, Results, Storage, StudyName
from ablate.cli.unread import leave_unread, show_unread
from ablate.display import interim_results, interim_table
from ablate.display.console import Screen
from ablate.display.text_columns import lay_out
from ablate.engine.records.lock import read_holder
from ablate.human_units import visible
from ablate.outcome import OutcomeKind
from ablate.storage.rows import TrialRow
from ablate.study.spec import Study

_FAULTS = (OutcomeKind.FAILED, OutcomeKind.LOST, OutcomeKind.OUT_OF_MEMORY)


def status(
    study: StudyName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until all trials are done, or Ctrl-C.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="S", min=0.2, help="Seconds between refreshes.")] = 2.0,
    results: Results = RESULTS,
    storage: Storage = None,
    json: Json = False,
    no_color: NoColor = False,
) -> None:
    """Show how far studies are. Reads only, so it works from another shell while a run goes on.

    Of several studies, one that is damaged is shown as such; the exit code is 2 then.

    \b
    Example:
      ablate status schedules --watch
    """
    screen = Screen.make(json=json, no_color=no_color)
    place = ResultsLocation.of(results, storage)
    if watch and not json:
        unread = _watch(place, study, screen, every)
    else:
        found, unread = _tallies(place, study)
        _show(found, unread, screen)
    show_unread(unread, screen)
    leave_unread(unread)


def _show(found: Sequence[Tally], unread: Sequence[Unread], screen: Screen) -> None:
    if not screen.json:
        screen.tell(picture(found, screen.out.width, unread))
        return
    for tally in found:
        screen.emit("study", as_data(tally))
    for one in unread:
        screen.emit(one.state, {"study": one.name, "error": one.error.message})


def _watch(place: ResultsLocation, study: str | None, screen: Screen, every: float) -> list[Unread]:
    """Redraw until nothing is left to do; on a pipe, print again whenever something changed.

    Returns the studies that could not be read in the end.
    """
    found, unread = _tallies(place, study)
    if not screen.out.is_terminal:
        shown = ""
        while True:
            text = picture(found, screen.out.width, unread)
            if text.plain != shown:
                screen.tell(text)
                shown = text.plain
            if all(tally.is_done for tally in found):
                return unread
            time.sleep(every)
            found, unread = _tallies(place, study)
    with Live(picture(found, screen.out.width, unread), console=screen.out, auto_refresh=False) as live:
        while not all(tally.is_done for tally in found):
            time.sleep(every)
            found, unread = _tallies(place, study)
            live.update(Group(picture(found, screen.out.width, unread)), refresh=True)
    return unread


@dataclass(frozen=True)
class Tally:
    """How one study stands, counted once."""

    stored: StoredStudy
    latest: Mapping[tuple[str, int], TrialRow]
    """(arm, seed) -> the trial that counts."""
    results: interim_results.Results
    planned: Mapping[str, int]
    """Arm -> how many seeds it has or shall have."""
    counts: Mapping[str, int]
    """Replicates by how they stand: planned, done, running, failed, stopped, diverged."""

    @classmethod
    def of(cls, stored: StoredStudy) -> Tally:
        """Count what is stored."""
        rows = latest(stored.rows)
        results = interim_results.results_of(stored.study, rows)
        planned = _planned(stored.study, rows, seeds_asked(stored))
        return cls(stored, rows, results, planned, _counts(results, planned))

    @property
    def is_done(self) -> bool:
        """True when every planned replicate has a result."""
        return self.counts["done"] >= self.counts["planned"]

    @property
    def arms(self) -> list[interim_results.InterimArm]:
        """Every arm as far as it is."""
        return interim_results.interim_arms(self.stored.study, self.planned, self.results)


def _tallies(place: ResultsLocation, study: str | None) -> tuple[list[Tally], list[Unread]]:
    found, unread = place.find(study, "brief")
    return [Tally.of(stored) for stored in found], unread


def _planned(study: Study, keys: Iterable[tuple[str, int]], prepared: Mapping[str, int]) -> dict[str, int]:
    """Arm -> seeds it has or shall have: as declared, as the last run was asked for, or as there are."""
    seen = Counter(arm for arm, _ in keys)
    names = [*(arm.name for arm in study.arms), *(search.arm for search in study.searches if search.arm is not None)]
    arms = dict.fromkeys(names)
    planned = {arm: max(study.seeds, seen[arm], prepared.get(arm, 0)) for arm in arms} if len(arms) > 1 else {}
    return {**planned, **Counter(name for name, _ in interim_results.candidate_keys(study.searches))}


def _counts(results: interim_results.Results, planned: Mapping[str, int]) -> dict[str, int]:
    kinds = Counter("running" if result.kind is None else result.kind.value for result in results.values())
    done = sum(result.kind is not None and result.kind.is_result for result in results.values())
    return {
        "planned": sum(planned.values()),
        "done": done,
        "running": kinds["running"],
        "failed": sum(kinds[kind.value] for kind in _FAULTS),
        "stopped": kinds[OutcomeKind.STOPPED.value],
        "diverged": kinds[OutcomeKind.DIVERGED.value],
    }


def summary(counts: Mapping[str, int]) -> str:
    """Return ``24 of 33 trials done, 2 running, 1 failed``."""
    text = f"{counts['done']} of {counts['planned']} trials done"
    return text + "".join(
        f", {counts[word]} {word}" for word in ("running", "failed", "stopped", "diverged") if counts[word]
    )


def picture(found: Sequence[Tally], width: int, unread: Sequence[Unread] = ()) -> Text:
    """Return one study in full, or several as one line each, those that cannot be read among them."""
    if len(found) == 1 and not unread:
        return _one(found[0], width)
    header = ("study", "done", "running", "failed", "diverged", "arms", "primary")
    rows = []
    for tally in found:
        study, counts = tally.stored.study, tally.counts
        some = [str(counts[word]) if counts[word] else "" for word in ("running", "failed", "diverged")]
        done = f"{counts['done']}/{counts['planned']}"
        rows.append((study.name, done, *some, str(len(study.arms)), study.primary.name))
    rows += [(one.name, one.state, *[""] * (len(header) - 2)) for one in unread]
    return Text("\n").join(lay_out(header, rows, align="~>>>>><", width=width, indent=""))


def _one(tally: Tally, width: int) -> Text:
    stored, study = tally.stored, tally.stored.study
    lines = [Text(f"{study.name}: {summary(tally.counts)}", style="bold")]
    if study.question:
        lines.append(Text(f"  {visible(study.question)}"))
    lines += [Text(f"  {visible(line)}") for line in interim_results.search_lines(study, tally.results)]
    lines += interim_table.table(tally.arms, study.primary, width)
    for (arm, seed), row in tally.latest.items():
        if row.outcome in _FAULTS:
            error = visible(str(row.attributes.get("error") or row.outcome))
            lines.append(Text(f"  {row.outcome}: {visible(arm)} s{seed}: {error}", style="red"))
            lines.append(Text(f"    log: {stored.paths.trial(arm, seed).log}"))
    lines += [Text(f"  waits for {visible(where)}") for where in waiting_jobs(stored.paths.lock)]
    if tally.counts["running"] and run_is_alive(stored.paths.lock) is False:
        lines.append(Text("no run is alive: what it had running was interrupted", style="yellow"))
    lines.append(Text(f"next:  {next_command(tally)}"))
    return Text("\n").join(lines)


def run_is_alive(lock: Path) -> bool | None:
    """Whether the process that last locked the study is alive; None where that cannot be told (another machine).

    The lock itself is not tried: a reader that held it, however shortly, could turn a starting run away.
    """
    if not lock.exists():
        return False
    holder = read_holder(lock)
    return None if holder is None else holder.alive


def waiting_jobs(lock: Path) -> tuple[str, ...]:
    """The jobs of a cluster that a run of the study waits for; empty when no run is alive."""
    holder = read_holder(lock)
    return holder.waiting if holder is not None else ()


def next_command(tally: Tally) -> str:
    """What to type next."""
    stored, counts = tally.stored, tally.counts
    if tally.is_done:
        return stored.place.command("ablate", "report", stored.study.name)
    unfinished = counts["running"] + counts["failed"] + counts["stopped"]
    return stored.command if stored.command and unfinished else base_command(stored)


def as_data(tally: Tally) -> dict[str, Any]:
    """Return the same as JSON-ready data."""
    study, paths = tally.stored.study, tally.stored.paths
    return {
        "study": study.name,
        "question": study.question,
        "metric": study.primary.name,
        **tally.counts,
        "arms": [{**vars(arm), "counts": dict(arm.counts)} for arm in tally.arms],
        "waiting": list(waiting_jobs(paths.lock)),
        "folder": str(paths.folder),
    }

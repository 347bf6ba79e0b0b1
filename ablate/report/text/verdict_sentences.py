"""The answer in sentences, written from verdicts: the decided first, then the undecided, then what was not tested."""

from __future__ import annotations

import glob
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.report.statistics.model import Comparison, Lint, Row, Verdict
from ablate.report.text import numerals
from ablate.report.text.cells import unit_of
from ablate.report.text.escape import visible
from ablate.report.text.look_sentences import early_text, saved_text, stopped_text
from ablate.report.text.posterior_words import posterior_text
from ablate.study.spec import Study

_COMPUTE_DIFFERS = 1.1
"""Ratio of times beyond which the report says that compute was not equal."""
_LISTED = 12
"""Arms that are spelt out before it says how many more there are."""


@dataclass(frozen=True)
class Sentence:
    """One statement. `arm`, where given, comes first: ``epochs=20 is better: ...``."""

    text: str
    arm: str | None = None
    verdict: Verdict | None = None
    command: str | None = None
    """What to type to settle it."""

    def __str__(self) -> str:
        first = f"{visible(self.arm)} " if self.arm is not None else ""
        return f"{first}{self.text}"


@dataclass(frozen=True)
class Answer:
    """The first screen of a report."""

    summary: Sentence
    decided: tuple[Sentence, ...]
    undecided: tuple[Sentence, ...]
    unfinished: Sentence | None
    """What to run first, where declared seeds are missing."""
    untested: tuple[Sentence, ...]
    warnings: tuple[Sentence, ...]
    findings: tuple[Sentence, ...] = ()
    """What contrasts of several arms and learning curves say."""


@dataclass(frozen=True)
class Price:
    """What one more seed of an arm takes."""

    seconds: Mapping[str, float | None] = field(default_factory=dict)
    """Arm -> mean wall seconds of its measured trials."""
    gpu: bool = False
    """True when all trials ran on GPUs: the price is then in GPU-hours."""

    def text(self, row: Row, baseline: Row, seeds: int) -> str:
        """Return the price of bringing arm and baseline to `seeds` seeds, ``2.1 GPU-h``; empty when unknown."""
        total = 0.0
        for one in (row, baseline):
            each = self.seconds.get(one.arm)
            if each is None:
                return ""
            total += each * max(0, seeds - one.runs)
        if not self.gpu:
            return f"{numerals.duration(total)} of computing"
        return f"{total / 3600:.2g} GPU-h" if total < 360_000 else f"{total / 3600:.0f} GPU-h"


def answer_lines(found: Answer) -> list[str]:
    """Return the answer as plain sentences, each command on a line of its own behind its sentence."""
    lines = [str(found.summary)]
    for group in (found.decided, found.undecided):
        for sentence in group[:_LISTED]:
            lines.append(str(sentence))
            if sentence.command:
                lines.append(f"    {sentence.command}")
        if len(group) > _LISTED:
            lines.append(f"... and {numerals.plural(len(group) - _LISTED, 'more arm')}: see the table.")
    lines += [str(sentence) for sentence in found.findings]
    if found.unfinished is not None:
        lines.append(str(found.unfinished))
        lines += [f"    {found.unfinished.command}"] if found.unfinished.command else []
    for sentence in (*found.warnings, *found.untested):
        lines += [str(sentence), *([f"    {sentence.command}"] if sentence.command else [])]
    return lines


def answer(
    study: Study,
    comparison: Comparison,
    times: Mapping[str, float | None] | None = None,
    *,
    command: str | None = None,
    price: Price | None = None,
    findings: Sequence[str] = (),
) -> Answer:
    """Return what the verdicts on the primary metric allow to be said, and nothing more.

    `command` runs the study as it was run, with its overrides but for all arms and the declared seeds; without it, the
    study's file is run as it is. Results without a core (imported ones) get no commands. `times` maps an arm to its
    time relative to the baseline's, `price` says what more seeds take; `findings` are sentences of other analyses.
    """
    times = times or {}
    command = (command or file_command(study)) if study.core else ""
    rows = _primary_rows(comparison)
    decided = sorted(
        (row for row in rows if row.verdict not in (None, Verdict.UNDECIDED)), key=lambda row: _ORDER[row.verdict]
    )
    undecided = [row for row in rows if row.verdict in (None, Verdict.UNDECIDED)]
    said = [_undecided(row, comparison, command, price or Price()) for row in undecided if comparison.problem is None]
    unfinished = _unfinished(rows, comparison, command) if rows else None
    return Answer(
        summary=_summary(comparison, rows),
        decided=tuple(_decided(row, comparison, times.get(row.arm)) for row in decided),
        undecided=tuple(said),
        unfinished=unfinished,
        untested=(*_unconfirmed(study, rows, command), *_untested(study, comparison, times)),
        warnings=tuple(warnings_of(comparison.lints)),
        findings=tuple(Sentence(text) for text in (saved_text(rows, comparison), *findings) if text),
    )


def warnings_of(lints: Sequence[Lint]) -> Iterator[Sentence]:
    """Return the first lints of every kind, and how many more there are of it."""
    for code in dict.fromkeys(lint.code for lint in lints):
        own = [lint.message for lint in lints if lint.code == code]
        for at, message in enumerate(own[:_ALIKE]):
            rest = len(own) - _ALIKE
            more = f" (and {numerals.plural(rest, 'more note')} of this kind)" if at == _ALIKE - 1 and rest > 0 else ""
            text = f"Note: {visible(message)}{more}"
            yield Sentence(text if text.endswith("?") else f"{text}.")


_ALIKE = 2
"""Warnings of one kind that are spelt out."""
_ORDER: dict[Verdict | None, int] = {
    Verdict.BETTER: 0,
    Verdict.WORSE: 1,
    Verdict.EQUIVALENT: 2,
    Verdict.DIVERGED: 3,
}


def _primary_rows(comparison: Comparison) -> list[Row]:
    primary = comparison.primary.name
    others = [arm for arm in comparison.arms if arm != comparison.baseline]
    return [comparison.rows[(arm, primary)] for arm in others if (arm, primary) in comparison.rows]


def _summary(comparison: Comparison, rows: Sequence[Row]) -> Sentence:
    metric = numerals.label(comparison.primary)
    if comparison.problem is not None:
        return Sentence(f"Nothing can be compared: {visible(comparison.problem)}.")
    if not rows:
        return Sentence("There is no arm other than the baseline, so nothing is compared.")
    counts = Counter(row.verdict.value if row.verdict else Verdict.UNDECIDED.value for row in rows)
    words = [f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict if counts[verdict.value]]
    arms = "Of 1 arm" if len(rows) == 1 else f"Of {len(rows)} arms"
    return Sentence(
        f"{arms} compared with the baseline on {metric} over {_seeds(comparison, rows)}: {', '.join(words)}."
    )


def _seeds(comparison: Comparison, rows: Sequence[Row]) -> str:
    """The seeds that arms have, and how many were declared where some are missing: ``3 to 4 of 5 seeds``."""
    low, high = min(row.runs for row in rows), max(row.runs for row in rows)
    there = str(low) if low == high else f"{low} to {high}"
    unit, within = "seed", ""
    if comparison.blocks is not None:
        unit = "block" if comparison.blocks.kind == "random" else "seed"
        within = "" if unit == "block" else f" in each of {numerals.plural(len(comparison.blocks.names), 'block')}"
    if low < comparison.look and not _is_done(comparison, rows):
        return f"{there} of {numerals.plural(comparison.look, unit)}{within}"
    return f"{there} {unit}{'s' * (high != 1)}{within}"


def _is_done(comparison: Comparison, rows: Sequence[Row]) -> bool:
    """True where several looks left nothing open: arms with fewer seeds were decided or stopped."""
    return len(comparison.looks) > 1 and all(
        row.stopped or row.verdict not in (None, Verdict.UNDECIDED) for row in rows
    )


def _decided(row: Row, comparison: Comparison, ratio: float | None) -> Sentence:
    metric = comparison.primary
    if row.verdict is Verdict.DIVERGED:
        there = row.note.partition("; ")[2] if comparison.blocks is not None else ""
        where = f" ({visible(there)})" if there else ""
        runs = numerals.plural(row.runs, unit_of(comparison))
        text = f"diverged in {row.diverged} of {runs}{where}; no mean is given for it."
        return Sentence(text, row.arm, row.verdict)
    shown = f"{numerals.difference_text(row, metric, unit=True)} in {numerals.label(metric)}"
    if row.verdict is Verdict.EQUIVALENT:
        text = f"is equivalent to the baseline: {shown}"
    else:
        limited = " where it did not diverge" * bool(row.diverged)
        text = f"is {row.verdict}{limited}: {shown}{_wins(row, unit_of(comparison))}"
    text += f"; {visible(row.note)}" if row.note else ""
    text += _plain_p(row, comparison)
    text += early_text(row, comparison)
    text += posterior_text(row, unit_of(comparison))
    text += f"; it took {ratio:.2g} times the time" if ratio is not None and _differs(ratio) else ""
    return Sentence(f"{text}.", row.arm, row.verdict)


def _plain_p(row: Row, comparison: Comparison) -> str:
    """Beside a p that borrowed noise from other arms: the plain one."""
    if comparison.noise == "own" or row.p is None or row.p_plain is None:
        return ""
    return f"; pooled noise: p = {row.p:.2g}, plain paired t: p = {row.p_plain:.2g}, both uncorrected"


def _wins(row: Row, unit: str) -> str:
    if row.wins is None or not row.pairs:
        return ""
    same = row.wins if row.verdict is Verdict.BETTER else row.pairs - row.wins
    return f", {row.verdict} in {same} of {numerals.plural(row.pairs, unit)}"


def _differs(ratio: float) -> bool:
    return ratio > _COMPUTE_DIFFERS or ratio < 1 / _COMPUTE_DIFFERS


def _undecided(row: Row, comparison: Comparison, base: str, price: Price) -> Sentence:
    if not row.runs:
        where = " in every block" if comparison.blocks is not None else ""
        return Sentence(f"has no result{where} yet.", row.arm, Verdict.UNDECIDED)
    shown = numerals.difference_text(row, comparison.primary, unit=True)
    text = "is undecided" if shown == "-" else f"is undecided: {shown} in {numerals.label(comparison.primary)}"
    text += f"; {visible(row.note)}" if row.note else ""
    text += next((more for begin, more in _MORE.items() if row.note.startswith(begin) and ";" not in row.note), "")
    text += stopped_text(row, comparison)
    text += _plain_p(row, comparison)
    text += posterior_text(row, unit_of(comparison))
    # More seeds settle neither blocks that contradict each other nor how blocks differ.
    elsewhere = unit_of(comparison) == "block" or (
        comparison.blocks is not None and comparison.blocks.arms[row.arm].opposite
    )
    settled = elsewhere or row.stopped or _is_short(row, comparison)
    seeds = None if settled else _next_seeds(row, comparison)
    cost = price.text(row, comparison.row(comparison.baseline), seeds) if seeds is not None else ""
    text += f" ({cost} to {numerals.plural(seeds, 'seed')})" if cost and seeds is not None else ""
    command = _command(base, seeds, row.arm) if seeds is not None and base else None
    return Sentence(text if text.endswith("?") else f"{text}.", row.arm, Verdict.UNDECIDED, command)


_MORE = {
    "about ": " would probably decide it, if difference and noise are as they look so far",
    "needs ": " before it can be tested",
    "within seed noise": " (as it looks so far, deciding it takes more than 50 seeds)",
    "within the noise between blocks": " (as it looks so far, deciding it takes more than 50 blocks)",
}
"""How a note goes on where it is a sentence of its own."""


def _next_seeds(row: Row, comparison: Comparison) -> int | None:
    """The number of seeds to run up to: the next declared look, or what power asks for."""
    later = [look for look in comparison.looks if look > row.runs]
    if later:
        return min(later)
    return row.runs + row.more_seeds if row.more_seeds is not None else None


def _is_short(row: Row, comparison: Comparison) -> bool:
    """True when arm or baseline lack seeds of this look: then finishing the study comes first."""
    return row.pairs + row.diverged < comparison.look


def _unfinished(rows: Sequence[Row], comparison: Comparison, base: str) -> Sentence | None:
    """One sentence, with one command, for all arms that lack declared seeds; None when none does.

    With several looks, an arm that was decided or stopped at an earlier one needs no more.
    """
    looked = len(comparison.looks) > 1
    done = [row for row in rows if row.stopped or row.verdict not in (None, Verdict.UNDECIDED)]
    open_rows = [row for row in rows if not (looked and row in done)]
    short = sum(row.runs < comparison.look for row in (*open_rows, comparison.row(comparison.baseline)))
    if not short:
        return None
    arms = "1 arm has" if short == 1 else f"{short} arms have"
    if not comparison.looks:
        units = numerals.plural(comparison.look, unit_of(comparison))
        same = f"Not every arm has the same {unit_of(comparison)}s"
        return Sentence(f"{same}: {arms} fewer than the {units} that others have.")
    text = f"Not finished: {arms} fewer than the declared {numerals.plural(comparison.look, unit_of(comparison))}."
    again = base if unit_of(comparison) == "block" else _command(base, comparison.look)
    return Sentence(text, command=again if base else None)


def file_command(study: Study) -> str:
    """Return the command that runs the study's file without any override; of imported results, that reports them."""
    if not study.core:
        return f"ablate report --csv {shlex.quote(study.file)} --baseline {shlex.quote(study.baseline.name)}"
    return f"ablate run {shlex.quote(study.file or f'studies/{study.name}.yaml')}"


def _command(base: str, seeds: int, arm: str | None = None) -> str:
    only = "" if arm is None else f" --arms {shlex.quote(glob.escape(visible(arm)))}"
    return f"{base}{only} --seeds {seeds}"


def _unconfirmed(study: Study, rows: Sequence[Row], command: str) -> Iterator[Sentence]:
    """The best of several arms looks better than it is: it was picked for its luck too."""
    better = [row for row in rows if row.verdict is Verdict.BETTER]
    if len(rows) < 2 or not better:
        return
    best = max(better, key=lambda row: row.improvement or 0.0)
    text = (
        f"Not tested: {visible(best.arm)} on fresh seeds. As the best of {len(rows)} arms it looks on average better "
        "than it is, by part of the seed noise."
    )
    yield Sentence(text, command=f"{command} --confirm" if command else None)


def _untested(study: Study, comparison: Comparison, times: Mapping[str, float | None]) -> list[Sentence]:
    found = []
    if not any(design.kind in ("factorial", "grid") for design in study.designs) and len(study.arms) > 2:
        found.append(Sentence("Not tested: interactions between factors; arms are only compared with the baseline."))
    data = study.baseline.settings.get("data")
    if comparison.blocks is not None:
        if comparison.blocks.kind == "fixed":
            names = [visible(name.removeprefix(f"{comparison.blocks.word}=")) for name in comparison.blocks.names]
            known = ", ".join(names[:_LISTED])
            more = len(comparison.blocks.names) - _LISTED
            word = "blocks" if comparison.blocks.word == "block" else comparison.blocks.word
            found.append(Sentence(f"Not tested: {word} other than {known}{f' and {more} more' if more > 0 else ''}."))
    elif isinstance(data, str):
        found.append(Sentence(f"Not tested: data other than {visible(data)}."))
    unequal = [arm for arm, ratio in times.items() if ratio is not None and _differs(ratio)]
    if unequal:
        named = ", ".join(visible(arm) for arm in unequal[:_LISTED])
        rest = f" and {len(unequal) - _LISTED} more" if len(unequal) > _LISTED else ""
        found.append(Sentence(f"Not tested: equal compute; the time differed from the baseline's in {named}{rest}."))
    if len(comparison.metrics) > 1:
        others = ", ".join(numerals.label(metric) for metric in comparison.metrics if not metric.primary)
        found.append(Sentence(f"Exploratory, without correction for multiple comparisons: {others}."))
    return found

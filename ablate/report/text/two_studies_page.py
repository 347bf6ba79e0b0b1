"""What a comparison of two studies says, in sentences and as one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ablate.report.data.two_studies import Across
from ablate.report.statistics.model import Comparison, Row, Verdict
from ablate.report.text import numerals
from ablate.report.text.cells import difference_header, lines_of, p_header, primary_header, secondary_metrics
from ablate.report.text.escape import markdown, visible
from ablate.report.text.posterior_words import posterior_text
from ablate.report.text.verdict_sentences import warnings_of

_LISTED = 25
"""Arms that are spelt out before it says how many more there are."""


def across_sentences(across: Across) -> list[str]:
    """Return the answer first: what changed, what is the same, what cannot be told, what was not compared."""
    comparison = across.comparison
    if comparison.problem is not None:
        return [f"Nothing can be compared: {visible(comparison.problem)}.", *_notes(comparison)]
    rows = [comparison.row(arm) for arm in comparison.arms]
    ordered = sorted(rows, key=lambda row: _ORDER[row.verdict])
    said = [_sentence(row, across) for row in ordered[:_LISTED]]
    if len(rows) > _LISTED:
        said.append(f"... and {numerals.plural(len(rows) - _LISTED, 'more arm')}: see the table.")
    return [_summary(across, rows), *said, *_notes(comparison), *_untested(across)]


_ORDER: dict[Verdict | None, int] = {
    Verdict.WORSE: 0,
    Verdict.BETTER: 1,
    Verdict.DIVERGED: 2,
    Verdict.EQUIVALENT: 3,
    Verdict.UNDECIDED: 4,
    None: 5,
}
"""What has changed comes first."""


def _summary(across: Across, rows: Sequence[Row]) -> str:
    counts = Counter(row.verdict.value if row.verdict else "not comparable" for row in rows)
    words = [f"{counts[word]} {word}" for word in (*(verdict.value for verdict in Verdict), "not comparable")]
    there = [text for text in words if not text.startswith("0 ")]
    low, high = min(row.pairs for row in rows), max(row.pairs for row in rows)
    seeds = str(low) if low == high else f"{low} to {high}"
    arms = "The 1 arm" if len(rows) == 1 else f"The {len(rows)} arms"
    return (
        f"{arms} of both studies, {visible(across.after)} against {visible(across.before)} on "
        f"{numerals.label(across.comparison.primary)} over {seeds} shared seed{'s' * (high != 1)}: {', '.join(there)}."
    )


def _sentence(row: Row, across: Across) -> str:
    comparison, name = across.comparison, f"{visible(row.arm)} in {visible(across.after)}"
    note = f"; {visible(row.note)}" if row.note else ""
    if row.verdict is Verdict.DIVERGED:
        return f"{name} diverged in {row.diverged} of {numerals.plural(row.runs, 'seed')}."
    if row.verdict is None:
        return f"{name} cannot be compared: {_why_not(row, across)}."
    shown = numerals.difference_text(row, comparison.primary, unit=True)
    known = "" if shown == "-" else f": {shown} in {numerals.label(comparison.primary)}"
    word = {
        Verdict.EQUIVALENT: f"equivalent to {visible(across.before)}",
        Verdict.UNDECIDED: "undecided",
    }.get(row.verdict, f"{row.verdict} than in {visible(across.before)}")
    note += posterior_text(row)
    return f"{name} is {word}{known}{note}{'' if note.endswith('?') else '.'}"


def _why_not(row: Row, across: Across) -> str:
    first = across.first[(row.arm, row.metric)]
    if first.diverged and 2 * first.diverged >= first.runs:
        return f"it diverged in {first.diverged} of {numerals.plural(first.runs, 'seed')} of {visible(across.before)}"
    return f"it has no result in {visible(across.before if not first.runs else across.after)}"


def _notes(comparison: Comparison) -> Iterator[str]:
    return (str(sentence) for sentence in warnings_of(comparison.lints))


def _untested(across: Across) -> list[str]:
    others = [numerals.label(metric) for metric in across.comparison.metrics if not metric.primary]
    found = [
        "Not tested: what caused the difference. Code, packages, devices and settings may all differ between two "
        "studies."
    ]
    if others:
        found.append(f"Exploratory, without correction for multiple comparisons: {', '.join(others)}.")
    return found


def across_markdown(across: Across) -> str:
    """Return the page: the answer, then one table of all arms, each against itself in the first study."""
    title = f"# {markdown(across.after)} against {markdown(across.before)}"
    sentences = [f"- {markdown(text)}" for text in across_sentences(across)]
    return "\n\n".join([title, "\n".join(sentences), _table(across)]) + "\n"


def _table(across: Across) -> str:
    comparison = across.comparison
    metric = comparison.primary
    others = secondary_metrics(comparison)
    header = ["arm", "verdict", "n", "before", "after", primary_header(comparison), p_header(comparison)]
    header += [difference_header(other) for other in others]
    align = ["---", "---", *["--:"] * (len(header) - 2)]
    rows = [header, align]
    for line in lines_of(comparison):
        before, after = across.first[(line.arm, metric.name)], comparison.row(line.arm)
        means = (numerals.mean_text(before, metric), numerals.mean_text(after, metric))
        diff = " ".join(line.primary).strip()
        rows.append(
            [
                markdown(line.arm),
                line.verdict,
                line.n,
                *means,
                diff,
                markdown(line.p_holm),
                *(line.secondary[other.name] for other in others),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

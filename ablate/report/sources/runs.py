"""Runs of another tool become rows of a table: what varies names the arm, one parameter is the seed."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.errors import AblateError
from ablate.human_units import plural
from ablate.report.data.csv_reader import TableFile
from ablate.report.statistics.blocks.tables import names_blocks
from ablate.report.statistics.metric_spec import KEYS
from ablate.study.blocks import in_block

Curve = Sequence[tuple[int, float]]
"""(step, value), steps ascending."""
SEED_NAMES = ("seed", "random_seed", "rng_seed", "global_seed", "manual_seed", "random_state")
"""What a parameter that holds the seed is called, also as the last part of a dotted name."""
_NUMBERED = "seed"


@dataclass(frozen=True)
class ForeignRun:
    """One run of another tool: what it was given, and what it measured last."""

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last value of each."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    outcome: str = "measured"
    seconds: float | None = None
    error: str = ""


@dataclass(frozen=True)
class ForeignTable:
    """Runs as a table, with what had to be assumed to make it one."""

    table: TableFile
    curves: Mapping[tuple[str, int], Mapping[str, Curve]]
    """(arm, seed) -> metric -> learning curve."""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Naming:
    """How arm and seed are read off a run."""

    pattern: str | None = None
    """A regular expression over the run's name with the groups ``arm`` and ``seed``, or one of them."""
    seed_key: str | None = None
    """The parameter that holds the seed; without it, one whose name says so."""
    blocks: str | None = None
    """The parameter that says which data set or task a run is of; without it, one whose name says so."""

    def compiled(self) -> re.Pattern[str] | None:
        """Return the pattern; AblateError for one that is no regular expression, or names neither group."""
        if self.pattern is None:
            return None
        try:
            found = re.compile(self.pattern)
        except re.error as error:
            raise AblateError(f"--pattern {self.pattern!r} is no regular expression: {error}") from None
        if not {"arm", "seed"} & found.groupindex.keys():
            raise AblateError(
                f"--pattern {self.pattern!r} names neither arm nor seed",
                hint=r"for example --pattern '(?P<arm>.+)-s(?P<seed>\d+)'",
            )
        return found


def table_of(runs: Sequence[ForeignRun], where: str, naming: Naming) -> ForeignTable:
    """Return `runs` as a table with the columns arm, seed, outcome, seconds, error, then parameters and metrics.

    An arm is named by the parameters that vary between runs, the seed left out. Runs without any seed are numbered
    within their arm, which a remark says: nothing is shared between arms then. Metrics of a run that has none of the
    others' are empty. Raises AblateError when there is no run, or no two runs differ.
    """
    if not runs:
        raise AblateError(f"{where} holds no finished run")
    seed_key = _seed_key(runs, naming)
    pattern = naming.compiled()
    varying = _varying(runs, seed_key)
    block = _block_key(runs, varying, naming.blocks)
    naming_arms = [name for name in varying if name != block]
    counted: dict[str, int] = defaultdict(int)
    rows, curves, numbered = [], {}, 0
    for run in runs:
        matched = _match(pattern, run.name)
        arm = matched.get("arm") or _arm_name(run, naming_arms)
        # Runs are counted, and curves are kept, per arm in its block.
        inner = arm if block is None else in_block(arm, run.params.get(block, ""))
        text = matched.get("seed") or (run.params.get(seed_key, "") if seed_key is not None else "")
        if not text:
            text, numbered = str(counted[inner]), numbered + 1
        counted[inner] += 1
        rows.append((arm, text, run))
        if text.lstrip("-").isdigit():
            curves[inner, int(text)] = run.curves
    params = [name for name in varying if name not in KEYS]
    table = _as_table(rows, params, where)
    return ForeignTable(table, curves, _remarks(rows, numbered, where))


def check_measured(runs: Sequence[ForeignRun], where: str) -> None:
    """Raise AblateError for runs of which none has a number: a list of columns would not say what is wrong."""
    if not runs or any(run.metrics or run.outcome == "diverged" for run in runs):
        return
    ended = any(run.outcome == "measured" for run in runs)
    failed = next((run.error for run in runs if run.error), "")
    hint = f"for example: {failed}" if failed and not ended else "a metric is a number; nested values are not read"
    raise AblateError(f"no run in {where} has a metric ({plural(len(runs), 'run')})", hint=hint)


def _seed_key(runs: Sequence[ForeignRun], naming: Naming) -> str | None:
    names = dict.fromkeys(name for run in runs for name in run.params)
    if naming.seed_key is not None:
        if naming.seed_key not in names:
            raise AblateError(
                f"no run has a parameter {naming.seed_key!r}", hint=f"known: {', '.join(names) or 'none'}"
            )
        return naming.seed_key
    found = [name for name in names if re.split(r"[./]", name)[-1].casefold() in SEED_NAMES]
    return min(found, key=lambda name: (name.count("."), len(name)), default=None)


def _varying(runs: Sequence[ForeignRun], seed_key: str | None) -> list[str]:
    """Parameters with more than one value over all runs, the seed left out, in order of appearance."""
    names = dict.fromkeys(name for run in runs for name in run.params)
    return [name for name in names if name != seed_key and len({run.params.get(name, "") for run in runs}) > 1]


def _block_key(runs: Sequence[ForeignRun], varying: Sequence[str], asked: str | None) -> str | None:
    """The parameter that says which data set or task a run is of, where arms have several of them."""
    if asked is not None:
        return asked if asked in varying else None  # that there is no such column is said where it is looked for
    for name in varying:
        if names_blocks(name):
            others = [one for one in varying if one != name]
            pairs = {(_arm_name(run, others), run.params.get(name, "")) for run in runs}
            if len({arm for arm, _ in pairs}) < len(pairs) and len({arm for arm, _ in pairs}) > 1:
                return name
    return None


def _match(pattern: re.Pattern[str] | None, name: str) -> dict[str, str]:
    if pattern is None:
        return {}
    found = pattern.search(name)
    if found is None:
        raise AblateError(f"--pattern does not fit the run {name!r}", hint=f"the pattern is {pattern.pattern}")
    return {group: text for group, text in found.groupdict().items() if text}


def _arm_name(run: ForeignRun, varying: Sequence[str]) -> str:
    return ", ".join(f"{name}={run.params[name]}" for name in varying if run.params.get(name)) or "baseline"


def _as_table(rows: Sequence[tuple[str, str, ForeignRun]], params: Sequence[str], where: str) -> TableFile:
    metrics = list(dict.fromkeys(name for _, _, run in rows for name in run.metrics))
    taken = {"arm", _NUMBERED, "outcome", "seconds", "error"}
    shown = [f"param.{name}" if name in metrics or name in taken else name for name in params]
    columns = [f"metric.{name}" if name in taken else name for name in metrics]
    header = ("arm", _NUMBERED, "outcome", "seconds", "error", *shown, *columns)
    body = [
        (
            arm,
            seed,
            run.outcome,
            "" if run.seconds is None else repr(run.seconds),
            " ".join(run.error.split()),
            *(run.params.get(name, "") for name in params),
            *(repr(run.metrics[name]) if name in run.metrics else "" for name in metrics),
        )
        for arm, seed, run in rows
    ]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *body])
    lines = tuple((at + 2, tuple(cells)) for at, cells in enumerate(body))
    return TableFile(Path(_label(where)), buffer.getvalue(), header, lines)


def _label(where: str) -> str:
    """A short name for messages, which can also be a study's: ``mlflow-EXPERIMENT``."""
    kind, _, place = where.partition(":")
    words = re.split(r"[#/\\]", place.removesuffix(".csv").removesuffix(".db").rstrip("/"))
    return f"{kind}-{re.sub(r'[^A-Za-z0-9 _.+-]+', '-', words[-1]) or 'runs'}"


def _remarks(rows: Sequence[tuple[str, str, ForeignRun]], numbered: int, where: str) -> tuple[str, ...]:
    remarks = []
    if numbered:
        remarks.append(
            f"{numbered} of {len(rows)} runs of {where} name no seed: they are numbered in order, and share nothing "
            "between arms; --seed-key names the parameter, or use --test welch"
        )
    lengths = {len(curve) for _, _, run in rows for curve in run.curves.values()}
    if len(lengths) > 1:
        remarks.append(
            f"learning curves have {min(lengths)} to {max(lengths)} points; each value compared is a run's last one"
        )
    return tuple(remarks)


def flat(value: object, prefix: str = "") -> dict[str, str]:
    """Return nested mappings as dotted names with their values as text; lists stay one value, as JSON."""
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for name, inner in value.items():
            found |= flat(inner, f"{prefix}.{name}" if prefix else str(name))
        return found
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return {prefix: text}

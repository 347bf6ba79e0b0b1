"""Study files: YAML with positions to a validated, resolved `Study`, or every problem in one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.core.command.spec.specification import COMMAND
from ablate.errors import AblateError, Problem, StudyFileError
from ablate.interface import DECLARED_METRICS, DEFAULT_CORE, Core
from ablate.paths import is_study_name
from ablate.search import Search
from ablate.study.blocks import Blocks
from ablate.study.examples import example_names, init_command
from ablate.study.factors import FactorInfo, factors_of
from ablate.study.problems import (
    BadValueError,
    Mark,
    Problems,
    Source,
    in_file_order,
    known_words,
    nearest,
)
from ablate.study.reading import values
from ablate.study.reading.block_sections import check_blocks, in_this, read_blocks, read_kind, resolved_in_blocks
from ablate.study.reading.command_sections import COMMAND_KEYS
from ablate.study.reading.command_study import CommandStudy, is_command, read_command, top_level
from ablate.study.reading.declared_metrics import read_declared
from ablate.study.reading.designs import READERS
from ablate.study.reading.drafts import MOST_ARMS, Context, Draft, Drafted, Level, read_level, read_settings
from ablate.study.reading.merge import merge, refuse_bad_names
from ablate.study.reading.metrics import read_metrics
from ablate.study.reading.overrides import apply_overrides
from ablate.study.reading.resolve import Resolver, factor_names
from ablate.study.reading.schedule_tables import NO_TABLES, Tables, read_tables
from ablate.study.reading.search_sections import SECTIONS, Stated, read_search, refuse_candidate_names, searches_of
from ablate.study.reading.sections import read_alpha, read_budget, read_method, read_question, read_seeds
from ablate.study.reading.yaml_tree import Leaf, Node, Table, read_tree, source_of
from ablate.study.spec import BASELINE, Arm, Design, MetricSpec, Study

LARGEST_BYTES = 8_000_000
BYTE_ORDER_MARK = "\ufeff"
"""Windows editors put it in front of a text."""
ResolveCore = Callable[[str, Path], type[Core]]


def load_study(
    path: Path,
    *,
    resolve_core: ResolveCore,
    overrides: Sequence[str] = (),
    seeds: int | None = None,
    name: str | None = None,
    text: str | None = None,
) -> Study:
    """Read the study file at `path`; the study is called `name`, or as the file without its suffix.

    With `text`, that is what the file would hold: there need not be one, and `path` only says where it would lie.

    `resolve_core` gets a core's name and the file's folder, and raises AblateError when there is no such core.
    `overrides` are ``key=value`` texts: a key of the study file, dotted where it nests, or a factor of the baseline.
    `seeds` replaces the file's ``seeds``.

    Raises StudyFileError with every problem found, each with its position.
    """
    text = _read_text(path) if text is None else text
    problems = Problems()
    root = _root(text, source_of(str(path), text), problems)
    if root is None:
        raise StudyFileError(in_file_order(problems.errors))
    root = apply_overrides(root, overrides, seeds, problems)
    study = _Loader(path, text, root, problems, resolve_core).load(path.stem if name is None else name)
    if study is None or problems.errors:
        raise StudyFileError(in_file_order(problems.errors))
    return study


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            raw = handle.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(path, "no such study file", suggestion=_meant(path)) from None
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # A null character in the path.
        raise _unreadable(path, f"cannot be read: {error}") from error
    if len(raw) > LARGEST_BYTES:
        raise _unreadable(path, f"too long for a study file: more than {LARGEST_BYTES} bytes")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _unreadable(path, "is UTF-16, a study file is UTF-8")
    try:
        return raw.decode().removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        before = source_of("", raw[: error.start].decode().removeprefix(BYTE_ORDER_MARK)).lines
        source = source_of(str(path), raw.decode(errors="replace").removeprefix(BYTE_ORDER_MARK))
        place = Mark(source, len(before), len(before[-1]) + 1)
        raise _unreadable(path, f"byte 0x{raw[error.start]:02X} is not UTF-8", mark=place) from None


def _unreadable(path: Path, message: str, *, suggestion: str | None = None, mark: Mark | None = None) -> StudyFileError:
    at = mark or Mark(Source(str(path)))
    text = at.source.line(at.line)
    return StudyFileError((Problem(message, str(path), at.line, at.column, 1, text, suggestion),))


def _sibling(path: Path) -> str | None:
    """Name the study file in the same folder that was probably meant."""
    found = sorted(entry.name for pattern in ("*.yaml", "*.yml") for entry in path.parent.glob(pattern))
    close = nearest(path.name, found)
    return f"did you mean {str(path.parent / close)!r}?" if close else None


def _meant(path: Path) -> str | None:
    """Say what to do about a missing file: an example of this name, a neighbour of a like name, or a like example."""
    command = init_command(path)
    example = f"{command!r} writes it" if command else None
    return example if path.stem in example_names() else _sibling(path) or example


def _root(text: str, source: Source, problems: Problems) -> Table | None:
    node = read_tree(text, source, problems)
    if isinstance(node, Table) and node.entries:
        return node
    if isinstance(node, Table) or (isinstance(node, Leaf) and node.is_null):
        problems.error(
            Mark(source, 1, 1), "the study file is empty", suggestion="'ablate init' writes one to start from"
        )
    elif node is not None:
        problems.error(node.mark, f"a study file is a mapping of keys, not {values.describe(node)}")
    return None


class _Loader:
    """Reads one tree, section by section; every section records its own problems."""

    def __init__(self, path: Path, text: str, root: Table, problems: Problems, resolve_core: ResolveCore) -> None:
        self.path = path
        self.text = text
        self.problems = problems
        self.resolve_core = resolve_core
        self.keys: dict[str, Leaf] = {}
        self.nodes: dict[str, Node] = {}
        self.whole = Mark(root.mark.source, 1, 1)
        self.tables: Tables | None = NO_TABLES
        self._table = root
        self._command: CommandStudy | None = None
        self._metrics: Node | None = None
        self._parameters: dict[str, Any] = {}

    def load(self, name: str) -> Study | None:
        """Return the study, or None when no core or no arm could be read; problems say why."""
        self._name(name)
        core_name, core = self._core()
        factors = self._factors(core)
        self._sort_keys(factors)
        self.tables, factors = read_tables(
            self.keys.get("schedules"), self.nodes.get("schedules"), factors, self.path.parent, self.problems
        )
        question = read_question(self.nodes.get("question"), self.problems)
        looks, first_seed = read_seeds(self.nodes.get("seeds"), self.problems)
        alpha = read_alpha(self.nodes.get("alpha"), self.problems)
        seeds = self.nodes.get("seeds")
        method, left_open = read_method(self.keys.get("report"), self.nodes.get("report"), seeds, looks, self.problems)
        budget = read_budget(self.nodes.get("budget"), self.problems, self.keys.get("budget"))
        if core is None:
            return None
        stated = self.nodes.get("metrics") if self._metrics is None else self._metrics
        metrics = read_metrics(stated, core.metrics, self.problems, self.keys.get("metrics"))
        arms, designs, searches, blocks = self._arms(core, factors, metrics, looks, method.test)
        if not arms or self.problems.errors:
            return None
        if self._command is not None:
            self._command.look_at_places(arms, name)
        return Study(
            name=name,
            question=question,
            core=core_name,
            arms=arms,
            factors=factor_names(arms, searches),
            metrics=metrics,
            looks=looks,
            first_seed=first_seed,
            alpha=alpha,
            method=method,
            left_open=left_open,
            designs=designs,
            searches=searches,
            blocks=blocks,
            core_parameters=self._parameters,
            budget=budget,
            text=self.text,
            file=str(self.path),
            warnings=in_file_order(self.problems.warnings),
        )

    def _name(self, name: str) -> None:
        if not is_study_name(name):
            self.problems.error(
                Mark(Source(str(self.path))),
                f"{name!r} cannot be a study's name",
                suggestion="rename the file, or give it a --name",
                note="a name begins with a letter or digit and holds letters, digits, spaces and _ . + -",
            )

    def _core(self) -> tuple[str, type[Core] | None]:
        node = self._table.get("core")
        try:
            default = COMMAND if is_command(self._table) else DEFAULT_CORE
            name = default if node is None else values.text(node, "the name of a core")
        except BadValueError as bad:
            self.problems.bad(node.mark if node is not None else self.whole, bad, subject="core")
            return "", None
        if name == COMMAND:
            self._command = read_command(self._table, self.path.parent, self.problems)
            if self._command is None:
                return name, None
            self._metrics, self._parameters = self._command.metrics, self._command.spec.to_dict()
        try:
            core = self.resolve_core(name, self.path.parent)
            if self._command is not None:
                core = core.made_for(self._parameters, self.path.parent.absolute())
            if not core.metrics and not core.metrics_from_study:
                raise AblateError(f"core {name!r} measures nothing: its 'metrics' are empty")
            if not core.Settings.model_fields:
                raise AblateError(f"core {name!r} has nothing to vary: its 'Settings' have no fields")
            if core.curve_over:
                self._parameters["curves"] = [{"x": core.curve_over}]
            if core.metrics_from_study:
                return self._with_declared_metrics(name, core)
        except AblateError as error:
            self.problems.error(self.whole if node is None else node.mark, error.message, suggestion=error.hint)
            return name, None
        return name, core

    def _with_declared_metrics(self, name: str, core: type[Core]) -> tuple[str, type[Core] | None]:
        """The core, that says nothing of what it measures, with what the study says of it."""
        key, node = self._table.key("metrics"), self._table.get("metrics")
        declared = read_declared(key, node, name, self.whole, self.problems)
        if declared is None:
            return name, None
        self._metrics = declared.node
        self._parameters[DECLARED_METRICS] = [dict(vars(info)) for info in declared.infos]
        return name, core.made_for(self._parameters, self.path.parent.absolute())

    def _factors(self, core: type[Core] | None) -> dict[str, FactorInfo]:
        try:
            return factors_of(core.Settings) if core is not None else {}
        except AblateError as error:
            self.problems.error(self.whole, error.message, suggestion=error.hint)
            return {}

    def _sort_keys(self, factors: Mapping[str, FactorInfo]) -> None:
        """File every top-level key under its name; unknown keys are recorded."""
        for key, node in self._table.entries:
            name = key.text if key.text in top_level(self._table) else key.text.replace("_", "-")
            if name in self.keys:
                self.problems.error(
                    key.mark, f"{name!r} is given twice", note=f"first in line {self.keys[name].mark.line}"
                )
            elif name not in self._known_keys(factors):
                self._unknown_key(key, node, factors)
            else:
                self.keys[name], self.nodes[name] = key, node

    def _known_keys(self, factors: Mapping[str, FactorInfo]) -> tuple[str, ...]:
        """The top-level keys that make sense with the factors of the core; all of them when there is no core."""
        absent = set()
        if factors and "data" not in factors:
            absent.add("data")
        if factors and not any(factor.tables for factor in factors.values()):
            absent.add("schedules")
        return tuple(key for key in top_level(self._table) if key not in absent)

    def _unknown_key(self, key: Leaf, node: Node, factors: Mapping[str, FactorInfo]) -> None:
        known = self._known_keys(factors)
        suggestion = None
        if key.text in COMMAND_KEYS:
            suggestion = "it is for studies of a command: write core: command, or leave 'core' out"
        elif key.text in factors:
            suggestion = f"{key.text!r} is a factor: put it under 'baseline' or 'vary'"
        elif (meant := nearest(key.text, known)) is not None:
            suggestion = f"did you mean {meant!r}?"
            if self._table.get(meant) is None:  # What stands under it is checked too.
                self.keys.setdefault(meant, key)
                self.nodes.setdefault(meant, node)
        elif (factor := nearest(key.text, factors)) is not None:
            suggestion = f"did you mean the factor {factor!r}? it goes under 'baseline' or 'vary'"
        self.problems.error(key.mark, f"unknown key {key.text!r}", suggestion=suggestion, note=known_words(known))

    def _baseline(self, factors: Mapping[str, FactorInfo]) -> Draft | None:
        """Return the baseline as stated, with the study's data in it; None after recording why not."""
        key, node = self.keys.get("baseline"), self.nodes.get("baseline")
        if key is None or node is None:
            self.problems.error(
                self.whole,
                "no baseline to compare the arms with",
                suggestion="write 'baseline: {factor: level, ...}', or {} for the core's defaults",
            )
            return None
        if not isinstance(node, Table):
            self.problems.error(
                key.mark if isinstance(node, Leaf) and node.is_null else node.mark,
                f"baseline: expected a mapping, got {values.describe(node)}",
                suggestion="write {} for the core's defaults" if isinstance(node, Leaf) and node.is_null else None,
                note="expected: {factor: level, ...}",
            )
            return None
        data = self._data(factors, node)
        levels = read_settings(node, factors, self.problems)
        return None if levels is None or data is None else Draft(BASELINE, data | levels, key.mark)

    def _data(self, factors: Mapping[str, FactorInfo], baseline: Table) -> dict[str, Level] | None:
        """The top-level ``data`` as a level of the baseline, empty when it is not used."""
        node = self.nodes.get("data")
        if node is None:
            return {}
        if (twice := baseline.key("data")) is not None:
            self.problems.error(
                twice.mark,
                "data is given twice",
                suggestion="remove one",
                note=f"the other is at {self.keys['data'].mark}",
            )
            return None
        level = read_level(node, factors["data"], self.problems)
        return {"data": level} if level is not None else None

    def _arms(
        self,
        core: type[Core],
        factors: Mapping[str, FactorInfo],
        metrics: Sequence[MetricSpec],
        looks: tuple[int, ...],
        test: str,
    ) -> tuple[tuple[Arm, ...], tuple[Design, ...], tuple[Search, ...], Blocks | None]:
        """Return the resolved arms, baseline first, their designs, the searches and the blocks; or errors instead."""
        nothing: tuple[tuple[Arm, ...], tuple[Design, ...], tuple[Search, ...], Blocks | None] = ((), (), (), None)
        if not factors:
            return nothing
        stated = self._baseline(factors)
        blocks = read_blocks(
            self.keys.get("blocks"), self.nodes.get("blocks"), Context(factors, None, {}, self.problems)
        )
        kind = read_kind(
            self.keys.get("blocks-are"), self.nodes.get("blocks-are"), self.nodes.get("blocks"), self.problems
        )
        first = in_this(stated, blocks[0]) if stated is not None and blocks else stated
        # A faulty table breaks what uses it: said once, where the table stands.
        resolver = None
        if first is not None and self.tables is not None:
            resolver = Resolver(core, first, self.problems, self.tables)
        levels = resolver.levels if resolver is not None else None
        context = Context(factors, levels, first.levels if first is not None else {}, self.problems)
        sections = self._sections(context)
        wanted = self._searches(context, metrics)
        drafts = [draft for drafted in sections.values() for draft in drafted.drafts]
        refuse_bad_names(drafts, self.problems)
        search = next((self.keys[name] for name in SECTIONS if name in self.keys), None)
        check_blocks(blocks, stated, drafts, kind, looks, test, search, self.problems)
        if first is None or stated is None or resolver is None or self.tables is None:
            return nothing
        baseline = resolver.arm(first)
        arms = {draft: arm for draft in drafts if baseline is not None and (arm := resolver.arm(draft)) is not None}
        resolver.flush()
        if baseline is None or len(arms) < len(drafts):
            return nothing
        kept, designs = merge(sections, arms, (first, baseline), self.problems)
        if blocks and not self.problems.errors:
            tables = self.tables
            every, known = resolved_in_blocks(
                blocks,
                kind,
                stated,
                kept,
                drafts,
                lambda base, problems: Resolver(core, base, problems, tables),
                self.problems,
            )
            return every, designs, (), known
        places = {draft.name: draft.mark for draft in drafts}
        searches = searches_of(wanted, kept, places, self.problems)
        refuse_candidate_names(searches, places, self.problems)
        return kept, designs, searches, None

    def _searches(self, context: Context, metrics: Sequence[MetricSpec]) -> list[Stated]:
        found = [
            read_search(replace(self.keys[name], text=name), self.nodes[name], context, metrics)
            for name in SECTIONS
            if name in self.keys
        ]
        return [one for one in found if one is not None]

    def _sections(self, context: Context) -> dict[str, Drafted]:
        """The designs as stated, by the name of their section."""
        found: dict[str, Drafted] = {}
        for name in self.keys:
            if name not in READERS:
                continue
            before = len(self.problems.errors)
            found[name] = READERS[name](self.keys[name], self.nodes[name], context)
            empty = not found[name].drafts and len(self.problems.errors) == before
            if empty and context.baseline is not None:
                self.problems.error(self.keys[name].mark, f"{name!r} adds no arm: it contains only the baseline")
        if not found and "search" not in self.keys:
            self.problems.error(
                self.whole,
                "nothing is compared with the baseline",
                suggestion="add 'vary: {factor: [level, ...]}'",
                note=f"designs: {', '.join((*READERS, 'search'))}",
            )
        if (count := sum(len(drafted.drafts) for drafted in found.values())) > MOST_ARMS:
            self.problems.error(self.whole, f"{count} arms, at most {MOST_ARMS}")
            return {}
        return found

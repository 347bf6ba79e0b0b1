"""The section ``schedules`` of a study file: tables of numbers with names, to be used as levels of a factor.

    schedules:
      mine: {betas: [0.0001, 0.001, 0.01, ...]}          # numbers here
      measured: {alpha_bars: tables/measured.csv}        # a file beside the study
      warped: {betas: "my_schedules:warped", steps: 500}  # a function beside the study, called with the steps

Every table is checked where it is written and becomes the text of its betas (see `ablate.beta_tables`), so that recipes
hold the numbers themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.beta_tables import KINDS, LONGEST, TableKind, betas_of, table_fault, table_text
from ablate.errors import AblateError
from ablate.json_values import JsonValue
from ablate.loading import load_object
from ablate.study.factors import FactorInfo
from ablate.study.problems import BadValueError, Mark, Problems, Source, did_you_mean, known_words
from ablate.study.reading import values
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table, source_of

WANTED = "{name: {betas: [numbers], or a file, or module:function}}; or alpha_bars instead of betas"
LARGEST_BYTES = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
_WORD = re.compile(r"[^\s,;]+")


@dataclass(frozen=True)
class Tables:
    """The tables of a study by name, and the factors that may name them."""

    by_name: Mapping[str, str]
    factors: frozenset[str]

    def setting(self, factor: str, level: JsonValue) -> JsonValue:
        """Return what the core is given for `level`: the table's text when the level names one."""
        return self.by_name.get(level, level) if factor in self.factors and isinstance(level, str) else level


NO_TABLES = Tables({}, frozenset())


def read_tables(
    key: Leaf | None, node: Node | None, factors: Mapping[str, FactorInfo], folder: Path, problems: Problems
) -> tuple[Tables | None, dict[str, FactorInfo]]:
    """Return the tables of the section, None when one is faulty, and the factors with their names among the choices."""
    takers = frozenset(name for name, factor in factors.items() if factor.tables)
    if key is None or node is None or not takers:
        return NO_TABLES, dict(factors)
    if not isinstance(node, Table) or not node.entries:
        problems.error(key.mark, f"{key.text!r}: expected a mapping of names to tables", note=f"expected: {WANTED}")
        return None, dict(factors)
    taken = {choice for name in takers for choice in factors[name].choices}
    found: dict[str, str | None] = {}
    before = len(problems.errors)
    for name, entry in node.entries:
        if name.text in taken:
            problems.error(name.mark, f"{name.text!r} is built in", suggestion="give the table another name")
        elif not _NAME.fullmatch(name.text):
            problems.error(name.mark, f"{name.text!r} cannot be a table's name: letters, digits and _.+-, at most 40")
        found[name.text] = _table(name, entry, folder, problems)
    wider = {
        name: replace(factor, choices=(*factor.choices, *found)) if name in takers else factor
        for name, factor in factors.items()
    }
    sound = {name: text for name, text in found.items() if text is not None}
    return (Tables(sound, takers) if len(problems.errors) == before else None), wider


@dataclass(frozen=True)
class _Numbers:
    """Numbers with the place of each; the whole stands at `mark`."""

    values: Sequence[float]
    marks: Sequence[Mark]
    mark: Mark

    def place(self, at: int) -> Mark:
        return self.marks[at] if at < len(self.marks) else self.mark


def _table(name: Leaf, node: Node, folder: Path, problems: Problems) -> str | None:
    """The text of one table, or None after recording what is wrong with it."""
    subject = f"schedule {name.text!r}"
    try:
        kind, source, steps = _entry(node)
        numbers = _numbers(source, steps, folder)
        if (fault := table_fault(kind, numbers.values)) is not None:
            problems.error(numbers.place(fault[0]), f"{subject}: {fault[1]}")
            return None
        try:
            return table_text(betas_of(kind, numbers.values))
        except ValueError as error:
            problems.error(numbers.mark, f"{subject}: {error}")
    except BadValueError as bad:
        problems.bad(node.mark, bad, subject=subject)
    except _MarkedError as found:
        problems.bad(found.mark, found.bad, subject=subject)
    return None


class _MarkedError(Exception):
    """A bad value that knows where it stands."""

    def __init__(self, mark: Mark, bad: BadValueError) -> None:
        super().__init__(bad.message)
        self.mark, self.bad = mark, bad


def _entry(node: Node) -> tuple[TableKind, Node, Leaf | None]:
    if not isinstance(node, Table):
        raise BadValueError(f"expected a mapping, got {values.describe(node)}", suggestion="write {betas: ...}")
    for key, _ in node.entries:
        if key.text not in (*KINDS, "steps"):
            known = (*KINDS, "steps")
            bad = BadValueError(
                f"unknown key {key.text!r}", suggestion=did_you_mean(key.text, known), note=known_words(known)
            )
            raise _MarkedError(key.mark, bad)
    given = [kind for kind in KINDS if node.get(kind) is not None]
    if len(given) != 1:
        raise BadValueError(f"expected one of betas and alpha_bars, {'both are' if given else 'none is'} given")
    source, steps = node.get(given[0]), node.get("steps")
    assert source is not None  # its kind was found
    is_function = isinstance(source, Leaf) and _FUNCTION.fullmatch(source.text) is not None
    if steps is None and is_function:
        raise BadValueError("a function needs the number of steps", suggestion="add steps: 1000")
    if steps is not None and not is_function:
        raise _MarkedError(steps.mark, BadValueError("only a function needs 'steps'; a table has one step per number"))
    return given[0], source, steps if isinstance(steps, Leaf) else None


def _numbers(source: Node, steps: Leaf | None, folder: Path) -> _Numbers:
    if isinstance(source, Items):
        return _Numbers([_number(item) for item in source.items], [item.mark for item in source.items], source.mark)
    if not isinstance(source, Leaf) or source.is_null:
        raise BadValueError(f"expected a list of numbers, a file or module:function, got {values.describe(source)}")
    if steps is not None:
        return _called(source, steps, folder)
    return _from_file(source, folder)


def _number(item: Node) -> float:
    try:
        return values.number(item)
    except BadValueError as bad:
        raise _MarkedError(item.mark, bad) from bad


def _from_file(source: Leaf, folder: Path) -> _Numbers:
    """Numbers of a text file, separated by white space, commas or line ends; ``#`` begins a comment."""
    path = folder / source.text
    try:
        with path.open("rb") as handle:
            raw = handle.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _MarkedError(source.mark, BadValueError(f"cannot read {str(path)!r}: {reason}")) from error
    if len(raw) > LARGEST_BYTES:
        raise _MarkedError(source.mark, BadValueError(f"{str(path)!r} is too long: more than {LARGEST_BYTES} bytes"))
    text = source_of(str(path), raw.decode("utf-8-sig", errors="replace"))
    leaves = [leaf for at, line in enumerate(text.lines, start=1) for leaf in _words(text, at, line)]
    return _Numbers([_number(leaf) for leaf in leaves[: LONGEST + 1]], [leaf.mark for leaf in leaves], source.mark)


def _words(source: Source, number: int, line: str) -> list[Leaf]:
    found = _WORD.finditer(line.partition("#")[0])
    return [
        Leaf(word.group(), plain=True, mark=Mark(source, number, word.start() + 1, len(word.group()))) for word in found
    ]


def _called(source: Leaf, steps: Leaf, folder: Path) -> _Numbers:
    """What the user's function returns for `steps`: a sequence of that many numbers."""
    try:
        count = values.count(steps)
        if not 2 <= count <= LONGEST:
            raise BadValueError(f"steps: {count} is out of range: 2 to {LONGEST}")
    except BadValueError as bad:
        raise _MarkedError(steps.mark, bad) from bad
    try:
        function = load_object(source.text, what="function", search=folder)
        if not callable(function):
            raise BadValueError(f"{source.text!r} is not a function")
        numbers = [float(number) for number in function(count)]
    except AblateError as error:
        raise _MarkedError(source.mark, BadValueError(error.message)) from error
    except BadValueError as bad:
        raise _MarkedError(source.mark, bad) from bad
    except Exception as error:
        text = f"{source.text}({count}) raised {type(error).__name__}: {error}"
        raise _MarkedError(source.mark, BadValueError(text)) from error
    if len(numbers) != count:
        raise _MarkedError(source.mark, BadValueError(f"{source.text}({count}) returned {len(numbers)} numbers"))
    return _Numbers(numbers, [], source.mark)

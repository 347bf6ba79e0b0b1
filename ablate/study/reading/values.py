"""Reading one value: a node becomes a value of the kind that is wanted, or a message that says why not.

YAML 1.1 guesses a type before anyone knows what is wanted (``1e-3`` a text, ``off`` false, ``010`` eight, ``12:30``
seven hundred and fifty). Here the wanted kind decides, and what would still be ambiguous is refused.
"""

from __future__ import annotations

import math
import re

from ablate.json_values import JsonValue, freeze, is_same, json_label
from ablate.study.factors import FactorInfo, level_text
from ablate.study.json_types import JsonType, ScalarKind
from ablate.study.problems import BadValueError, did_you_mean, known_words
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table

TRUE = frozenset({"true", "yes", "on"})
FALSE = frozenset({"false", "no", "off"})
LARGEST_INTEGER = 2**53
"""Up to here every whole number survives JSON and SQLite unchanged."""

_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d{1,6})?", re.ASCII)
_DIGITS = re.compile(r"[-+]?[0-9]+")
_WHOLE = re.compile(r"[-+]?\d[\d_]*", re.ASCII)
_OCTAL = re.compile(r"[-+]?0[0-7_]*[0-7]", re.ASCII)
_BASED = re.compile(r"[-+]?0[xXbBoO][0-9a-fA-F_]+", re.ASCII)
_SEXAGESIMAL = re.compile(r"[-+]?(\d{1,9}):([0-5]?\d)(?::([0-5]?\d))?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_LONGEST_NUMBER = 60


def describe(node: Node) -> str:
    """Say what a node is, to tell the user what was found."""
    match node:
        case Items():
            return "a list"
        case Table():
            return "a mapping"
        case _:
            return "nothing" if node.is_null else f"{_short(node.text)!r}"


def leaf(node: Node, wanted: str) -> Leaf:
    """Return `node` when it is a single value; raises BadValueError otherwise."""
    if isinstance(node, Leaf):
        return node
    raise BadValueError(f"expected {wanted}, got {describe(node)}")


def level(node: Node, factor: FactorInfo) -> JsonValue:
    """Return the level of `factor` that `node` states; raises BadValueError with what would be accepted."""
    if factor.json is not None:
        return json_value(node, factor.json)
    value = leaf(node, "one level")
    if value.is_null and value.text not in factor.choices:
        if factor.optional:
            return None
        raise BadValueError(f"expected a level, got nothing (default: {level_text(factor.default)})")
    if factor.optional and factor.kind in ("int", "float") and value.text.casefold() == "none":
        raise BadValueError("'none' is only a text here", suggestion="write null for no value")
    match factor.kind:
        case "bool":
            return boolean(value)
        case "int":
            return _in_range(whole(value), factor)
        case "float":
            return _in_range(number(value), factor)
        case "name":
            return name(value, factor.choices)
        case _:
            return value.text


def json_value(node: Node, wanted: JsonType) -> JsonValue:
    """Return the JSON that `node` states, frozen; raises BadValueError that knows which part is wrong."""
    match node:
        case Items() if wanted.takes_list:
            if wanted.fixed and len(wanted.fixed) != len(node.items):
                raise _misfit(node, wanted, f"expected a list of {len(wanted.fixed)}, got one of {len(node.items)}")
            return tuple(json_value(item, wanted.item(index)) for index, item in enumerate(node.items))
        case Table() if wanted.takes_mapping:
            return freeze({key.text: json_value(item, wanted.value(key.text)) for key, item in node.entries})
        case Leaf():
            return _single(node, wanted)
        case _:
            raise _misfit(node, wanted, f"expected {_wanted(wanted)}, got {describe(node)}")


def _wanted(wanted: JsonType) -> str:
    kinds = {"a list": wanted.takes_list, "a mapping": wanted.takes_mapping, "one value": wanted.takes_scalar}
    return " or ".join(word for word, taken in kinds.items() if taken) or "nothing"


def _misfit(node: Node, wanted: JsonType, message: str) -> BadValueError:
    hint = f"did you mean [{node.text}]?" if isinstance(node, Leaf) and node.text and wanted.takes_list else None
    return BadValueError(message, suggestion=hint, note=f"its type: {wanted.shown}", mark=node.mark)


def _single(node: Leaf, wanted: JsonType) -> JsonValue:
    """One word, number or text as JSON."""
    if node.is_null and not any(choice == node.text for choice in wanted.choices):
        if wanted.takes_null:
            return None
        raise _misfit(Leaf("", True, node.mark), wanted, f"expected {_wanted(wanted)}, got nothing")
    if node.text in wanted.choices:
        return node.text
    if not wanted.takes_scalar:
        raise _misfit(node, wanted, f"expected {_wanted(wanted)}, got {describe(node)}")
    try:
        found = _as_choice(node, wanted) if not wanted.scalars - {"null"} else _of_kinds(node, wanted.scalars)
    except BadValueError as bad:
        note = bad.note or (known_words(map(json_label, wanted.choices)) if wanted.choices else None)
        raise BadValueError(bad.message, suggestion=bad.suggestion, note=note, mark=node.mark) from bad
    return found


def _as_choice(node: Leaf, wanted: JsonType) -> JsonValue:
    """One of the choices, when they are not all words."""
    for choice in wanted.choices:
        if node.plain and not isinstance(choice, str) and node.text.casefold() == json_label(choice):
            return choice
    found = _of_kinds(node, frozenset({"bool", "int", "float", "text"}))
    for choice in wanted.choices:
        if is_same(choice, found):
            return choice
    raise BadValueError(
        f"unknown choice {_short(node.text)!r}", note=known_words(json_label(choice) for choice in wanted.choices)
    )


def _of_kinds(node: Leaf, kinds: frozenset[ScalarKind]) -> JsonValue:
    """The value of `node` as one of `kinds`; quotes make a text, and a word that could be two things is refused."""
    texts = "text" in kinds
    if texts and (not node.plain or not kinds & {"bool", "int", "float"}):
        return node.text
    word = node.text.casefold()
    if "bool" in kinds and word in TRUE | FALSE and (word in ("true", "false") or kinds & _SINGLE == {"bool"}):
        return boolean(node)
    if texts and word in TRUE | FALSE:
        meaning = "true" if word in TRUE else "false"
        raise BadValueError(f"{node.text} may be {meaning} or a text", suggestion=f"write {meaning} or {node.text!r}")
    if kinds & {"int", "float"} and (not texts or _looks_like_number(node)):
        try:
            return _numeral(node, kinds)
        except BadValueError as bad:
            hint = bad.suggestion or (f"write {node.text!r} for a text" if texts else None)
            raise BadValueError(bad.message, suggestion=hint, note=bad.note) from bad
    return node.text if texts else boolean(node)


def _numeral(node: Leaf, kinds: frozenset[ScalarKind]) -> int | float:
    is_whole = "float" not in kinds or _WHOLE.fullmatch(node.text) is not None
    return whole(node) if "int" in kinds and is_whole else number(node)


_SINGLE = frozenset({"bool", "int", "float", "text"})


def _looks_like_number(node: Leaf) -> bool:
    known = (_NUMBER, _BASED, _SEXAGESIMAL, _NOT_FINITE)
    return any(pattern.fullmatch(node.text) for pattern in known)


def name(node: Node, choices: tuple[str, ...]) -> str:
    """Return one of `choices`; ``off`` or ``no`` is the word itself here."""
    value = leaf(node, "a name")
    if value.text in choices:
        return value.text
    raise BadValueError(
        f"unknown name {_short(value.text)!r}",
        suggestion=did_you_mean(value.text, choices),
        note=known_words(choices),
    )


def text(node: Node, wanted: str = "a text") -> str:
    """Return a text as written; nothing is no text."""
    value = leaf(node, wanted)
    if value.is_null:
        raise BadValueError(f"expected {wanted}, got nothing")
    return value.text


def boolean(node: Node) -> bool:
    """Return a truth value: true, yes, on, false, no or off, in any case."""
    value = leaf(node, "true or false")
    word = value.text.casefold()
    if value.plain and word in TRUE | FALSE:
        return word in TRUE
    hint = {"1": "did you mean true?", "0": "did you mean false?"}.get(word)
    if not value.plain and word in TRUE | FALSE:
        hint = f"did you mean {value.text}, without quotes?"
    raise BadValueError(f"expected true or false, got {describe(value)}", suggestion=hint)


def whole(node: Node) -> int:
    """Return a whole number; ``1e3`` and ``64.0`` are whole, ``010`` and ``12:30`` are refused."""
    value = leaf(node, "a whole number")
    parsed = _parse(value, "a whole number")
    if _WHOLE.fullmatch(value.text):
        found = int(value.text.replace("_", ""))
    elif parsed.is_integer():
        found = int(parsed)
    else:
        raise BadValueError(f"expected a whole number, got {describe(value)}")
    if abs(found) > LARGEST_INTEGER:
        raise BadValueError(f"{_short(value.text)} is too large for a whole number: at most 2**53")
    return found


def count(node: Node) -> int:
    """Return how many of something are meant: digits and nothing else, neither ``3.0`` nor ``1_0`` nor ``3e0``."""
    found = whole(node)
    if not _DIGITS.fullmatch(leaf(node, "a whole number").text):
        raise BadValueError(f"a count is written in digits, not {describe(node)}", suggestion=f"write {found}")
    return found


def number(node: Node) -> float:
    """Return a finite number; ``1e-3`` is one."""
    return _parse(leaf(node, "a number"), "a number")


def _parse(value: Leaf, wanted: str) -> float:
    raw = value.text
    if _NOT_FINITE.fullmatch(raw):
        raise BadValueError(f"{wanted} must be finite, not {raw}")
    digits = raw.replace("_", "")
    if value.plain and _OCTAL.fullmatch(raw) and int(digits, 8) != int(digits):
        raise BadValueError(
            f"{raw} is ambiguous: YAML 1.1 reads it as {int(digits, 8)}, other readers as {int(digits)}",
            suggestion=f"write {int(digits)}",
        )
    if value.plain and _BASED.fullmatch(raw):
        raise BadValueError(f"expected {wanted} in decimal digits, got {describe(value)}")
    if value.plain and (clock := _SEXAGESIMAL.fullmatch(raw)):
        total = 0
        for part in clock.groups():
            total = total if part is None else total * 60 + int(part)
        raise BadValueError(f"{raw} is not a number (YAML 1.1 reads it as {total}, counting in sixties)")
    if len(raw) > _LONGEST_NUMBER or not _NUMBER.fullmatch(raw):
        raise BadValueError(f"expected {wanted}, got {describe(value)}")
    if not value.plain:
        raise BadValueError(f"expected {wanted}, got a text", suggestion=f"did you mean {raw}, without quotes?")
    parsed = float(digits)
    if not math.isfinite(parsed):
        raise BadValueError(f"{raw} is too large for a number")
    return parsed


def _in_range(value: int | float, factor: FactorInfo) -> int | float:
    if factor.contains(value):
        return value
    raise BadValueError(f"{level_text(value)} is out of range: {factor.range_text}")


def _short(raw: str) -> str:
    return raw if len(raw) <= 60 else f"{raw[:57]}..."

"""Numbers out of the files that a command writes; what is not there is told with what is there instead."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.core.command.event_files import event_files, scalars
from ablate.core.command.spec.sources import Source

_SHOWN = 12
"""Names listed where the one that was looked for is not there."""
_MISSING = object()


class NotFound(Exception):
    """A number that is not where it should be; says where that is."""


def number_in(path: Path, source: Source, name: str) -> float:
    """Return the number `source` of the metric `name` means in the file or folder `path`; it may be NaN or infinite.

    The last one counts where there are several. Raises NotFound.
    """
    key = source.key or name
    try:
        match source.kind:
            case "json":
                return _in_json(path, key)
            case "tensorboard":
                return _in_events(path, key)
            case _:
                return _in_rows(path, source.kind, key)
    except FileNotFoundError:
        raise NotFound(f"there is no {path}{_beside(path)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise NotFound(f"{path} cannot be read: {error}") from error


def rows_of(path: Path, kind: str, *, whole: bool) -> list[Mapping[str, Any]]:
    """Return the rows of a CSV or JSON-lines file; `whole` says that nobody writes to it any more.

    Before that, a last line without its end is not read. Lines that are not JSON objects are left out.
    Raises OSError, and ValueError for a text that is not UTF-8.
    """
    text = path.read_text(encoding="utf-8-sig")
    if not whole:
        text = text[: text.rfind("\n") + 1]
    return list(_json_lines(text) if kind == "jsonl" else _csv_rows(text))


def event_rows(place: Path, tags: Iterable[str]) -> list[Mapping[str, Any]]:
    """Return the scalars of some tags in event files as rows: ``step``, and one tag with its number.

    Raises OSError and ValueError.
    """
    wanted = set(tags)
    found = (one for file in event_files(place) for one in scalars(file) if one.tag in wanted)
    return [{"step": one.step, one.tag: one.value} for one in found]


def value_at(data: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901, the first slash may be left out) leads to; raises KeyError.

    A negative number counts the elements of a list from its end. A key that has slashes of its own is found too.
    """
    if isinstance(data, dict) and pointer in data:
        return data[pointer]
    found = data
    for step in pointer.removeprefix("/").split("/"):
        found = _step(found, step.replace("~1", "/").replace("~0", "~"))
    return found


def as_number(value: Any) -> float:
    """Return a JSON value, or the text of a CSV cell, as a number; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{_short(value)} is not a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{_short(value)} is not a number") from None


def _in_json(path: Path, pointer: str) -> float:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    try:
        return as_number(value_at(data, pointer))
    except KeyError:
        raise NotFound(f"{path} has no {pointer!r}{_listed(_pointers(data), pointer)}") from None
    except ValueError as error:
        raise NotFound(f"{path}, {pointer}: {error}") from None


def _in_rows(path: Path, kind: str, key: str) -> float:
    rows = rows_of(path, kind, whole=True)
    for row in reversed(rows):
        value = cell(row, kind, key)
        if value is _MISSING:
            continue
        try:
            return as_number(value)
        except ValueError as error:
            raise NotFound(f"{path}, {key}: {error}") from None
    names = dict.fromkeys(name for row in rows for name in (_pointers(row) if kind == "jsonl" else row))
    what = "line" if kind == "jsonl" else "row"
    empty = f": it has no {what}s" if not rows else _listed(names, key)
    raise NotFound(f"{path} has no {what} with {key!r}{empty}")


def _in_events(place: Path, tag: str) -> float:
    files = event_files(place)
    if not files:
        raise NotFound(f"there is no event file (*tfevents*) in {place}{'' if place.exists() else _beside(place)}")
    found = [one for file in files for one in scalars(file)]
    mine = [one for one in found if one.tag == tag]
    if not mine:
        raise NotFound(f"the event files in {place} have no {tag!r}{_listed(dict.fromkeys(s.tag for s in found), tag)}")
    return max(mine, key=lambda one: (one.step, one.wall_time)).value


def cell(row: Mapping[str, Any], kind: str, key: str) -> Any:
    """Return the value of a row under `key`; `is_missing` tells whether there is one."""
    if kind != "jsonl":
        value = row.get(key, _MISSING)
        return _MISSING if isinstance(value, str) and not value.strip() else value
    try:
        return value_at(row, key)
    except KeyError:
        return _MISSING


def is_missing(value: Any) -> bool:
    """True for what `cell` returns of a row that has nothing there."""
    return value is _MISSING


def _step(data: Any, key: str) -> Any:
    if isinstance(data, dict):
        return data[key]
    if isinstance(data, list):
        try:
            return data[int(key)]
        except (ValueError, IndexError):
            raise KeyError(key) from None
    raise KeyError(key)


def _json_lines(text: str) -> Iterator[Mapping[str, Any]]:
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # cut off by a crash, or a line of another kind
        if isinstance(row, dict):
            yield row


def _csv_rows(text: str) -> Iterator[Mapping[str, str]]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    names = [name.strip() for name in next(reader, [])]
    for row in reader:
        # A script that is started again may write its header again.
        if [text.strip() for text in row] != names:
            yield {name: text.strip() for name, text in zip(names, row, strict=False)}


def _pointers(data: Any, before: str = "") -> dict[str, None]:
    """The pointers to all numbers in a JSON value, in order; not those in lists, which may be long."""
    found: dict[str, None] = {}
    for key, value in data.items() if isinstance(data, dict) else ():
        name = f"{before}{key.replace('~', '~0').replace('/', '~1')}"
        if isinstance(value, dict):
            found |= _pointers(value, f"{name}/")
        else:
            found[name] = None
    return found


def _listed(names: Iterable[str], wanted: str) -> str:
    """Say what is there instead: the names, those most like the wanted one first."""
    known = list(names)
    if not known:
        return ": nothing is there"
    near = difflib.get_close_matches(wanted, known, n=1)
    shown = known[:_SHOWN]
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f": it has {', '.join(shown)}{more}{f'; did you mean {near[0]!r}?' if near else ''}"


def _beside(path: Path) -> str:
    """Say which files are in the folder where one is missing."""
    folder = path.parent
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return f": the folder {folder} is not there"
    if not names:
        return f": the folder {folder} is empty"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; in its folder: {', '.join(names[:_SHOWN])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

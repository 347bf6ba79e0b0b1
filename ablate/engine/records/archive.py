"""One file that holds a whole study: its plan, every trial as the storage has it, and the files of its folder.

A zip file with ``manifest.json`` (what it is, and the SHA-256 of every other entry), ``trials.jsonl`` and the study's
folder below ``files/``. The same study gives the same bytes. What is read back comes from outside: names are checked
before they become paths, and every entry against its checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ablate import __version__
from ablate.engine.records import preregistration
from ablate.engine.records.folders import cannot_write
from ablate.errors import AblateError, DamagedError, ResultsError
from ablate.human_units import visible
from ablate.json_values import JsonValue
from ablate.paths import StudyPaths, sync_folder
from ablate.storage.checked import first_fault
from ablate.storage.row_reading import trial_row
from ablate.storage.rows import TrialRow
from ablate.study import core_facts, import_differences
from ablate.study.spec import Study
from ablate.study.stored_plan import study_of

MANIFEST, TRIALS, FILES = "manifest.json", "trials.jsonl", "files/"
VERSION: Final = 2
"""Of what is written; 1 had no `attributes`."""
_KEPT = (core_facts.ATTRIBUTE, preregistration.ATTRIBUTE, import_differences.ATTRIBUTE)
"""Attributes of the study that travel with it, besides its plan."""
_LEFT_OUT = ("workers",)
"""What processes wrote to their standard streams: of use on this machine only."""
_PART = re.compile(r"[A-Za-z0-9=+_ @~-][A-Za-z0-9=+._ @~-]*")
_LARGEST_TEXT = 1 << 28
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""One time for all entries, so that the same study gives the same bytes."""


class _Trial(BaseModel):
    """A line of ``trials.jsonl``."""

    model_config = ConfigDict(extra="forbid")
    number: int
    state: Literal["COMPLETE", "FAIL", "PRUNED"]
    attributes: dict[str, Any]
    params: dict[str, bool | int | float | str | None]
    curve: list[tuple[int, float]]
    started_at: str | None
    finished_at: str | None


class _Manifest(BaseModel):
    """What an archive says of itself."""

    model_config = ConfigDict(extra="forbid")
    schema_version: Literal[1, 2]
    ablate: str
    plan: dict[str, Any]
    command: str
    attributes: dict[str, Any] = Field(default={}, description="what is kept of the study besides its plan")
    entries: dict[str, str] = Field(description="SHA-256 of every other entry")


@dataclass(frozen=True)
class Archive:
    """An archive as read: checked against its checksums."""

    path: Path
    study: Study
    command: str
    attributes: Mapping[str, JsonValue]
    """Of the study besides its plan: facts of its core, and the commit that declared it."""
    rows: tuple[TrialRow, ...]
    files: tuple[str, ...]
    """Paths below the study's folder, with ``/`` between their parts."""
    bytes: int
    """Size of all files, unpacked."""

    def unpack(self, target: Path, *, below: str = "") -> None:
        """Write the files whose path begins with `below` into `target`, which exists."""
        with zipfile.ZipFile(self.path) as packed:
            for name in self.files:
                if name.startswith(below):
                    path = target.joinpath(*PurePosixPath(name).parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(packed.read(FILES + name))


def write_archive(
    path: Path,
    study: Study,
    command: str,
    rows: Sequence[TrialRow],
    paths: StudyPaths,
    attributes: Mapping[str, object] | None = None,
) -> int:
    """Write the archive of a study to `path` in one step; return its size in bytes. Trials that run are left out.

    `attributes` are the study's, as stored.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                _write(handle, study, command, rows, paths, attributes or {})
                handle.flush()
                os.fsync(handle.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
        return path.stat().st_size
    except OSError as error:
        raise cannot_write(path, error) from error


def _write(
    handle: Any,
    study: Study,
    command: str,
    rows: Sequence[TrialRow],
    paths: StudyPaths,
    attributes: Mapping[str, object],
) -> None:
    lines = (json.dumps(_as_data(row), sort_keys=True, allow_nan=False) for row in rows if row.outcome is not None)
    entries: dict[str, str] = {}
    with zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED) as packed:

        def put(name: str, data: bytes) -> None:
            packed.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
            entries[name] = hashlib.sha256(data).hexdigest()

        put(TRIALS, "".join(f"{line}\n" for line in lines).encode())
        for name in _files_of(paths.folder):
            put(FILES + name, paths.folder.joinpath(name).read_bytes())
        kept = {name: attributes[name] for name in _KEPT if name in attributes}
        manifest = _Manifest(
            schema_version=VERSION,
            ablate=__version__,
            plan=study.to_dict(),
            command=command,
            attributes=kept,
            entries=dict(entries),
        )
        put(MANIFEST, manifest.model_dump_json(indent=1).encode())


def _files_of(folder: Path) -> list[str]:
    """Every regular file below `folder` but what is hidden or of use on this machine only."""
    found = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_file() and not path.is_symlink() and parts[0] not in _LEFT_OUT and is_safe(parts):
            found.append("/".join(parts))
    return sorted(found)


def is_safe(parts: Sequence[str]) -> bool:
    """True when every part of a path is an ordinary, visible name."""
    return bool(parts) and all(_PART.fullmatch(part) for part in parts)


def _as_data(row: TrialRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state,
        # Where the log was is of use on this machine only.
        "attributes": {name: value for name, value in row.attributes.items() if name != "log"},
        "params": dict(row.params),
        "curve": [list(point) for point in row.curve],
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def read_archive(path: Path) -> Archive:
    """Read and check an archive; raises AblateError for a file that is none, is damaged or was altered."""
    try:
        with zipfile.ZipFile(path) as packed:
            return _read(packed, path)
    except FileNotFoundError:
        raise AblateError(f"there is no file {path}") from None
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from error
    except zipfile.BadZipFile as error:
        raise _damaged(path, str(error)) from error


def _read(packed: zipfile.ZipFile, path: Path) -> Archive:
    text = _manifest_text(packed, path)
    try:
        manifest = _Manifest.model_validate_json(text)
    except (ValidationError, RecursionError) as error:
        raise _not_ours(text, path) from error
    try:
        study = study_of(manifest.plan)
    except DamagedError as error:
        raise _damaged(path, f"its plan: {error}") from error
    if packed.namelist() != [*manifest.entries, MANIFEST]:
        raise _damaged(path, "its entries differ from its list")
    for name, digest in manifest.entries.items():
        if name != TRIALS and not (name.startswith(FILES) and is_safe(name.removeprefix(FILES).split("/"))):
            raise _damaged(path, f"entry {name!r} does not belong in a study's folder")
        if _digest(packed, name) != digest:
            raise _damaged(path, f"entry {name!r} does not match its checksum")
    rows = tuple(_rows(_small(packed, TRIALS, path), path))
    files = tuple(name.removeprefix(FILES) for name in manifest.entries if name != TRIALS)
    size = sum(packed.getinfo(FILES + name).file_size for name in files)
    attributes = cast("dict[str, JsonValue]", {name: manifest.attributes.get(name) for name in _KEPT})
    known = {name: value for name, value in attributes.items() if value is not None}
    return Archive(path, study, manifest.command, known, rows, files, size)


def _manifest_text(packed: zipfile.ZipFile, path: Path) -> bytes:
    try:
        return _small(packed, MANIFEST, path)
    except KeyError as error:
        raise _not_ours(b"", path) from error


class _Stamp(BaseModel):
    """What archives of every version say of themselves."""

    schema_version: int
    ablate: str


def _not_ours(manifest: bytes, path: Path) -> AblateError:
    """Return the error for a manifest that cannot be read: of a newer ablate, or no manifest."""
    try:
        stamp = _Stamp.model_validate_json(manifest)
    except ValidationError:
        return AblateError(f"{path} is not an archive of a study", hint="make one with: ablate archive STUDY")
    if stamp.schema_version > VERSION:
        return AblateError(
            f"{path} was written by a newer ablate ({visible(stamp.ablate)}): archive version {stamp.schema_version}, "
            f"and this one ({__version__}) reads up to {VERSION}",
            hint="pip install -U ablate",
        )
    return _damaged(path, "its manifest does not describe a study")


def _small(packed: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """An entry that is read into memory as a whole."""
    if packed.getinfo(name).file_size > _LARGEST_TEXT:
        raise _damaged(path, f"entry {name!r} is larger than a study's file can be")
    return packed.read(name)


def _digest(packed: zipfile.ZipFile, name: str) -> str:
    with packed.open(name) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]  # only read() is used


def _rows(text: bytes, path: Path) -> Iterator[TrialRow]:
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            trial = _Trial.model_validate_json(line)
            known = {"number": trial.number, "state": trial.state, "curve": tuple(trial.curve)}
            times = {"started_at": trial.started_at, "finished_at": trial.finished_at}
            yield trial_row(attributes=trial.attributes, params=trial.params, **known, **times)  # type: ignore[arg-type]
        except ValidationError as error:
            raise _damaged(path, f"{TRIALS}, line {number} is not a trial: {first_fault(error)}") from error
        except (DamagedError, RecursionError) as error:
            raise _damaged(path, f"{TRIALS}, line {number} is not a trial: {error}") from error


def _damaged(path: Path, why: str) -> AblateError:
    return AblateError(f"{path} is damaged: {why}", hint="copy it again from where it was made")

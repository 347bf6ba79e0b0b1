"""Where things are: the only place that joins path pieces, and the only place that writes files atomically."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,99}")
"""What a study may be called: the stem of its file, safe as a folder name on every system."""

DEFAULT_RESULTS = Path("results")
"""The results folder where nobody names another."""

REPORT_FORMATS = ("html", "md", "csv", "tex", "json")
"""What a report can be written as."""

_UNSAFE = re.compile(r"[^A-Za-z0-9=+._ @-]+")
_LONGEST_FOLDER = 80
_LINKS, _SET_ASIDE = "links", "set-aside"


def is_study_name(name: str) -> bool:
    """True when `name` can be a study's name (and so a folder's)."""
    return STUDY_NAME.fullmatch(name) is not None and not name.endswith((".", " "))


def folder_name(arm: str, seed: int) -> str:
    """Return the trial folder of (arm, seed): readable, safe, and different for different arms.

    An arm's name may hold anything. Characters that are unsafe in a path become ``_``; then a short digest of the full
    name is added, so that ``a/b`` and ``a_b`` never meet in one folder.
    """
    return f"{safe_name(arm)}-s{seed}"


def safe_name(name: str) -> str:
    """Return `name` as a folder can be called; with a digest where that is not the name itself."""
    safe = _UNSAFE.sub("_", name).strip(". ")[:_LONGEST_FOLDER]
    return safe if safe == name else f"{safe}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def is_in_results(folder: Path) -> bool:
    """True when `folder` lies in a study's folder below some results: what is there may come from somebody else."""
    folder = folder.absolute()
    return any(
        (place / "plan.json").is_file() and (place / "trials").is_dir()
        for one in {folder, folder.resolve()}
        for place in (one, *one.parents)
    )


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` so that readers see the old content or the new, never a part, even across a crash.

    The text goes to a temporary file in the same folder, is fsynced, and replaces `path` in one step; then the folder
    is fsynced. Raises OSError (disk full, read-only) with nothing left behind.
    """
    raw = data.encode() if isinstance(data, str) else data
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(raw)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable (no-op where folders cannot be opened)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` atomically as indented JSON with sorted keys; non-finite numbers raise ValueError."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


@dataclass(frozen=True)
class TrialPaths:
    """Files of one replicate, ``results/<study>/trials/<arm>-s<seed>/``. A retry uses the same folder."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.json"

    @property
    def outcome(self) -> Path:
        return self.folder / "outcome.json"

    @property
    def curve(self) -> Path:
        return self.folder / "curve.jsonl"

    @property
    def spent(self) -> Path:
        return self.folder / "spent.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def samples(self) -> Path:
        return self.folder / "samples.png"

    @property
    def files(self) -> Path:
        """Folder for what a command writes, apart from ablate's own files."""
        return self.folder / "files"

    @property
    def attempts(self) -> Path:
        """What is known of earlier attempts at a command."""
        return self.folder / "attempts.json"

    def make_files(self) -> Path:
        """Make `files` and return a path to it that no command line takes apart.

        Arms are called ``lr=0.1`` and ``two words``, and so are their folders, but Hydra takes a ``=`` for its own and
        glob patterns a ``[``: then the path leads through a link in a folder beside all trials.
        """
        self.files.mkdir(exist_ok=True)
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", self.folder.name)
        if plain == self.folder.name:
            return self.files
        digest = hashlib.sha256(self.folder.name.encode()).hexdigest()[:8]
        link = self.folder.parent.with_name(_LINKS) / f"{plain}-{digest}"
        with contextlib.suppress(OSError):  # there is one already, or the file system has no links
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(os.path.relpath(self.files, link.parent), target_is_directory=True)
        return link if link.exists() and link.samefile(self.files) else self.files

    def set_aside(self) -> Path:
        """Move the folder out of the way, beside the folder of all trials; return where it is now."""
        aside = self.folder.parent.with_name(_SET_ASIDE)
        aside.mkdir(exist_ok=True)
        number = next(n for n in itertools.count(1) if not (aside / f"{self.folder.name}-{n}").exists())
        return self.folder.rename(aside / f"{self.folder.name}-{number}")

    def pictures(self) -> list[Path]:
        """Every picture in the folder, by name."""
        return sorted(self.folder.glob("*.png"))


@dataclass(frozen=True)
class StudyPaths:
    """Files of one study, ``results/<study>/``; or of one of its blocks, see `within`."""

    folder: Path
    block: str = ""
    """The block whose report lies here; its trials are among those of the whole study."""
    home: Path | None = None
    """The study's own folder, where `folder` is that of a block."""

    def within(self, block: str) -> StudyPaths:
        """Files of the report of one block, ``results/<study>/blocks/<block>/``."""
        return StudyPaths(self.folder / "blocks" / safe_name(block), block, self.folder)

    @property
    def study_file(self) -> Path:
        """Verbatim copy of the study file as it was last run."""
        return self.folder / "study.yaml"

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def run_log(self) -> Path:
        return self.folder / "run.log"

    @property
    def tracked(self) -> Path:
        """Which run of a tracker belongs to which replicate."""
        return self.folder / "tracked.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Event files of ``--track tensorboard``."""
        return self.folder / "tensorboard"

    @property
    def wandb(self) -> Path:
        """Runs of ``--track wandb`` as wandb keeps them here."""
        return self.folder / "wandb"

    @property
    def lock(self) -> Path:
        return self.folder / ".lock"

    @property
    def workers(self) -> Path:
        """Folder with one log file per worker slot."""
        return self.folder / "workers"

    @property
    def functions(self) -> Path:
        """Folder of a function that is the core and that workers cannot import."""
        return self.folder / "functions"

    @property
    def trials(self) -> Path:
        return (self.home or self.folder) / "trials"

    @property
    def links(self) -> Path:
        """Links to the folders of commands whose own paths a command line would take apart."""
        return self.folder / _LINKS

    @property
    def set_aside(self) -> Path:
        """What trials left behind that never had a result, of settings that the study no longer has."""
        return self.folder / _SET_ASIDE

    @property
    def figures(self) -> Path:
        return self.folder / "figures"

    @property
    def report_html(self) -> Path:
        return self.folder / "report.html"

    @property
    def report_md(self) -> Path:
        return self.folder / "report.md"

    @property
    def report_json(self) -> Path:
        return self.folder / "report.json"

    @property
    def table_tex(self) -> Path:
        return self.folder / "table.tex"

    @property
    def trials_csv(self) -> Path:
        return self.folder / "trials.csv"

    @property
    def arms_csv(self) -> Path:
        return self.folder / "arms.csv"

    @property
    def curves_csv(self) -> Path:
        return self.folder / "curves.csv"

    @property
    def blocks_csv(self) -> Path:
        return self.folder / "blocks.csv"

    @property
    def blocks_tex(self) -> Path:
        return self.folder / "table_blocks.tex"

    @property
    def report_files(self) -> tuple[Path, ...]:
        """Everything a report may write, figures and the reports of single blocks left out."""
        pages = (self.report_html, self.report_md, self.report_json, self.table_tex, self.blocks_tex)
        return (*pages, self.arms_csv, self.trials_csv, self.curves_csv, self.blocks_csv)

    def trial(self, arm: str, seed: int) -> TrialPaths:
        """Paths of the replicate (arm, seed)."""
        return TrialPaths(self.trials / folder_name(f"{arm}@{self.block}" if self.block else arm, seed))


@dataclass(frozen=True)
class ResultsPaths:
    """The results folder, ``results/`` unless ``--results`` says otherwise."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "ablate.db"

    @property
    def default_storage(self) -> str:
        """The Optuna URL used when ``--storage`` is not given."""
        return f"sqlite:///{self.database}"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def artifacts(self) -> Path:
        """Pictures of all trials, as ``optuna-dashboard --artifact-dir`` takes them."""
        return self.folder / "artifacts"

    def study(self, name: str) -> StudyPaths:
        """Paths of the study `name`; raises ValueError for a name that is not safe as a folder."""
        if not is_study_name(name):
            raise ValueError(f"not a study name: {name!r}")
        return StudyPaths(self.folder / name)

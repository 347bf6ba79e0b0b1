"""A study that is written in Python: the mapping that a study file would hold, and where its modules lie."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from ablate.errors import AblateError
from ablate.loading import shadowing
from ablate.paths import is_study_name

DEFAULT_NAME = "study"


class StudySections(TypedDict, total=False):
    """The keys of a study file, for a study written in Python. See the reference of study files for each.

    `ablate.run` has a parameter `progress` of its own; a command's key of that name is `command_progress` here.
    """

    question: str
    core: str | type | Callable[..., Any]
    command: str | Sequence[str]
    factors: Mapping[str, Any]
    env: Mapping[str, Any]
    version: str
    directory: str
    resume: Any
    command_progress: Any
    pictures: str | Sequence[str]
    warm: str | Sequence[str]
    diverged: Any
    out_of_memory: Any
    failed: Any
    data: str
    baseline: Mapping[str, Any]
    vary: Mapping[str, Sequence[Any]]
    arms: Mapping[str, Mapping[str, Any]]
    grid: Mapping[str, Sequence[Any]]
    zip: Mapping[str, Sequence[Any]]
    factorial: Mapping[str, Sequence[Any]]
    leave_one_out: Mapping[str, Any] | Sequence[Any]
    leave_all_out: Mapping[str, Any] | Sequence[Any]
    only_one: Mapping[str, Any] | Sequence[Any]
    path: Any
    search: Mapping[str, Any]
    tune: Mapping[str, Any]
    metrics: Mapping[str, Any]
    schedules: Mapping[str, Any]
    report: Mapping[str, Any]
    alpha: float
    budget: Mapping[str, Any]


@dataclass(frozen=True)
class StudyDefinition:
    """What a study file would hold, as a mapping. `folder` is where the modules of its own core lie."""

    name: str
    content: Mapping[str, Any]
    folder: Path

    @property
    def path(self) -> Path:
        """Where the file would lie: errors name it, and modules are looked for beside it."""
        return self.folder / f"{self.name} (in Python)"

    def to_yaml(self) -> str:
        """Return the text of the study file. Raises AblateError for a value that YAML cannot hold."""
        import yaml

        try:
            return yaml.safe_dump(_plain(self.content), sort_keys=False, allow_unicode=True, width=120)
        except yaml.YAMLError as error:
            reason = str(error).splitlines()[0]
            raise AblateError(
                f"study {self.name!r}: a study file cannot hold this value: {reason}",
                hint="use numbers, texts, booleans, None, lists and mappings",
            ) from error


StudyLike = str | os.PathLike[str] | Mapping[str, Any] | StudyDefinition | Callable[..., Any]
"""A study: the path of its file, the mapping that the file would hold, a definition with a name of its own, or a
function that trains: its parameters are the factors (see `ablate.function_core`)."""


def source_of(study: StudyLike | None, name: str | None, sections: Mapping[str, Any]) -> Path | StudyDefinition:
    """Return where a study comes from; `sections` replace keys of a mapping.

    A function is the core of a study that is called like it. Without a study, `sections` are all of it: a command or a
    core, and the rest. Both have an empty baseline unless `sections` have one.
    Raises AblateError for a name that a study cannot have, and for sections beside a file, which `overrides` change.
    """
    if study is None:
        if not sections.keys() & {"command", "core"}:
            raise AblateError(
                "no study: what is run?", hint='give a study file, a mapping, a function, or command="python train.py"'
            )
        study = {"baseline": {}}
    if callable(study):
        called = name or re.sub(r"\W+", "-", getattr(study, "__name__", "")).strip("-_") or DEFAULT_NAME
        study = StudyDefinition(called, {"core": study, "baseline": {}}, Path.cwd())
    if isinstance(study, StudyDefinition):
        content: Mapping[str, Any] = study.content
        called, folder = name or study.name, study.folder
    elif isinstance(study, Mapping):
        content, called, folder = study, name or DEFAULT_NAME, Path.cwd()
    elif not isinstance(study, str | os.PathLike):
        raise AblateError(
            f"a study is a file, a mapping or a function, not {study!r}", hint='for example run("study.yaml")'
        )
    else:
        if sections:
            given = ", ".join(sections)
            raise AblateError(
                f"{os.fspath(study)} is a study file: {given} would replace what it says",
                hint='change the file, or single keys with overrides=["key=value"]',
            )
        return Path(study)
    if not is_study_name(called):
        hint = "begin with a letter or digit; letters, digits, spaces and _ . + - may follow"
        raise AblateError(f"{called!r} cannot be a study's name", hint=hint)
    stated = {"progress" if key == "command_progress" else key: value for key, value in sections.items()}
    return StudyDefinition(called, _with_core_by_name({**content, **stated}, folder), folder)


def _with_core_by_name(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A function as the core becomes its name: that of its module, or one under which this process knows it."""
    core = content.get("core")
    if isinstance(core, type):
        _check_workers_import_it(core, folder)
    elif callable(core):
        from ablate.core.shared.registry import is_imported, register_function

        content["core"] = register_function(core)
        if is_imported(content["core"]):
            _check_workers_import_it(core, folder)
    return content


def _check_workers_import_it(core: Callable[..., Any], folder: Path) -> None:
    """Raise AblateError where a file beside the study has the name of the module that `core` comes from."""
    module = sys.modules.get(core.__module__)
    if module is not None and (beside := shadowing(module, folder)) is not None:
        raise AblateError(
            f"{core.__qualname__} comes from {module.__file__}, but workers would import {beside}",
            hint="modules beside the study come first: rename one of the two files",
        )


def _plain(value: Any) -> Any:
    """Turn mappings, sequences, NumPy's scalars and the class of a core into what YAML writes plainly."""
    if isinstance(value, type):
        return _reference(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(one) for one in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value


def _reference(core: type) -> str:
    """Return the ``module:Class`` by which workers import a core."""
    if core.__module__ == "__main__" or "." in core.__qualname__:
        raise AblateError(
            f"workers cannot import {core.__qualname__}: it is defined in a script, a notebook or a function",
            hint="put it into a module of its own beside the script",
        )
    return f"{core.__module__}:{core.__qualname__}"

"""A command as a study file states it: everything the worker needs to run it, as JSON-ready data."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ablate.core.command.spec.sources import Source
from ablate.core.command.spec.template import Command, Placeholder, Template

COMMAND = "command"
"""Name of the core."""
IDENTITY = (COMMAND, "command env", "command version")
"""Settings of a recipe that are not factors: with another one of these, a script may give other numbers.

A factor's name has no space, so these and the factors never meet; `command` is refused as a factor's name.
"""


@dataclass(frozen=True)
class CommandMetric:
    """A metric and where its number is found when the command has ended."""

    source: Source
    direction: Literal["max", "min"]
    unit: str = ""
    scale: Literal["identity", "log"] = "identity"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {**vars(self), "source": str(self.source)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CommandMetric:
        """Rebuild it from `to_dict`."""
        return cls(**{**data, "source": Source.parse(data["source"])})


@dataclass(frozen=True)
class Curve:
    """A learning curve in a file that the command writes while it runs."""

    source: Source
    x: str
    """The column, pointer or (of TensorBoard) ``step`` that says how far the training is, in whole numbers."""
    columns: Mapping[str, str]
    """Metric -> its column, pointer or tag."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {"source": str(self.source), "x": self.x, "columns": dict(self.columns)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Curve:
        """Rebuild it from `to_dict`."""
        return cls(Source.parse(data["source"]), data["x"], dict(data["columns"]))


@dataclass(frozen=True)
class Progress:
    """How the command tells how far it is: by lines that match a pattern, or by the last line of a JSON-lines file."""

    source: Source
    """``stdout`` or ``jsonl``."""
    done: str = "done"
    """Of JSON lines: the pointer to what is done."""
    total: str = ""
    """Of JSON lines: the pointer to what is to be done; for both also a number, or a template of one (``{epochs}``)."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {**vars(self), "source": str(self.source)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Progress:
        """Rebuild it from `to_dict`."""
        return cls(**{**data, "source": Source.parse(data["source"])})


@dataclass(frozen=True)
class Signs:
    """By what one kind of end is known: exit codes, and patterns in a line of the output."""

    codes: tuple[int, ...] = ()
    patterns: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {"codes": list(self.codes), "patterns": list(self.patterns)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Signs:
        """Rebuild it from `to_dict`."""
        return cls(tuple(data["codes"]), tuple(data["patterns"]))


ENDS = ("diverged", "out_of_memory", "failed")
"""Kinds of end that a study file may give signs for; where signs of several are seen, the first counts."""


@dataclass(frozen=True)
class CommandSpec:
    """A command, its factors, and what its files and its output mean."""

    words: tuple[str, ...]
    """The command line, word by word, each a template."""
    factors: Mapping[str, Any]
    """Factor -> its default, whose type is the factor's."""
    metrics: Mapping[str, CommandMetric]
    primary: str = ""
    """The metric that decides: when it is not finite, the trial has diverged."""
    env: Mapping[str, str | None] = field(default_factory=dict)
    """Variable -> its value as a template; None takes the variable away."""
    version: str = ""
    resume: tuple[str, ...] = ()
    """Words that are added when `resume_file` exists."""
    resume_file: str = ""
    progress: Progress | None = None
    curves: tuple[Curve, ...] = ()
    ends: Mapping[str, Signs] = field(default_factory=dict)
    """Kind of end, one of `ENDS` -> its signs."""
    pictures: tuple[str, ...] = ()
    """Files in the trial's folder, or globs of such, that the report shows; templates."""
    directory: str = ""
    """Where the command runs, relative to the study file; empty for the study file's folder."""
    warm: tuple[str, ...] = ()
    """Modules that are imported once, in a process whose forks then run the script; empty for plain starts."""

    @cached_property
    def command(self) -> Command:
        """The command line as templates."""
        return Command.parse(self.words)

    @cached_property
    def environment(self) -> Mapping[str, Template | None]:
        """Variable -> template of its value."""
        return {name: None if text is None else Template.parse(text) for name, text in self.env.items()}

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The placeholders of command, environment and resume arguments."""
        templates = [*self.environment.values(), *Command.parse(self.resume).words]
        more = [one for template in templates if template is not None for one in template.placeholders]
        return (*self.command.placeholders, *more)

    @property
    def env_per_trial(self) -> tuple[str, ...]:
        """Variables of `env` that no two trials share."""
        own = {"seed", "index", "folder", "arm"}
        return tuple(name for name, text in self.environment.items() if text is not None and own & {*text.names})

    @property
    def identity(self) -> dict[str, str]:
        """What a recipe says of the command beside its factors: all by which the numbers would be others.

        Where metrics are read from, progress, resume, the signs of an end, the directory and warm are not part of it.
        """
        env = shlex.join(name if value is None else f"{name}={value}" for name, value in sorted(self.env.items()))
        stated = dict(zip(IDENTITY, (self.command.text, env, self.version), strict=True))
        return {name: text for name, text in stated.items() if text or name == COMMAND}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data, which goes with the study to its storage and to its workers."""
        return {
            "words": list(self.words),
            "factors": dict(self.factors),
            "metrics": {name: metric.to_dict() for name, metric in self.metrics.items()},
            "primary": self.primary,
            "env": dict(self.env),
            "version": self.version,
            "resume": list(self.resume),
            "resume_file": self.resume_file,
            "progress": None if self.progress is None else self.progress.to_dict(),
            "curves": [curve.to_dict() for curve in self.curves],
            "ends": {kind: signs.to_dict() for kind, signs in self.ends.items()},
            "directory": self.directory,
            "warm": list(self.warm),
            **({"pictures": list(self.pictures)} if self.pictures else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CommandSpec:
        """Rebuild it from `to_dict`; raises KeyError or TypeError on anything else."""
        return cls(
            words=tuple(data["words"]),
            factors=dict(data["factors"]),
            metrics={name: CommandMetric.from_dict(metric) for name, metric in data["metrics"].items()},
            primary=data["primary"],
            env=dict(data["env"]),
            version=data["version"],
            resume=tuple(data["resume"]),
            resume_file=data["resume_file"],
            progress=None if data["progress"] is None else Progress.from_dict(data["progress"]),
            curves=tuple(Curve.from_dict(curve) for curve in data["curves"]),
            ends={kind: Signs.from_dict(signs) for kind, signs in data["ends"].items()},
            directory=data["directory"],
            warm=tuple(data.get("warm", ())),  # not in what earlier versions stored
            pictures=tuple(data.get("pictures", ())),
        )

"""The core `command`: one process per trial, whose files and output hold its metrics."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ablate.core.command.attempts import program_texts
from ablate.core.command.process import CommandRunner
from ablate.core.command.spec.programs import require_program
from ablate.core.command.spec.settings import CommandSettings, settings_model
from ablate.core.command.spec.specification import COMMAND, IDENTITY, CommandSpec
from ablate.core.command.trial import CommandTrial
from ablate.interface import Core, CoreSettings, MetricInfo, TrialContext
from ablate.json_values import plain_settings
from ablate.outcome import Outcome
from ablate.recipe import Recipe

_LOG = logging.getLogger(__name__)
_PLACEHOLDERS = dict.fromkeys(("seed", "index"), 0) | dict.fromkeys(("folder", "arm", "study"), "x")
"""What stands in a command line for what only a trial knows."""


class CommandCore(Core):
    """Runs the command of a study file. What it runs, and with which factors, the study says (see `made_for`)."""

    name = COMMAND
    version = "1"
    Settings: ClassVar[type[CoreSettings]] = CommandSettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = ()
    spec: ClassVar[CommandSpec]
    home: ClassVar[Path] = Path()
    """The folder of the study file."""

    def __init__(self) -> None:
        self._runner = CommandRunner(_LOG.warning)
        weakref.finalize(self, self._runner.close)

    def close(self) -> None:
        """End what runs."""
        self._runner.close()

    @classmethod
    def made_for(cls, parameters: Mapping[str, Any], folder: Path | None) -> type[Core]:
        """Return the core of one study: `parameters` are a `CommandSpec` as data, `folder` is the study file's."""
        spec = CommandSpec.from_dict(parameters)
        found = {
            "spec": spec,
            "home": Path() if folder is None else folder,
            "Settings": settings_model(spec.factors, spec.identity),
            "metrics": tuple(
                MetricInfo(name, one.direction, one.unit, one.scale, doc=f"from {one.source}")
                for name, one in spec.metrics.items()
            ),
        }
        return type(cls.__name__, (cls,), found)

    @classmethod
    def directory(cls) -> Path:
        """Where the command runs."""
        return (cls.home / cls.spec.directory).absolute()

    @classmethod
    def require(cls, settings: Any) -> None:
        """Raise an AblateError when the program, or the script it is given, is not here."""
        values = {**_PLACEHOLDERS, **settings.model_dump(mode="json")}
        env = {name: text.fill(values) or "" for name, text in cls.spec.environment.items() if text is not None}
        require_program(cls.spec.command.arguments(values), cls.directory(), {**os.environ, **env})

    @classmethod
    def texts_of(cls, recipe: Recipe) -> Mapping[str, str]:
        """Return the scripts and configuration files that the command line names."""
        settings = plain_settings({name: value for name, value in recipe.settings.items() if name not in IDENTITY})
        return program_texts(cls.spec.command.arguments({**_PLACEHOLDERS, **settings}), cls.directory())

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> Iterator[tuple[Recipe, Outcome]]:
        """Run the command once per recipe."""
        for recipe in recipes:
            yield recipe, CommandTrial(self.spec, self._runner, self.directory(), recipe, context).run()

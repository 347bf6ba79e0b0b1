"""What a core is: the one interface shared by the built-in cores and a user's own training code.

A core is one class: a pydantic settings model whose fields are the factors, a tuple of metrics it can measure, and a
`run` that turns recipes into outcomes. Everything else (designs, placing, resume, storage, verdicts) comes from ablate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from ablate.code_text import text_of_module
from ablate.errors import AblateError
from ablate.json_values import JsonValue, frozen_settings, plain_settings
from ablate.outcome import Outcome
from ablate.recipe import Recipe, digest_of

DEFAULT_CORE = "ddpm-dip"
"""The core of a study that names none."""
DECLARED_METRICS = "declared_metrics"
"""Parameter of `Core.made_for`: the fields of a `MetricInfo` for each metric that the study declares."""


class CoreSettings(BaseModel):
    """Base of every settings model. One field = one factor.

    A field is of any type that JSON can hold: bool, int, float, str, a Literal, a list, a tuple, a dict, a union of
    these. It has a default and a ``Field(description=...)``, bounds by ``ge/gt/le/lt``, and its unit by
    ``json_schema_extra={"unit": "..."}``. The fields of a nested model are factors with dotted names: ``optim.lr``.
    With ``{"tables": True}`` a level may also name a table of the study's ``schedules``; the field is then given its
    text (see `ablate.beta_tables`).
    Rules that concern several fields go into a ``model_validator(mode="after")`` that raises ValueError.

    A recipe's settings make the model again: ``Settings(**recipe.settings)``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _from_dotted_names(cls, data: Any) -> Any:
        """Put ``optim.lr`` into the nested model; what is not stated of it keeps the parent's default."""
        return nested(cls, data) if isinstance(data, Mapping) else data

    def resolved(self) -> dict[str, JsonValue]:
        """Return every setting as frozen JSON data, those of nested models by dotted name: a recipe's `settings`.

        Raises ValueError for a value that JSON has no form for.
        """
        return frozen_settings(_flat(type(self), self.model_dump(mode="json"), ""))


def nested_model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model whose fields are factors of their own, None for a field that is one factor.

    Where there is a choice (``Adam | SGD``, ``Adam | None``) the field is one factor, whose levels are mappings.
    """
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def default_of(field: FieldInfo, model: type[BaseModel] | None = None) -> Any:
    """Return a field's default; of a nested model without one, the model's own defaults."""
    if field.is_required() and model is not None:
        return model()
    return field.get_default(call_default_factory=True, validated_data={})


@cache
def _groups(model: type[BaseModel]) -> tuple[tuple[str, FieldInfo, type[BaseModel]], ...]:
    """The fields of a model that are nested models."""
    found = ((name, info, nested_model(info)) for name, info in model.model_fields.items())
    return tuple((name, info, inner) for name, info, inner in found if inner is not None)


def nested(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` with dotted names moved into the mappings of nested models, and frozen values as plain JSON."""
    given = plain_settings(data)
    for name, info, inner in _groups(model):
        names = [key for key in given if key.startswith(f"{name}.") and key not in model.model_fields]
        dotted = {key.removeprefix(f"{name}."): given.pop(key) for key in names}
        stated = given.get(name)
        if not dotted and (stated is not None or not info.is_required()):
            continue
        if stated is None:
            stated = default_of(info, inner)
        if isinstance(stated, BaseModel):
            stated = {key: getattr(stated, key) for key in type(stated).model_fields}
        given[name] = nested(inner, {**(stated or {}), **dotted})
    return given


def _flat(model: type[BaseModel], values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    inner = {name: model for name, _, model in _groups(model)}
    for name, value in values.items():
        if name in model.model_computed_fields:
            continue
        if name in inner and isinstance(value, Mapping):
            found |= _flat(inner[name], value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


@dataclass(frozen=True)
class MetricInfo:
    """A metric that a core can measure."""

    name: str
    direction: Literal["max", "min"]
    unit: str = ""
    scale: Literal["identity", "log"] = "identity"
    """Differences are taken on this scale: `log` for times, distances and errors that are always positive."""
    margin: float | None = None
    """Suggested smallest difference that matters; relative (0.05 = 5 %) on the log scale."""
    digits: int = 3
    doc: str = ""


@dataclass(frozen=True)
class Stage:
    """A part of a recipe's computation whose result can be shared with other recipes.

    `digest` covers exactly the settings the stage reads, the seed and the core's version, and nothing else.
    `cost` is a relative estimate of the work, in seconds on the reference laptop; only its ratio matters.
    """

    name: str
    digest: str
    cost: float = 1.0
    steps: int = 0
    """Updates of a training in it, 0 for none. With one digest, a shorter training is the beginning of a longer one."""
    program: str = ""
    """Stages with the same program train networks of one shape, compiled once; empty if nothing is compiled."""


@dataclass(frozen=True)
class Fusion:
    """Whether recipes of one batch may train as one program, and with how many lanes."""

    width: int = 1
    """Lanes of a fused program, empty lanes included. 1 computes one recipe after another."""
    forced: bool = False
    """True if the user asked for it: fuse without measuring first whether it is faster."""


SERIAL = Fusion()
"""One recipe after another."""


@dataclass(frozen=True)
class Compilation:
    """Whether the networks of trainings are compiled (``torch.compile``) or run as they are."""

    mode: Literal["off", "auto", "on"] = "off"
    """``auto``: if the core measures that it is faster."""
    study: str = ""
    """Name of the study: within a study a program is either always compiled or never."""
    updates: Mapping[str, int] = field(default_factory=dict)
    """`Stage.program` -> updates that would use it, per slot."""


EAGER = Compilation()
"""Nothing is compiled."""


class TrialContext(Protocol):
    """What a running core sees of the engine. All methods are cheap; call them as often as you like."""

    @property
    def device(self) -> str:
        """Where to compute, as torch names it: ``cpu`` or ``cuda:0`` (the slot's GPU is always index 0)."""

    @property
    def threads(self) -> int:
        """CPU threads of this slot; already applied to torch by the worker."""

    @property
    def cache(self) -> Path:
        """Root of the content-addressed stage cache, ``results/cache``."""

    @property
    def fusion(self) -> Fusion:
        """Whether the recipes of one `run` call may be computed as one program; a core may always decline."""

    @property
    def compilation(self) -> Compilation:
        """Whether networks may be compiled; a core may always decline."""

    @property
    def wanted(self) -> frozenset[str]:
        """Names of the study's metrics: a core may leave out costly ones that are not among them."""

    @property
    def stop_requested(self) -> bool:
        """True when the run stops this worker, or a search prunes the trial: save, then raise StoppedError."""

    @property
    def checkpoint_due(self) -> bool:
        """True when enough time has passed since the last `checkpointed()`; save at the next step boundary."""

    def checkpointed(self) -> None:
        """Report that a checkpoint is safely on disk."""

    @property
    def study(self) -> str:
        """Name of the study whose trials are computed."""

    def arm(self, recipe: Recipe) -> str:
        """Name of the trial's arm. Arms with equal recipes are computed once, under the name of the first arm."""

    def seed_index(self, recipe: Recipe) -> int:
        """Which of the study's seeds the trial has, from 0; `recipe.seed` is the number itself, equal in every arm."""

    def folder(self, recipe: Recipe) -> Path:
        """The trial's folder, for sample images and other files of the core. It exists already."""

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        """Report the progress of a recipe: stage name, units done of total, and numbers to show (loss, it/s)."""

    def curve(self, recipe: Recipe, images: int, **values: float) -> None:
        """Add a point to the learning curve at `images` training images seen, a whole number of at least 0.

        Repeated `images` are ignored, and values that are not finite are left out. Raises CoreError for other types.
        """

    def log(self, recipe: Recipe, text: str) -> None:
        """Append a line to the trial's log.txt; the core's printed output goes there too."""


class Core(ABC):
    """Turns recipes into outcomes. Subclass it, name it in a study file as ``core: module:Class``.

    A function can be a core too (see `ablate.function_core`). Write a class for your own checkpoints, shared
    beginnings, or several recipes in one program.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    """Change it whenever the same recipe would give other numbers: it is part of every stage digest."""
    Settings: ClassVar[type[CoreSettings]]
    metrics: ClassVar[tuple[MetricInfo, ...]]
    more_metrics: ClassVar[bool] = False
    """True if outcomes may contain metrics that are not in `metrics`, without a note."""
    curve_over: ClassVar[str] = ""
    """What `TrialContext.curve` counts, as an axis is called (``epoch``, ``step``); empty for training images seen."""
    imports: ClassVar[tuple[str, ...]] = ()
    """Modules that `run` imports by itself, for workers to import before they are ready. On this machine workers are
    forks of one process that has done so, and share its memory."""
    metrics_from_study: ClassVar[bool] = False
    """True if the study file declares what the core measures; `made_for` then gets the declarations."""

    @classmethod
    def made_for(cls, parameters: Mapping[str, Any], folder: Path | None) -> type[Core]:
        """Return the core of one study, if the study file itself describes it (see the core `command`).

        `parameters` are JSON-ready data that is stored with the study and sent to its workers; `folder` is the study
        file's. Must not import torch. The default: the same core for every study.
        """
        return cls

    @classmethod
    def for_workers(cls, folder: Path) -> Mapping[str, Any]:
        """Return what workers need, in addition to the study, to make this core again, as JSON-ready data.

        `folder` is the study's results folder, to write into. The default: nothing, since the name is enough.
        """
        return {}

    @classmethod
    def texts(cls) -> Mapping[str, str]:
        """Return which files hold the code, as name -> digest of the text; asked when the core is imported.

        They are recorded with every outcome, so that results of several texts do not mix without a word. The default:
        the file of the class, and nothing for a core of ablate's own, whose `version` says it.
        """
        own = next(one for one in cls.__mro__ if one.__module__ != "abc")  # where Python puts what `made_for` makes
        return {} if own.__module__.partition(".")[0] == "ablate" else text_of_module(own)

    @classmethod
    def texts_of(cls, recipe: Recipe) -> Mapping[str, str]:
        """Return what `recipe` adds to `texts`: files that are read anew in every trial, asked when it begins."""
        return {}

    @classmethod
    def check(cls, settings: Any) -> list[str]:
        """Return warnings about validated `settings` (an instance of `Settings`) for plan. Must not import torch."""
        return []

    @classmethod
    def require(cls, settings: Any) -> None:
        """Raise an AblateError if something that `settings` need is missing, for example a data set.

        Called once per arm before anything starts. Must not import torch.
        """

    @classmethod
    def require_metrics(cls, settings: Any, names: Collection[str]) -> None:
        """Raise an AblateError if one of the study's metrics `names` cannot be measured with `settings`.

        For metrics that need an optional package, a file or a setting. Called like `require`; must not import torch.
        """

    @classmethod
    def stages(cls, recipe: Recipe) -> tuple[Stage, ...]:
        """Return the recipe's shareable stages in order of computation. Must not import torch."""
        return ()

    @classmethod
    def rest_s(cls, recipe: Recipe, metrics: Collection[str]) -> float:
        """Return the time of a trial besides its stages, mostly evaluation, in seconds on the reference machine.

        `metrics` are the study's: some take extra time. Used only to plan a study without results.
        Must not import torch.
        """
        return 0.0

    @classmethod
    def batch_key(cls, recipe: Recipe) -> str:
        """Recipes with equal keys may be computed together in one `run` call. The default: each alone."""
        return recipe.digest

    @classmethod
    def trainings(cls, recipe: Recipe, device: str, fusion: Fusion) -> dict[str, str | None]:
        """Return the parts of `recipe` that train, each with the reason why it is not fused, or None if it can be.

        `device` is ``cpu`` or ``cuda``. Recipes without a part that can be fused are run one by one. The default: one
        part that is fused when the batch key is shared, on a CPU only on request. Must not import torch.
        """
        if cls.batch_key(recipe) == recipe.digest:
            return {"training": "the core computes it alone"}
        only = "auto fuses on GPUs only" if device == "cpu" and not fusion.forced else None
        return {"training": only}

    @classmethod
    def memory_key(cls, recipe: Recipe) -> str:
        """Recipes with equal keys need the same memory: one measured peak serves all. The default: all seeds of an arm.

        Leave out settings that change only numbers (a step size, a schedule, a number of steps). Must not import torch.
        """
        return digest_of({"core": recipe.core, "settings": dict(recipe.settings)})

    @classmethod
    def is_time(cls, metric: str) -> bool:
        """True when `metric` is a duration: studies of it run one trial per device."""
        return any(info.name == metric and info.unit == "s" for info in cls.metrics)

    @abstractmethod
    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> Iterable[tuple[Recipe, Outcome]]:
        """Compute `recipes` and yield each one's outcome as soon as it is known (a generator, or return a list).

        Metrics may be numbers of any kind (NumPy's and torch's scalars too). When the primary metric is not finite the
        trial is *diverged*; any other metric that is not finite counts as missing. Without the primary metric the
        trial is *failed*.

        Raise StoppedError when `context.stop_requested` and the checkpoint is saved, DivergedError at the first
        non-finite loss. Any other exception is recorded as `failed` with its traceback (out of memory is recognised)
        for every recipe of the call that has no outcome yet.
        """

    def measure(self, recipe: Recipe, context: TrialContext) -> Outcome:
        """Measure the metrics `context.wanted` of a trial that has ended, from what it left in `context.cache`.

        Nothing is trained. The outcome's `metrics` hold what was asked for and could be measured. Raise a ResultsError
        when what is needed is gone. The default: a core that cannot do this.
        """
        raise AblateError(
            f"core {type(self).name} measures while it runs and not later",
            hint="name the metric in the study file, and run it under another --name",
        )

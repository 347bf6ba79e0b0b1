"""The core that a function becomes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from ablate.code_text import CODE, read_back, text_of_function, text_of_module, written
from ablate.core.functions.signature import Signature, signature_of
from ablate.core.functions.stored import write_function
from ablate.core.functions.trial import TRAINING, Trial
from ablate.errors import AblateError, CoreError, StoppedError
from ablate.interface import DECLARED_METRICS, Core, CoreSettings, MetricInfo, TrialContext
from ablate.outcome import Outcome, OutcomeKind, number_of, whole_number_of
from ablate.paths import StudyPaths
from ablate.recipe import Recipe

STEP = "step"
"""Key of a point of the learning curve that says where it is."""
STORED = "function"
"""Entry of what workers are told: the file that holds a function, and its digest."""
MetricDeclaration = Literal["max", "min"] | MetricInfo


class FunctionCore(Core):
    """Calls a function once per recipe. Made by `function_core`."""

    name: ClassVar[str] = "function"
    Settings: ClassVar[type[CoreSettings]] = CoreSettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = ()
    more_metrics: ClassVar[bool] = True
    curve_over: ClassVar[str] = STEP
    metrics_from_study: ClassVar[bool] = True
    function: ClassVar[Callable[..., Any]]
    signature: ClassVar[Signature]
    by_value: ClassVar[bool] = False
    """True: workers cannot import the function, they are sent it."""
    sent: ClassVar[Mapping[str, str]] = {}
    """In a worker that was sent the function: what came with it."""

    @classmethod
    def made_for(cls, parameters: Mapping[str, Any], folder: Path | None) -> type[Core]:
        """Return the core with the metrics that the study declares."""
        declared = tuple(MetricInfo(**one) for one in parameters.get(DECLARED_METRICS, ()))
        return type(cls.__name__, (cls,), {"metrics": declared}) if declared else cls

    @classmethod
    def for_workers(cls, folder: Path) -> Mapping[str, Any]:
        """Write a function that cannot be imported into the study's folder."""
        if not cls.by_value:
            return {}
        stored = write_function(cls.function, cls.who(), StudyPaths(folder).functions)
        return {STORED: {**stored, CODE: written(cls.texts())}}

    @classmethod
    def texts(cls) -> Mapping[str, str]:
        """Return the text of the function's file; of one that is sent, its own, which workers cannot see."""
        if cls.sent:
            return read_back(cls.sent.get(CODE, ""))
        return text_of_function(cls.function) if cls.by_value else text_of_module(cls.function)

    @classmethod
    def who(cls) -> str:
        """Name the function in messages."""
        return f"function {cls.name!r}"

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> Iterator[tuple[Recipe, Outcome]]:
        """Call the function for one recipe after the other."""
        for recipe in recipes:
            yield recipe, self._outcome(recipe, context)

    def _outcome(self, recipe: Recipe, context: TrialContext) -> Outcome:
        trial = Trial(context, recipe)
        given = type(self).function(**self._arguments(recipe, trial))
        generator = isinstance(given, Generator)
        if generator:
            given = _followed(given, trial, self._who)
        if isinstance(given, Outcome):
            return given
        return Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=self._metrics(given, generator=generator))

    def _arguments(self, recipe: Recipe, trial: Trial) -> dict[str, Any]:
        settings = self.Settings.model_validate(dict(recipe.settings))
        found = {name: getattr(settings, name) for name in type(settings).model_fields}
        if self.signature.takes_seed:
            found["seed"] = recipe.seed
        if self.signature.trial is not None:
            found[self.signature.trial] = trial
        return found

    def _metrics(self, given: Any, *, generator: bool) -> Mapping[str, Any]:
        if isinstance(given, Mapping):
            return given
        if given is not None and not isinstance(given, str) and len(self.metrics) == 1 and hasattr(given, "__float__"):
            return {self.metrics[0].name: given}
        names = ", ".join(f"'{metric.name}': ..." for metric in self.metrics) or "'loss': ..."
        kind = "nothing" if given is None else f"a {type(given).__name__}"
        last = " (what it yields is its learning curve)" if generator else ""
        raise CoreError(f"{self._who} returned {kind}, expected a dict of metrics{last}", hint=f"return {{{names}}}")

    @property
    def _who(self) -> str:
        return getattr(type(self).function, "__name__", self.name)


def _followed(given: Generator[Any, Any, Any], trial: Trial, who: str) -> Any:
    """Run a generator to its end: every dict it yields is a point of the learning curve. Return its result.

    Between points the run may be stopped; the trial then starts over, or from what the function saved itself.
    """
    step = 0
    while True:
        try:
            point = next(given)
        except StopIteration as end:
            return end.value
        if not isinstance(point, Mapping):
            raise CoreError(
                f"{who} yielded a {type(point).__name__}, expected dicts, the points of its learning curve",
                hint="for example yield {'step': step, 'loss': loss}",
            )
        values = dict(point)
        step = whole_number_of(values.pop(STEP, step + 1), STEP)
        trial.curve(step, **values)
        trial.progress(step, stage=TRAINING, **{name: number_of(value, name) for name, value in values.items()})
        if trial.stop_requested:
            given.close()
            raise StoppedError


def function_core(
    function: Callable[..., Any],
    metrics: Mapping[str, MetricDeclaration] | Sequence[MetricInfo] = (),
    *,
    name: str | None = None,
) -> type[FunctionCore]:
    """Return the core that calls `function`: ``def train(*, lr: float = 1e-3, seed: int) -> dict[str, float]``.

    Its parameters are the factors. `metrics` says what it measures, as ``{"accuracy": "max"}`` or with `MetricInfo`;
    left out, the study says so. `name` is how a study names the core. An attribute of the function says which version
    it is (``train.version = "2"``), as `Core.version` does.

    Raises AblateError for a function whose parameters cannot be factors (see `signature_of`).
    """
    called = name or f"{function.__module__}:{getattr(function, '__qualname__', 'function')}"
    infos = _infos(metrics, called)
    found = {
        "__doc__": inspect.getdoc(function),
        "name": called,
        "function": staticmethod(function),
        "signature": (signature := signature_of(function, f"function {called!r}")),
        "Settings": signature.settings,
        "version": str(getattr(function, "version", Core.version)),
        "metrics": infos,
        "metrics_from_study": not infos,
    }
    return type("FunctionCore", (FunctionCore,), found)


def _infos(metrics: Mapping[str, MetricDeclaration] | Sequence[MetricInfo], who: str) -> tuple[MetricInfo, ...]:
    if not isinstance(metrics, Mapping):
        return tuple(metrics)
    found = []
    for name, one in metrics.items():
        if isinstance(one, MetricInfo):
            found.append(MetricInfo(**{**asdict(one), "name": name}))
        elif one in ("max", "min"):
            found.append(MetricInfo(name, direction=one))
        else:
            raise AblateError(
                f"function {who!r}: metric {name!r} is {one!r}", hint="write 'max' or 'min', or an ablate.MetricInfo"
            )
    return tuple(found)

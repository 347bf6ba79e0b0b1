"""The user attributes of a trial and of a study: their names, and how an outcome becomes them."""

from __future__ import annotations

from typing import Final

from ablate.json_values import JsonValue
from ablate.outcome import Outcome

SCHEMA: Final = "ablate.schema"
"""Study attribute that marks a study as ours and tells how its attributes are to be read."""
SCHEMA_VERSION: Final = 1
PRIMARY: Final = "ablate.primary"
"""Study attribute: name of the primary metric."""
LONG: Final = frozenset({"ablate.plan", "ablate.yaml", "ablate.core", "ablate.differing"})
"""Study attributes of many lines. They are kept among Optuna's system attributes, which its command line and dashboard
do not print: a table of studies stays readable."""
WRITER: Final = "ablate:writer"
"""Study system attribute: who may write to this study now."""
METRIC_NAMES: Final = "study:metric_names"
"""Study system attribute in which Optuna keeps what `Study.set_metric_names` was given."""

ARM: Final = "arm"
SEED: Final = "seed"
OUTCOME: Final = "outcome"
METRICS: Final = "metrics"
SECONDS: Final = "seconds"
DEVICE: Final = "device"
RECIPE: Final = "recipe"
ERROR: Final = "error"
STAGES: Final = "stages"
"""Digests of the stages of a trial of a user's own core."""
UNSET: Final = "unset"
"""Names of numeric factors whose level is None: they are no params of this trial."""
_OF_THE_TRIAL: Final = frozenset(
    {ARM, SEED, STAGES, UNSET, "attempt", "candidate", "commit", "copied_from", "imported_from"}
    | {"levels", "log", "phase", "search", "slot"}
)
"""Attributes of a trial that do not come from its outcome."""


def outcome_attributes(outcome: Outcome, primary: str) -> dict[str, JsonValue]:
    """Return what is remembered of `outcome`: empty fields left out, every metric also under its own name."""
    known: dict[str, JsonValue] = {
        OUTCOME: outcome.kind.value,
        METRICS: dict(outcome.metrics),
        SECONDS: outcome.seconds,
        "images_seen": outcome.images_seen,
        DEVICE: outcome.device,
        "device_name": outcome.device_name,
        RECIPE: outcome.recipe_digest,
        ERROR: outcome.error,
        "traceback": outcome.traceback,
        "reused": dict(outcome.reused),
        "samples": outcome.samples,
        "environment": dict(outcome.environment),
        "notes": list(outcome.notes),
        "node": outcome.environment.get("node"),
        "job": outcome.environment.get("job"),
    }
    if outcome.kind.value == "measured" and primary not in outcome.metrics:
        known[ERROR] = outcome.error or f"the primary metric {primary!r} has no finite value"
    found = {name: value for name, value in known.items() if value not in (None, "", [], {}) or name == METRICS}
    # A metric may be called `error`: what has a meaning of its own keeps it, also where this outcome leaves it out.
    taken = known.keys() | _OF_THE_TRIAL
    return {**{name: value for name, value in outcome.metrics.items() if name not in taken}, **found}

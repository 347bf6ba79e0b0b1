"""What a run would do and cost, as one value."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.api.plan_cost import PlanCost, cost_of
from ablate.api.plan_fusion import fusion_plan
from ablate.api.request import PreparedRun
from ablate.errors import AblateError, Problem
from ablate.human_units import plural, spoken

if TYPE_CHECKING:
    import pandas as pd

    from ablate.engine.workers.slots import Slot
    from ablate.report.statistics.sequential.expected_seeds import Prediction


@dataclass(frozen=True, repr=False)
class StudyPlan:
    """What a run of a study would do, on which slots, and at which cost. Nothing on disk was changed to learn it."""

    prepared: PreparedRun
    slots: tuple[Slot, ...]
    cost: PlanCost | None
    """None when nobody can say."""

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.prepared.study.name

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that are asked for, the baseline first."""
        return tuple(self.prepared.plan.arms)

    @property
    def trials(self) -> int:
        """Replicates that are asked for, candidates of searches left out."""
        return self.prepared.plan.replicates

    @property
    def done(self) -> int:
        """How many of them have a result."""
        return self.prepared.plan.done

    @property
    def to_run(self) -> int:
        """Trials that a run would start now."""
        return self.prepared.plan.to_run

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is doubtful in the study, and why a run would be refused where it would be."""
        refusal = self._refusal()
        return (*self.prepared.plan.warnings, *(() if refusal is None else (refusal,)))

    @property
    def command(self) -> str:
        """The command line that runs this."""
        return self.prepared.request.command()

    @cached_property
    def expected(self) -> Prediction | None:
        """What ``--until decided`` takes in all, if nothing matters and if one arm does; None with one look."""
        from ablate.api.expected_trials import expected_trials

        return expected_trials(self.prepared)

    @property
    def free_bytes(self) -> int:
        """Free space where the results are, or would be."""
        return free_bytes(self.prepared.place.results.folder)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per replicate that is asked for: arm, seed, and whether a run would compute it."""
        import pandas as pd

        waiting = {one.key for one in self.prepared.plan.todo}
        records = [(one.arm, one.seed, one.key in waiting) for one in self.prepared.replicates]
        return pd.DataFrame.from_records(records, columns=["arm", "seed", "to_run"])

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data, as ``ablate plan --json`` prints it."""
        plan = self.prepared.plan.to_dict()
        plan.pop("schema_version", None)
        return {
            **plan,
            "slots": [vars(slot) for slot in self.slots],
            "disk_free_bytes": self.free_bytes,
            "fusion": fusion_plan(self.prepared, self.slots),
            "estimate": None if self.cost is None else vars(self.cost),
            "until_decided": None if self.expected is None else asdict(self.expected),
        }

    def __repr__(self) -> str:
        counts = f"{plural(len(self.arms), 'arm')}, {plural(self.trials, 'trial')}, done {self.done}"
        cost = "" if self.cost is None or not self.to_run else f", about {spoken(self.cost.wall_s)}"
        return f"<StudyPlan {self.name}: {counts}, to run {self.to_run}{cost}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(factor.name)}</td><td>{factor.arms}</td>"
            f"<td>{escape(', '.join(map(str, factor.levels)))}</td></tr>"
            for factor in self.prepared.plan.factors
            if factor.arms
        )
        head = "<tr><th>factor</th><th>arms</th><th>levels (the baseline's first)</th></tr>"
        warnings = "".join(f"<li>{escape(str(one))}</li>" for one in self.warnings)
        listed = f"<ul>{warnings}</ul>" if warnings else ""
        return f"<p>{escape(repr(self)[1:-1])}</p><table>{head}{rows}</table>{listed}"

    def _refusal(self) -> Problem | None:
        """Why a run would refuse to start here, as a warning: data or weights can be fetched before it."""
        from ablate.study.plan import require

        try:
            require(self.prepared.core, self.prepared.study, self.prepared.replicates)
        except AblateError as error:
            return Problem(f"a run would be refused: {error.message}", suggestion=error.hint, severity="warning")
        return None


def plan_of(prepared: PreparedRun, slots: tuple[Slot, ...], probe_s: float | None = None) -> StudyPlan:
    """Return the plan of what was prepared; `probe_s` is what a probe measured for the baseline's first trial."""
    from ablate.engine.workers.slots import certain

    slots = timed_slots(prepared, slots)
    return StudyPlan(prepared, slots, cost_of(prepared, certain(slots), probe_s))


def timed_slots(prepared: PreparedRun, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Return `slots`, one per device where the primary metric is a time."""
    from ablate.engine.workers.slots import one_per_device

    return one_per_device(slots) if prepared.core.is_time(prepared.study.primary.name) else slots


def free_bytes(folder: Path) -> int:
    """Return the free space where `folder` is or would be made."""
    folder = folder.absolute()
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free

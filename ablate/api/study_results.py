"""What a study has given so far, as tables and verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.api.stored_studies import StoredStudy, latest
from ablate.human_units import plural

if TYPE_CHECKING:
    import pandas as pd

    from ablate.engine.run_study import RunSummary
    from ablate.report.data.material import Material
    from ablate.report.statistics.model import Comparison, Verdict
    from ablate.study.spec import Study


@dataclass(frozen=True, repr=False)
class StudyResults:
    """One study as stored at one moment. Tables are made at their first use, and are yours to change."""

    stored: StoredStudy
    summary: RunSummary | None = None
    """How the run went that gave these results; None for results that were loaded."""

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.stored.study.name

    @property
    def study(self) -> Study:
        """The study as it was last run: arms, metrics, looks."""
        return self.stored.study

    @property
    def folder(self) -> Path:
        """Where its reports, figures and trial folders are."""
        return self.stored.paths.folder

    @property
    def complete(self) -> bool:
        """True when every replicate of the first declared look has a result."""
        have = self._outcomes
        wanted = ((arm.name, seed) for arm in self.study.arms for seed in self.study.seed_range())
        return all(have.get(key, "") in ("measured", "diverged") for key in wanted)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per (arm, seed), the trial that counts: arm, seed, outcome, every metric, seconds, device.

        In a study with blocks one row per (arm, block, seed), with a column `block` behind `arm`.
        """
        from ablate.report.data.frames import trials_frame
        from ablate.study.blocks import split_name

        frame = trials_frame(self.study, self.stored.rows)
        if self.study.blocks is not None:
            names = [split_name(name) for name in frame["arm"]]
            frame.insert(2, "block", [block for _, block in names])
            frame["arm"] = [arm for arm, _ in names]
        return frame

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Points of the primary metric's learning curves: arm, seed, images, value."""
        from ablate.report.data.frames import curves_frame

        return curves_frame(self.study, self.stored.rows)

    @cached_property
    def comparison(self) -> Comparison:
        """Every arm against the baseline on every metric, at the declared looks."""
        from ablate.report.data.frames import compare_study

        return compare_study(self.study, self.stored.rows)

    @property
    def verdicts(self) -> Mapping[str, Verdict | None]:
        """Arm -> verdict on the primary metric; None where there is nothing to compare with yet."""
        return {
            arm: self.comparison.row(arm).verdict for arm in self.comparison.arms if arm != self.comparison.baseline
        }

    @cached_property
    def _outcomes(self) -> Mapping[tuple[str, int], str]:
        return {key: row.outcome.value for key, row in latest(self.stored.rows).items() if row.outcome is not None}

    def __repr__(self) -> str:
        counts = Counter(self._outcomes.values())
        parts = [f"{word.replace('_', ' ')} {count}" for word, count in counts.items()]
        return f"<StudyResults {self.name}: {plural(len(self.study.arms), 'arm')}, {', '.join(parts) or 'no trial'}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self)[1:-1])}</p>{self.comparison._repr_html_()}"


@dataclass(frozen=True, repr=False)
class WrittenReport:
    """A report that was written, and the comparison behind it."""

    comparison: Comparison
    folder: Path
    files: tuple[Path, ...]
    """The pages and tables, figures left out."""
    sentences: tuple[str, ...]
    """The verdicts in words."""
    material: Material | None = None
    """Everything the pages show; None where two studies were compared."""

    @property
    def html(self) -> Path | None:
        """The page with everything in one file; None when it was not asked for."""
        return next((path for path in self.files if path.suffix == ".html"), None)

    def __repr__(self) -> str:
        return f"<WrittenReport {self.folder}: {', '.join(path.name for path in self.files)}>"

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.sentences)
        return f"{self.comparison._repr_html_()}{said}<p>Written to {escape(str(self.folder))}</p>"

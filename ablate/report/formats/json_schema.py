"""The shape of report.json as types, and its JSON Schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ablate.report.data.material import ArmCost
from ablate.report.data.provenance import Provenance
from ablate.report.data.two_studies import Pair
from ablate.report.formats.json_shape import SCHEMA_VERSION
from ablate.report.statistics.blocks.findings import ArmInBlocks
from ablate.report.statistics.blocks.ranks import Ranks
from ablate.report.statistics.equal_budget import Equal
from ablate.report.statistics.families import Family
from ablate.report.statistics.model import Bayes, Lint, Row, Stability
from ablate.report.statistics.pareto import Front
from ablate.report.statistics.time_to_event import Race
from ablate.report.statistics.trend import Trend
from ablate.study.blocks import BlockKind
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Boundaries, Correction, Method, Noise, Test


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ComparisonShape(_Shape):
    """Every arm on every metric against the baseline; see the columns of arms.csv for the fields of `rows`."""

    baseline: str = Field(description="The arm, or the other study, that arms are compared with.")
    reference: str = Field(description="The same in words.")
    primary: str = Field(description="Name of the metric that verdicts are corrected on.")
    alpha: float = Field(description="Level that corrected p values are held against, at the furthest look of any arm.")
    study_alpha: float = Field(description="Level of the whole study.")
    look_level: float = Field(description="Level of a single test at that look, before correcting for many arms.")
    look: int = Field(description="Seeds per arm at this look.")
    looks: list[int] = Field(description="Declared looks; empty when none were.")
    tested: int = Field(description="Comparisons that the correction counts.")
    test: Test
    noise: Noise
    correct: Correction
    equivalence: Correction = Field(description="How the word equivalent is corrected for many arms.")
    boundaries: Boundaries = Field(description="How several looks share alpha.")
    futility: float = Field(description="Chance of a decision by the last look below which an arm is stopped.")
    declared: Method | None = Field(description="What the study declared, where the report was made in another way.")
    bayes: Bayes | None = Field(description="The Bayesian reading that was asked for, or null.")
    problem: str | None = Field(description="Why nothing can be compared, or null.")
    lints: list[Lint] = Field(description="Warnings about design and data.")
    rows: list[Row] = Field(description="Arms in study order, metrics in study order inside each arm.")
    stability: dict[str, Stability] = Field(description="Arm -> how often it diverged.")
    blocks: BlocksShape | None = Field(description="Of a study with blocks: what each of them says; null without any.")


class BlocksShape(_Shape):
    """The blocks behind a comparison over all of them."""

    kind: BlockKind = Field(description="fixed: the verdict is about these blocks; random: about others like them too.")
    word: str = Field(description="What one block is called.")
    comparisons: dict[str, ComparisonShape] = Field(description="Block -> every arm against the baseline there.")
    arms: dict[str, ArmInBlocks] = Field(description="Arm -> its verdicts and estimates over the blocks.")
    ranks: Ranks | None = Field(description="How arms rank over many blocks; null for few.")


class StateShape(_Shape):
    """How far the study is, in replicates."""

    results: int
    planned: int
    failed: int
    running: int
    stale: bool = Field(description="True when the study file on disk is no longer the one that was run.")
    word: str = Field(description="complete or partial.")


class ReportShape(_Shape):
    """report.json. Numbers that do not exist are null; seeds are keys as text. Times are in seconds."""

    schema_version: int = Field(description=f"{SCHEMA_VERSION}; fields are added without a new version.")
    study: dict[str, Any] = Field(description="The resolved study: arms, settings, metrics, designs.")
    state: StateShape
    answer: list[str] = Field(description="The answer in sentences, commands on lines of their own.")
    comparison: ComparisonShape
    contrasts: list[Family] = Field(description="Main effects, interactions, steps of paths, neighbouring levels.")
    trends: list[Trend] = Field(description="Page's trend test per factor with ordered levels.")
    races: list[Race] = Field(description="Times to a declared quality, with the seeds that never got there.")
    equal: list[Equal] = Field(description="The primary metric at equal updates, images, seconds and epochs.")
    front: Front | None = Field(description="Who dominates whom in quality and time, and who is left.")
    core_versions: dict[str, dict[str, list[int]]] = Field(
        description="Version of the core -> arm -> seeds of the results that it gave."
    )
    costs: dict[str, ArmCost] = Field(description="Arm -> what it took.")
    provenance: Provenance
    generated_at: str = Field(description="ISO 8601, UTC.")


class AcrossShape(_Shape):
    """report.json of a comparison of two studies."""

    schema_version: int
    before: str
    after: str
    pairs: list[Pair] = Field(description="Arms that both studies have, and what makes them the same.")
    only_before: list[str]
    only_after: list[str]
    metrics: list[MetricSpec]
    comparison: ComparisonShape = Field(description="The second study's arms, each against itself in the first.")
    before_rows: list[dict[str, Any]] = Field(description="The first study's own rows; `after` is the arm's name now.")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of report.json."""
    return ReportShape.model_json_schema()

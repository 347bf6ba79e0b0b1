"""What ``--fuse`` means, and what a plan says of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.engine.fuse_choice import (
    AUTO_LANES,
    Fusing,
    fusing_of,
    fusion_of,
    fusion_within,
    with_decisions,
)
from ablate.engine.workers.slots import Slot
from ablate.errors import AblateError
from ablate.interface import SERIAL, Core, CoreSettings, Fusion, Stage, TrialContext
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe
from ablate.storage.rows import TrialRow
from ablate.study.spec import Replicate

CPU = (Slot(0, "cpu", 1, None, "a processor"),)
GPU = (Slot(0, "cuda:0", 1, "GPU-1", "a GPU"),)
SECTION_3 = Path(__file__).parents[2] / "benchmarks" / "section3.yaml"


def test_auto_is_measured_and_narrower_on_a_processor() -> None:
    assert fusion_of("auto", CPU) == Fusion(AUTO_LANES["cpu"], forced=False)
    assert fusion_of("auto", GPU) == Fusion(AUTO_LANES["cuda"], forced=False)


def test_a_number_is_a_width_and_off_is_off() -> None:
    assert fusion_of("8", CPU) == Fusion(8, forced=True)
    assert fusion_of("off", GPU) == SERIAL


@pytest.mark.parametrize("text", ["1", "0", "-2", "257", "4.0", "on", "", "٤"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(AblateError, match="is not possible") as caught:
        fusion_of(text, CPU)
    assert "auto, off" in (caught.value.hint or "")


def test_plan_of_the_founding_section_3_counts_updates(tmp_path: Path) -> None:
    """DIP epochs 90 -> 40 and denoiser epochs 100 -> 90 (batch 128 does half the updates per epoch), and what is fused.

    With 512 images: 8 updates per epoch, 4 at batch 128.
    """
    said = CliRunner().invoke(
        app, ["plan", str(SECTION_3), "--fuse", "4", "--results", str(tmp_path), "--gpus", "none"]
    )
    assert said.exit_code == 0
    assert f"dip 3 of 10, {20 * 8 + 10 * 8 + 10 * 4} of {86 * 8 + 10 * 4} updates" in said.stdout
    assert f"denoiser 10 of 11, {100 * 8 + 10 * 4} of {110 * 8 + 10 * 4} updates" in said.stdout
    assert "fuse   programs of 4 lanes for 9 trials" in said.stdout


def test_a_search_is_never_fused_and_a_time_only_on_request() -> None:
    """Candidates come one by one; a lane's seconds are a share of the program's."""
    auto, forced = Fusion(16), Fusion(4, forced=True)
    assert fusion_within(auto, searching=False, timed=False) == auto
    assert fusion_within(forced, searching=True, timed=False) == SERIAL
    assert fusion_within(auto, searching=False, timed=True) == SERIAL
    assert fusion_within(forced, searching=False, timed=True) == forced


class Shapes(Core):
    """Recipes of one size share a program; those of size 0 train nothing, and those of size 1 alone."""

    name = "shapes"
    Settings = CoreSettings
    metrics = ()

    @classmethod
    def batch_key(cls, recipe: Recipe) -> str:
        return f"size {recipe.settings['size']}"

    @classmethod
    def trainings(cls, recipe: Recipe, device: str, fusion: Fusion) -> dict[str, str | None]:
        size = recipe.settings["size"]
        return {} if size == 0 else {"training": "too small" if size == 1 else None}

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> Iterable[tuple[Recipe, Outcome]]:
        raise NotImplementedError


def replicates(sizes: Sequence[int], seeds: int) -> list[Replicate]:
    """One arm per entry of `sizes`, seed by seed."""
    return [
        Replicate(f"a{arm}", seed, Recipe("shapes", {"size": size, "arm": arm}, seed))
        for seed in range(seeds)
        for arm, size in enumerate(sizes)
    ]


def decide(sizes: Sequence[int], seeds: int, width: int, stored: Mapping[str, object] = MappingProxyType({})) -> Fusing:
    return fusing_of(replicates(sizes, seeds), Shapes, "cpu", Fusion(width, forced=True), stored)


SIZES = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(sizes=SIZES, seeds=st.integers(1, 4), width=st.integers(2, 9))
def test_half_a_program_must_be_there(sizes: list[int], seeds: int, width: int) -> None:
    """A shape is fused when at least half of the lanes have a trial; every trial of it then, and nobody else."""
    found = decide(sizes, seeds, width)
    for one in replicates(sizes, seeds):
        size = one.recipe.settings["size"]
        fused = size in (2, 3) and 2 * seeds * sizes.count(int(size)) >= width
        assert found.key_of(Shapes, one) == (f"size {size}" if fused else one.recipe.digest)
    assert found.within == (Fusion(width, forced=True) if found.keys else SERIAL)


@given(first=st.integers(1, 3), then=st.integers(1, 6), sizes=SIZES, more=SIZES, width=st.integers(2, 9))
def test_what_was_decided_stays(first: int, then: int, sizes: list[int], more: list[int], width: int) -> None:
    """Seeds and arms that come later, or a run that is left with few, change nothing for a shape once seen."""
    before = decide(sizes, first, width)
    stored = json.loads(json.dumps(with_decisions({}, before)))
    after = decide([*sizes, *more], then, width, stored)
    assert {key: yes for key, yes in after.settled.items() if key in before.settled} == before.settled
    assert decide(more, 1, width + 1, stored).settled == decide(more, 1, width + 1).settled


def test_a_shape_that_was_begun_alone_goes_on_alone_unless_a_width_is_asked_for() -> None:
    """With results from before, or from ``--fuse off``: widths do not mix by themselves."""
    planned = replicates([2, 2, 3, 3], 1)
    row = done_row(planned[0].recipe.digest)
    auto = fusing_of(planned, Shapes, "cpu", Fusion(2), {}, [row])
    assert auto.settled == {"size 2": False, "size 3": True}
    assert fusing_of(planned, Shapes, "cpu", Fusion(2, forced=True), {}, [row]).keys == ("size 2", "size 3")
    rows = [replace(row, recipe_digest=one.recipe.digest) for one in planned]
    assert fusing_of(planned, Shapes, "cpu", Fusion(2), with_decisions({}, auto), rows).settled == auto.settled


class Sharing(Shapes):
    """Every recipe begins with the training of its seed; sizes 4 and more do that alone."""

    name = "sharing"

    @classmethod
    def stages(cls, recipe: Recipe) -> tuple[Stage, ...]:
        return (Stage("data", "of all"), Stage("prior", f"prior {recipe.seed}", steps=10))

    @classmethod
    def trainings(cls, recipe: Recipe, device: str, fusion: Fusion) -> dict[str, str | None]:
        return {"prior": None if int(recipe.settings["size"] or 0) < 4 else "too large"}


def test_a_training_that_is_shared_is_computed_in_one_way() -> None:
    """Two of size 3 are too few, and size 4 cannot be fused, but both share their beginning with four of size 2.

    They are computed as the four are; each of size 4 is still a batch of its own.
    """
    planned = replicates([2, 2, 3, 4], 2)
    found = fusing_of(planned, Sharing, "cpu", Fusion(8), {})
    assert found.settled == {"size 2": True, "size 3": False}
    assert found.keys == ("size 2", "size 3", "size 4")
    assert [found.key_of(Sharing, one) for one in planned[:4]] == [
        *("size 2", "size 2", "size 3", planned[3].recipe.digest),
    ]  # fmt: skip


def test_a_training_that_was_computed_alone_keeps_those_that_share_it_alone() -> None:
    """An arm that was done before another shape joins it with enough trials to be fused."""
    old, new = replicates([4], 2), replicates([4, 2, 2], 2)
    before = fusing_of(old, Sharing, "cpu", Fusion(8), {})
    rows = [done_row(one.recipe.digest) for one in old]
    assert before.keys == ()
    assert fusing_of(new, Sharing, "cpu", Fusion(8), with_decisions({}, before), rows).keys == ()
    first = fusing_of(new, Sharing, "cpu", Fusion(8), {})
    assert fusing_of(new, Sharing, "cpu", Fusion(8), with_decisions({}, first), rows) == first


def done_row(digest: str) -> TrialRow:
    """A stored trial with a result."""
    row = TrialRow(*[None] * len(fields(TrialRow)))  # type: ignore[arg-type]  # the rest does not matter
    return replace(row, recipe_digest=digest, outcome=OutcomeKind.MEASURED)


def test_off_decides_nothing() -> None:
    found = decide([2, 2], 2, 1)
    assert (found.keys, found.within, with_decisions({}, found)) == ((), SERIAL, {})
    assert all(found.key_of(Shapes, one) == one.recipe.digest for one in replicates([2, 2], 2))


def test_copies_of_a_recipe_count_once() -> None:
    twice = [Replicate(arm, 0, Recipe("shapes", {"size": 2}, 0)) for arm in ("a", "b")]
    assert fusing_of(twice, Shapes, "cpu", Fusion(4, forced=True), {}).counts == {"size 2": 1}


REASONS = """
question: Why alone?
core: ddpm-dip
baseline: {method: ddpm, eval_images: 2, cap_per_image: 30}
arms:
  dropout: {dropout: 0.1}
  half: {precision: bf16}
  DIP: {method: dip}
  wide: {channels: 32}
  TV: {method: tv}
  before: {method: dip+ddpm, dropout: 0.1}
seeds: 3
"""


def test_plan_says_of_every_arm_why_it_is_alone(tmp_path: Path) -> None:
    """Part by part where only a part is."""
    study = tmp_path / "reasons.yaml"
    study.write_text(REASONS, encoding="utf-8")
    options = [str(study), "--results", str(tmp_path), "--gpus", "none"]
    said = CliRunner().invoke(app, ["plan", *options, "--fuse", "8"]).stdout
    told = said[said.index("fuse ") : said.index("disk ")]
    assert told == (
        "fuse   programs of 8 lanes for 6 trials\n"
        "       alone  baseline, wide: 3 trials of one shape, and 4 are asked for\n"
        "       alone  dropout, before: denoiser: with dropout, the masks of all lanes would come from one stream\n"
        "       alone  half: denoiser: bf16 (autocast) does not work under vmap\n"
        "       alone  TV: nothing is trained\n"
    )
    found = json.loads(CliRunner().invoke(app, ["plan", *options, "--fuse", "8", "--json"]).stdout)["fusion"]
    assert (found["width"], found["trials"]) == (8, [6])
    assert found["alone"]["nothing is trained"] == ["TV"]


@pytest.mark.parametrize(
    ("study", "why"),
    [
        (f"{REASONS}metrics: [train_seconds]\n", None),
        (
            "core: ddpm-dip\nbaseline: {}\nseeds: 3\n"
            "search: {factors: {lr: {from: 0.001, to: 0.1}}, trials: 3, sampler: random}\n",
            "a search proposes its trials one by one",
        ),
    ],
)
def test_plan_says_when_nothing_is_fused(study: str, why: str | None, tmp_path: Path) -> None:
    """A time is fused on request only, a search never; by default neither is worth a line."""
    file = tmp_path / "reasons.yaml"
    file.write_text(study, encoding="utf-8")
    options = [str(file), "--results", str(tmp_path), "--gpus", "none"]
    forced = CliRunner().invoke(app, ["plan", *options, "--fuse", "8"]).stdout
    assert "fuse   nothing\n" in forced if why else "fuse   programs of 8 lanes" in forced
    assert why is None or f"       alone  {why}\n" in forced
    assert "fuse " not in CliRunner().invoke(app, ["plan", *options]).stdout

"""What ``--fuse`` asks for: whether trainings of one shape run as one program, how wide it is, and which recipes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.engine.workers.slots import Slot
from ablate.errors import AblateError
from ablate.interface import SERIAL, Core, Fusion
from ablate.json_values import JsonValue
from ablate.recipe import Recipe
from ablate.storage.rows import TrialRow
from ablate.study.spec import Replicate

AUTO_LANES = {"cuda": 16, "cpu": 8}
"""Width that ``auto`` lets a core measure."""
MOST_LANES = 256
FUSED = "ablate.fused"
"""Study attribute: width -> batch key -> whether its recipes are fused."""


def device_of(slots: Sequence[Slot]) -> str:
    """Return the kind of device that `slots` are on, as cores name it."""
    return "cuda" if any(slot.is_gpu for slot in slots) else "cpu"


def fusion_of(text: str, slots: Sequence[Slot]) -> Fusion:
    """Return what ``--fuse text`` means on `slots`; raises AblateError for anything but auto, off and 2 to 256.

    ``auto`` fuses only what a core measures to pay.
    """
    if text == "off":
        return SERIAL
    if text == "auto":
        return Fusion(AUTO_LANES[device_of(slots)])
    if text.isascii() and text.isdigit() and 2 <= int(text) <= MOST_LANES:
        return Fusion(int(text), forced=True)
    raise AblateError(
        f"--fuse {text!r} is not possible", hint=f"auto, off, or a number of lanes from 2 to {MOST_LANES}"
    )


def fusion_within(asked: Fusion, *, searching: bool, timed: bool) -> Fusion:
    """Return what is left of `asked` in a study.

    A search proposes recipes one by one and gives single ones up, which would stop their whole program. Where a time
    is compared, trainings are fused only if the user insists: a lane's seconds are its share of the program's.
    """
    return SERIAL if searching or (timed and not asked.forced) else asked


@dataclass(frozen=True)
class Fusing:
    """Which recipes of a study are computed as one program, and why others are not."""

    fusion: Fusion
    counts: Mapping[str, int]
    """Batch key -> recipes of the study that could share a program."""
    parts: Mapping[str, Mapping[str, str | None]]
    """Arm -> its trainings, each with why it is not fused."""
    settled: Mapping[str, bool]
    """Batch key -> whether its recipes are fused."""

    @property
    def least(self) -> int:
        """Recipes of one shape that a study must have before their programs are built: half a width."""
        return -(-self.fusion.width // 2)

    joined: frozenset[str] = frozenset()
    """Batch keys of recipes that share a training with fused ones: it must be computed in one way."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The batch keys whose recipes a core may fuse, also where each is a batch of its own."""
        return tuple(sorted({*self.joined, *(key for key in self.counts if self.settled[key])}))

    @property
    def within(self) -> Fusion:
        """What is left of `fusion` when nothing of the study is fused."""
        return self.fusion if self.keys else SERIAL

    def key_of(self, core: type[Core], replicate: Replicate) -> str:
        """Return the batch key of a replicate: its digest when it is computed alone."""
        if not is_fusable(self.parts.get(replicate.arm, {})):
            return replicate.recipe.digest
        key = core.batch_key(replicate.recipe)
        return key if self.settled[key] or key in self.joined else replicate.recipe.digest


def is_fusable(parts: Mapping[str, str | None]) -> bool:
    """True when some part of a recipe can share a program."""
    return any(reason is None for reason in parts.values())


def fusing_of(
    replicates: Sequence[Replicate],
    core: type[Core],
    device: str,
    fusion: Fusion,
    stored: Mapping[str, object],
    rows: Iterable[TrialRow] = (),
) -> Fusing:
    """Decide what is fused, by all `replicates` of a study, done or not, and by its `stored` attributes.

    A program pays when at least half of its lanes are taken. What was decided for a shape of program stays: digits may
    depend on the width, so trials that come later, or are left when the others are done, are computed like these.
    Unless the user asks for a width, so is a shape of which `rows`, the study's trials, have results from before that.
    Trials that share a training with fused ones take it from the same kind of program, however few they are.
    """
    done = set() if fusion.forced else {row.recipe_digest for row in rows if row.outcome and row.outcome.is_result}
    earlier = _stored(stored).get(str(fusion.width), {})
    of_arms = {one.arm: one.recipe for one in replicates} if fusion.width > 1 else {}
    parts = {arm: core.trainings(recipe, device, fusion) for arm, recipe in of_arms.items()}
    arm_of = {one.recipe: one.arm for one in replicates} if any(map(is_fusable, parts.values())) else {}
    key_of = {recipe: core.batch_key(recipe) for recipe in arm_of}
    counts = Counter(key for recipe, key in key_of.items() if is_fusable(parts[arm_of[recipe]]))
    sharing = _sharing(key_of, core)
    alone = {key for recipe, key in key_of.items() if recipe.digest in done and not earlier.get(key)}
    fresh = {key: 2 * count >= fusion.width and not alone & sharing[key] for key, count in counts.items()}
    settled = {key: earlier.get(key, fused) for key, fused in fresh.items()}
    joined = frozenset(other for key, fused in settled.items() if fused for other in sharing[key])
    return Fusing(fusion, counts, parts, settled, joined)


def _sharing(key_of: Mapping[Recipe, str], core: type[Core]) -> dict[str, set[str]]:
    """Return batch key -> all keys that are linked to it by trainings which their recipes share, itself included."""
    linked = {key: {key} for key in key_of.values()}
    first: dict[str, str] = {}
    for recipe, key in key_of.items():
        for stage in core.stages(recipe):
            other = first.setdefault(stage.digest, key) if stage.steps else key
            if linked[other] is not linked[key]:
                merged = linked[other] | linked[key]
                linked |= dict.fromkeys(merged, merged)
    return linked


def with_decisions(stored: Mapping[str, object], fusing: Fusing) -> dict[str, JsonValue]:
    """Return the attribute that keeps what `fusing` has decided; nothing when there was nothing to decide."""
    if not fusing.counts:
        return {}
    before, width = _stored(stored), str(fusing.fusion.width)
    kept: dict[str, JsonValue] = {name: dict(keys) for name, keys in before.items()}
    decided: dict[str, JsonValue] = {**before.get(width, {}), **fusing.settled}
    decided |= dict.fromkeys(sorted(fusing.joined), True)
    return {FUSED: {**kept, width: decided}}


def _stored(attributes: Mapping[str, object]) -> dict[str, dict[str, bool]]:
    found = attributes.get(FUSED)
    widths = found if isinstance(found, dict) else {}
    return {
        width: {key: bool(yes) for key, yes in keys.items()} for width, keys in widths.items() if isinstance(keys, dict)
    }

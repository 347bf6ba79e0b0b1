"""What ``--fuse`` asks for: whether trainings of one shape run as one program, and how wide it is."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.engine.slots import Slot
from ablate.errors import AblateError
from ablate.interface import SERIAL, Fusion

AUTO_LANES = 16
"""Width that ``auto`` lets a core measure on a GPU."""
MOST_LANES = 256


def fusion_of(text: str, slots: Sequence[Slot]) -> Fusion:
    """Return what ``--fuse text`` means on `slots`; raises AblateError for anything but auto, off and 2 to 256.

    ``auto`` fuses on GPUs only, and only where a core measures that it pays.
    """
    if text == "off":
        return SERIAL
    if text == "auto":
        return Fusion(AUTO_LANES) if any(slot.visible for slot in slots) else SERIAL
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

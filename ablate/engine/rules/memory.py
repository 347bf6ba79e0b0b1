"""What fits on a device beside what runs there: learned from the measured peaks of finished batches. Pure rules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ablate.engine.rules.queue import Fit

MARGIN = 0.1
"""Room kept free above a measured peak: allocators fragment, and no two runs peak alike."""


@dataclass(frozen=True)
class Device:
    """A memory that several slots share."""

    memory_mb: float
    """What is free when nothing of this run is there."""
    warm_up: bool = True
    """True: the first of every footprint has the device to itself. False: a footprint that is not known yet is taken
    to be an even share of the memory, so that every slot is used from the start."""
    paced: bool = False
    """True: no more trials run side by side than their measured pace says is worth it."""
    kind: str = ""
    """Model: devices of one kind keep the same pace."""


class Footprints:
    """How much memory a batch needs, by footprint and number of recipes."""

    def __init__(self) -> None:
        self._peaks_mb: dict[str, dict[int, float]] = {}
        self._whole: set[str] = set()
        self._beyond_mb: dict[str, float] = {}

    def learn(self, footprint: str, recipes: int, peak_mb: float) -> None:
        """A batch of `recipes` got through with this peak; the highest counts."""
        peaks = self._peaks_mb.setdefault(footprint, {})
        peaks[recipes] = max(peaks.get(recipes, 0.0), peak_mb)
        self._whole.discard(footprint)

    def ran_out_beside_others(self, footprint: str) -> None:
        """Until one has got through, such a batch has its device to itself."""
        self._whole.add(footprint)

    def ran_out_alone(self, footprint: str, memory_mb: float, largest_mb: float) -> None:
        """A single recipe does not fit into `memory_mb`: it is tried again on the largest device, or nowhere."""
        beyond_mb = largest_mb if memory_mb >= largest_mb else math.nextafter(largest_mb, 0.0)
        self._beyond_mb[footprint] = max(beyond_mb, self._beyond_mb.get(footprint, 0.0))

    def needs_all(self, footprint: str) -> bool:
        """True when such a batch must have its device to itself."""
        return footprint in self._whole

    def beyond_mb(self, footprint: str) -> float:
        """Return the memory that a single recipe is known not to fit into; 0 when it fitted wherever it was tried."""
        return self._beyond_mb.get(footprint, 0.0)

    def need_mb(self, footprint: str, recipes: int) -> float | None:
        """Return what to keep free for a batch, margin included; None when no such batch has been measured.

        A batch larger than any that was measured is taken to need memory in proportion, which is more than it does.
        """
        if footprint in self._whole:
            return math.inf
        peaks = self._peaks_mb.get(footprint)
        if not peaks:
            return None
        enough = [count for count in peaks if count >= recipes]
        peak = peaks[min(enough)] if enough else peaks[max(peaks)] * recipes / max(peaks)
        return peak * (1 + MARGIN)

    def smallest_mb(self) -> float | None:
        """Return the smallest need of a single recipe that is known."""
        needs = [self.need_mb(footprint, 1) for footprint in self._peaks_mb]
        return min((need for need in needs if need is not None), default=None)


class Room:
    """What runs on one device now, and what else finds room there."""

    def __init__(self, device: Device | None, slots: int) -> None:
        """`device` is None when nothing is known of its memory: then every slot may be used."""
        self.device = device
        self.slots = slots
        self.memory_mb = device.memory_mb if device is not None else math.inf
        self.capacity_mb = self.memory_mb
        """What trials may use together: less than the memory, once that turned out to be too much."""
        self._share_mb = int(device.memory_mb / slots) if device is not None else 0
        self._kept_mb: dict[int, int] = {}
        self._sum_mb = 0
        self._guessed: set[int] = set()
        self._alone: int | None = None
        self.footprints: dict[int, str] = {}
        """Footprint of the batch on each busy slot."""

    @property
    def busy(self) -> int:
        """Slots with a batch."""
        return len(self._kept_mb)

    @property
    def taken(self) -> bool:
        """True when whatever runs there must have the device to itself."""
        return self._alone is not None

    def fit(self, need_mb: float | None, beyond_mb: float, largest_mb: float) -> Fit:
        """Say whether a batch finds room.

        `need_mb` is infinite for one that must be alone and None for one never measured, `beyond_mb` what a single
        recipe is known not to fit into, `largest_mb` the largest capacity of any device.
        """
        too_small = need_mb is not None and self.capacity_mb < need_mb <= largest_mb
        if too_small or 0 < self.memory_mb <= beyond_mb:
            return Fit.NEVER
        if not self.busy:
            return Fit.NOW
        if self.taken or self._wants_all(need_mb):
            return Fit.LATER
        return Fit.NOW if self._sum_mb + self._kept_for(need_mb) <= self.capacity_mb else Fit.LATER

    def take(self, slot: int, footprint: str, need_mb: float | None) -> None:
        """A batch was placed on `slot`."""
        self._kept_mb[slot] = self._kept_for(need_mb)
        self._sum_mb += self._kept_mb[slot]
        self.footprints[slot] = footprint
        if need_mb is None:
            self._guessed.add(slot)
        if self._wants_all(need_mb):
            self._alone = slot

    def release(self, slot: int) -> None:
        """The batch of `slot` has ended."""
        self._sum_mb -= self._kept_mb.pop(slot, 0)
        self.footprints.pop(slot, None)
        self._guessed.discard(slot)
        if self._alone == slot:
            self._alone = None

    def ran_out(self) -> None:
        """Memory ran out although everything here had been measured: then there is less of it than was thought."""
        if self.device is not None and not self._guessed and self.busy > 1:
            self.capacity_mb = min(self.capacity_mb, self._sum_mb * (1 - MARGIN))

    def worth(self, smallest_mb: float | None) -> int:
        """Return how many slots can have a batch at the same time, by the smallest need that is known."""
        if self.device is None or not self.device.warm_up:
            return self.slots
        if smallest_mb is None:
            return 1
        return max(1, min(self.slots, int(self.capacity_mb // max(smallest_mb, 1.0))))

    def _kept_for(self, need_mb: float | None) -> int:
        """Whole MB, so that sums stay exact."""
        if self.device is None or need_mb is None:
            return self._share_mb
        return int(self.capacity_mb) if math.isinf(need_mb) else math.ceil(need_mb)

    def _wants_all(self, need_mb: float | None) -> bool:
        if need_mb is None:
            return self.device is not None and self.device.warm_up
        return math.isinf(need_mb)

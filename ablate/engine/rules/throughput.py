"""Whether trials side by side on one device get through more work than fewer would: measured, not assumed."""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 1.05
"""One more trial on a device must raise its throughput by this factor."""
EVIDENCE_S = 2.0
"""Nothing is concluded from less time than this."""


@dataclass
class _Sum:
    units: float = 0.0
    seconds: float = 0.0


class Paces:
    """Units of work per second of one trial, by (model of device, footprint), stage and trials on the device.

    A unit is what the core counts in `Report.progress`; within one stage of one footprint it is always the same work.
    Numbers of trials are gone through one by one: the next is allowed when the pace at the last is known and was worth
    it. A core that reports no progress gives no evidence, and its trials stay alone.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], dict[str, dict[int, _Sum]]] = {}
        self._judged: dict[tuple[str, str], int] = {}
        self._most: dict[tuple[str, str], int] = {}

    def note(self, kind: str, footprint: str, stage: str, together: int, units: float, seconds: float) -> None:
        """A trial did `units` in `seconds` while `together` trials ran on its device."""
        key = (kind, footprint)
        found = self._sums.setdefault(key, {}).setdefault(stage, {}).setdefault(together, _Sum())
        found.units += units
        found.seconds += seconds
        if key not in self._most and together == self._judged.get(key, 0) + 1:
            self._judge(kind, footprint, together)

    def allowed(self, kind: str, footprint: str) -> int:
        """Return how many trials at once are worth it, or worth trying."""
        key = (kind, footprint)
        return self._most.get(key, self._judged.get(key, 0) + 1)

    def widest(self, kind: str) -> int:
        """Return the largest number that is allowed to any footprint on such a device."""
        return max((self.allowed(*key) for key in self._sums if key[0] == kind), default=1)

    def gain(self, kind: str, footprint: str, together: int) -> float | None:
        """Return the throughput of a device with `together` trials relative to one; None while too little is known."""
        weighted = seconds = 0.0
        for sums in self._sums.get((kind, footprint), {}).values():
            one, several = sums.get(1), sums.get(together)
            if one is None or several is None or min(one.seconds, several.seconds) < EVIDENCE_S:
                continue
            pace = (several.units / several.seconds) / (one.units / one.seconds)
            weighted += together * pace * several.seconds
            seconds += several.seconds
        return weighted / seconds if seconds else None

    def _judge(self, kind: str, footprint: str, together: int) -> None:
        """Allow one more trial than `together`, or one less when that many do not get through more than fewer."""
        gain = self.gain(kind, footprint, together)
        before = self.gain(kind, footprint, together - 1) if together > 1 else 0.0
        if gain is None or before is None:
            return
        self._judged[(kind, footprint)] = together
        if gain < GAIN * before:
            self._most[(kind, footprint)] = together - 1

"""What the attempts at a trial have spent, kept beside its checkpoint: a trial that resumes adds to it.

It is written when a checkpoint is, so that it holds the time of the work that is kept: what a kill threw away is
computed again and counted once, as in a trial that nobody interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ablate.paths import write_json


class _Kept(BaseModel):
    model_config = ConfigDict(extra="ignore")
    seconds: FiniteFloat = Field(0.0, ge=0)
    peak_mb: FiniteFloat | None = Field(None, ge=0)


@dataclass(frozen=True)
class Spent:
    """Seconds of the work that is in the checkpoint, and the highest peak of memory in MB of any attempt."""

    seconds: float = 0.0
    peak_mb: float | None = None

    @classmethod
    def read(cls, path: Path) -> Spent:
        """Return what earlier attempts kept; nothing where there is no file, or it is damaged."""
        try:
            kept = _Kept.model_validate_json(path.read_bytes())
        except (OSError, ValidationError, RecursionError):
            return cls()
        return cls(kept.seconds, kept.peak_mb)

    def and_now(self, seconds: float, peak_mb: float | None) -> Spent:
        """Return what is spent with this attempt's `seconds` so far."""
        peaks = [peak for peak in (self.peak_mb, peak_mb) if peak is not None]
        return Spent(self.seconds + seconds, max(peaks, default=None))

    def write(self, path: Path) -> None:
        """Keep it; raises OSError when the disk is full."""
        write_json(path, {"seconds": self.seconds, "peak_mb": self.peak_mb})

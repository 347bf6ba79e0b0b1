"""A batch of ``ddpm-dip`` recipes whose Deep Image Priors are fitted in one program, whatever trains afterwards.

A fit takes as many rows as it has images. One that ends, or diverges, leaves its rows to the next that waits and fits
in; when nobody waits the program shrinks, down to the rows that its digits ask for (`ablate.core.ddpm_dip.dip_rows`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from ablate.core.ddpm_dip.batch_rules import dip_key
from ablate.core.ddpm_dip.dip_rows import Rows, choose_rows
from ablate.core.ddpm_dip.stages.digests import dip_stage
from ablate.core.ddpm_dip.stages.dip import Group, fits_of_observed
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.dip.fit_batch import DipProgram
from ablate.core.shared.numerics import apply_numerics
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DivergedError, StoppedError
from ablate.interface import TrialContext


@dataclass
class Fitted:
    """A stage whose fit has ended in a program, and the runs that share it."""

    runs: list[Run]
    digest: str
    seconds: float
    """What it has cost in this batch."""
    divergence: tuple[int, DivergedError] | None = None
    """Step at which it diverged, and how."""


def fit_together(runs: Sequence[Run], context: TrialContext) -> Iterator[Fitted]:
    """Fit the DIPs of `runs` in programs and yield each stage when its fit has ended; every run is told its rows.

    Each fit leaves in the stage cache what its trial looks for there. Of trials that share a stage the longest is
    fitted. Fits that no program is for are left to their trials. Raises StoppedError when asked to stop.
    """
    shapes: dict[str, list[Run]] = {}
    for run in runs:
        if run.settings.uses_dip:
            shapes.setdefault(dip_key(run.settings), []).append(run)
    for alike in shapes.values():
        rows = choose_rows(alike[0])
        for run in alike:
            run.dip_rows = rows.least
        if rows.most:
            apply_numerics(alike[0].settings)
            yield from _FitRun(_seats(alike), rows, context).run()


@dataclass(eq=False)
class _Seat:
    """A fit of one stage on its way through the rows of a program."""

    group: Group
    runs: list[Run]
    began: float = 0.0
    """Seconds it had cost before."""
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def digest(self) -> str:
        """Of the stage."""
        return self.group.fits.stage.digest

    def begin(self) -> bool:
        """Hold the stage and go to where it stands; return whether there is something left to do."""
        context = self.group.fits.run.context
        folder = StageFolder(context.cache, self.digest)
        self.held.enter_context(folder.locked(lambda: context.stop_requested))
        done = self.group.kept() is not None
        if not done:
            self.group.begin()
        self.began = self.group.seconds
        return not done

    def end(self, divergence: tuple[int, DivergedError] | None = None) -> Fitted:
        """Let go of the stage."""
        self.held.close()
        return Fitted(self.runs, self.digest, self.group.seconds - self.began, divergence)


def _seats(runs: Sequence[Run]) -> list[_Seat]:
    """One seat per stage, in order of digests: several workers take the locks of their stages in one order."""
    sharing: dict[str, list[Run]] = {}
    for run in runs:
        sharing.setdefault(dip_stage(run.settings, run.seed, run.core_version).digest, []).append(run)
    found = []
    for digest in sorted(sharing):
        longest = max(sharing[digest], key=lambda run: run.settings.dip_steps)
        (group,) = fits_of_observed(longest).groups()
        group.ends |= {run.settings.dip_steps for run in sharing[digest]}
        found.append(_Seat(group, sharing[digest]))
    return found


class _FitRun:
    """Fits of one shape in a program."""

    def __init__(self, seats: Sequence[_Seat], rows: Rows, context: TrialContext) -> None:
        self.waiting, self.rows, self.context = deque(seats), rows, context
        self.program = DipProgram(rows.least)
        self.seated: list[_Seat] = []

    def run(self) -> Iterator[Fitted]:
        """Fit all of them, and yield each when it has ended."""
        try:
            while self.waiting or self.seated:
                yield from self._fill()
                if self.seated:
                    self._pause()
                    yield from self._step()
        except GeneratorExit:  # whoever scored what has ended was asked to stop, or failed
            self._save()
            raise
        finally:
            for seat in self.seated:
                seat.held.close()

    def _fill(self) -> Iterator[Fitted]:
        """Seat what waits while there are rows; a fit that is complete already ends at once."""
        while self.waiting and self._used() + len(self.waiting[0].group) <= self.rows.most:
            seat = self.waiting.popleft()
            self.seated.append(seat)  # before it begins: whatever happens, its stage is let go
            if not seat.begin():
                self.seated.remove(seat)
                yield seat.end()

    def _used(self) -> int:
        return sum(len(seat.group) for seat in self.seated)

    def _step(self) -> list[Fitted]:
        """One step of all; each fit then does what it would do alone, and pays by its rows."""
        began = time.perf_counter()
        done = self.program.descend([seat.group.fitting for seat in self.seated])
        share = (time.perf_counter() - began) / self._used()
        ended = []
        for seat, (output, losses) in zip(list(self.seated), done, strict=True):
            group, began = seat.group, time.perf_counter()
            try:
                loss = group.fitting.follow(output, losses)
            except DivergedError as error:
                self.seated.remove(seat)
                ended.append(seat.end((group.fitting.step + 1, error)))
                continue
            group.passed(share * len(group) + time.perf_counter() - began, loss)
            if group.fitting.ended:
                group.finish()
                self.seated.remove(seat)
                ended.append(seat.end())
        return ended

    def _pause(self) -> None:
        """Save a checkpoint of every fit when one is due, and leave when asked to."""
        stop = self.context.stop_requested
        if stop or self.context.checkpoint_due:
            self._save()
        if stop:
            raise StoppedError(f"stopped with the DIP fits of {len(self.seated)} trials in one program")

    def _save(self) -> None:
        for seat in self.seated:
            seat.group.checkpoint()

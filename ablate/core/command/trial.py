"""One trial of a command: what it is given, what is watched while it runs, and what its end means."""

from __future__ import annotations

import io
import math
import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ablate.core.command.attempts import Attempts, Ended, scripts_in
from ablate.core.command.ends import Verdict, how_it_ended, judge, signs_of, why_not_started
from ablate.core.command.follow import CurveFollower, Stamp, Watch, stamp_of
from ablate.core.command.output import Output
from ablate.core.command.pictures import CommandPictures
from ablate.core.command.process import CannotStart, CommandRunner, End, WarmStart
from ablate.core.command.progress import ProgressReader
from ablate.core.command.readers import NotFound, as_number, number_in
from ablate.core.command.spec.python_command import NotPython, python_command
from ablate.core.command.spec.sources import number_group
from ablate.core.command.spec.specification import IDENTITY, CommandSpec
from ablate.core.command.spec.template import Command, Template
from ablate.core.shared.oom_kills import killed_for_memory
from ablate.errors import StoppedError
from ablate.interface import TrialContext
from ablate.json_values import plain_settings
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import TrialPaths
from ablate.recipe import Recipe

TERM_S = 20.0
"""How long a command that is asked to stop may take before its process group is killed."""
_KEEP_S = 10.0
"""How often the seconds of an attempt are written down."""


class CommandTrial:
    """Runs the command of one recipe."""

    def __init__(
        self, spec: CommandSpec, runner: CommandRunner, directory: Path, recipe: Recipe, context: TrialContext
    ) -> None:
        self._spec = spec
        self._runner = runner
        self._directory = directory
        self._recipe = recipe
        self._context = context
        self._paths = TrialPaths(context.folder(recipe))
        self._files = self._paths.make_files().absolute()
        self._values = self._all_values()
        self._attempts = Attempts.read(self._paths.attempts, recipe.digest)
        self._began = time.monotonic()
        self._stopping: float | None = None
        self._killed = False
        self._notes: list[str] = []
        self._pictures = CommandPictures(map(Template.parse, spec.pictures), self._values, self._files)

    def run(self) -> Outcome:
        """Run the command and return what came of it. Raises StoppedError when it was asked to stop.

        An earlier attempt that ended well, and of which only a metric was not found, is read again first.
        """
        resume = self._resume_words()
        words = [*self._spec.command.arguments(self._values), *resume]
        if (found := self._from_earlier(words)) is not None:
            return found
        if not resume:
            self._attempts = Attempts(self._recipe.digest)
        before = {name: self._stamp(name) for name in self._file_metrics()}
        if not resume:
            self._pictures.forget_older()
        self._context.log(self._recipe, f"command: {shlex.join(words)}")
        log_from = self._paths.log.stat().st_size
        with self._paths.log.open("ab") as log:
            output = self._output(log)
            try:
                end, verdict = self._execute(words, output)
            except CannotStart as error:
                return self._outcome(
                    Verdict(OutcomeKind.FAILED, why_not_started(error, words)), words, End(127), output
                )
        self._context.log(self._recipe, f"ended: {'unknown' if end.code is None else how_it_ended(end.code)}")
        if self._stopping is not None:
            self._keep()
            raise StoppedError("the command was asked to stop")
        if verdict.kind is OutcomeKind.MEASURED:
            stale = {name for name, stamp in before.items() if stamp and not resume and stamp == self._stamp(name)}
            ended = Ended(scripts_in(words, self._directory), log_from, self._paths.log.stat().st_size)
            self._keep(None if stale else ended)
            return self._measured(words, end, output, stale)
        return self._outcome(verdict, words, end, output)

    # ------------------------------------------------------------------ what the command is given

    def _all_values(self) -> dict[str, Any]:
        settings = plain_settings({n: value for n, value in self._recipe.settings.items() if n not in IDENTITY})
        return {
            **settings,
            "seed": self._recipe.seed,
            "folder": str(self._files),
            "index": self._context.seed_index(self._recipe),
            "arm": self._context.arm(self._recipe),
            "study": self._context.study,
        }

    def _resume_words(self) -> list[str]:
        """The words that let the command go on, where it left something to go on from."""
        if not self._spec.resume or not self._path(Template.parse(self._spec.resume_file)).exists():
            return []
        return Command.parse(self._spec.resume).arguments(self._values)

    def _environment(self) -> dict[str, str]:
        found = dict(os.environ)
        for name, template in self._spec.environment.items():
            text = None if template is None else template.fill(self._values)
            if text is None:
                found.pop(name, None)
            else:
                found[name] = text
        named = {"STUDY": "study", "ARM": "arm", "SEED": "seed", "FOLDER": "folder"}
        return found | {f"ABLATE_{word}": str(self._values[name]) for word, name in named.items()}

    def _path(self, template: Template) -> Path:
        return self._directory / (template.fill(self._values) or "")

    # ------------------------------------------------------------------ while it runs

    def _output(self, log: Any) -> Output:
        wanted = {
            name: metric.source.pattern for name, metric in self._spec.metrics.items() if metric.source.kind == "stdout"
        }
        return Output(log, wanted, signs_of(self._spec.ends))

    def _execute(self, words: list[str], output: Output) -> tuple[End, Verdict]:
        """Run the command to its end, and say what that means. Raises CannotStart."""
        progress = ProgressReader(self._spec.progress, self._path, self._values, self._tell)
        followers = [CurveFollower(curve, self._path(curve.source.path)) for curve in self._spec.curves]
        watches = [
            Watch(one.path, one.curve.source.kind, partial(self._hand_on, one, whole=False)) for one in followers
        ]
        kills = killed_for_memory()
        progress.watch(output)
        kept = [time.monotonic()]

        def tick(send: Callable[[int], None]) -> None:
            self._stop_if_asked(send)
            for watch in watches:
                watch.look()
            progress.look(output.lines)
            if time.monotonic() - kept[0] > _KEEP_S:
                kept[0] = time.monotonic()
                self._keep()

        end = self._runner.run(
            words,
            directory=self._directory,
            env=self._environment(),
            output=output.feed,
            tick=tick,
            warm=self._warm_start(words),
        )
        self._began += end.waited_s  # the import of a warm start is no trial's
        output.end()
        for follower in followers:
            self._hand_on(follower, whole=True)
            if follower.doubt:
                self._notes.append(follower.doubt)
        return end, judge(end, output, self._spec.ends, memory_ran_out=killed_for_memory() > kills)

    def _warm_start(self, words: list[str]) -> WarmStart | None:
        """How the command is started warm; None, and why, where it cannot be, or is not to be."""
        if not self._spec.warm:
            return None
        if names := self._spec.env_per_trial:
            self._runner.not_warm(f"env {', '.join(names)} is another in every trial, and modules may read it")
            return None
        try:
            return WarmStart(python_command(words), self._spec.warm)
        except NotPython as error:
            self._runner.not_warm(str(error))
            return None

    def _tell(self, done: int, total: int) -> None:
        self._context.progress(self._recipe, "command", done, total)

    def _stop_if_asked(self, send: Callable[[int], None]) -> None:
        """SIGTERM first, so that the command can save, then SIGKILL; to all its processes."""
        now = time.monotonic()
        if self._stopping is None:
            if self._context.stop_requested:
                self._stopping = now
                send(signal.SIGTERM)
        elif now - self._stopping > TERM_S and not self._killed:
            self._killed = True
            send(signal.SIGKILL)

    def _hand_on(self, follower: CurveFollower, *, whole: bool) -> None:
        for x, values in follower.read(whole=whole).items():
            self._context.curve(self._recipe, x, **values)

    # ------------------------------------------------------------------ what came of it

    def _file_metrics(self) -> list[str]:
        return [name for name, metric in self._spec.metrics.items() if metric.source.kind != "stdout"]

    def _stamp(self, metric: str) -> Stamp:
        source = self._spec.metrics[metric].source
        return stamp_of(self._path(source.path), source.kind)

    def _spent_s(self) -> float:
        return self._attempts.spent_s + time.monotonic() - self._began

    def _keep(self, ended: Ended | None = None) -> None:
        """Write down how long the attempts took so far: a trial that goes on has taken all of it."""
        replace(self._attempts, spent_s=self._spent_s(), ended=ended).write(self._paths.attempts)

    def _from_earlier(self, words: list[str]) -> Outcome | None:
        """The outcome of an attempt whose command ended well, when all its metrics are found now; None without one."""
        ended = self._attempts.ended
        if ended is None or ended.scripts != scripts_in(words, self._directory):
            return None
        output = self._output(io.BytesIO())
        try:
            with self._paths.log.open("rb") as log:
                log.seek(ended.log_from)
                output.feed(log.read(ended.log_to - ended.log_from))
        except OSError:
            return None
        output.end()
        self._began = time.monotonic()
        self._notes.append("the command had ended before: its results were read, and it was not run again")
        found = self._measured(words, End(0), output, stale=set())
        if found.kind is OutcomeKind.FAILED:
            self._notes.clear()
            return None
        self._context.log(self._recipe, self._notes[0])
        return found

    def _measured(self, words: list[str], end: End, output: Output, stale: set[str]) -> Outcome:
        """The outcome of a command that ended well, by what its metrics are."""
        metrics: dict[str, float] = {}
        problems: list[str] = []
        for name in self._spec.metrics:
            try:
                metrics[name] = self._metric(name, output, stale)
            except NotFound as error:
                problems.append(f"metric {name} not found: {error}")
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            return self._outcome(Verdict(OutcomeKind.FAILED, problems[0] + more), words, end, output, problems)
        odd = {name: value for name, value in metrics.items() if not math.isfinite(value)}
        if self._spec.primary in odd:
            reason = f"{self._spec.primary} is {odd[self._spec.primary]}"
            return self._outcome(Verdict(OutcomeKind.DIVERGED, reason), words, end, output)
        self._notes += [f"{name} is {value}: left out" for name, value in odd.items()]
        finite = {name: value for name, value in metrics.items() if name not in odd}
        shown, remarks = self._pictures.write(self._paths.samples)
        self._notes += remarks
        return replace(self._outcome(Verdict(OutcomeKind.MEASURED), words, end, output), metrics=finite, samples=shown)

    def _metric(self, name: str, output: Output, stale: set[str]) -> float:
        source = self._spec.metrics[name].source
        if source.kind != "stdout":
            path = self._path(source.path)
            if name in stale:
                raise NotFound(f"{path} is from before this run of the command, which has not written it")
            return number_in(path, source, name)
        match = output.matches.get(name)
        if match is None:
            where = "of which there is none" if not output.lines else f"its {output.lines} lines are in log.txt"
            raise NotFound(f"no line of the output matches {source.place!r}; {where}")
        return _number_of(match)

    def _outcome(
        self, verdict: Verdict, words: list[str], end: End, output: Output, lines: list[str] | None = None
    ) -> Outcome:
        wrong = verdict.kind is not OutcomeKind.MEASURED
        environment = {"command": shlex.join(words)}
        if end.warm:
            environment["warm"] = " ".join(self._spec.warm)
        if end.peak_mb is not None and self._context.device == "cpu":
            environment["peak_memory_mb"] = f"{end.peak_mb:.0f}"
        return Outcome(
            kind=verdict.kind,
            recipe_digest=self._recipe.digest,
            seconds=self._spent_s(),
            error=verdict.error,
            traceback="\n".join([*output.last, *(lines or ())]) if wrong else None,
            environment=environment,
            notes=tuple(self._notes),
        )


def _number_of(match: re.Match[str]) -> float:
    text = match[number_group(match.re)]
    try:
        return as_number(text)
    except ValueError as error:
        raise NotFound(f"{match.re.pattern!r} matches {match[0]!r}, but {error}") from None

"""TensorBoard: a folder of event files per replicate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.errors import AblateError
from ablate.json_values import JsonValue
from ablate.paths import folder_name
from ablate.tracking.runs_file import KnownRun, RunsFile
from ablate.tracking.tracker import (
    CURVE,
    ArmVerdict,
    Point,
    TrackedOutcome,
    TrackedStudy,
    TrackedTrial,
    text_of,
)

_TRIAL = ".ablate"
_VERDICT = ".ablate-verdict"
"""How the names of event files end: what a new attempt, or a new verdict, replaces."""


class TensorboardTracker:
    """Event files in ``FOLDER/ARM-sSEED/``, written without TensorFlow and without torch."""

    kind = "tensorboard"

    def __init__(self, folder: Path, study: TrackedStudy) -> None:
        self.place = str(folder)
        self._folder = folder
        self._runs = RunsFile(study.paths.tracked, self.kind, str(folder.absolute()))
        self._open: dict[tuple[str, int], _EventFile] = {}
        self._params: dict[tuple[str, int], Mapping[str, JsonValue]] = {}

    def begin(self, trial: TrackedTrial) -> None:
        """Begin a new event file: a trial that resumes tells its whole curve once more."""
        if (before := self._open.pop(trial.key, None)) is not None:
            before.close()
        name = folder_name(*trial.key)
        events = _EventFile(self._folder / name, _TRIAL)
        events.add(_session_start(trial))
        self._open[trial.key] = events
        known = self._runs.get(*trial.key)
        if known is None or known.ended:
            self._runs.put(KnownRun(*trial.key, name))

    def curve(self, key: tuple[str, int], points: Sequence[Point]) -> None:
        """Write the points, those of one moment in one event."""
        for point in points:
            self._open[key].add(
                _scalars({f"{CURVE}{name}": value for name, value in point.values.items()}), point.images, point.at
            )
        self._open[key].flush()

    def end(self, key: tuple[str, int], outcome: TrackedOutcome) -> None:
        """Write the outcome and close the file."""
        events = self._open.pop(key)
        events.add(_scalars(outcome.numbers), outcome.images_seen)
        for name, word in outcome.words.items():
            events.add(_text(name, word))
        events.add(_session_end(good=outcome.kind.is_result))
        events.close()
        known = self._runs.get(*key)
        if known is not None:
            self._runs.change(known, ended=True)

    def verdict(self, arm: str, verdict: ArmVerdict) -> None:
        """Write the verdict into a file of its own, in every folder of the arm."""
        for known in self._runs.of(arm):
            if known.verdict != verdict.sentence and known.seed is not None:
                events = _EventFile(self._folder / folder_name(arm, known.seed), _VERDICT)
                events.add(_text("verdict", f"{verdict.verdict}: {verdict.sentence}"))
                events.close()
                self._runs.change(known, verdict=verdict.sentence)

    def close(self) -> None:
        """Close the files of trials that were stopped."""
        for events in self._open.values():
            events.add(_session_end(good=False))
            events.close()
        self._open.clear()

    def hint(self) -> str:
        """What shows the folder."""
        return f"tensorboard --logdir {self.place}"


class _EventFile:
    """One event file. What an earlier one of the same kind holds is replaced."""

    def __init__(self, folder: Path, suffix: str) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if folder.is_dir():
            for path in folder.glob(f"events.out.tfevents.*{suffix}"):
                path.unlink()
        self._writer = EventFileWriter(str(folder), filename_suffix=suffix)

    def add(self, summary: Any, step: int = 0, at: float | None = None) -> None:
        """Add an event; it is on disk after `flush` or `close`."""
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time() if at is None else at, step=step, summary=summary))

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _scalars(values: Mapping[str, float]) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def _text(tag: str, text: str) -> Any:
    """A text as the plugin of that name shows it."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text.metadata import create_summary_metadata

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
    return Summary(value=[Summary.Value(tag=tag, metadata=create_summary_metadata(tag, ""), tensor=tensor)])


def _session_start(trial: TrackedTrial) -> Any:
    """The params for the table of hyperparameters, where the seeds of an arm are one group."""
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(group_name=trial.arm, start_time_secs=time.time())
    for name, level in trial.params.items():
        if isinstance(level, bool):
            info.hparams[name].bool_value = level
        elif isinstance(level, int | float):
            info.hparams[name].number_value = level
        else:
            info.hparams[name].string_value = text_of(level)
    return _hparams(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def _session_end(*, good: bool) -> Any:
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    info = SessionEndInfo(status=STATUS_SUCCESS if good else STATUS_FAILURE, end_time_secs=time.time())
    return _hparams(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _hparams(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.metadata import create_summary_metadata

    return Summary(value=[Summary.Value(tag=tag, metadata=create_summary_metadata(data))])


def open_tensorboard(target: str, study: TrackedStudy) -> TensorboardTracker:
    """Return the tracker for a folder, ``DIR/STUDY``; empty `target`: ``results/STUDY/tensorboard``.

    Raises AblateError without the package tensorboard, and for a folder that is none.
    """
    try:
        import tensorboard.plugins.hparams.plugin_data_pb2
        import tensorboard.summary.writer.event_file_writer  # noqa: F401
    except ImportError as error:
        raise AblateError(
            f"tensorboard cannot be imported: {error}", hint="pip install 'ablate[tensorboard]'"
        ) from error
    folder = Path(target) / study.name if target else study.paths.tensorboard
    for one in (folder, *folder.parents):
        if one.exists() and not one.is_dir():
            raise AblateError(f"TensorBoard's folder {folder} cannot be made: {one} is a file", hint="name another")
    return TensorboardTracker(folder, study)

"""``tensorboard:DIR``: one run per folder that holds event files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ablate.errors import AblateError
from ablate.report.sources.runs import ForeignRun

_EVENTS = "events.out.tfevents.*"


def tensorboard_runs(folder: Path) -> list[ForeignRun]:
    """Return one run per folder below `folder` with event files, named by its path; scalars are metrics and curves.

    Raises AblateError without the package tensorboard, and where there are no event files.
    """
    if not folder.is_dir():
        raise AblateError(f"there is no folder {folder}")
    homes = sorted({path.parent for path in folder.rglob(_EVENTS)})
    if not homes:
        raise AblateError(f"no event files of TensorBoard below {folder}")
    return [_run(home, folder) for home in homes]


def _run(home: Path, root: Path) -> ForeignRun:
    reader = _reader(home)
    reader.Reload()
    tags = reader.Tags()
    curves = {tag: _points((one.step, one.value) for one in reader.Scalars(tag)) for tag in tags["scalars"]}
    for tag in tags.get("tensors", ()):  # what TensorFlow 2 and newer writers make of scalars
        if (points := _tensor_points(reader.Tensors(tag))) is not None:
            curves.setdefault(tag, points)
    metrics = {tag: points[-1][1] for tag, points in curves.items() if points}
    shown = {tag: points for tag, points in curves.items() if len(points) > 1}
    name = home.relative_to(root).as_posix()
    return ForeignRun(name if name != "." else home.name, {"run": name}, metrics, shown)


def _reader(home: Path) -> Any:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise AblateError(
            f"tensorboard cannot be imported: {error}", hint="pip install 'ablate[tensorboard]'"
        ) from error
    return EventAccumulator(str(home), size_guidance={"scalars": 0, "tensors": 0})


def _points(pairs: Any) -> tuple[tuple[int, float], ...]:
    """Points by step; of a step written twice (after a restart) the later one."""
    return tuple(sorted({int(step): float(value) for step, value in pairs}.items()))


def _tensor_points(events: Any) -> tuple[tuple[int, float], ...] | None:
    """Points of a tensor that is a scalar at every step; None for any other."""
    from tensorboard.util.tensor_util import make_ndarray

    arrays = [(one.step, make_ndarray(one.tensor_proto)) for one in events]
    if not all(array.shape == () and array.dtype.kind in "fiu" for _, array in arrays):
        return None
    return _points((step, array.item()) for step, array in arrays)

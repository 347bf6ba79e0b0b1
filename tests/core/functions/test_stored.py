"""Functions that travel as files: readable in a worker, and by nobody who was not told their digest."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.core.functions.core import STORED
from ablate.core.functions.stored import read_function, write_function
from ablate.core.shared.registry import core_class, is_sent, register_function
from ablate.errors import AblateError


def make(factor: float) -> Callable[..., Any]:
    def train(*, lr: float = 0.1, seed: int) -> dict[str, float]:
        return {"acc": lr * factor}

    return train


def test_a_function_with_what_it_caught_comes_back(tmp_path: Path) -> None:
    stored = write_function(make(3.0), "f", tmp_path / "functions")
    assert read_function(stored, "f")(lr=2.0, seed=0) == {"acc": 6.0}


def test_a_new_function_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write_function(make(3.0), "f", tmp_path)
    stored = write_function(make(4.0), "f", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [Path(stored["file"]).name]
    assert write_function(make(4.0), "f", tmp_path) == stored


class Bomb:
    """Whoever unpickles it runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a file was unpickled",))


def test_a_file_that_was_changed_is_refused_before_it_is_unpickled(tmp_path: Path) -> None:
    stored = write_function(make(3.0), "f", tmp_path)
    Path(stored["file"]).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(AblateError, match="was changed"):
        read_function(stored, "f")
    Path(stored["file"]).unlink()
    with pytest.raises(AblateError, match="cannot read"):
        read_function(stored, "f")


def test_what_cannot_travel_says_so(tmp_path: Path) -> None:
    lock = threading.Lock()

    def train(*, lr: float = 0.1, seed: int) -> bool:
        return lock.locked()

    with pytest.raises(AblateError, match="cannot be sent to workers: TypeError") as caught:
        write_function(train, "function 'train'", tmp_path)
    assert "module of its own" in str(caught.value.hint)


def test_a_function_of_a_module_goes_by_its_name_and_others_are_known_to_this_process() -> None:
    assert register_function(make) == f"{__name__}:make"
    inner = make(3.0)
    reference = register_function(inner)
    assert reference == f"{__name__}:make.<locals>.train"
    assert is_sent(reference)
    core = core_class(reference)
    assert core.function is inner  # type: ignore[attr-defined]
    assert core.name == reference


def test_a_worker_makes_the_core_from_the_file_that_it_is_told_of(tmp_path: Path) -> None:
    reference = register_function(make(5.0))
    sent = core_class(reference).for_workers(tmp_path)
    found = core_class("__main__:train", None, sent)
    assert found.function(lr=1.0, seed=0) == {"acc": 5.0}  # type: ignore[attr-defined]
    assert list(sent) == [STORED]


def importable(*, lr: float = 0.1, seed: int) -> float:
    return lr


def test_a_function_that_workers_can_import_leaves_no_file(tmp_path: Path) -> None:
    assert core_class(register_function(importable)).for_workers(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["__main__:train", "elsewhere:make.<locals>.train"])
def test_nobody_else_can_make_it(name: str) -> None:
    """A command that is given a results folder never unpickles what lies in it."""
    with pytest.raises(AblateError, match="which only that can run"):
        core_class(name)

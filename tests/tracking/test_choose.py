"""``--track`` words: what they name, and what is refused before anything starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ablate.errors import AblateError
from ablate.tracking.choose import Target, open_tracker, targets_of
from ablate.tracking.tracker import KINDS, TrackedStudy


def test_words_name_a_tracker_and_a_place() -> None:
    found = targets_of(["mlflow:http://me:pw@host:5000", "tensorboard", "wandb:team/project"])
    assert found == (
        Target("mlflow", "http://me:pw@host:5000"),
        Target("tensorboard", ""),
        Target("wandb", "team/project"),
    )
    assert [one.shown for one in found] == ["mlflow:http://me@host:5000", "tensorboard", "wandb:team/project"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mlfow"], "did you mean mlflow?"),
        (["comet"], "known: mlflow, tensorboard, wandb"),
        (["mlflow:"], "names no place"),
        (["wandb", "wandb"], "given twice"),
        (["http://me:s3cret@host"], "no tracker"),
    ],
)
def test_words_that_name_nothing_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(AblateError) as caught:
        targets_of(words)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_that_is_missing_is_named(kind: str, study: TrackedStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == kind or name.startswith(f"{kind}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(AblateError, match=f"{kind} cannot be imported") as caught:
        open_tracker(Target(kind, ""), study)
    assert caught.value.hint == f"pip install 'ablate[{kind}]'"


def test_a_folder_that_is_a_file_is_refused(study: TrackedStudy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AblateError, match="is a file"):
        open_tracker(Target("tensorboard", str(tmp_path / "file" / "below")), study)

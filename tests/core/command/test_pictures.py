"""Pictures of a command: the first by name, checked and made small, and never those of an earlier attempt."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ablate.core.command import pictures
from ablate.core.command.pictures import MOST, SIDE, CommandPictures, small
from ablate.core.command.spec.template import Template
from ablate.outcome import OutcomeKind
from ablate.paths import TrialPaths
from tests.core.command.trial_bench import Bench

RED = (255, 0, 0)
SAVES = """
import sys
from PIL import Image
if sys.argv[2] == "new":
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0)]):
        Image.new("RGB", (4, 4), colour).save(f"{sys.argv[1]}/step-{number}.png")
print("score 1")
"""


def save(path: Path, size: tuple[int, int] = (8, 8), colour: tuple[int, ...] = RED) -> None:
    Image.new("RGB" if len(colour) == 3 else "RGBA", size, colour).save(path)


def shown(folder: Path, *patterns: str, **values: object) -> tuple[NDArray[np.uint8] | None, list[str]]:
    """What is put side by side, [H,W,3] uint8, and what is said."""
    target = folder.parent / "samples.png"
    name, notes = CommandPictures(map(Template.parse, patterns), values, folder).write(target)
    return (None if name is None else np.asarray(Image.open(target))), notes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def test_pictures_stand_side_by_side_in_the_order_of_their_names(folder: Path) -> None:
    save(folder / "b.png", (2, 3), (0, 0, 255))
    save(folder / "a.png", (4, 2))
    row, notes = shown(folder, "{folder}/*.png")
    assert notes == []
    assert row is not None
    assert row.shape == (3, 4 + 2 + 2, 3)
    assert (row[:2, :4] == RED).all()
    assert (row[:3, 6:] == (0, 0, 255)).all()
    assert (row[:, 4:6] == 255).all()


def test_at_most_eight_and_none_larger_than_its_place(folder: Path) -> None:
    for number in range(MOST + 3):
        save(folder / f"{number:02}.jpg", (3 * SIDE, SIDE))
    row, _ = shown(folder, "{folder}/*.jpg")
    assert row is not None
    assert row.shape[0] < SIDE
    assert MOST * SIDE <= row.shape[1] < (MOST + 1) * SIDE


def test_what_is_transparent_is_white(folder: Path) -> None:
    save(folder / "a.png", (2, 2), (0, 0, 0, 0))
    row, _ = shown(folder, "{folder}/a.png")
    assert row is not None
    assert (row == 255).all()


def test_a_name_with_brackets_is_no_set_of_characters(folder: Path) -> None:
    save(folder / "scales=[16].png")
    row, notes = shown(folder, "{folder}/{arm}.png", arm="scales=[16]")
    assert (row is not None, notes) == (True, [])


def test_files_that_are_no_pictures_and_missing_ones_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.png").write_bytes(b"nonsense")
    save(folder / "b.png")
    (folder / "c.png").write_bytes((folder / "b.png").read_bytes()[:40])
    save(folder / "d.png", (64, 64))
    monkeypatch.setattr(pictures, "_MOST_PIXELS", 64 * 64 - 1)
    row, notes = shown(folder, "{folder}/*.png")
    assert row is not None
    assert row.shape == (8, 8, 3)
    assert [note.partition(":")[0] for note in notes] == ["picture a.png", "picture c.png", "picture d.png"]
    assert notes[2].endswith("64 x 64 pixels are too many")
    assert shown(folder, "{folder}/x-*.png") == (None, ["no picture matches {folder}/x-*.png"])
    monkeypatch.setattr(pictures, "_LARGEST_FILE", 3)
    with pytest.raises(ValueError, match="larger than"):
        small(folder / "b.png")


def test_nothing_outside_the_folder_is_shown(folder: Path) -> None:
    save(folder.parent / "secret.png")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    os.mkfifo(folder / "pipe.png")
    for pattern, value in (
        ("{folder}/*.png", ""),
        ("{folder}/{x}", "../secret.png"),
        ("{folder}{x}", "/../secret.png"),
    ):
        assert shown(folder, pattern, x=value)[0] is None
    assert shown(folder, "{folder}/{x}", x=str(folder.parent / "secret.png"))[0] is None
    assert shown(folder, "{folder}/{x}", x=None) == (None, [])


def test_a_trial_shows_the_pictures_of_this_attempt_alone(bench: Bench) -> None:
    words = [*bench.script(SAVES), "{folder}", "{kind}"]
    factors = {"kind": "new"}
    outcome = bench.run(words, factors=factors, pictures=("{folder}/step-*.png",))
    assert (outcome.kind, outcome.samples, outcome.notes) == (OutcomeKind.MEASURED, "samples.png", ())
    assert np.asarray(Image.open(TrialPaths(bench.place).samples)).shape == (4, 10, 3)
    TrialPaths(bench.place).attempts.unlink()
    again = bench.run(words, settings={"kind": "old"}, factors=factors, pictures=("{folder}/step-*.png",))
    assert (again.kind, again.samples) == (OutcomeKind.MEASURED, None)
    assert again.notes == ("no picture matches {folder}/step-*.png",)

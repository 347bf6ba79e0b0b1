"""The embedded digits: the published file, its split, and what a classifier would need."""

from __future__ import annotations

import gzip
import importlib.resources

import pytest
import torch

from ablate.core import data
from ablate.core.data import digits
from ablate.core.shared.data_info import KNOWN
from ablate.core.shared.requirements import image_counts
from ablate.errors import DataError


def test_the_digits_are_split_by_place() -> None:
    found = data.load("digits")
    assert (found.train.shape, found.validation.shape, found.test.shape) == (
        (1257, 1, 8, 8),
        (180, 1, 8, 8),
        (360, 1, 8, 8),
    )
    assert found.train.dtype == torch.uint8
    assert image_counts("digits", "block", 3000) == (1257, 360)
    assert found.digest.startswith("805848e071d2")


def test_ink_is_scaled_to_the_whole_range() -> None:
    """The first line of the file: 0, 0, 5, 13, ... of 16, a zero."""
    found = data.load("digits")
    assert found.train[0, 0, 0, :4].tolist() == [0, 0, 80, 207]
    assert (int(found.train.min()), int(found.train.max())) == (0, 255)
    assert found.labels is not None
    assert found.labels.train[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert found.labels.classes == 10
    assert len(found.labels.test) == len(found.test)


def test_every_class_is_in_every_part() -> None:
    labels = data.load("digits").labels
    assert labels is not None
    assert min(labels.train.bincount().tolist()) >= 120
    assert min(labels.test.bincount().tolist()) >= 30


def test_an_altered_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Altered:
        def joinpath(self, name: str) -> Altered:
            return self

        def read_bytes(self) -> bytes:
            return gzip.compress(b"0,1\n")

    monkeypatch.setattr(importlib.resources, "files", lambda package: Altered())
    with pytest.raises(DataError, match="altered"):
        digits.load()


def test_nothing_has_to_be_fetched() -> None:
    said: list[str] = []
    assert data.fetch("digits", None, said.append).is_dir()
    assert "nothing to download" in said[0]
    assert KNOWN["digits"].marker == ""

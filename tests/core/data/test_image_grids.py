"""Image grids: lossless, enlarged by repetition, the same bytes for the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.core.data import as_unit
from ablate.core.data.image_grids import GAP, enlargement, save_grid

ENLARGE = enlargement(8)


def _images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def test_pixels_survive(tmp_path: Path) -> None:
    """Every image can be read back from the file exactly."""
    first, second = _images(3), _images(2)
    save_grid(tmp_path / "grid.png", [("original", as_unit(first)), ("noisy, sigma 25", as_unit(second))])
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    side = 8 * ENLARGE
    left = grid.shape[1] - 3 * (side + GAP)
    for row, images in enumerate((first, second)):
        for column, image in enumerate(images):
            top, start = GAP + row * (side + GAP), left + column * (side + GAP)
            block = grid[top : top + side, start : start + side]
            assert np.array_equal(block, image.permute(1, 2, 0).numpy().repeat(ENLARGE, 0).repeat(ENLARGE, 1))


def test_same_rows_same_bytes(tmp_path: Path) -> None:
    """No time stamp, no randomness."""
    rows = [("a", as_unit(_images(2)))]
    save_grid(tmp_path / "one.png", rows)
    save_grid(tmp_path / "two.png", rows)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_labels_are_drawn(tmp_path: Path) -> None:
    """Another label gives other ink left of the images."""
    for label in ("DIP", "DDPM"):
        save_grid(tmp_path / f"{label}.png", [(label, as_unit(_images(1)))])
        margin = np.asarray(Image.open(tmp_path / f"{label}.png"))[:, : -(8 * ENLARGE + GAP)]
        assert (margin < 128).any()


@pytest.mark.parametrize("rows", [[], [("a", torch.zeros(1, 3, 8, 8)), ("b", torch.zeros(1, 3, 16, 16))]])
def test_rows_must_fit(tmp_path: Path, rows: list[tuple[str, torch.Tensor]]) -> None:
    """No rows, or rows of different sizes, are refused."""
    with pytest.raises(ValueError, match="rows of images of one shape"):
        save_grid(tmp_path / "grid.png", rows)


def test_grey_images_are_drawn_in_grey(tmp_path: Path) -> None:
    grey = _images(2)[:, :1]
    save_grid(tmp_path / "grey.png", [("a", as_unit(grey))])
    save_grid(tmp_path / "colour.png", [("a", as_unit(grey.expand(-1, 3, -1, -1)))])
    assert (tmp_path / "grey.png").read_bytes() == (tmp_path / "colour.png").read_bytes()


@pytest.mark.parametrize(("side", "times"), [(8, 6), (28, 3), (32, 3), (64, 2), (256, 1)])
def test_images_are_drawn_about_alike_large(side: int, times: int) -> None:
    assert enlargement(side) == times

"""The user's own images: any format, one rule of splitting, broken files by name, a digest of what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from ablate.core import data
from ablate.core.data import folder as folder_images
from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.ddpm_dip.stages.digests import denoiser_stage
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.data_info import folder_counts, part_of, with_digest
from ablate.errors import DataError

COUNT = 40


def picture(seed: int, size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number in range(COUNT):
        suffix = ("png", "jpg", "webp", "bmp")[number % 4]
        place = folder / "more" if number % 3 else folder
        picture(number, (20 + number, 30)).save(place / f"{number}.{suffix}")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def settings(folder: Path, **more: object) -> DdpmDipSettings:
    return DdpmDipSettings.model_validate({"data": f"folder:{folder}", "method": "ddpm", **more})


def test_images_are_cropped_resized_and_split_by_their_names(photos: Path) -> None:
    found = data.load(f"folder:{photos}", image_size=16)
    assert {tuple(part.shape[1:]) for part in (found.train, found.validation, found.test)} == {(3, 16, 16)}
    counts = folder_counts(photos)
    assert (len(found.train), len(found.validation), len(found.test)) == tuple(counts.values())
    assert sum(counts.values()) == COUNT
    assert data.load(f"folder:{photos}", image_size=16, greyscale=True).train.shape[1:] == (1, 16, 16)


def test_the_centre_is_kept_and_details_are_averaged(tmp_path: Path) -> None:
    """Stripes one pixel wide become grey (no aliasing), and what lies beside the centre square is cut off."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    wide = np.full((64, 192, 3), (255, 0, 0), np.uint8)
    wide[:, 64:128] = stripes
    Image.fromarray(wide).save(tmp_path / "a.png")
    pixels = folder_images._read(tmp_path / "a.png", 16, "RGB")
    assert pixels.shape == (3, 16, 16)
    inner = pixels[:, :, 2:-2].float()
    assert float((inner - 127.5).abs().max()) < 6


def test_pictures_are_turned_as_their_exif_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 20))
    image.paste((255, 255, 255), (0, 0, 20, 10))
    exif = image.getexif()
    exif[0x0112] = 3  # turned by 180 degrees
    image.save(tmp_path / "a.png", exif=exif)
    pixels = folder_images._read(tmp_path / "a.png", 4, "L")
    assert pixels[0, 0].tolist() == [0, 0, 0, 0]
    assert pixels[0, 3].tolist() == [255, 255, 255, 255]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_other_kinds_of_pixels_are_read(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "a.tif")
    else:
        picture(0, (8, 8), mode).save(tmp_path / "a.tif")
    pixels = folder_images._read(tmp_path / "a.tif", 8, "RGB")
    assert pixels.shape == (3, 8, 8)
    assert int(pixels.max()) > 200
    assert int(pixels.min()) < 60


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(tmp_path / "a.png")
    assert int(folder_images._read(tmp_path / "a.png", 8, "RGB").max()) == 0


def test_broken_files_are_named(photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"\x89PNG nothing")
    whole = (photos / "0.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        data.load(f"folder:{photos}")
    assert "broken.png, cut.png" in caught.value.message
    with pytest.raises(DataError, match=r"broken\.png"):
        DdpmDip.require(settings(photos))


@pytest.mark.parametrize("name", ["none", "photos/empty"])
def test_a_folder_without_images_is_refused(photos: Path, name: str) -> None:
    (photos / "empty").mkdir()
    with pytest.raises(DataError):
        with_digest(f"folder:{photos.parent / name}")


def test_a_recipe_names_the_contents(photos: Path) -> None:
    """Another byte is another recipe; another place of the same bytes is the same stage."""
    first = settings(photos)
    assert first.data.startswith(f"folder:{photos}#")
    assert DdpmDipSettings.model_validate(first.resolved()).data == first.data
    moved = photos.rename(photos.parent / "moved")
    second = settings(moved)
    assert first.data != second.data
    assert denoiser_stage(first, 0, "1").digest == denoiser_stage(second, 0, "1").digest
    assert denoiser_stage(settings(moved, image_size=16), 0, "1").digest != denoiser_stage(second, 0, "1").digest
    picture(99, (8, 8)).save(moved / "0.png")
    assert denoiser_stage(settings(moved), 0, "1").digest != denoiser_stage(second, 0, "1").digest


def test_contents_that_changed_after_planning_are_refused(photos: Path) -> None:
    planned = settings(photos)
    DdpmDip.require(planned)
    picture(99, (8, 8)).save(photos / "one more.png")
    with pytest.raises(DataError, match="other images"):
        DdpmDip.require(planned)
    with pytest.raises(DataError, match="other images"):
        data.load(planned.data)


@given(st.text(min_size=1))
def test_a_name_decides_the_part_alone(name: str) -> None:
    assert part_of(name) == part_of(name)
    assert part_of(name) in ("train", "validation", "test")


def test_the_parts_have_their_shares() -> None:
    """Of 20,000 names, within five standard deviations."""
    parts = [part_of(f"{number}.png") for number in range(20_000)]
    assert abs(parts.count("train") / 20_000 - 0.8) < 5 * (0.16 / 20_000) ** 0.5
    assert abs(parts.count("test") / 20_000 - 0.1) < 5 * (0.09 / 20_000) ** 0.5


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"data": "mnits"}, "did you mean 'mnist'"),
        ({"data": "digits", "image_size": 16, "dip_scales": 2}, "have 8 pixels"),
        ({"data": "cifar10", "greyscale": True}, "coloured as they come"),
        ({"data": "digits"}, "use dip_scales 2"),
        ({"data": "mnist", "method": "ddpm", "channel_mults": "1-2-3-4"}, "halves the image 3 times"),
        ({"data": "mnist", "method": "ddpm", "attention": "8"}, "28, 14 pixels"),
        ({"data": "folder:"}, "unknown data set"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(stated: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DdpmDipSettings.model_validate(stated)


def test_shapes_follow_the_data() -> None:
    shapes = {name: DdpmDipSettings(data=name, method="ddpm").image_shape for name in ("digits", "mnist", "svhn")}
    assert shapes == {"digits": (1, 8, 8), "mnist": (1, 28, 28), "svhn": (3, 32, 32)}
    assert torch.Size(DdpmDipSettings().image_shape) == torch.Size((3, 32, 32))

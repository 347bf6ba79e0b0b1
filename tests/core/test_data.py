"""Data sets: the split leaks nothing, the sources are verified, nothing is substituted, bytes convert exactly."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.core import data
from ablate.core.data import catalogue, downloads, patches
from ablate.core.data.images import digest_of_images
from ablate.core.shared.registry import core_class
from ablate.core.shared.requirements import default_folder
from ablate.errors import DataError


@pytest.fixture(scope="module")
def photographs() -> data.ImageSet:
    """The default patches."""
    return data.load("skimage-patches")


def test_counts_with_the_default_cap(photographs: data.ImageSet) -> None:
    """3000 patches at most per photograph, 3/7 of it held out: 19,148 and 7,026 patches."""
    assert photographs.train.shape == (19_148, 3, 32, 32)
    assert photographs.test.shape == (7_026, 3, 32, 32)
    assert photographs.train.dtype == photographs.test.dtype == torch.uint8
    assert photographs.train.is_contiguous()
    assert photographs.validation is photographs.test


def test_counts_without_a_cap() -> None:
    """Per photograph as published for this cut."""
    counts = {True: [], False: []}  # type: dict[bool, list[int]]
    for entry in patches.manifest()["images"]:
        scaled = list(patches._scaled(patches.read_photograph(entry)))
        for training, found in counts.items():
            border = patches._columns(scaled[0][1].shape[1], "block", training)
            masks = [patches._between(patches._not_flat(pixels), scale, border) for scale, pixels in scaled]
            found.append(sum(int(mask.sum()) for mask in masks))
    assert counts[True] == [2978, 1417, 2774, 3202, 11113, 2979, 23263]
    assert sum(counts[False]) == 16_196


def test_pixels_are_the_recorded_ones_or_the_set_says_so(photographs: data.ImageSet) -> None:
    """The digest is the manifest's, or the note names the package that makes the difference."""
    same = photographs.digest == patches.manifest()["digests"]["block-3000"]
    assert same == (photographs.note == "")
    assert same or "Pillow" in photographs.note


def test_digest_covers_every_part_and_pixel() -> None:
    """One other pixel, or the same pixels divided otherwise, give another digest."""
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    other = images.clone()
    other[3, 2, 31, 31] = 1
    digests = {digest_of_images(*parts) for parts in ([images], [other], [images[:1], images[1:]], [images[:2]])}
    assert len(digests) == 4
    assert digest_of_images(images.clone()) in digests


@pytest.mark.parametrize("scale", patches.SCALES)
@pytest.mark.parametrize("width", [601, 640, 1411])
def test_no_column_is_shared_between_the_parts(scale: int, width: int) -> None:
    """With the reach of the LANCZOS kernel (3 output pixels) added, training and test columns stay apart."""
    everywhere = np.ones((1, (round(width / scale) - patches.SIDE) // patches.STRIDE + 1), dtype=np.bool_)
    columns = {}
    for training in (True, False):
        wanted = patches._between(everywhere, scale, patches._columns(width, "block", training))
        columns[training] = np.nonzero(wanted.any(0))[0] * patches.STRIDE
    last_train = (columns[True].max() + patches.SIDE + 3 * (scale > 1)) * scale
    border = patches.TRAIN_SHARE * width
    assert last_train <= border
    assert (columns[False].min() - 3 * (scale > 1)) * scale >= border


def test_whole_photographs_held_out() -> None:
    """``split="image"`` trains on five photographs and tests on two others."""
    held_out = [entry["name"] for entry in patches.manifest()["images"] if entry["held_out"]]
    found = data.load("skimage-patches", cap_per_image=7, split="image")
    assert held_out == ["chelsea", "rocket"]
    assert len(found.train) == 5 * 7
    assert len(found.test) == 2 * 3


def test_smaller_caps_are_nested() -> None:
    """A larger cap keeps what a smaller one chose."""
    small, large = patches._choose(1000, 10, "coffee"), patches._choose(1000, 50, "coffee")
    assert small.sum() == 10
    assert large.sum() == 50
    assert bool(large[small].all())


def test_flat_patches_are_dropped_exactly() -> None:
    """The integer test agrees with the standard deviation computed patch by patch."""
    rng = np.random.default_rng(1)
    pixels = (128 + rng.normal(0, 1, (48, 72, 3)) * np.linspace(0, 12, 72)[None, :, None]).astype(np.uint8)
    expected = [
        [pixels[y : y + 32, x : x + 32].astype(float).std() >= 4 for x in range(0, 72 - 31, 8)] for y in (0, 8, 16)
    ]
    assert patches._not_flat(pixels).tolist() == expected
    assert 0 < np.sum(expected) < np.size(expected)


def test_altered_photograph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source file with other bytes stops the load."""
    entry = patches.manifest()["images"][1]
    (tmp_path / entry["file"]).write_bytes(b"another picture")
    monkeypatch.setattr(patches, "source_folder", lambda: tmp_path)
    with pytest.raises(DataError, match="not the recorded photograph"):
        patches.read_photograph(entry)


def test_missing_photograph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing source file is named."""
    monkeypatch.setattr(patches, "source_folder", lambda: tmp_path)
    with pytest.raises(DataError, match=r"cannot read .*astronaut\.png") as caught:
        patches.load(5, "block")
    assert "scikit-image" in (caught.value.hint or "")


def test_every_photograph_has_a_licence() -> None:
    """The manifest states licence and source of each."""
    entries = patches.manifest()["images"]
    assert len(entries) == 7
    assert all(entry["licence"] and entry["statement"] for entry in entries)


@pytest.mark.parametrize("name", ["cifar", "cifar-10", "mnist"])
def test_unknown_names_are_refused(name: str) -> None:
    """Nothing is substituted for a name that is not known."""
    with pytest.raises(DataError, match=name):
        data.load(name)


def test_bad_split_and_cap_are_refused() -> None:
    """Errors, not surprises."""
    with pytest.raises(DataError, match="unknown split 'rows'"):
        data.load("skimage-patches", split="rows")
    with pytest.raises(DataError, match="at least 1"):
        data.load("skimage-patches", cap_per_image=0)


def test_as_unit_is_bitwise_totensor_and_normalize() -> None:
    """All 256 levels agree bit for bit with torchvision's transforms."""
    transforms = pytest.importorskip("torchvision.transforms")
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    reference = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])(levels)
    assert torch.equal(data.as_unit(torch.from_numpy(levels.transpose(2, 0, 1).copy())), reference)


def test_to_uint8_undoes_as_unit_and_clips() -> None:
    """Every level survives the way there and back; values outside are clipped."""
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(data.to_uint8(data.as_unit(levels)), levels)
    assert data.to_uint8(torch.tensor([-1.7, 1.2])).tolist() == [0, 255]


def test_to_moves_all_parts(photographs: data.ImageSet) -> None:
    """The moved set is the same set; validation stays the same tensor as test where it was."""
    moved = photographs.to("cpu")
    assert moved.digest == photographs.digest
    assert moved.validation is moved.test


# --- CIFAR-10, on a folder in torchvision's layout whose checksums are patched to match


def _batch(count: int, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)
    return pickle.dumps({"data": pixels, "labels": [0] * count})


@pytest.fixture
def cifar_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A verified CIFAR-10 of 5 x 5 training images and 4 test images."""
    torchvision = pytest.importorskip("torchvision.datasets")
    utils = pytest.importorskip("torchvision.datasets.utils")
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    for number in range(1, 6):
        (base / f"data_batch_{number}").write_bytes(_batch(5, number))
    (base / "test_batch").write_bytes(_batch(4, 9))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": ["plane"]}))
    sums = {path.name: utils.calculate_md5(path) for path in base.iterdir()}
    cls = torchvision.CIFAR10
    monkeypatch.setattr(cls, "train_list", [[f"data_batch_{n}", sums[f"data_batch_{n}"]] for n in range(1, 6)])
    monkeypatch.setattr(cls, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(downloads, "VALIDATION", 3)
    catalogue._load_download.cache_clear()
    return tmp_path


def test_cifar_from_a_folder_that_is_there(cifar_folder: Path) -> None:
    """Planes, order and split are right: the last training images become validation."""
    found = data.load("cifar10", folder=cifar_folder)
    raw = pickle.loads(_batch(5, 5))["data"].reshape(5, 3, 32, 32)
    assert found.train.shape == (22, 3, 32, 32)
    assert found.test.shape == (4, 3, 32, 32)
    assert torch.equal(found.validation, torch.from_numpy(raw[-3:].copy()))
    assert found.train.is_contiguous()


def test_cifar_fetch_needs_no_network_when_verified(cifar_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was dropped in is verified and left alone."""
    monkeypatch.setattr("torchvision.datasets.CIFAR10.url", "http://127.0.0.1:9/none.tar.gz")
    said: list[str] = []
    assert data.fetch("cifar10", cifar_folder, said.append) == cifar_folder
    assert said == [f"cifar10 is already in {cifar_folder}, verified"]


@pytest.mark.parametrize("fault", ["missing", "corrupt"])
def test_cifar_that_is_not_whole_is_refused(cifar_folder: Path, fault: str) -> None:
    """One line, and the command that helps."""
    path = cifar_folder / "cifar-10-batches-py" / "data_batch_3"
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError) as caught:
        data.load("cifar10", folder=cifar_folder)
    assert str(cifar_folder) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint == "ablate data fetch cifar10"


def test_cifar_fetch_offline_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection: the reason in one line, and how to bring the files."""
    pytest.importorskip("torchvision")
    monkeypatch.setattr("torchvision.datasets.CIFAR10.url", "http://127.0.0.1:9/none.tar.gz")
    with pytest.raises(DataError, match=r"cannot download cifar10: .*refused") as caught:
        data.fetch("cifar10", tmp_path)
    assert "cifar-10-batches-py" in (caught.value.hint or "")


def test_cifar_fetch_refuses_a_wrong_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive with another checksum is not unpacked."""
    pytest.importorskip("torchvision")

    def serve(url: str, target: str) -> None:
        Path(target).write_bytes(b"not the archive")

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", serve)
    with pytest.raises(DataError, match="archive is corrupt"):
        data.fetch("cifar10", tmp_path / "data")
    assert not (tmp_path / "data" / "cifar-10-batches-py").exists()


def test_cifar_fetch_into_a_file_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be made is a clear error."""
    pytest.importorskip("torchvision")
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(DataError, match="cannot download cifar10: File exists"):
        data.fetch("cifar10", tmp_path / "data")


@pytest.mark.parametrize("core", ["ddpm-dip", "replay"])
def test_a_core_refuses_data_that_has_to_be_fetched_first(
    core: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The question is answered before a worker starts, by the folder alone; the files are verified when read."""
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path))
    found = core_class(core)
    found.require(found.Settings())
    cifar = found.Settings.model_validate({"data": "cifar10"})
    with pytest.raises(DataError, match="cifar10 is not in") as caught:
        found.require(cifar)
    assert caught.value.hint == "ablate data fetch cifar10"
    (tmp_path / "cifar-10-batches-py").mkdir()
    found.require(cifar)


def test_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$ABLATE_DATA wins over data/ in the working directory."""
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path / "there"))
    assert default_folder() == tmp_path / "there"
    monkeypatch.delenv("ABLATE_DATA")
    monkeypatch.chdir(tmp_path)
    assert default_folder() == tmp_path / "data"


def test_embedded_set_needs_no_fetch() -> None:
    """Fetching the photographs is a word of comfort."""
    said: list[str] = []
    assert data.fetch("skimage-patches", None, said.append).is_dir()
    assert "nothing to download" in said[0]


def test_manifest_is_valid_json_in_the_package() -> None:
    """The manifest is read from the installed package."""
    manifest: Any = patches.manifest()
    assert json.loads(json.dumps(manifest))["data_set"] == "skimage-patches"

"""MNIST, FashionMNIST, CIFAR-100 and SVHN from small files made here, with their checksums put into torchvision."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets
from torchvision.datasets.utils import calculate_md5

from ablate.core import data
from ablate.core.data import catalogue, downloads
from ablate.core.shared.requirements import require_data
from ablate.errors import DataError

TRAIN, TEST = 7, 4
Make = Callable[[Path, pytest.MonkeyPatch], Path]


def values(*shape: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 10, shape, dtype=np.uint8)


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress((2048 + array.ndim).to_bytes(4, "big") + sizes + array.tobytes())


def make_mnist(folder: Path, patch: pytest.MonkeyPatch, cls: type = datasets.MNIST) -> Path:
    raw = folder / cls.__name__ / "raw"
    raw.mkdir(parents=True)
    for start, count in (("train", TRAIN), ("t10k", TEST)):
        (raw / f"{start}-images-idx3-ubyte.gz").write_bytes(idx(values(count, 28, 28)))
        (raw / f"{start}-labels-idx1-ubyte.gz").write_bytes(idx(values(count)))
    patch.setattr(cls, "resources", [(path.name, calculate_md5(path)) for path in sorted(raw.iterdir())])
    return raw / "t10k-images-idx3-ubyte.gz"


def make_fashion(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    return make_mnist(folder, patch, datasets.FashionMNIST)


def make_cifar100(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    base = folder / "cifar-100-python"
    base.mkdir(parents=True)
    for name, count in (("train", TRAIN), ("test", TEST)):
        part = {"data": values(count, 3072), "fine_labels": values(count).tolist()}
        (base / name).write_bytes(pickle.dumps(part))
    (base / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple"]}))
    sums = {path.name: calculate_md5(path) for path in base.iterdir()}
    patch.setattr(datasets.CIFAR100, "train_list", [["train", sums["train"]]])
    patch.setattr(datasets.CIFAR100, "test_list", [["test", sums["test"]]])
    patch.setattr(datasets.CIFAR100, "meta", {**datasets.CIFAR100.meta, "md5": sums["meta"]})
    return base / "test"


def make_svhn(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    base = folder / "svhn"
    base.mkdir(parents=True)
    listed = {}
    for split, count in (("train", TRAIN), ("test", TEST)):
        path = base / f"{split}_32x32.mat"
        # The files count digits from 1, and call the zero 10.
        savemat(path, {"X": values(32, 32, 3, count), "y": values(count)[:, None].astype(np.uint8) + 1})
        listed[split] = [f"http://127.0.0.1:9/{path.name}", path.name, calculate_md5(path)]
    patch.setattr(datasets.SVHN, "split_list", listed)
    return base / "test_32x32.mat"


MAKERS: dict[str, Make] = {
    "mnist": make_mnist,
    "fashion-mnist": make_fashion,
    "cifar100": make_cifar100,
    "svhn": make_svhn,
}
SHAPES = {"mnist": (1, 28, 28), "fashion-mnist": (1, 28, 28), "cifar100": (3, 32, 32), "svhn": (3, 32, 32)}


@pytest.fixture(params=sorted(MAKERS))
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path, Path]:
    """Name, data folder, and one of the files."""
    monkeypatch.setattr(downloads, "VALIDATION", 2)
    catalogue._load_download.cache_clear()
    return request.param, tmp_path, MAKERS[request.param](tmp_path, monkeypatch)


def test_what_is_there_is_verified_and_used(made: tuple[str, Path, Path]) -> None:
    name, folder, _ = made
    found = data.load(name, folder=folder)
    assert found.train.shape == (TRAIN - 2, *SHAPES[name])
    assert found.validation.shape == (2, *SHAPES[name])
    assert found.test.shape == (TEST, *SHAPES[name])
    assert found.train.dtype == torch.uint8
    assert found.train.is_contiguous()
    assert found.labels is not None
    assert (len(found.labels.train), len(found.labels.test)) == (TRAIN - 2, TEST)
    assert int(found.labels.train.max()) < 10


def test_pixels_stand_where_they_stood(made: tuple[str, Path, Path]) -> None:
    name, folder, _ = made
    found = data.load(name, folder=folder)
    expected = {
        "mnist": values(TEST, 28, 28)[:, None],
        "fashion-mnist": values(TEST, 28, 28)[:, None],
        "cifar100": values(TEST, 3072).reshape(-1, 3, 32, 32),
        "svhn": values(32, 32, 3, TEST).transpose(3, 2, 0, 1),
    }[name]
    assert np.array_equal(found.test.numpy(), expected)


def test_no_network_is_needed_when_it_is_there(made: tuple[str, Path, Path]) -> None:
    name, folder, _ = made
    said: list[str] = []
    assert data.fetch(name, folder, said.append) == folder
    assert said == [f"{name} is already in {folder}, verified"]


@pytest.mark.parametrize("fault", ["missing", "corrupt"])
def test_what_is_not_whole_is_refused(made: tuple[str, Path, Path], fault: str) -> None:
    name, folder, path = made
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match=f"{name} is not in") as caught:
        data.load(name, folder=folder)
    assert caught.value.hint == f"ablate data fetch {name}"


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_without_a_network_the_reason_is_said_and_how_to_go_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9/"
    for cls in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(cls, "mirrors", [nowhere])
    monkeypatch.setattr(datasets.CIFAR100, "url", f"{nowhere}none.tar.gz")
    listed = {split: [f"{nowhere}{split}_32x32.mat", f"{split}_32x32.mat", "0"] for split in ("train", "test")}
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)
    with pytest.raises(DataError, match=f"cannot download {name}: .*refused") as caught:
        data.fetch(name, tmp_path)
    assert str(tmp_path) in (caught.value.hint or "")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_study_is_told_to_fetch_it_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"{name} is not in"):
        require_data(name)
    MAKERS[name](tmp_path, monkeypatch)
    require_data(name)

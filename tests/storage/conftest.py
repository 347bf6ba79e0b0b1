"""A study's storage in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage

from ablate.outcome import Outcome, OutcomeKind
from ablate.storage.store import ParamKind, Store

OpenStore = Callable[..., Store]
KINDS: dict[str, ParamKind] = {
    "lr": "float",
    "batch": "int",
    "schedule": ("linear", "cosine"),
    "augment": "bool",
    "note": "text",
    "ema": "float",
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ablate.db'}"


@pytest.fixture
def open_store(url: str) -> Iterator[OpenStore]:
    """Opens the study `demo` (anything can be overridden); all stores are closed after the test."""
    with ExitStack() as stack:

        def open_(url: str = url, study: str = "demo", **changes: Any) -> Store:
            settings: dict[str, Any] = {"kinds": KINDS, "primary": "psnr", "direction": "max", "attributes": {}}
            return stack.enter_context(Store.open(url, study, **settings | changes))

        yield open_


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


@pytest.fixture
def measured() -> Callable[..., Outcome]:
    """Makes a measured outcome of psnr 29.5."""

    def make(psnr: float = 29.5, **fields: Any) -> Outcome:
        settings: dict[str, Any] = {"metrics": {"psnr": psnr, "ssim": 0.875}, "seconds": 12.5, "device": "cpu"}
        return Outcome(OutcomeKind.MEASURED, "ab" * 32, **settings | fields)

    return make


@pytest.fixture
def optuna_storage(url: str) -> Iterator[Callable[[], RDBStorage]]:
    """Opens the storage as anybody's Optuna does; closed after the test."""
    with ExitStack() as stack:

        def open_() -> RDBStorage:
            storage = RDBStorage(url)
            stack.callback(storage.engine.dispose)
            stack.callback(storage.remove_session)
            return storage

        yield open_

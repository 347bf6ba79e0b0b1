"""A core is found by name or beside the study file, and everything else is one clear error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ablate.core.shared.registry import BUILT_IN, core_class
from ablate.errors import AblateError


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_cores_are_found_by_name(name: str) -> None:
    assert core_class(name).name == name


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("registry_absent:Core", None, "cannot import 'registry_absent'"),
        ("registry_broken:Core", "def broken(:\n", "cannot import 'registry_broken': invalid syntax"),
        (
            "registry_other:Core",
            "Core = int\n",
            "'Core' in 'registry_other' is no subclass of ablate.Core, and no function",
        ),
        ("registry_empty:Core", "", "'registry_empty' has no 'Core'"),
    ],
)
def test_what_is_no_core_is_one_error(
    name: str, text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    if text is not None:
        (tmp_path / f"{name.partition(':')[0]}.py").write_text(text, encoding="utf-8")
    with pytest.raises(AblateError, match=message):
        core_class(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("registry_nere:Core", "cannot import 'registry_nere'", "did you mean 'registry_near'?"),
        ("registry_near:Cor", "'registry_near' has no 'Cor'", "did you mean 'Core'?"),
    ],
)
def test_a_misspelt_module_or_class_is_met_with_the_nearest_one(
    name: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "registry_near.py").write_text("Core = int\n", encoding="utf-8")
    with pytest.raises(AblateError, match=message) as caught:
        core_class(name, tmp_path)
    assert caught.value.hint == hint


def test_a_misspelt_name_is_met_with_the_nearest_one() -> None:
    with pytest.raises(AblateError, match="unknown core 'ddpm-dib'") as caught:
        core_class("ddpm-dib")
    assert caught.value.hint == "did you mean 'ddpm-dip'?"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("training.py", "name the function or class in it: training.py:train"), ("training.fit", "'training.py:fit'")],
)
def test_a_file_or_a_dotted_name_alone_is_met_with_how_it_is_written(name: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "training.py").write_text("def fit(seed): ...\n", encoding="utf-8")
    with pytest.raises(AblateError, match="unknown core") as caught:
        core_class(name, tmp_path)
    assert hint in str(caught.value.hint)

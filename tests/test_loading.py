"""The user's own Python: by module or by file, and what is said when it cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.errors import AblateError
from ablate.loading import load_object


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test imported."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_is_found_from_the_study_files_folder_with_its_loading_neighbours(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "loading_neighbour.py").write_text("VALUE = 3\n")
    (tmp_path / "code" / "mine.py").write_text(
        "import loading_neighbour\ndef train(): return loading_neighbour.VALUE\n"
    )
    found = load_object("code/mine.py:train", what="core", search=tmp_path)
    assert found() == 3
    assert found.__module__ == "mine"
    assert load_object("mine:train", what="core", search=tmp_path / "code") is found
    assert load_object(f"{tmp_path}/code/mine.py:train", what="core") is found


@pytest.mark.parametrize("name", ["random.py", "this.py", "my-train.py", "pytest.py"])
def test_a_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    """Also that of a module of Python's, of one that is imported already, or one that cannot be imported."""
    (tmp_path / name).write_text("VALUE = 'mine'\n")
    known = sys.modules.get(Path(name).stem)
    assert load_object(f"{name}:VALUE", what="core", search=tmp_path) == "mine"
    assert load_object(f"{name}:VALUE", what="core", search=tmp_path) == "mine"
    assert sys.modules.get(Path(name).stem) is known


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "samename.py").write_text(f"VALUE = {folder!r}\n")
    found = [load_object("samename.py:VALUE", what="core", search=tmp_path / folder) for folder in ("one", "two")]
    assert found == ["one", "two"]


def test_a_module_beside_the_study_file_comes_before_one_of_that_name_from_elsewhere(tmp_path: Path) -> None:
    """Two studies of one process may each have a ``samename.py``, and name it without its ending."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "samename.py").write_text(f"VALUE = {folder!r}\n")
    folders = ("one", "two", "one", "two")
    assert [load_object("samename:VALUE", what="core", search=tmp_path / name) for name in folders] == list(folders)


def test_a_folder_comes_first_again_after_another(tmp_path: Path) -> None:
    """Also for what its modules import themselves."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("loading_a", "loading_b", "loading_helper"):
            (tmp_path / folder / f"{name}.py").write_text(f"VALUE = {folder!r}\n")
        (tmp_path / folder / "loading_c.py").write_text("from loading_helper import VALUE\n")
    asked = [("loading_a", "one"), ("loading_b", "two"), ("loading_c", "one")]
    found = [load_object(f"{name}:VALUE", what="core", search=tmp_path / folder) for name, folder in asked]
    assert found == ["one", "two", "one"]


def test_a_module_whose_file_is_gone_is_not_the_one_beside_the_study(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "loading_gone.py").write_text(f"VALUE = {folder!r}\n")
    assert load_object("loading_gone:VALUE", what="core", search=tmp_path / "one") == "one"
    (tmp_path / "one" / "loading_gone.py").unlink()
    assert load_object("loading_gone:VALUE", what="core", search=tmp_path / "two") == "two"


def test_a_package_of_another_folder_is_refused(tmp_path: Path) -> None:
    """One process cannot have both: modules of a package import each other by its name."""
    for folder in ("one", "two"):
        (tmp_path / folder / "loading_package").mkdir(parents=True)
        (tmp_path / folder / "loading_package" / "__init__.py").write_text("")
        (tmp_path / folder / "loading_package" / "part.py").write_text(f"VALUE = {folder!r}\n")
    assert load_object("loading_package.part:VALUE", what="core", search=tmp_path / "one") == "one"
    assert load_object("loading_package.part:VALUE", what="core", search=tmp_path / "one") == "one"
    with pytest.raises(AblateError) as caught:
        load_object("loading_package.part:VALUE", what="core", search=tmp_path / "two")
    assert str(tmp_path / "one") in caught.value.message
    assert str(tmp_path / "two") in caught.value.message


@pytest.mark.parametrize(
    ("reference", "words", "hint"),
    [
        ("trian.py:train", "there is no file", "did you mean 'train.py'?"),
        ("train.py:trian", "'train.py' has no 'trian'", "did you mean 'train'?"),
        ("needs.py:train", "No module named 'no_such_package'", "is 'no_such_package' installed"),
        ("trian:train", "No module named 'trian'", "did you mean 'train'?"),
        ("colon.py:train", "cannot import 'colon.py': expected ':' (colon.py, line 1)", "None"),
        ("broken.py:train", "importing 'broken.py' raises ZeroDivisionError: division by zero (broken.py, line 2)", ""),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(reference: str, words: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def train(): pass\n")
    (tmp_path / "broken.py").write_text("x = 1\ny = x / 0\n")
    (tmp_path / "needs.py").write_text("import no_such_package.inner\n")
    (tmp_path / "colon.py").write_text("def train()\n    pass\n")
    with pytest.raises(AblateError) as caught:
        load_object(reference, what="core", search=tmp_path)
    assert words in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_file_that_could_not_be_read_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "again.py").write_text("y = 1 / 0\n")
    with pytest.raises(AblateError):
        load_object("again.py:y", what="core", search=tmp_path)
    (tmp_path / "again.py").write_text("y = 1\n")
    assert load_object("again.py:y", what="core", search=tmp_path) == 1

"""The user's own Python: objects named ``module:name`` or ``file.py:name`` in a study file, looked for beside it."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ablate.errors import AblateError
from ablate.paths import is_in_results


def load_object(reference: str, *, what: str, search: Path | None = None) -> Any:
    """Return the object ``module:name``; modules beside the study file (`search`) come first.

    ``path/to/file.py:name`` is the file at that path, relative to the study file's folder.

    Importing runs the module's code: a study file is as trusted as the programs beside it. A copy of one in a results
    folder is not.
    Raises AblateError, naming `what` it is for, when importing the module fails in any way (it ends the program, it
    raises) or when it has no such name.
    """
    module_name, _, name = reference.rpartition(":")
    subject = f"{what} {reference!r}"
    if search is not None and is_in_results(search):
        raise AblateError(
            f"{subject}: the study file lies in a results folder, and nothing there is run",
            hint="what is there may come from somebody else: copy the study file to your own code, and use it there",
        )
    module = (
        _at(module_name, subject, search) if module_name.endswith(".py") else _imported(module_name, subject, search)
    )
    if not hasattr(module, name):
        close = difflib.get_close_matches(name, vars(module), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it was read from {getattr(module, '__file__', None)}"
        raise AblateError(f"{what} {reference!r}: {module_name!r} has no {name!r}", hint=hint)
    return getattr(module, name)


def _at(written: str, subject: str, search: Path | None) -> ModuleType:
    """The module in the file at a path; its folder comes first where it imports."""
    path = ((search or Path.cwd()) / written).absolute()
    if not path.is_file():
        close = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.py")], n=1)
        raise AblateError(f"{subject}: there is no file {path}", hint=f"did you mean {close[0]!r}?" if close else None)
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None or name in sys.stdlib_module_names or not name.isidentifier():
        # Another module has that name: this one gets one of its own.
        plain, digest = re.sub(r"\W", "_", name), hashlib.sha256(str(path).encode()).hexdigest()
        name = f"{plain}_{digest[:8]}"
        if name in sys.modules:
            return sys.modules[name]

    def execute() -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    return _executed(execute, written, subject, path.parent)


def _imported(name: str, subject: str, search: Path | None) -> ModuleType:
    known = sys.modules.get(name.partition(".")[0])
    if known is not None and search is not None and (beside := shadowing(known, search)) is not None:
        if beside.stem == name:
            return _at(beside.name, subject, search)
        raise AblateError(
            f"{subject}: this process has imported {known.__name__!r} from {known.__file__}, and workers would take "
            f"{beside.parent}",
            hint="run this study in a process of its own, or rename one of the two",
        )
    return _executed(lambda: importlib.import_module(name), name, subject, search)


def shadowing(module: ModuleType, folder: Path) -> Path | None:
    """Return the other file that workers, which look beside the study first, would import by this module's name."""
    name, found = module.__name__.partition(".")[0], getattr(module, "__file__", None)
    if found is None or name == "__main__":
        return None
    if "." in module.__name__:
        found = getattr(sys.modules.get(name), "__file__", None)
    for beside in (folder / name / "__init__.py", folder / f"{name}.py"):
        if beside.is_file():
            same = found is not None and Path(found).exists() and beside.samefile(found)
            return None if same else beside
    return None


def _executed(execute: Callable[[], ModuleType], name: str, subject: str, search: Path | None) -> ModuleType:
    """Run the code of a module; whatever it does instead of ending becomes an AblateError."""
    if search is not None:
        # To the front, wherever it was: studies of other folders may have come between.
        sys.path[:] = [str(search), *(place for place in sys.path if place != str(search))]
    try:
        return execute()
    except (ImportError, SyntaxError) as error:
        hint = _hint_of_import(error, name, search)
        raise AblateError(f"{subject}: cannot import {name!r}: {error}", hint=hint) from error
    except SystemExit as error:
        raise AblateError(
            f"{subject}: importing {name!r} ends the program: sys.exit({'' if error.code is None else error.code!r})"
            f"{_place(error)}",
            hint="put what the script does under: if __name__ == '__main__':",
        ) from error
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise AblateError(
            f"{subject}: importing {name!r} raises {text}{_place(error)}",
            hint=f"python {name if name.endswith('.py') else f'-m {name}'} shows the same, with its traceback",
        ) from error


def _place(error: BaseException) -> str:
    """Where in the user's code it happened: the innermost frame outside the standard library and ablate."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<", str(Path(__file__).parent), sys.base_prefix, sys.prefix))
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _hint_of_import(error: ImportError | SyntaxError, name: str, search: Path | None) -> str | None:
    """Say what helps: the right name of the module, or that what it imports itself is missing."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    if not name.endswith(".py") and f"{name}.".startswith(f"{error.name}."):
        return _nearest_module(name, search)
    return f"is {error.name.partition('.')[0]!r} installed for {sys.executable}?"


def _nearest_module(name: str, search: Path | None) -> str | None:
    """Say which module in sight may be meant, where there is none of that name."""
    folders = {folder.resolve() for folder in (search, Path.cwd()) if folder is not None}
    stems = {file.stem for folder in folders for file in folder.glob("*.py")}
    close = difflib.get_close_matches(name, stems - {name}, n=1)
    return f"did you mean {close[0]!r}?" if close and name not in stems else None

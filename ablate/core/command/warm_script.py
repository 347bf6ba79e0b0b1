"""Running a Python script in a fork of a process that has imported its modules, as Python itself would run it.

Only the standard library is used and nothing of ablate: the interpreter of the user's command runs this file.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import gc
import importlib
import importlib.machinery
import io
import os
import runpy
import signal
import sys
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

AT_FIRST_USE = {"torch": ("torch._dynamo",)}
"""Package -> what it imports by itself as soon as it is used: an optimizer of torch does, for a second."""
_MAIN = ("__main__", "__mp_main__")
_FLUSH_FAILED = 120
_FILES = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def import_modules(names: list[str], path: str | None) -> str | None:
    """Import modules as the script would; return why that is not possible.

    `path` is the folder that comes first where the script imports, None where the interpreter's options say no folder.
    """
    _set_first_path(path)
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - it runs code that may do anything
            return f"cannot import {name}: {type(error).__name__}: {error}"
        for more in AT_FIRST_USE.get(name, ()):
            try:
                importlib.import_module(more)
            except Exception:  # noqa: BLE001, S112 - another version, which has none
                continue
    return _shadowed(path)


def can_run(script: dict[str, Any]) -> bool:
    """True for a script that is a plain file, or any module; Python also runs folders, archives and bytecode."""
    target = script["target"]
    return bool(script["module"] or (os.path.isfile(target) and not target.endswith((".pyc", ".zip", ".pyz"))))


class ScriptRun:
    """The script as the main program of this process, which was forked for it."""

    def __init__(self, script: dict[str, Any], path: str | None) -> None:
        """`script` has the words of the command line, the script or module and its arguments."""
        self._script = script
        self._path = path
        self._known = frozenset(sys.modules)

    def run(self) -> None:
        """Run it and end the process as Python would. Does not return."""
        sys.argv = [self._script["target"], *self._script["arguments"]]
        if hasattr(sys, "orig_argv"):
            sys.orig_argv[:] = self._script["words"]
        _set_first_path(self._path)
        importlib.invalidate_caches()
        run = self._run_module if self._script["module"] else self._run_file
        self._end(self._code_of(run))

    def _code_of(self, run: Callable[[], None]) -> int:
        """Run the script and return the exit code, negative for a signal that it wants to die by."""
        code = 0
        try:
            run()
        except SystemExit as error:
            return _code_of(error)
        except KeyboardInterrupt as error:
            _show(error)
            code = -signal.SIGINT
        except BaseException as error:  # noqa: BLE001 - as the interpreter does
            code = _show(error)
        if not self._script["module"]:
            for name in ("__file__", "__cached__"):  # the interpreter takes them away too
                vars(sys.modules["__main__"]).pop(name, None)
        return code

    def _run_module(self) -> None:
        _set_main(types.ModuleType("__main__"))
        sys.argv[0] = "-m"
        runpy._run_module_as_main(self._script["target"])  # type: ignore[attr-defined]  # as Python's own -m does

    def _run_file(self) -> None:
        path = os.path.join(os.getcwd(), self._script["target"])
        main = types.ModuleType("__main__")
        known = {
            "__annotations__": {},
            "__builtins__": builtins,
            "__file__": path,
            "__cached__": None,
            "__loader__": importlib.machinery.SourceFileLoader("__main__", path),
            "__spec__": None,
            "__package__": None,
        }
        main.__dict__.update(known)
        _set_main(main)
        code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
        exec(code, main.__dict__)  # noqa: S102 - this is the user's script

    def _end(self, code: int) -> None:
        """End the process: threads, exit functions, what the script left open; the imported libraries stay as they are.

        Taking those apart is most of the work when Python ends, and nobody is left who could notice.
        """
        try:
            threading._shutdown()  # type: ignore[attr-defined]
        except BaseException as error:  # noqa: BLE001 - as the interpreter does
            _show(error)
        atexit._run_exitfuncs()
        _flush_all()  # first: a file that is taken apart with other garbage may lose what it holds back
        self._forget_script()
        code = code or _flush_all()
        ctypes.CDLL(None).fflush(None)
        if code == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(code & 0xFF)

    def _forget_script(self) -> None:
        """Let go of the script's own modules, so that their objects end as they do when Python ends."""
        names = [name for name in sys.modules if name not in self._known or name in _MAIN]
        alive = [weakref.ref(module) for module in map(sys.modules.pop, names) if module is not None]
        gc.collect()
        for space in [vars(module) for module in (reference() for reference in alive) if module is not None]:
            for first in (True, False):  # names with one underscore first, as Python does
                for name in list(space):
                    if name != "__builtins__" and first == (name[:1] == "_" and name[:2] != "__"):
                        space[name] = None
        gc.collect()


def _flush_all() -> int:
    """Write out what open files hold back; return the exit code for an output that cannot be written."""
    code = 0
    files = [found for found in gc.get_objects() if type(found) in _FILES]  # those of the template are frozen
    for file in (*files, sys.stdout, sys.stderr):
        try:
            if file is not None and not file.closed:
                file.flush()
        except (OSError, ValueError, AttributeError):
            code = _FLUSH_FAILED if file is sys.stdout else code
    return code


def first_path(script: dict[str, Any]) -> str | None:
    """The folder that Python puts first where modules are looked for; None where its options forbid that."""
    if sys.flags.isolated or getattr(sys.flags, "safe_path", False):
        return None
    return os.getcwd() if script["module"] else os.path.dirname(os.path.realpath(script["target"]))


def _set_first_path(path: str | None) -> None:
    """Put the script's folder where this file's own was; with options that forbid one there is none to replace."""
    if path is not None:
        sys.path[0] = path


def _set_main(module: types.ModuleType) -> None:
    """Make a module the main one, also by the name by which multiprocessing knows it since it was imported."""
    sys.modules["__main__"] = module
    if "__mp_main__" in sys.modules:
        sys.modules["__mp_main__"] = module


def _shadowed(path: str | None) -> str | None:
    """Say which module of the script's folder would be another one here, because the name is imported already."""
    for entry in os.listdir(path) if path is not None else ():
        name = entry[:-3] if entry.endswith(".py") else entry
        module = sys.modules.get(name)
        whole = os.path.join(path or "", entry)
        if module is None or name in sys.builtin_module_names or name in _MAIN:
            continue
        if not entry.endswith(".py") and not os.path.isfile(os.path.join(whole, "__init__.py")):
            continue
        file = getattr(module, "__file__", None) or ""
        if os.path.dirname(os.path.realpath(file)) not in (path, os.path.realpath(whole)):
            return f"{entry} in {path} has the name of a module that is imported already"
    return None


def _code_of(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr, flush=True)  # noqa: T201 - as the interpreter does
    return 1


def _show(error: BaseException) -> int:
    """Print an exception that nobody caught, without the frames that are not the script's; return the exit code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error.__traceback__ = trace
    try:
        sys.excepthook(type(error), error, trace)
    except SystemExit as other:
        return _code_of(other)
    except BaseException:  # noqa: BLE001 - a hook of the script that fails itself
        sys.__excepthook__(type(error), error, trace)
    return 1

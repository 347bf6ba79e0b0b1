"""What git knows of the folder of a study file, asked so that nothing but git itself can run.

A repository can name programs: hooks, a file monitor, filters, external diffs, helpers of remotes. A folder that came
from somebody else could hold such a repository. So git is asked only about the folder of a study file that the user
runs, never about one below a results folder, and with everything that a repository can name switched off.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ablate.paths import is_in_results

_SECONDS = 10.0
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # nothing is written
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # what older versions need to fetch nothing: no transport has this name
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "",
}
_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.askPass": "",
    "core.sshCommand": "",
    "core.pager": "",
    "credential.helper": "",
    "diff.external": "",
    "gpg.program": "",
    "log.showSignature": "false",
    "safe.bareRepository": "explicit",  # a folder of plain files is no repository, whatever it looks like
}
_COMMANDS = re.compile(r"(filter|diff|merge)\..*\.(clean|smudge|process|textconv|command|driver)", re.DOTALL)
"""Settings whose value is a command, by the part in the middle that a repository chooses."""


def commit_of(folder: Path) -> str | None:
    """Return the git commit of the working tree around `folder`, with ``-dirty`` when files differ; None without."""
    commit = ask(folder, "rev-parse", "--verify", "HEAD").strip()
    if re.fullmatch(r"[0-9a-f]{40,64}", commit) is None:
        return None
    changed = ask(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all").strip()
    return f"{commit[:12]}{'-dirty' if changed else ''}"


def ask(folder: Path, *arguments: str) -> str:
    """Return what ``git ARGUMENTS`` prints in `folder`: empty when it fails, takes too long or is not installed.

    Also empty below a results folder. `arguments` are a command that reads and calls no other program by itself.
    """
    program = shutil.which("git")
    if program is None or is_in_results(folder):
        return ""
    settings = dict(_SETTINGS)
    listed = _run(program, folder, settings, "config", "--list", "--name-only", "-z")
    for name in listed.split("\0"):
        if _COMMANDS.fullmatch(name):
            settings[name] = ""
        if name.startswith("filter."):
            settings[f"{name.rpartition('.')[0]}.required"] = "false"
    return _run(program, folder, settings, *arguments)


def _run(program: str, folder: Path, settings: Mapping[str, str], *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _ENVIRONMENT
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (name, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    try:
        done = subprocess.run(  # noqa: S603  # a fixed program; arguments are fixed or come behind "--" or a commit
            [program, "--no-pager", *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""

"""What a worker's job asks of a cluster: ``--job KEY=VALUE``, checked before anything starts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.errors import AblateError

_OPTION = re.compile(r"[a-z][a-z0-9-]*")
_TIME = re.compile(r"\d+|(\d+-)?\d+(:\d+){0,2}", re.ASCII)
_MEMORY = re.compile(r"(\d+)([KMGT]?)", re.ASCII)
_GPUS = re.compile(r"(?:(?P<kind>[A-Za-z][\w.-]*):)?(?P<count>\d+)", re.ASCII)
_OURS = (
    *("array", "clusters", "dependency", "error", "export", "export-file", "get-user-env", "gid", "help", "het-group"),
    *("hold", "input", "job-name", "no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output"),
    *("parsable", "requeue", "test-only", "uid", "usage", "version", "wait", "wrap"),
)
_KNOWN = ("cpus", "gpus", "mem", "time", "setup")
_NAMES = {"cpus": "cpus-per-task", "mem": "mem", "time": "time", "gpus": "gpus"}
_EXAMPLES = {"cpus": "4", "gpus": "1", "mem": "16G", "time": "4:00:00", "setup": "setup.sh"}
_UNITS_MB = {"": 1, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}


@dataclass(frozen=True)
class JobOptions:
    """What every worker gets. `mem` and `time` are in Slurm's notation; memory without a unit is in MB."""

    cpus: int = 1
    gpus: str = ""
    mem: str = ""
    time: str = ""
    setup: Path | None = None
    """A shell file that the job reads first, for ``module load`` and the like."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Further options of sbatch, without dashes; those without a value are flags."""

    @property
    def has_gpu(self) -> bool:
        """True when a worker gets a GPU."""
        return bool(self.gpus) or any(_asks_for_gpus(option, value) for option, value in self.more.items())

    @property
    def mem_bytes(self) -> int | None:
        """The memory asked for, in bytes; None when nothing is said."""
        match = _MEMORY.fullmatch(self.mem)
        return int(int(match[1]) * _UNITS_MB[match[2]] * 2**20) if match else None

    def slurm(self) -> dict[str, str]:
        """Return options of sbatch."""
        known = {"cpus": str(self.cpus), "gpus": self.gpus, "mem": self.mem, "time": self.time}
        return {**{_NAMES[name]: value for name, value in known.items() if value}, **self.more}


def parse_job(words: Sequence[str], kind: str) -> JobOptions:
    """Read ``KEY=VALUE`` words for a launcher (``slurm``, ``ray``); raises AblateError for what cannot be asked for."""
    given: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        key = {"cpus-per-task": "cpus"}.get(key, key)
        if key in given:
            raise AblateError(f"--job {key} is given twice", hint="every key has one value")
        _check_key(key, word)
        if key in _KNOWN and not value:
            raise AblateError(f"--job {key} has no value", hint=f"for example --job {key}={_EXAMPLES[key]}")
        given[key] = value
    taken = {key: given.pop(key) for key in _KNOWN if key in given}
    options = JobOptions(
        cpus=_count(taken.get("cpus", "1")),
        gpus=_gpus(taken.get("gpus", "")),
        mem=_matching("mem", taken.get("mem", ""), _MEMORY),
        time=_matching("time", taken.get("time", ""), _TIME),
        setup=_file(taken["setup"]) if "setup" in taken else None,
        more=given,
    )
    for option, value in given.items():
        count = value.rpartition(":")[2]
        if _asks_for_gpus(option, value) and count.isdecimal() and int(count) > 1:
            raise _one_gpu(option, value)
    if kind == "ray" and (given or options.time or options.setup):
        key = next(iter([*given, *(key for key in ("time", "setup") if key in taken)]))
        raise AblateError(f"--job {key} is not an option for Ray", hint="keys for Ray: cpus, gpus, mem")
    return options


def _check_key(key: str, word: str) -> None:
    if not _OPTION.fullmatch(key):
        raise AblateError(
            f"--job {word!r} is not KEY=VALUE", hint="for example --job gpus=1 --job time=4:00:00 --job partition=gpu"
        )
    if key in _OURS:
        raise AblateError(f"--job {key} is set by ablate", hint=f"leave out --job {word}")
    close = difflib.get_close_matches(key, (*_KNOWN, "partition", "account"), 1, 0.75)
    if close and close[0] != key and "-" not in key:
        raise AblateError(f"--job {key} is not known", hint=f"did you mean {close[0]!r}?")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise AblateError(f"--job cpus={text} is not a number of CPU cores", hint="for example --job cpus=4")
    return int(text)


def _asks_for_gpus(option: str, value: str) -> bool:
    return option.startswith("gpus-per-") or (option == "gres" and value.partition(":")[0] == "gpu")


def _gpus(text: str) -> str:
    match = _GPUS.fullmatch(text)
    if text and (match is None or int(match["count"]) > 1):
        raise _one_gpu("gpus", text)
    return text if match is not None and int(match["count"]) else ""


def _one_gpu(option: str, text: str) -> AblateError:
    hint = "write gpus=1 or gpus=a100:1; --slots sets the number of workers"
    return AblateError(f"--job {option}={text}: a worker uses one GPU", hint=hint)


def _matching(key: str, text: str, pattern: re.Pattern[str]) -> str:
    if text and not pattern.fullmatch(text):
        raise AblateError(f"--job {key}={text} cannot be read", hint=f"for example --job {key}={_EXAMPLES[key]}")
    return text


def _file(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise AblateError(f"--job setup={text}: no such file", hint="a shell file that every job reads first")
    return path

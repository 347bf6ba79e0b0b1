"""Whether the system has killed processes because memory ran out."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def killed_for_memory(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """Return how many processes the kernel has killed for lack of memory, as far as it tells: a number that only grows.

    A worker that was killed while it grew ran out of memory, though nobody can tell it apart from a SIGKILL of a user.
    """
    places = [proc / "vmstat", groups / "memory.events", groups / "memory" / "memory.oom_control"]
    places += [groups / name.lstrip("/") / "memory.events" for name in _own_groups(proc)]
    return max((_count(place) for place in places), default=0)


def _own_groups(proc: Path) -> list[str]:
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.partition("::")[2] for line in lines if line.startswith("0::")]


def _count(place: Path) -> int:
    try:
        words = place.read_text(encoding="ascii", errors="replace").split()
        return int(words[words.index("oom_kill") + 1])
    except (OSError, ValueError, IndexError):
        return 0

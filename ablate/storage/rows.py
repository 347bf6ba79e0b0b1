"""What readers of the storage get: frozen copies that write nothing back, and which version of the core each is of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ablate.code_text import CODE, read_back
from ablate.outcome import OutcomeKind
from ablate.recipe import Scalar

CORE_VERSION = "core_version"
"""Entry of an outcome's environment."""

Versions = Mapping[str, Mapping[str, Sequence[int]]]
"""Version -> arm -> seeds of its results, in ascending order."""

MixedTexts = Mapping[str, Versions]
"""Name of a file or function -> digest of its text -> arm -> seeds of its results."""

_ARMS = 4
"""Arms with the same seeds, and versions, that a sentence names."""


@dataclass(frozen=True)
class TrialRow:
    """One Optuna trial of a study.

    `outcome` is None while the trial runs. `curve` maps images seen to the primary metric, in order.
    """

    number: int
    arm: str
    seed: int
    state: str
    """Optuna's word: RUNNING, COMPLETE, PRUNED, FAIL."""
    outcome: OutcomeKind | None
    metrics: Mapping[str, float]
    seconds: float | None
    device: str
    recipe_digest: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Every user attribute, JSON values: error, log, samples, commit, ..."""
    started_at: str | None = None
    """ISO 8601, UTC."""
    finished_at: str | None = None


@dataclass(frozen=True)
class StudyRow:
    """A study as stored: its name and its user attributes (``ablate.plan`` holds `Study.to_dict` as JSON text)."""

    name: str
    attributes: Mapping[str, object]


def version_of(row: TrialRow) -> str | None:
    """Return the version of the core that computed a trial; None where it is not recorded."""
    environment = row.attributes.get("environment")
    version = environment.get(CORE_VERSION) if isinstance(environment, Mapping) else None
    return None if version is None else str(version)


def core_versions(rows: Iterable[TrialRow]) -> dict[str, dict[str, list[int]]]:
    """Return version -> arm -> seeds of the results among `rows`; versions ascend, arms are in the order of trials."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        version = version_of(row)
        if version is not None and row.outcome is not None and row.outcome.is_result:
            seeds = found[version][row.arm]
            if row.seed not in seeds:
                seeds.append(row.seed)
    ascending = sorted(found, key=lambda version: (len(version), version))
    return {version: {arm: sorted(seeds) for arm, seeds in found[version].items()} for version in ascending}


def texts_of(row: TrialRow) -> dict[str, str]:
    """Return the text of the user's code that a trial was computed from: name -> digest; nothing for built-in cores."""
    environment = row.attributes.get("environment")
    line = environment.get(CODE) if isinstance(environment, Mapping) else None
    return read_back(line) if isinstance(line, str) else {}


def code_texts(rows: Iterable[TrialRow], version: str | None = None) -> dict[str, dict[str, dict[str, list[int]]]]:
    """Return name -> digest of its text -> arm -> seeds of the results among `rows`, older texts first.

    With `version` only of results of that version of the core.
    """
    found: dict[str, dict[str, dict[str, list[int]]]] = {}
    for row in sorted(rows, key=lambda row: (row.started_at or "", row.number)):  # imported ones come late
        if row.outcome is not None and row.outcome.is_result and version in (None, version_of(row)):
            for name, digest in texts_of(row).items():
                seeds = found.setdefault(name, {}).setdefault(digest, {}).setdefault(row.arm, [])
                if row.seed not in seeds:
                    seeds.append(row.seed)
                    seeds.sort()
    return found


def mixed_texts(rows: Iterable[TrialRow]) -> dict[str, dict[str, dict[str, list[int]]]]:
    """Return those of `code_texts` of which there are several.

    That another version of the core has another text is no news: only results of one version are compared.
    """
    known = tuple(rows)
    mixed = {
        name for version in core_versions(known) for name, texts in code_texts(known, version).items() if len(texts) > 1
    }
    return {name: texts for name, texts in code_texts(known).items() if name in mixed}


def versions_text(versions: Versions, word: str = "version") -> str:
    """Return ``version 1: baseline, lr=0.1 (seeds 0-2); version 2: lr=0.1 (seed 3)``, of a few."""
    parts = [f"{word} {version}: {_arms(arms)}" for version, arms in versions.items()]
    more = [f"{len(parts) - _ARMS} more {word}s"] if len(parts) > _ARMS + 1 else []
    return "; ".join([*parts[: _ARMS if more else None], *more])


def mixed_text(mixed: MixedTexts) -> str:
    """Return ``2 texts of train.py, oldest first: text 3f2a91: baseline (seeds 0-2); text 09d1f7: lr=0.1 (seed 3)``."""
    return "; and of ".join(
        f"{len(texts)} texts of {name}, oldest first: {versions_text(texts, 'text')}" for name, texts in mixed.items()
    )


def _arms(arms: Mapping[str, Sequence[int]]) -> str:
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for arm, seeds in arms.items():
        alike[tuple(seeds)].append(arm)
    return ", ".join(f"{_named(names)} ({seeds_text(seeds)})" for seeds, names in alike.items())


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _ARMS} more arms" if len(names) > _ARMS + 1 else ""
    return ", ".join(names[:_ARMS] if more else names) + more


def seeds_text(seeds: Sequence[int]) -> str:
    """Return ``seed 3``, ``seeds 0-2`` or ``seeds 0-2, 5``; `seeds` ascend."""
    runs = [[seeds[0], seeds[0]]]
    for before, seed in pairwise(seeds):
        if seed == before + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    text = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return f"seed{'s' * (len(seeds) > 1)} {text}"

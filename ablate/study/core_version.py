"""A study whose core has changed since it was measured: whether new results may join the old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.errors import StudyChangedError
from ablate.interface import Core
from ablate.study.spec import Study


def other_versions(core: type[Core], versions: Mapping[str, Mapping[str, Sequence[int]]]) -> dict[str, int]:
    """Return how many results each other version of the core gave; `versions` are version -> arm -> seeds."""
    return {version: sum(map(len, arms.values())) for version, arms in versions.items() if version != str(core.version)}


def version_sentence(study: Study, core: type[Core], others: Mapping[str, int]) -> str:
    """Return what is stored, and which version the core has now."""
    parts = [f"{count} {'result' if count == 1 else 'results'} of version {one}" for one, count in others.items()]
    return f"study {study.name!r} has {' and '.join(parts)} of core {study.core}, which is version {core.version} now"


def check_version(
    study: Study, core: type[Core], versions: Mapping[str, Mapping[str, Sequence[int]]], *, keep_old: bool
) -> None:
    """Raise StudyChangedError when another version of the core gave results of the study, unless they are kept."""
    others = other_versions(core, versions)
    if others and not keep_old:
        raise StudyChangedError(
            version_sentence(study, core, others),
            hint="measure everything again under another --name, or keep the old results beside the new ones with "
            "--keep-old (reports will say which are which)",
        )

"""A study whose core has changed since it was measured: whether new results may join the old ones.

What states its version is refused, or kept knowingly; of code whose text has changed, and no more, it is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ablate.errors import StudyChangedError
from ablate.interface import Core
from ablate.recipe import Recipe
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


def texts_now(core: type[Core], recipes: Iterable[Recipe]) -> dict[str, str]:
    """Return the text of the code that would compute `recipes` now: name -> digest."""
    found = dict(core.texts())
    for recipe in recipes:
        found |= core.texts_of(recipe)
    return found


def older_texts(
    now: Mapping[str, str], stored: Mapping[str, Mapping[str, Mapping[str, Sequence[int]]]]
) -> dict[str, dict[str, Mapping[str, Sequence[int]]]]:
    """Return what of `stored` (name -> digest -> arm -> seeds) came from another text than there is `now`."""
    others = {
        name: {digest: arms for digest, arms in texts.items() if digest != now[name]}
        for name, texts in stored.items()
        if name in now
    }
    return {name: texts for name, texts in others.items() if texts}


def text_sentence(study: Study, name: str, texts: Mapping[str, Mapping[str, Sequence[int]]]) -> str:
    """Return how many results came from another text of one file or function."""
    count = sum(len(seeds) for arms in texts.values() for seeds in arms.values())
    results = "1 result" if count == 1 else f"{count} results"
    return f"study {study.name!r} has {results} from another text of {name} than there is now"

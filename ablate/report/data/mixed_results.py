"""Results that are not all of one kind: of several versions or texts of the core, or of machines that disagree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ablate.report.statistics.model import Lint
from ablate.storage.rows import TrialRow, core_versions, mixed_text, mixed_texts, seeds_text, versions_text
from ablate.study.import_differences import ImportDifference, differences_of
from ablate.study.spec import Study

VERSIONS = "core-versions"
TEXTS = "code-texts"
IMPORTED = "imported-differs"


def version_lints(study: Study, rows: Sequence[TrialRow]) -> Iterator[Lint]:
    """Say which arms and seeds are of which version of the core, or text of the code, where there are several."""
    versions = core_versions(rows)
    if len(versions) > 1:
        yield Lint(
            VERSIONS,
            f"these results are of {len(versions)} versions of core {study.core}, between which numbers may differ: "
            f"{versions_text(versions)}",
        )
    if mixed := mixed_texts(rows):
        yield Lint(TEXTS, f"these results are of {mixed_text(mixed)}; whether the numbers differ is not known")


def import_lints(study: Study, rows: Sequence[TrialRow], attributes: Mapping[str, object]) -> Iterator[Lint]:
    """Say which imported results were left out although they differ from those here, and what rests on that."""
    by_archive: dict[str, list[ImportDifference]] = defaultdict(list)
    for one in differences_of(attributes):
        by_archive[one.archive].append(one)
    for archive, found in by_archive.items():
        yield Lint(IMPORTED, f"{_left_out(archive, found, study)}{_rests(archive, found, rows, study)}")


def _left_out(archive: str, found: Sequence[ImportDifference], study: Study) -> str:
    seeds: dict[str, list[int]] = defaultdict(list)
    for one in found:
        seeds[one.arm].append(one.seed)
    named = ", ".join(f"{arm} ({seeds_text(sorted(own))})" for arm, own in seeds.items())
    text = f"{archive} has other numbers than were measured here for {named}"
    pairs = [one.metrics[study.primary.name] for one in found if study.primary.name in one.metrics]
    both = [(here, there) for here, there in pairs if here is not None and there is not None]
    if both:
        here, there = max(both, key=lambda pair: abs(pair[0] - pair[1]))
        text += f", {study.primary.name} for example {here:.6g} here and {there:.6g} there"
    return f"{text}; those from here count"


def _rests(archive: str, found: Sequence[ImportDifference], rows: Sequence[TrialRow], study: Study) -> str:
    """The arms that came with the archive and are compared with a baseline that it does not agree with."""
    if all(one.arm not in study.baselines for one in found):
        return ""
    came = dict.fromkeys(row.arm for row in rows if row.attributes.get("imported_from") == archive)
    for name in study.baselines:
        came.pop(name, None)
    return f", also as the baseline of arms that came with it: {', '.join(came)}" if came else ""

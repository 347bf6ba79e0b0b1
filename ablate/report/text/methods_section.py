"""How the numbers were made, in plain words: the same paragraphs for every format of the report."""

from __future__ import annotations

from statistics import median

from ablate.report.data.material import Material
from ablate.report.statistics.model import Comparison
from ablate.report.text import numerals
from ablate.report.text.posterior_words import posterior_paragraphs
from ablate.study.spec import MetricSpec

_TESTS = {
    "paired": "two-sided paired t-test on the differences of shared seeds",
    "welch": "two-sided Welch t-test (seeds are not shared)",
    "skewed": "two-sided paired t-test on the differences of shared seeds, and the same under noise as skewed as "
    "that of all arms together: the larger p counts",
    "permutation": "exact sign-flip permutation test on the differences of shared seeds",
}
_CORRECTIONS = {
    "holm": "Holm's procedure bounds the chance of even one false better or worse",
    "bh": "the Benjamini-Hochberg procedure bounds the share of false ones among all better and worse",
    "none": "there is no correction for the number of arms, so the verdicts are exploratory",
}


def method_paragraphs(material: Material) -> list[str]:
    """Return the method section, one paragraph per string."""
    comparison = material.comparison
    return [
        _design(material),
        *_blocks(comparison),
        _differences(comparison),
        _tests(comparison),
        *_looks(comparison),
        *_changed(comparison),
        *posterior_paragraphs(comparison),
        _verdicts(comparison),
        f"Margins, seeds and test declared before the first trial: {material.provenance.declared}.",
        _bars(comparison),
        "Diverged runs are results: they are counted and never averaged away. Failed, lost and stopped runs are "
        "infrastructure faults: they are run again and never counted.",
        "Adding seeds because a result is close raises the share of false verdicts unless the numbers of seeds "
        "(looks) were declared before.",
    ]


def _design(material: Material) -> str:
    study, comparison = material.study, material.comparison
    arms = numerals.plural(len(study.arms) - 1, "arm")
    if not study.looks:
        return (
            f"{arms} compared with one baseline. The results were made elsewhere. It is not known whether the number "
            "of seeds was fixed before they were seen, nor whether equal seeds mean equal random numbers. "
            f"Level {study.alpha:g}."
        )
    random = comparison.blocks is not None and comparison.blocks.kind == "random"
    unit = "block" if random else "seed"
    declared = material.planned.looks if random and material.planned is not None else study.looks
    looks = ", ".join(str(look) for look in declared)
    when = (
        f"at {looks} seeds per arm"
        if len(declared) > 1
        else f"at {looks} {'seed' if looks == '1' else 'seeds'} per arm"
    )
    return (
        f"{arms} compared with one baseline; verdicts were declared {when}, level {study.alpha:g} for the study and "
        f"{comparison.look_level:.4g} for one test at this look ({numerals.plural(comparison.look, unit)}). The same "
        "seeds run in every arm, with the same initialisation, data order and noise wherever these are shared."
        f"{_bought(comparison)}"
    )


def _blocks(comparison: Comparison) -> list[str]:
    """What the verdict over several blocks is about, and how those in the blocks are corrected."""
    found = comparison.blocks
    if found is None:
        return []
    count = len(found.names)
    if found.kind == "fixed":
        how = (
            f"Every arm ran in {count} blocks ({found.word}: {', '.join(found.names)}), which are fixed: the verdict "
            "over all is about the mean over exactly these. A difference is taken per block and seed, then averaged "
            "over the blocks of one seed (a geometric mean on the log scale). The test is over seeds, so what a seed "
            "does in every block alike is counted once."
        )
    else:
        how = (
            f"Every arm ran in {count} blocks ({found.word}: {', '.join(found.names)}), a sample of those the verdict "
            "over all is about. A difference is taken per block and seed and averaged over the seeds of one block; the "
            "test is over blocks, and what a seed does in every block alike is added to the variance. Below, n counts "
            "blocks."
        )
    share = (
        f"Verdicts in the single blocks share the level equally, {comparison.study_alpha / count:.4g} for each, "
        "and are corrected over the arms there, so the chance of even one false better or worse in any block is at "
        f"most {comparison.study_alpha:g}. The verdict over all blocks has a level of its own. An arm that is better "
        "in one block and worse in another gets no word over all."
    )
    return [f"{how} {share}"]


def _bars(comparison: Comparison) -> str:
    if comparison.blocks is not None and comparison.blocks.kind == "random":
        return (
            "Bars and brackets are 95 % t-intervals over blocks: they show how much the result changes with other "
            "blocks of the same kind. They say nothing about other hardware or interactions between factors."
        )
    others = "data sets" if comparison.blocks is None else "blocks"
    return (
        "Bars and brackets are 95 % t-intervals over training seeds: they show how much the result changes when "
        f"training is repeated with other random numbers on the same data. They say nothing about other {others}, "
        "other hardware or interactions between factors."
    )


def _bought(comparison: Comparison) -> str:
    """Say what sharing seeds bought; nothing where no arm can tell, or seeds are not shared."""
    found = [row.rho for (_, name), row in comparison.rows.items() if name == comparison.primary.name]
    rhos = sorted(rho for rho in found if rho is not None)
    if not rhos or comparison.test == "welch":
        return ""
    spread = (
        f" (median of {numerals.plural(len(rhos), 'arm')}, {rhos[0]:.2f} to {rhos[-1]:.2f})" if len(rhos) > 1 else ""
    )
    return (
        f" The correlation with the baseline over seeds, rho, is {median(rhos):.2f}{spread}: if seed noise is equal "
        "in both arms, a difference has 1 - rho times the variance that it would have with different seeds in every "
        "arm."
    )


def _differences(comparison: Comparison) -> str:
    named = [_metric(metric) for metric in comparison.metrics]
    return (
        "A difference is taken per seed, arm minus baseline, and averaged; on the log scale it is the ratio, shown in "
        f"per cent of the baseline. Metrics: {'; '.join(named)}."
    )


def _metric(metric: MetricSpec) -> str:
    margin = numerals.margin_text(metric)
    parts = [numerals.arrow_words(metric), f"{'log' if metric.scale == 'log' else 'identity'} scale"]
    parts.append(f"margin {margin}" if margin else "no margin")
    return f"{numerals.label(metric)}{' (primary)' if metric.primary else ''}: {', '.join(parts)}"


def _tests(comparison: Comparison) -> str:
    pooled = " Seed noise is pooled over arms whose variances agree." if comparison.noise == "pooled" else ""
    return (
        f"Test: {_TESTS[comparison.test]}.{pooled} The study makes "
        f"{numerals.plural(comparison.tested, 'comparison')} on {numerals.label(comparison.primary)}; "
        f"{_CORRECTIONS[comparison.correct]}.{_equivalence(comparison)} "
        "All other metrics are exploratory: the same numbers without correction."
    )


def _looks(comparison: Comparison) -> list[str]:
    """How several looks share the level, when arms were stopped, and what that does to the numbers."""
    if len(comparison.looks) < 2:
        return []
    if comparison.boundaries == "spending":
        share = (
            "The looks share the level by a spending function (Hwang, Shih and DeCani, gamma -4) under the joint "
            "distribution of the t statistics; the corrected p is over all looks."
        )
    else:
        share = "The level is split over the looks (union bound)."
    stop = (
        f" An arm was stopped when its chance to be decided by the last look fell below {100 * comparison.futility:g} "
        "%; the level does not count on that, so it holds for those who go on."
        if comparison.futility
        else ""
    )
    return [
        f"{share}{stop} Of arms that are decided early, the difference is on average too large: their 95 % t-interval "
        "then holds the true one less often, the interval for all looks together at least as often as it says."
    ]


def _equivalence(comparison: Comparison) -> str:
    if numerals.margin_text(comparison.primary) == "" or comparison.tested < 2:
        return ""
    if comparison.equivalence != "none":
        return f" The word equivalent is corrected for the number of arms too ({_NAMES[comparison.equivalence]})."
    most = min(100.0, 100 * comparison.alpha * comparison.tested)
    return (
        f" The word equivalent is not corrected for the number of arms: of {comparison.tested} arms that all differ by "
        f"the margin, at least one is called equivalent in up to {most:.0f} % of studies."
    )


_NAMES = {"holm": "by Holm", "bh": "by Benjamini and Hochberg"}


def _changed(comparison: Comparison) -> list[str]:
    if not comparison.changed:
        return []
    return [f"Changed after the run, by an option of the report: {comparison.changed}."]


def _verdicts(comparison: Comparison) -> str:
    margin = numerals.margin_text(comparison.primary)
    equal = (
        f"equivalent: two one-sided tests show that the difference is within {margin}"
        if margin
        else "equivalent: not available, because no margin was declared"
    )
    return (
        "Verdicts; the first that applies is given. diverged: half or more of the runs diverged; "
        f"{equal}; better or worse: the corrected p is at most {comparison.alpha:.4g}; undecided: everything else."
    )

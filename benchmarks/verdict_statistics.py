"""How often the verdicts are wrong, and how often they find what is there: measured by simulation.

    python benchmarks/verdict_statistics.py            # some minutes on one core
    python benchmarks/verdict_statistics.py --scale 5  # five times the replications

Every number is a share of simulated studies. The unit of effects is one arm's seed standard deviation; `rho` is the
correlation over seeds between an arm and the baseline. The tables are Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from ablate.report import compare
from ablate.report.statistics.corrections import adjust, split_alpha
from ablate.report.statistics.model import Row, Verdict
from ablate.report.statistics.pooled_noise import pool
from ablate.report.statistics.power import smallest_detectable
from ablate.report.statistics.significance import (
    Floats,
    equivalence_p,
    half_width,
    paired_summary,
    sign_flip_p,
    two_sided_p,
    welch_summary,
)
from ablate.report.statistics.trend import page_p
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Correction

SEEDS = (3, 5, 10)
ALPHA = 0.05
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal noise."""
    return rng.standard_normal(shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Exponential noise, mean 0, standard deviation 1."""
    return rng.standard_exponential(shape) - 1


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with 3 degrees of freedom, standard deviation 1."""
    return np.asarray(rng.standard_t(3, shape) / np.sqrt(3))


def study(
    rng: np.random.Generator, studies: int, n: int, *, effect: float = 0.0, rho: float = 0.0, draw: Draw = normal
) -> tuple[Floats, Floats]:
    """Return arm and baseline, each [studies, n], with a common part that makes their correlation `rho`."""
    common = np.sqrt(rho) * draw(rng, (studies, n))
    arm, baseline = (common + np.sqrt(1 - rho) * draw(rng, (studies, n)) for _ in range(2))
    return arm + effect, baseline


def paired(arm: Floats, baseline: Floats) -> float:
    """Share of studies in which the paired t-test says better or worse."""
    summary = paired_summary(arm - baseline)
    return float(np.mean(two_sided_p(summary.mean, summary.se, summary.df) <= ALPHA))


def welch(arm: Floats, baseline: Floats) -> float:
    """The same for Welch's test."""
    found = 0
    for ours, theirs in zip(arm, baseline, strict=True):
        summary = welch_summary(ours[None, :], theirs)
        found += bool(two_sided_p(summary.mean, summary.se, summary.df)[0] <= ALPHA)
    return found / len(arm)


def sign_flip(arm: Floats, baseline: Floats) -> float:
    """The same for the exact sign-flip test, on the first 500 studies."""
    return float(np.mean([sign_flip_p(row) <= ALPHA for row in (arm - baseline)[:500]]))


def bars(arm: Floats, baseline: Floats) -> float:
    """Share of studies whose bars of mean +- standard error do not overlap."""
    gap = np.abs(arm.mean(1) - baseline.mean(1))
    reach = (arm.std(1, ddof=1) + baseline.std(1, ddof=1)) / np.sqrt(arm.shape[1])
    return float(np.mean(gap > reach))


def bootstrap_intervals(rng: np.random.Generator, values: Floats) -> tuple[Floats, Floats]:
    """Percentile bootstrap 95 % intervals of the mean of each row, 500 resamples."""
    n = values.shape[1]
    picks = rng.integers(0, n, (500, n))
    means = values[:, picks].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return low, high


def bootstrap(arm: Floats, baseline: Floats) -> float:
    """Share of studies whose paired percentile bootstrap interval excludes 0, on the first 1 000 studies."""
    low, high = bootstrap_intervals(np.random.default_rng(5), (arm - baseline)[:1000])
    return float(np.mean((low > 0) | (high < 0)))


def table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def rules(rng: np.random.Generator, studies: int) -> None:
    """One arm against the baseline: the verdict's test beside what is often done instead."""
    cells: list[tuple[str, ...]] = []
    for name, rule, rho in (
        ("bars of mean ± SEM disjoint", bars, 0.0),
        ("paired percentile bootstrap", bootstrap, 0.0),
        ("exact sign flip", sign_flip, 0.0),
        ("Welch t, rho 0", welch, 0.0),
        ("**paired t, rho 0**", paired, 0.0),
        ("**paired t, rho 0.7**", paired, 0.7),
    ):
        row = []
        for n in SEEDS:
            shares = [rule(*study(rng, studies, n, effect=effect, rho=rho)) for effect in (0.0, 1.0, 2.0)]
            row.append(
                " / ".join(f"{share:.3f}" if place == 0 else f"{share:.2f}" for place, share in enumerate(shares))
            )
        cells.append((name, *row))
    table(
        "One arm. Decided at effect 0 (false) / 1 / 2 seed standard deviations", ("rule", "n=3", "n=5", "n=10"), cells
    )


def robustness(rng: np.random.Generator, studies: int) -> None:
    """False positives and coverage of the paired t under noise it was not made for."""
    cells = []
    noises: list[tuple[str, Draw, float]] = [
        ("normal", normal, 1.0),
        ("skewed (exponential)", skewed, 1.0),
        ("heavy tails (t with 3 df)", heavy, 1.0),
        ("arm 5 times as noisy", normal, 5.0),
        ("arm 5 times as noisy, skewed", skewed, 5.0),
    ]
    for name, draw, ratio in noises:
        row = []
        for n in SEEDS:
            arm, baseline = study(rng, studies, n, draw=draw)
            row.append(f"{paired(ratio * arm, baseline):.3f}")
        cells.append((name, *row))
    table("One arm without effect: false positives of the paired t", ("noise", "n=3", "n=5", "n=10"), cells)


def coverage(rng: np.random.Generator, studies: int) -> None:
    """How often a "95 %" interval holds the truth."""
    cells: dict[str, list[str]] = {"t-interval (ablate)": [], "percentile bootstrap (seaborn's default)": []}
    for n in SEEDS:
        values = normal(rng, (studies, n))
        summary = paired_summary(values)
        width = half_width(summary.se, summary.df)
        cells["t-interval (ablate)"].append(f"{np.mean(np.abs(summary.mean) <= width):.3f}")
        low, high = bootstrap_intervals(rng, values[:2000])
        cells["percentile bootstrap (seaborn's default)"].append(f"{np.mean((low <= 0) & (high >= 0)):.3f}")
    table(
        "Coverage of 95 % intervals of a mean", ("interval", "n=3", "n=5", "n=10"), [(k, *v) for k, v in cells.items()]
    )


def one_study(rng: np.random.Generator, arms: int, n: int, *, effect: float, noisy: float = 1.0) -> Floats:
    """Differences [arms, n] at rho 0.7; arm 0 has the effect, arm 1 `noisy` times the noise of its own part."""
    baseline = np.sqrt(0.3) * rng.standard_normal(n)
    values = np.sqrt(0.3) * rng.standard_normal((arms, n))
    values[1] *= noisy
    values[0] += effect
    return np.asarray(values - baseline)


def family(rng: np.random.Generator, studies: int, arms: int = 8) -> None:
    """Eight arms: any false positive, and finding one arm of 2 standard deviations."""
    cells = []
    level = np.full(arms, ALPHA)
    methods: list[tuple[str, Correction, bool]] = [
        ("no correction", "none", False),
        ("Benjamini-Hochberg", "bh", False),
        ("**Holm**", "holm", False),
        ("Holm, pooled noise", "holm", True),
    ]
    for label, correct, pooled in methods:
        row = []
        for n in SEEDS:
            false = wild = power = 0
            for _ in range(studies):
                for effect, noisy in ((0.0, 1.0), (0.0, 5.0), (2.0, 1.0)):
                    summary = paired_summary(one_study(rng, arms, n, effect=effect, noisy=noisy))
                    summary = pool(summary, np.ones(arms, dtype=np.bool_)) if pooled else summary
                    p = two_sided_p(summary.mean, summary.se, summary.df)
                    decided = adjust(p, level, correct).p <= ALPHA
                    false += bool(decided.any()) and effect == 0 and noisy == 1
                    wild += bool(decided.any()) and noisy > 1
                    power += bool(decided[0]) and effect > 0
            row.append(f"{false / studies:.3f} / {wild / studies:.3f} / {power / studies:.2f}")
        cells.append((label, *row))
    title = "Eight arms, rho 0.7. Any false positive / the same with one arm 5 times as noisy / found at 2 seed sd"
    table(title, ("correction", "n=3", "n=5", "n=10"), cells)


def equivalence(rng: np.random.Generator, studies: int) -> None:
    """The word "equivalent" when the truth is exactly the margin, and when there is no difference."""
    cells = []
    for margin in (0.5, 1.0, 2.0):
        row = []
        for n in SEEDS:
            shares = []
            for effect in (margin, 0.0):
                arm, baseline = study(rng, studies, n, effect=effect, rho=0.7)
                summary = paired_summary(arm - baseline)
                p = equivalence_p(summary.mean, summary.se, summary.df, np.full(studies, margin))
                shares.append(float(np.mean(p <= ALPHA)))
            row.append(f"{shares[0]:.3f} / {shares[1]:.2f}")
        cells.append((f"{margin:g}", *row))
    header = ("margin (seed sd)", "n=3", "n=5", "n=10")
    table("Equivalent, rho 0.7: true difference = margin (false) / no difference (right)", header, cells)


def discoveries(rng: np.random.Generator, studies: int, arms: int = 8) -> None:
    """Four arms with an effect of 2 seed sd, four without: what share of the decided ones is false, and found."""
    cells = []
    level = np.full(arms, ALPHA)
    true = np.arange(arms) < arms // 2
    corrections: tuple[Correction, ...] = ("none", "bh", "holm")
    for correct in corrections:
        row = []
        for n in SEEDS:
            false_share = found = any_false = 0.0
            for _ in range(studies):
                differences = one_study(rng, arms, n, effect=0.0) + 2.0 * true[:, None]
                summary = paired_summary(differences)
                decided = adjust(two_sided_p(summary.mean, summary.se, summary.df), level, correct).p <= ALPHA
                false_share += (decided & ~true).sum() / max(1, decided.sum())
                any_false += bool((decided & ~true).any())
                found += (decided & true).sum() / true.sum()
            row.append(f"{false_share / studies:.3f} / {any_false / studies:.3f} / {found / studies:.2f}")
        cells.append((correct, *row))
    title = "Four arms of 2 seed sd, four of 0, rho 0.7. Share of false among decided / any false / share found"
    table(title, ("correction", "n=3", "n=5", "n=10"), cells)


def confirmation(rng: np.random.Generator, studies: int, arms: int = 10) -> None:
    """The best of ten equal arms: what it looks like, and what it looks like on fresh seeds."""
    cells = []
    for n in SEEDS:
        first = np.sqrt(0.3) * (rng.standard_normal((studies, arms, n)) - rng.standard_normal((studies, 1, n)))
        best = first.mean(axis=2).argmax(axis=1)
        picked = np.take_along_axis(first, best[:, None, None], axis=1)[:, 0]
        fresh = np.sqrt(0.3) * (rng.standard_normal((studies, n)) - rng.standard_normal((studies, n)))
        shares = []
        for differences in (picked, fresh):
            summary = paired_summary(differences)
            wrong = (two_sided_p(summary.mean, summary.se, summary.df) <= ALPHA) & (summary.mean > 0)
            shares.append((summary.mean.mean(), wrong.mean()))
        cells.append((str(n), *(f"{mean:+.2f} / {wrong:.3f}" for mean, wrong in shares)))
    title = "The best of 10 arms that all equal the baseline, rho 0.7: mean difference in seed sd / called better"
    table(title, ("n", "as picked, tested alone", "confirmed on fresh seeds"), cells)


def permutation(rng: np.random.Generator, studies: int) -> None:
    """Exact sign flips through `compare`, and the paired t beside them, from six seeds on."""
    cells = []
    for name, draw in (("normal", normal), ("skewed (exponential)", skewed), ("heavy tails (t with 3 df)", heavy)):
        row = []
        for n in (6, 10):
            for effect in (0.0, 2.0):
                arm, baseline = study(rng, studies, n, effect=effect, draw=draw)
                flips = np.mean([sign_flip_p(one) <= ALPHA for one in arm - baseline])
                row.append(f"{flips:.3f} / {paired(arm, baseline):.3f}")
        cells.append((name, *row))
    header = ("noise", "n=6, effect 0", "n=6, effect 2", "n=10, effect 0", "n=10, effect 2")
    table("Exact sign flips / paired t, rho 0: share decided", header, cells)


def trend_tests(rng: np.random.Generator, studies: int) -> None:
    """Page's test over four doses, direction declared and not: no effect, and 1 seed sd from end to end."""
    cells = []
    for label, declared in (("declared", True), ("not declared (p doubled)", False)):
        row = []
        for n in SEEDS:
            shares = []
            for rise in (0.0, 1.0):
                hits = 0
                for _ in range(studies):
                    common = np.sqrt(0.7) * rng.standard_normal((n, 1))
                    doses = common + np.sqrt(0.3) * rng.standard_normal((n, 4)) + rise * np.linspace(0, 1, 4)
                    p = page_p(doses, "rising")
                    hits += (p if declared else min(1.0, 2 * min(p, page_p(doses, "falling")))) <= ALPHA
                shares.append(hits / studies)
            row.append(f"{shares[0]:.3f} / {shares[1]:.2f}")
        cells.append((label, *row))
    table("Page's trend over 4 doses, rho 0.7: false / found at 1 seed sd", ("direction", "n=3", "n=5", "n=10"), cells)


def promised(rng: np.random.Generator, studies: int) -> None:
    """An undecided arm gets the seeds it was told would probably decide it: how often is it decided then?"""
    metric = MetricSpec("quality", "max", primary=True)
    cells = []
    for effect in (0.5, 1.0, 2.0):
        told, decided, total = [], 0, 0
        for _ in range(studies):
            common = np.sqrt(0.7) * rng.standard_normal(50)
            values = common + np.sqrt(0.3) * rng.standard_normal((2, 50)) + np.array([[0.0], [effect]])

            def row_at(n: int, values: Floats = values) -> Row:
                frame = pd.DataFrame(list(itertools.product(("baseline", "arm"), range(n))), columns=["arm", "seed"])
                return compare(frame.assign(quality=values[:, :n].ravel()), metrics=[metric]).row("arm")

            first = row_at(5)
            if first.verdict is Verdict.UNDECIDED and first.more_seeds is not None:
                told.append(first.more_seeds)
                total += 1
                decided += row_at(5 + first.more_seeds).verdict is not Verdict.UNDECIDED
        share = f"{decided / total:.2f}" if total else "-"
        cells.append((f"{effect:g}", f"{total / studies:.2f}", f"{np.mean(told):.1f}" if told else "-", share))
    header = ("true effect (seed sd)", "told a number at n=5", "seeds promised, mean", "decided with them")
    table("About N more seeds, rho 0.7, one arm, no margin", header, cells)


def looks(rng: np.random.Generator, studies: int) -> None:
    """Looks at 3, 5 and 10 seeds: stop at the first decision."""
    schedules = {
        "one look at 10": {10: ALPHA},
        "3, 5, 10 with 0.05 each time (wrong)": dict.fromkeys(SEEDS, ALPHA),
        "**3, 5, 10 with 0.01, 0.015, 0.025**": dict(zip(SEEDS, split_alpha(ALPHA, 3), strict=True)),
        "after every seed with 0.05 (wrong)": dict.fromkeys(range(3, 11), ALPHA),
    }
    cells = []
    for name, schedule in schedules.items():
        row = []
        for effect in (0.0, 1.0, 2.0):
            arm, baseline = study(rng, studies, 10, effect=effect)
            seeds = np.full(studies, 10.0)
            decided = np.zeros(studies, dtype=np.bool_)
            for n, level in schedule.items():
                summary = paired_summary((arm - baseline)[:, :n])
                now = (two_sided_p(summary.mean, summary.se, summary.df) <= level) & ~decided
                seeds[now] = n
                decided |= now
            row.append(f"{decided.mean():.3f} ({seeds.mean():.1f})")
        cells.append((name, *row))
    header = ("looks", "effect 0", "effect 1", "effect 2")
    table("One arm, several looks: share decided (mean number of seeds)", header, cells)


def whole(rng: np.random.Generator, studies: int, arms: int = 8) -> None:
    """Whole studies through `compare`: every word, when all arms equal the baseline."""
    metric = MetricSpec("quality", "max", margin=1.0, primary=True)
    names = ["baseline", *(f"arm {number}" for number in range(1, arms + 1))]
    cells = []
    for n in SEEDS:
        frame = pd.DataFrame(list(itertools.product(names, range(n))), columns=["arm", "seed"])
        words = dict.fromkeys(Verdict, 0)
        wrong = 0
        for _ in range(studies):
            common = np.sqrt(0.7) * rng.standard_normal(n)
            noise = np.sqrt(0.3) * rng.standard_normal((arms + 1, n))
            comparison = compare(frame.assign(quality=(common + noise).ravel()), metrics=[metric])
            verdicts = [comparison.row(name).verdict for name in names[1:]]
            for verdict in filter(None, verdicts):
                words[verdict] += 1
            wrong += any(verdict in (Verdict.BETTER, Verdict.WORSE) for verdict in verdicts)
        shares = [f"{words[word] / studies / arms:.3f}" for word in list(Verdict)[:4]]
        cells.append((f"{n}", f"{wrong / studies:.3f}", *shares))
    header = ("n", "any false word", *(word.value for word in list(Verdict)[:4]))
    table("Whole studies: 8 arms equal to the baseline, rho 0.7, margin 1 seed sd", header, cells)


def detectable() -> None:
    """What the formula says n seeds can see."""
    cells = []
    for tests, rho in itertools.product((1, 8), (0.0, 0.7, 0.9)):
        sd = float(np.sqrt(2 * (1 - rho)))
        cells.append((f"{tests}", f"{rho:g}", *(f"{smallest_detectable(sd, n, tests):.2f}" for n in SEEDS)))
    title = "Smallest difference found with 80 % power, in seed standard deviations (formula)"
    table(title, ("arms tested", "rho", "n=3", "n=5", "n=10"), cells)


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description="Error rates and power of the verdicts, by simulation.")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of replications")
    parser.add_argument("--seed", type=int, default=20261123)
    arguments = parser.parse_args()
    rng, began = np.random.default_rng(arguments.seed), time.monotonic()
    many, few = int(10_000 * arguments.scale), int(2_000 * arguments.scale)
    print(f"{many} studies per number ({few} with several arms), seed {arguments.seed}")
    rules(rng, few * 2)
    robustness(rng, many)
    coverage(rng, many)
    permutation(rng, few)
    family(rng, few)
    discoveries(rng, few)
    equivalence(rng, many)
    looks(rng, many)
    confirmation(rng, many)
    trend_tests(rng, few // 2)
    promised(rng, few // 4)
    whole(rng, few // 4)
    detectable()
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

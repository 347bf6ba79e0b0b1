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
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.report import compare
from ablate.report.statistics.blocks.crossed import crossed
from ablate.report.statistics.contrast import widened
from ablate.report.statistics.corrections import adjust, split_alpha
from ablate.report.statistics.model import Row, Verdict
from ablate.report.statistics.pooled_noise import pool
from ablate.report.statistics.power import smallest_detectable
from ablate.report.statistics.sequential.boundaries import LookLevels
from ablate.report.statistics.sequential.expected_seeds import Courses, run_studies
from ablate.report.statistics.significance import (
    Floats,
    equivalence_p,
    half_width,
    paired_summary,
    sign_flip_p,
    two_sided_p,
    welch_summary,
)
from ablate.report.statistics.skewed_noise import is_one_sided, skewed_p
from ablate.report.statistics.trend import page_p
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Correction, Method

SEEDS = (3, 5, 10)
ALPHA = 0.05
ARMS = 8
OLD = Method(equivalence="none", boundaries="split", futility=0.0)
DESIGNS: dict[str, tuple[tuple[int, ...], Method]] = {
    "ten seeds": ((10,), Method()),
    "3, 5, 10: split, never stopped": ((3, 5, 10), OLD),
    "3, 5, 10: split, stopped below 10 %": ((3, 5, 10), Method(boundaries="split")),
    "3, 5, 10: spending, stopped below 10 %": ((3, 5, 10), Method()),
    "**3, 4, 6, 8, 10, 12: spending, stopped below 10 %**": ((3, 4, 6, 8, 10, 12), Method()),
    "the same, stopped below 15 %": ((3, 4, 6, 8, 10, 12), Method(futility=0.15)),
    "3 to 13, every seed: spending, stopped below 10 %": (tuple(range(3, 14)), Method()),
    "3 to 14, every seed: spending, stopped below 12 %": (tuple(range(3, 15)), Method(futility=0.12)),
    "3, 4, 6, 8, 10, 13: spending, stopped below 10 %": ((3, 4, 6, 8, 10, 13), Method()),
    "twelve seeds": ((12,), Method()),
    "fourteen seeds": ((14,), Method()),
}
"""Ways to spend seeds, most of them with several looks."""
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
    for begun, effect in itertools.product((2, 3, 5), (0.5, 1.0, 2.0)):
        told, decided, total = [], 0, 0
        for _ in range(studies):
            common = np.sqrt(0.7) * rng.standard_normal(50)
            values = common + np.sqrt(0.3) * rng.standard_normal((2, 50)) + np.array([[0.0], [effect]])

            def row_at(n: int, values: Floats = values) -> Row:
                frame = pd.DataFrame(list(itertools.product(("baseline", "arm"), range(n))), columns=["arm", "seed"])
                return compare(frame.assign(quality=values[:, :n].ravel()), metrics=[metric]).row("arm")

            first = row_at(begun)
            if first.verdict is Verdict.UNDECIDED and first.more_seeds is not None:
                told.append(first.more_seeds)
                total += 1
                decided += row_at(begun + first.more_seeds).verdict is not Verdict.UNDECIDED
        share = f"{decided / total:.2f}" if total else "-"
        cells.append(
            (f"{begun}", f"{effect:g}", f"{total / studies:.2f}", f"{np.mean(told):.1f}" if told else "-", share)
        )
    header = ("seeds so far", "true effect (seed sd)", "told a number", "seeds promised, mean", "decided with them")
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


def eight_arms(rng: np.random.Generator, studies: int, seeds: int, effects: Sequence[float], draw: Draw) -> Floats:
    """Paired differences [studies, arms, seeds] with standard deviation 1, of arms that share one baseline."""
    arms, baseline = draw(rng, (studies, ARMS, seeds)), draw(rng, (studies, 1, seeds))
    shift = np.zeros(ARMS)
    shift[: len(effects)] = effects
    return np.asarray((arms - baseline) / np.sqrt(2) + shift[:, None])


def anyway(differences: Floats, looks: tuple[int, ...], method: Method) -> float:
    """Share of studies without any effect with a false word at some look, when no arm is ever stopped."""
    levels = LookLevels(looks, ALPHA, method.boundaries)
    wrong = np.zeros(len(differences), dtype=np.bool_)
    for place, n in enumerate(looks):
        mean, sd = differences[..., :n].mean(-1), differences[..., :n].std(-1, ddof=1)
        p = two_sided_p(mean, sd / np.sqrt(n), np.full_like(mean, n - 1))
        places = np.full(p.shape, place)
        wrong |= (levels.overall(p, places) <= levels.alpha_at(places) / ARMS).any(axis=1)
    return float(wrong.mean())


def designs(rng: np.random.Generator, studies: int) -> None:
    """Seeds, power and errors of ways to spend seeds, side by side, on the same draws."""
    for label, draw in (("normal", normal), ("skewed (exponential)", skewed), ("heavy tails (t with 3 df)", heavy)):
        most = max(looks[-1] for looks, _ in DESIGNS.values())
        noise = eight_arms(rng, studies, most, (), draw)
        cells = []
        for name, (looks, method) in DESIGNS.items():
            own = noise[..., : looks[-1]]
            nothing = run_studies(own, looks, ALPHA, method)
            row = [f"{nothing.seeds.mean():.2f}"]
            found: list[str] = []
            for effect in (1.5, 2.5):
                shifted = own.copy()
                shifted[:, 0] += effect
                course = run_studies(shifted, looks, ALPHA, method)
                found.append(
                    f"{course.decided[:, 0].mean():.4f}" if effect > 2 else f"{course.decided[:, 0].mean():.3f}"
                )
                row += [f"{course.seeds.mean():.2f}"] if effect == 1.5 else []
            wrong = nothing.decided.any(axis=1).mean()
            cells.append((name, *row, *found, f"{wrong:.3f} / {anyway(own, looks, method):.3f}"))
        header = ("looks", "nothing matters", "one of 8 does", "power, 1.5", "power, 2.5", "any false / run on anyway")
        table(f"Eight arms, {label} noise. Seeds per arm, power for one arm, any false word", header, cells)


def after_stopping(rng: np.random.Generator, studies: int) -> None:
    """What intervals and estimates are worth where studies stop early; all eight arms have the effect."""
    looks, method = DESIGNS["**3, 4, 6, 8, 10, 12: spending, stopped below 10 %**"]
    cells = []
    for name, own_looks, own in (("3, 5, 10: split, never stopped", (3, 5, 10), OLD), ("**new**", looks, method)):
        for effect in (0.0, 0.5, 1.0, 1.5, 2.5):
            differences = eight_arms(rng, studies, own_looks[-1], (effect,) * ARMS, normal)
            course = run_studies(differences, own_looks, ALPHA, own)
            covered, held = _covered(course, effect)
            early = course.decided & (course.seeds < own_looks[-1])
            first = course.decided & (course.seeds == own_looks[0])
            cells.append(
                (
                    name,
                    f"{effect:g}",
                    f"{covered.mean():.3f} / {held.mean():.3f}",
                    f"{(course.estimate > effect).mean():.2f}",
                    f"{early.mean():.3f}",
                    _share(covered, early) + " / " + _share(held, early),
                    _share(covered, first) + " / " + _share(held, first),
                    f"{course.estimate[early].mean():.2f}" if early.mean() > 0.001 else "-",
                )
            )
    header = (
        "looks",
        "effect",
        "95 % t-interval / for all looks",
        "estimate above truth",
        "decided early",
        "intervals of those",
        "of those at the first look",
        "estimate of those",
    )
    table("Coverage after stopping, eight arms of one effect", header, cells)


def _covered(course: Courses, effect: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    covered = (course.low <= effect) & (effect <= course.high)
    return covered, (course.repeated_low <= effect) & (effect <= course.repeated_high)


def _share(covered: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> str:
    return f"{covered[chosen].mean():.2f}" if chosen.mean() > 0.0005 else "-"


def equivalence_family(rng: np.random.Generator, studies: int) -> None:
    """Eight arms at the margin: any wrong "equivalent"; and eight equal arms: those called so."""
    cells = []
    for correct in ("none", "holm"):
        row = []
        for n in SEEDS:
            shares = []
            for effect in (1.0, 0.0):
                own = eight_arms(rng, studies, n, (effect,) * ARMS, normal)
                course = run_studies(own, (n,), ALPHA, Method(equivalence=correct), margin=1.0)
                shares.append(course.equivalent.any(axis=1).mean() if effect else course.equivalent.mean())
            row.append(f"{shares[0]:.3f} / {shares[1]:.2f}")
        cells.append((correct, *row))
    looks = DESIGNS["**3, 4, 6, 8, 10, 12: spending, stopped below 10 %**"][0]
    row = []
    for effect in (1.0, 0.0):
        course = run_studies(eight_arms(rng, studies, looks[-1], (effect,) * ARMS, normal), looks, ALPHA, Method(), 1.0)
        row.append(course.equivalent.any(axis=1).mean() if effect else course.equivalent.mean())
        seeds = course.seeds.mean()
    cells.append(
        (f"holm, looks {', '.join(map(str, looks))}", "", "", f"{row[0]:.3f} / {row[1]:.2f} ({seeds:.1f} seeds)")
    )
    title = (
        "Equivalent, eight arms, margin 1 (sd of a difference). All at the margin: any so called / all equal: called so"
    )
    table(title, ("correction", "n=3", "n=5", "n=10"), cells)


def one_sided(rng: np.random.Generator, studies: int) -> None:
    """Noisy, skewed arms against a quiet baseline: any false word, by test, and how often a warning says so."""
    cells = []
    for label, draw, ratio in (
        ("exponential, baseline a tenth as noisy", skewed, 0.1),
        ("exponential, baseline half as noisy", skewed, 0.5),
        ("exponential, alike", skewed, 1.0),
        ("normal, baseline a tenth as noisy", normal, 0.1),
    ):
        for arms in (1, ARMS):
            row = []
            for n in (5, 6, 10):
                plain = held = warned = found = kept = 0
                for _ in range(studies):
                    values, baseline = draw(rng, (arms, n)), ratio * draw(rng, (1, n))
                    plain += _any(two_sided_p, values - baseline)
                    held += _any(skewed_p, values - baseline)
                    warned += bool(is_one_sided(values, np.broadcast_to(baseline, values.shape))[0])
                    values[0] += rng.choice((-2.0, 2.0)) * np.sqrt(1 + ratio**2)
                    found += _any(two_sided_p, values - baseline, 1)
                    kept += _any(skewed_p, values - baseline, 1)
                shares = [count / studies for count in (plain, held, found, kept, warned)]
                row.append("{:.3f} / {:.3f}, {:.2f} / {:.2f}, {:.2f}".format(*shares))
            cells.append((label, str(arms), *row))
    title = "Nothing matters: any false word by paired t / 'skewed', power at 2 sd by both, share of studies warned"
    table(title, ("noise", "arms", "n=5", "n=6", "n=10"), cells)


def _any(test: Callable[..., Floats], rows: Floats, arms: int = ARMS) -> bool:
    """Whether one of the first `arms` rows is decided, by Holm over all."""
    summary = paired_summary(rows)
    p = skewed_p(rows, summary) if test is skewed_p else two_sided_p(summary.mean, summary.se, summary.df)
    return bool((adjust(p, np.full(len(rows), ALPHA), "holm").p <= ALPHA)[:arms].any())


def coarse(rng: np.random.Generator, studies: int) -> None:
    """Arms that truly differ, on metrics with few values: identical in every seed, and what is said then."""
    cells = []
    for label in ("success .95 against .75, one episode per seed", "accuracy to 0.1, 0.03 apart"):
        row = []
        for n in SEEDS:
            same = said = 0
            for _ in range(studies):
                if label.startswith("success"):
                    luck = rng.random((2, n))
                    pair = np.stack([luck[0] < 0.95, luck[1] < 0.75]).astype(np.float64)
                else:
                    common = rng.normal(93, 0.3, n)
                    pair = np.round(common + np.array([[0.0], [0.03]]) + rng.normal(0, 0.03, (2, n)), 1)
                frame = pd.DataFrame(list(itertools.product(("baseline", "arm"), range(n))), columns=["arm", "seed"])
                row_of = compare(frame.assign(quality=pair.ravel()), metrics=["quality:max"]).row("arm")
                same += bool((pair[0] == pair[1]).all())
                said += row_of.verdict is Verdict.EQUIVALENT
            row.append(f"{same / studies:.3f} / {said / studies:.3f}")
        cells.append((label, *row))
    table("Truly different arms: identical in every seed / called equivalent", ("metric", "n=3", "n=5", "n=10"), cells)


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


def over_blocks(differences: Floats, kind: str) -> float:
    """p of the verdict over all blocks on `differences` [blocks, seeds], as ablate takes it, or a shortcut."""
    if kind == "seeds":
        rows, shared = differences.mean(axis=0)[None, :], None
    elif kind == "cells":
        rows, shared = differences.reshape(1, -1), None
    else:
        rows, shared = differences.mean(axis=1)[None, :], crossed(differences).shared
    summary = paired_summary(rows)
    if kind == "blocks and seeds" and shared is not None:
        summary = widened(summary, np.array([shared[0]]), np.array([shared[1]]))
    return float(two_sided_p(summary.mean, summary.se, summary.df)[0])


def blocks(rng: np.random.Generator, studies: int) -> None:
    """One arm in several data sets, with seeds that do the same in all of them or not."""
    sizes = ((3, 3), (3, 5), (10, 3))
    header = ("t over", *(f"{count} blocks, {seeds} seeds" for count, seeds in sizes))
    draws: tuple[tuple[str, Draw], ...] = (("normal", normal), ("skewed", skewed), ("heavy tails", heavy))
    for what, kinds, spread in (
        ("Fixed blocks", ("seeds", "cells"), 0.0),
        ("Random blocks that differ by one sd", ("blocks and seeds", "blocks", "cells"), 1.0),
        ("Random blocks that do not differ", ("blocks and seeds", "blocks", "cells"), 0.0),
    ):
        cells = []
        for kind in kinds:
            row = []
            for count, seeds in sizes:
                found = []
                for share, effect in ((0.0, 0.0), (0.5, 0.0), (0.0, 1.0)):
                    decided = 0
                    for _ in range(studies):
                        own = np.sqrt(1 - share) * normal(rng, (count, seeds))
                        own += np.sqrt(share) * normal(rng, (1, seeds)) + spread * normal(rng, (count, 1)) + effect
                        decided += over_blocks(own, kind) <= ALPHA
                    found.append(decided / studies)
                row.append("{:.3f} / {:.3f} / {:.2f}".format(*found))
            cells.append((f"**{kind}**" if kind == kinds[0] else kind, *row))
        title = f"{what}: false, seeds share nothing / false, half the variance is shared / found at 1 sd"
        table(title, header, cells)
    rows = []
    for name, draw in draws:
        row = []
        for count, seeds in sizes:
            found = []
            for kind, spread in (("seeds", 0.0), ("blocks and seeds", 1.0)):
                pairs = [draw(rng, (2, count, seeds)) + spread * draw(rng, (2, count, 1)) for _ in range(studies)]
                own = [arm - baseline for arm, baseline in pairs]
                found.append(float(np.mean([over_blocks(one, kind) <= ALPHA for one in own])))
            row.append("{:.3f} / {:.3f}".format(*found))
        rows.append((name, *row))
    table("False over all blocks: fixed / random", ("noise", *header[1:]), rows)


def blocks_family(rng: np.random.Generator, studies: int, arms: int = 8, count: int = 3, seeds: int = 5) -> None:
    """Eight arms in three blocks: any false word in any block, and the arm without a word because blocks disagree."""
    false, once, crossing, found = 0, 0, 0, 0
    level = np.full(arms, ALPHA / count)
    for _ in range(studies):
        own = normal(rng, (count, arms, seeds)) - normal(rng, (count, 1, seeds))
        own[:, 0] += 3.0 * np.sqrt(2)
        summaries = [paired_summary(one) for one in own]
        p = [two_sided_p(one.mean, one.se, one.df) for one in summaries]
        decided = np.array([adjust(one, level, "holm").p <= ALPHA / count for one in p])
        alone = np.array([adjust(one, level * count, "holm").p <= ALPHA for one in p])
        up = np.array([one.mean > 0 for one in summaries])
        false += bool(decided[:, 1:].any())
        once += bool(alone[:, 1:].any())
        crossing += bool(((decided & up).any(axis=0) & (decided & ~up).any(axis=0)).any())
        found += bool(decided[:, 0].all())
    rows: list[tuple[str, ...]] = [
        ("level shared by the blocks (ablate)", f"{false / studies:.3f}", f"{crossing / studies:.4f}"),
        ("the whole level in every block", f"{once / studies:.3f}", "-"),
    ]
    title = (
        f"Eight arms, three blocks, {seeds} seeds; seven arms without effect. The eighth (3 sd of a difference) is "
        f"better in all three blocks in {found / studies:.2f} of studies"
    )
    table(title, ("verdicts in blocks", "any false one", "an arm called better here and worse there"), rows)


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
    designs(rng, 2 * many)
    after_stopping(rng, few)
    equivalence_family(rng, many)
    one_sided(rng, few // 2)
    coarse(rng, few // 4)
    confirmation(rng, many)
    trend_tests(rng, few // 2)
    promised(rng, few // 4)
    whole(rng, few // 4)
    detectable()
    apart = np.random.default_rng(arguments.seed + 1)
    blocks(apart, many)
    blocks_family(apart, few)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

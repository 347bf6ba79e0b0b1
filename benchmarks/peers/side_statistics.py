"""rliable, deepsig, autorank and scikit-posthocs on the tables that arrive as JSON; higher values are better."""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
import scikit_posthocs
from autorank import autorank
from deepsig import aso
from rliable import library, metrics

warnings.simplefilter("ignore")


def improvement(arm: list[float], baseline: list[float]) -> str:
    """rliable: probability that a run of the arm beats one of the baseline, 95 % stratified bootstrap."""
    rng = np.random.RandomState(0)
    pair = {"both": (np.array(arm)[:, None], np.array(baseline)[:, None])}
    point, bounds = library.get_interval_estimates(
        pair, metrics.probability_of_improvement, reps=2000, random_state=rng
    )
    low, high = bounds["both"].ravel()
    return f"{float(np.squeeze(point['both'])):.2f} [{low:.2f}, {high:.2f}]"


def dominance(arm: list[float], baseline: list[float], arms: int) -> str:
    """deepsig: upper bound of the violation of stochastic order; the arm is better below 0.2, its author says."""
    found = aso(arm, baseline, confidence_level=0.95, num_comparisons=arms, seed=0, show_progress=False)
    return f"{found:.2f}"


def ranked(case: dict) -> dict[str, str]:
    """autorank: its own choice of a test for paired samples, then whether an arm differs from the baseline."""
    others = [arm for arm in case["values"] if arm != case["baseline"]]
    lengths = {len(values) for values in case["values"].values()}
    if not case["paired"] or lengths != {len(case["values"][case["baseline"]])} or min(lengths) < 5:
        return dict.fromkeys(others, "-")
    found = autorank(pd.DataFrame(case["values"]), alpha=0.05, verbose=False)
    words = {}
    for arm in others:
        if found.pvalue >= 0.05:
            words[arm] = f"same ({found.omnibus}, p {found.pvalue:.2g})"
        elif len(others) == 1:
            words[arm] = f"differ ({found.omnibus}, p {found.pvalue:.2g})"
        else:
            place = "meanrank" if found.posthoc == "nemenyi" else "mean"
            table = found.rankdf
            gap = abs(table.loc[arm, place] - table.loc[case["baseline"], place])
            apart = (
                gap > found.cd
                if found.posthoc == "nemenyi"
                else table.loc[arm, "ci_upper"] < table.loc[case["baseline"], "ci_lower"]
                or table.loc[arm, "ci_lower"] > table.loc[case["baseline"], "ci_upper"]
            )
            words[arm] = f"{'differ' if apart else 'same'} ({found.omnibus}, {found.posthoc})"
    return words


def posthoc(case: dict) -> dict[str, str]:
    """scikit-posthocs: Wilcoxon's test for paired samples, else Welch's t-test; Holm over the arms."""
    base, others = case["baseline"], [arm for arm in case["values"] if arm != case["baseline"]]
    p = []
    for arm in others:
        pair = [case["values"][base], case["values"][arm]]
        if case["paired"]:
            found = scikit_posthocs.posthoc_wilcoxon(pair)
        else:
            found = scikit_posthocs.posthoc_ttest(pair, equal_var=False, pool_sd=False)
        p.append(float(found.iloc[0, 1]))
    order = np.argsort(p)
    held = np.maximum.accumulate([(len(p) - rank) * p[at] for rank, at in enumerate(order)])
    words = dict(zip([others[at] for at in order], held, strict=True))
    name = "Wilcoxon" if case["paired"] else "Welch"
    return {arm: f"{name}, p {min(1.0, words[arm]):.2g}" for arm in others}


def answer(case: dict) -> dict[str, dict[str, str]]:
    """Everything about one comparison, by arm."""
    base = case["values"][case["baseline"]]
    others = [arm for arm in case["values"] if arm != case["baseline"]]
    by_rank, by_test = ranked(case), posthoc(case)
    return {
        arm: {
            "rliable": improvement(case["values"][arm], base),
            "deepsig": dominance(case["values"][arm], base, len(others)),
            "autorank": by_rank[arm],
            "posthocs": by_test[arm],
        }
        for arm in others
    }


if __name__ == "__main__":
    names = ("rliable", "deepsig", "autorank", "scikit-posthocs", "numpy", "scipy")
    cases = [answer(case) for case in json.load(sys.stdin)]
    print(json.dumps({"cases": cases, "versions": {name: version(name) for name in names}}))

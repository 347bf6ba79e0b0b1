"""Pooled seed noise: borrow strength from the other arms when there are few seeds and many arms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ablate.report.statistics.significance import Summary

MOST_BORROWED = 4.0
"""Degrees of freedom an arm borrows at most."""
OUTLIER_LEVEL = 0.20
"""An arm whose variance is above this upper tail of F keeps its own."""


def pool(own: Summary, taking_part: NDArray[np.bool_]) -> Summary:
    """Return `own` with the variances of the arms taking part drawn towards each other.

    v = (delta s_others^2 + nu s^2) / (delta + nu) with delta = min(nu, sum nu_others, 4) and delta + nu degrees of
    freedom: a simplification of the moderated t (Smyth 2004). s_others^2 is the median-unbiased common variance of
    the other arms. An arm that is noisier than its fellows by an F test at 20 % keeps its own variance and lends
    nothing, as an arm with a high learning rate often is; so does an arm without fellows.
    """
    arms = np.flatnonzero(taking_part)
    if len(arms) < 2:
        return own
    variance, nu = own.sd[arms] ** 2, own.df[arms]
    # The median of a chi-square variable lies below its mean: undo that, arm by arm, before taking medians.
    unbiased = variance * nu / stats.chi2.median(nu)
    limit = stats.f.isf(OUTLIER_LEVEL, nu, np.maximum(1.0, (nu.sum() - nu) / 2)) * np.median(unbiased)
    alike = variance <= limit
    pooled, df = variance.copy(), nu.copy()
    for place in np.flatnonzero(alike):
        others = alike.copy()
        others[place] = False
        if others.any():
            borrowed = min(nu[place], nu[others].sum(), MOST_BORROWED)
            common = float(np.average(variance[others], weights=nu[others]))
            df[place] = borrowed + nu[place]
            pooled[place] = (borrowed * common + nu[place] * variance[place]) / df[place]
    se, sd, all_df = own.se.copy(), own.sd.copy(), own.df.copy()
    se[arms], sd[arms], all_df[arms] = np.sqrt(pooled / own.n[arms]), np.sqrt(pooled), df
    return Summary(own.n, own.mean, sd, se, all_df)

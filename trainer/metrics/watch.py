"""Watch time: mean absolute error, share of pairs in the right order (XAUC), predicted over actual.

XAUC: Zhan et al., "Deconfounding Duration Bias in Watch-time Prediction for Video Recommendation", KDD 2022.
Symbols: t actual, p predicted, w weight.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from trainer.metrics.checks import Checked, Floats, checked, group_ids
from trainer.metrics.ordering import Keys, float_keys, grouped, run_starts, stable_order, sums_before, to_rows
from trainer.metrics.ranking import Gauc, mean_of_groups

__all__ = ["gxauc", "mae", "mean_ratio", "xauc"]

_CACHED_ROWS = 1 << 16  # levels of so few rows are counted all at once


def mae(labels: npt.ArrayLike, estimates: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Mean of |predicted - actual|, in the labels' unit.

    Parameters
    ----------
    labels : (N,) numbers >= 0, or NaN where there is nothing to watch and the row is left out
    estimates : (N,) finite numbers, in the same unit
    weights : (N,) non-negative, default all 1

    Returns
    -------
    float; NaN without rows.

    Raises
    ------
    ValueError
        Shapes differ, or a number is not what it should be.
    """
    t, p, w, _ = _amounts(labels, estimates, weights=weights)
    return float(np.average(np.abs(p - t), weights=w)) if w.sum() > 0 else float("nan")


def mean_ratio(labels: npt.ArrayLike, estimates: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Predicted over actual: sum(w p) / sum(w t); NaN where nothing was watched. Arguments as in `mae`."""
    t, p, w, _ = _amounts(labels, estimates, weights=weights)
    actual = float(np.dot(w, t))
    return float(np.dot(w, p)) / actual if actual > 0 else float("nan")


def xauc(labels: npt.ArrayLike, estimates: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Probability that of two rows with different actual values the larger is predicted larger; equal predictions count half.

    Exact, over all pairs, in O(N log N) time and some 130 bytes a row beside the arrays given. Arguments as in `mae`; NaN where all actual values are the same.
    """
    t, p, w, _ = _amounts(labels, estimates, weights=weights)
    return gxauc(t, p, groups=np.zeros(len(t), dtype=np.int64), weights=w).value


def gxauc(
    labels: npt.ArrayLike, estimates: npt.ArrayLike, *, groups: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Gauc:
    """XAUC within each group (a user), averaged with the weight of the group's rows.

    Groups without two different actual values are skipped and counted. Arguments as in `mae`, groups (N,) integers.
    """
    t, p, w, kept = _amounts(labels, estimates, weights=weights)
    ids = group_ids(groups, kept=kept)
    return mean_of_groups([_won(codes, *columns) for codes, columns in grouped(ids, t, p, w)])


def _amounts(labels: npt.ArrayLike, estimates: npt.ArrayLike, *, weights: npt.ArrayLike | None) -> Checked:
    return checked(labels, estimates, weights=weights, most=float("inf"))


def _won(codes: Keys, t: Floats, p: Floats, w: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each group of a block: weight of pairs in the right order, of all pairs that differ in t, of rows."""
    starts = run_starts(codes)
    order = stable_order(codes, float_keys(p))
    ties = run_starts(codes, p[order])
    rank = np.empty(len(p), dtype=np.uint64)  # of p, within the group; ties share one
    rank[order] = to_rows(ties, ties, rows=len(p)) - to_rows(starts, starts, rows=len(p))
    order = stable_order(codes, float_keys(t), ~rank)  # t up and, where it ties, p down: of a later p above, t is above
    t, w, rank = t[order], w[order], rank[order]
    runs = run_starts(codes, t)
    pairs = np.add.reduceat(_products_within(codes[runs], np.add.reduceat(w, runs)), np.searchsorted(runs, starts))
    bits = int(rank.max()).bit_length()
    place = to_rows(np.arange(len(runs)), runs, rows=len(t))  # of t, among the block's
    won = np.zeros(len(starts))
    for group, weight in _counted((codes << np.uint64(bits)) | rank, w, place, bits=bits):
        won += np.bincount(group, weights=weight, minlength=len(starts))
    return won, pairs, np.add.reduceat(w, starts)


def _products_within(runs: npt.NDArray, w: Floats) -> Floats:
    """(n,) w times the sum of the earlier w of the same run; rows of a run stand side by side."""
    return w * sums_before(w, run_starts(runs))


def _counted(
    key: Keys, w: Floats, place: npt.NDArray[np.int64], *, bits: int
) -> Iterator[tuple[npt.NDArray[np.int64], Floats]]:
    """Group and weight of pairs whose later row, in the order of t, has the larger p; and half of those that tie in p.

    `key` is group << bits | rank of p. Two ranks are first different at one bit: going down the bits, rows that agree in
    all bits above stand together, still in the order of t, and each row with a 1 wins over the rows with a 0 before it
    (a wavelet matrix: Claude, Navarro and Ordóñez, Information Systems 47, 2015).
    """
    todo = [(key, w, place, bits)]
    while todo:
        key, w, place, level = todo.pop()
        while level:
            level -= 1
            one = (key >> np.uint64(level)) & np.uint64(1) == 1
            zeros, ones = np.flatnonzero(~one), np.flatnonzero(one)
            below = sums_before(np.where(one, 0.0, w), run_starts(key >> np.uint64(level + 1)))[ones]
            low, high = ((key[rows], w[rows], place[rows]) for rows in (zeros, ones))
            yield (high[0] >> np.uint64(bits)).view(np.int64), high[1] * below
            if len(w) > _CACHED_ROWS and len(zeros) and len(ones):
                todo += [(*low, level), (*high, level)]
                break
            key, w, place = (np.concatenate(pair) for pair in zip(low, high, strict=True))
        else:
            runs = run_starts(key, place)
            tied = _products_within(key[runs], np.add.reduceat(w, runs)) / 2
            yield (key[runs] >> np.uint64(bits)).view(np.int64), tied

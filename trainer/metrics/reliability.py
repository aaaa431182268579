"""Predicted beside actual in parts of the rows: by quantile of the score, and by the values of a column."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.metrics.checks import Floats, checked, group_ids
from trainer.metrics.ordering import float_keys, run_starts, stable_order

__all__ = ["OTHER", "NULL", "ScoreBin", "SegmentRow", "pcoc_by_segment", "reliability"]

OTHER, NULL = "(other)", "(null)"
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Some of the rows.

    Attributes
    ----------
    rows : int
    weight, positives : float
        Sum of the weights, and of the labels without weights.
    predicted, actual : float
        Weighted means; NaN without weight.
    low, high : float
        95 % interval of the actual mean, see `reliability`.
    pcoc : float
        predicted / actual; NaN without positives.
    """

    rows: int
    weight: float
    positives: float
    predicted: float
    actual: float
    low: float
    high: float
    pcoc: float


@dataclass(frozen=True, kw_only=True)
class ScoreBin(_Part):
    """Rows whose score is in [least, most]: see `reliability`. Other attributes as in a SegmentRow."""

    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class SegmentRow(_Part):
    """Rows with one value of a column: rows, weight, positives, means predicted and actual with interval, their ratio."""

    value: str


def reliability(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, bins: int = 10
) -> list[ScoreBin]:
    """Predicted beside actual in bins of equal weight, by ascending score.

    Rows of one score are never parted: they go where the middle of their weight falls, so that with heavy ties bins are
    uneven and fewer. The interval is Wilson's (1927) with an effective number of rows n = p (1 - p) / v, where v is the
    linearised variance of a weighted mean, sum(w² (y - p)²) / sum(w)² (Korn and Graubard, Survey Methodology 24, 1998);
    where all labels are the same, so that v is 0, n = sum(w)² / sum(w²) (Kish 1965). Without weights n is the rows.

    Parameters
    ----------
    labels : (N,) in [0, 1], or NaN where a row has no label and is left out
    scores : (N,) probabilities
    weights : (N,) non-negative, default all 1
    bins : int >= 1

    Returns
    -------
    list of ScoreBin, none without weight; rows, weights and positives sum to those of the whole.

    Raises
    ------
    ValueError
        Shapes differ, `bins` is below 1, or a number is not what it should be.
    """
    if bins < 1:
        raise ValueError(f"reliability: found {bins} bins, wanted at least 1")
    y, s, w, _ = checked(labels, scores, weights=weights)
    if not w.sum() > 0:
        return []
    order = stable_order(float_keys(s))
    y, s, w = y[order], s[order], w[order]
    ties = run_starts(s)
    of_tie = _bins_of(np.add.reduceat(w, ties), bins=bins)
    firsts = run_starts(of_tie)
    edges = np.append(ties[firsts], len(s))
    codes = np.repeat(np.arange(len(firsts)), np.diff(edges))
    sums = _sums(y, s, w=w, codes=codes, size=len(firsts))
    return [
        ScoreBin(least=float(s[edges[i]]), most=float(s[edges[i + 1] - 1]), **_described(sums[:, i]))
        for i in range(len(firsts))
    ]


def _bins_of(weight: Floats, *, bins: int) -> npt.NDArray[np.int64]:
    """(ties,) bin of each score: where the middle of its weight falls; one without weight goes with its neighbour."""
    past = np.cumsum(weight)
    found = np.minimum((past - weight / 2) / past[-1] * bins, bins - 1).astype(np.int64)
    found[weight == 0] = found[weight > 0][0]
    return np.maximum.accumulate(found)


def pcoc_by_segment(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    segments: npt.ArrayLike,
    names: Sequence[str] | None = None,
    weights: npt.ArrayLike | None = None,
    most: int = 20,
) -> list[SegmentRow]:
    """Predicted beside actual by the values of a column, the one of most weight first.

    Parameters
    ----------
    labels, scores, weights : as in `reliability`
    segments : (N,) integers
        Code of each row's value; below 0 is null, which is a value of its own.
    names : values by code; default the codes themselves
    most : int >= 1
        Values listed; the rest is put together as "(other)", last.

    Returns
    -------
    list of SegmentRow; rows, weights and positives sum to those of the whole.

    Raises
    ------
    ValueError
        Shapes differ, a code has no name, `most` is below 1, or a number is not what it should be.
    """
    if most < 1:
        raise ValueError(f"pcoc_by_segment: found most = {most}, wanted at least 1")
    found = checked(labels, scores, weights=weights)
    codes = np.maximum(group_ids(segments, kept=found.kept), -1)
    present = np.unique(codes)
    if names is not None and len(present) and present[-1] >= len(names):
        raise ValueError(f"pcoc_by_segment: found code {present[-1]}, wanted one of {len(names)} names")
    said = [NULL if c < 0 else str(c) if names is None else str(names[c]) for c in present.tolist()]
    places = np.searchsorted(present, codes)
    sums = _sums(found.labels, found.scores, w=found.weights, codes=places, size=len(said))
    largest = sorted(range(len(said)), key=lambda i: (-sums[1, i], -sums[0, i], said[i]))
    rows = [SegmentRow(value=said[i], **_described(sums[:, i])) for i in largest[:most]]
    if rest := largest[most:]:
        rows.append(SegmentRow(value=OTHER, **_described(sums[:, rest].sum(axis=1))))
    return rows


def _sums(y: Floats, p: Floats, *, w: Floats, codes: npt.NDArray[np.int64], size: int) -> Floats:
    """(8, size): rows, sum of w, y, w p, w y, w², w² y and w² y² of each code."""
    terms = (np.ones(len(y)), w, y, w * p, w * y, w * w, w * w * y, (w * y) ** 2)
    return np.stack([np.bincount(codes, weights=term, minlength=size) for term in terms])


def _described(sums: Floats) -> dict[str, Any]:
    """The attributes of a _Part from a column of `_sums`."""
    rows, weight, positives, predicted, actual, *squares = (float(value) for value in sums)
    mean = actual / weight if weight > 0 else math.nan
    low, high = _interval(mean, weight=weight, squares=squares)
    return {
        "rows": int(rows),
        "weight": weight,
        "positives": positives,
        "predicted": predicted / weight if weight > 0 else math.nan,
        "actual": mean,
        "low": low,
        "high": high,
        "pcoc": predicted / actual if actual > 0 else math.nan,
    }


def _interval(mean: float, *, weight: float, squares: Sequence[float]) -> tuple[float, float]:
    """Wilson's interval of a weighted share with the effective rows that `reliability` describes."""
    if not weight > 0:
        return math.nan, math.nan
    ww, wwy, wwyy = squares
    variance = wwyy - 2 * mean * wwy + mean * mean * ww  # times weight²
    alike = variance <= 1e-12 * ww  # all labels are the same, but for rounding
    rows = weight * weight / ww if alike else mean * (1 - mean) * weight * weight / variance
    square = _Z * _Z
    middle = mean + square / (2 * rows)
    half = _Z * math.sqrt(max(mean * (1 - mean), 0.0) / rows + square / (4 * rows * rows))
    return max((middle - half) / (1 + square / rows), 0.0), min((middle + half) / (1 + square / rows), 1.0)

"""Bars of a histogram from bins: the last day beside the days that it is measured against."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.bins import BITS_OF_WHOLE, bin_high, bin_low
from reports.page_delta import Row

__all__ = ["BARS", "histogram"]

BARS = 40
"""Most bars of a histogram."""

_LINEAR_BELOW = 16.0
"""Ratio of greatest to least number below which bars have equal widths; above it, equal steps of the bins."""

_INFINITY = 0x7FF << BITS_OF_WHOLE
"""Code of the bin of infinity, which has no place among bars."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def histogram(now: Iterable[Row], reference: Iterable[Row]) -> dict[str, Any] | None:
    """Bars for rows of the coverage table that hold `bins` and `bin_weights`; None where `now` has no weight.

    Returns
    -------
    dict
        kind: "each" (a bar per value), "linear" (equal widths) or "log" (equal ratios); low, high: edges of each bar,
        ascending; now, reference: share of the weight of finite numbers in each bar, reference None where it has none.
    """
    today, before = _merged(now), _merged(reference)
    codes = np.union1d(today[0], before[0]).astype(np.int64)
    if not today[1].sum() > 0:
        return None
    edges, kind = _edges(codes)
    bars = [_shares(one, edges, kind) for one in (today, before)]
    return {
        "kind": kind,
        "low": _numbers(edges[0]),
        "high": _numbers(edges[1]),
        "now": bars[0],
        "reference": bars[1] if before[1].sum() > 0 else None,
    }


def _merged(rows: Iterable[Row]) -> tuple[Codes, Floats]:
    """Codes (B,) ascending and weights (B,), of all rows together."""
    kept = [row for row in rows if row["bins"] and row["bin_weights"]]
    if not kept:
        return np.empty(0, np.int64), np.empty(0)
    every = np.concatenate([np.asarray(row["bins"], np.int64) for row in kept])
    weights = np.concatenate([np.asarray(row["bin_weights"], np.float64) for row in kept])
    finite = np.abs(every) < _INFINITY
    every, weights = every[finite], weights[finite]
    codes, place = np.unique(every, return_inverse=True)
    return codes, np.bincount(place, weights=weights, minlength=len(codes)).astype(np.float64)


def _span(codes: Codes) -> tuple[Floats, Floats]:
    """Least and greatest number of each bin; the bins of negative codes run downwards."""
    near, far = bin_low(codes, bits=BITS_OF_WHOLE), bin_high(codes, bits=BITS_OF_WHOLE)
    return np.minimum(near, far), np.maximum(near, far)


def _edges(codes: Codes) -> tuple[tuple[Floats, Floats], str]:
    """Lower and upper edge of every bar, and how they are spaced."""
    low, high = _span(codes)
    if len(codes) <= BARS:
        return (low, high), "each"
    if low[0] > 0 and high[-1] / low[0] < _LINEAR_BELOW:
        steps = np.linspace(low[0], high[-1], BARS + 1)
        return (steps[:-1], steps[1:]), "linear"
    low, high = _steps(codes)
    if _are_whole(codes):  # no bar where no whole number can be
        near, far = np.minimum(np.abs(low), np.abs(high)), np.maximum(np.abs(low), np.abs(high))
        kept = (np.ceil(near) < far) | (far == 0)
        low, high = low[kept], high[kept]
    return (low, high), "log"


def _are_whole(codes: Codes) -> bool:
    """Whether the bins that are narrower than 1 begin with a whole number, all of them: counts do."""
    low, high = _span(codes)
    narrow = np.abs(high - low) < 1
    near = np.where(codes < 0, high, low)[narrow]
    return bool((near == np.trunc(near)).all())


def _steps(codes: Codes) -> tuple[Floats, Floats]:
    """Bars of equally many bins, on either side of zero; zero has one of its own."""
    sides = [codes[codes < 0], codes[codes > 0]]
    total = sum(int(side[-1] - side[0]) + 1 for side in sides if len(side))
    lows, highs = [], []
    for side in sides:
        if len(side):
            step = -(-total // (BARS - 3))
            starts = np.arange(side[0], side[-1] + 1, step)
            stops = np.minimum(starts + step - 1, side[-1])
            lows.append(_span(starts)[0])
            highs.append(_span(stops)[1])
    if (codes == 0).any():
        lows.append(np.zeros(1))
        highs.append(np.zeros(1))
    low, high = np.concatenate(lows), np.concatenate(highs)
    order = np.lexsort((high, low))
    return low[order], high[order]


def _shares(merged: tuple[Codes, Floats], edges: tuple[Floats, Floats], kind: str) -> list[float]:
    """Share of the weight in every bar; a bin that lies across an edge is split in proportion."""
    codes, weights = merged
    low, high = _span(codes)
    bars = np.zeros(len(edges[0]))
    if kind == "linear":
        for start, stop, weight in zip(low, high, weights, strict=True):
            part = np.clip(np.minimum(edges[1], stop) - np.maximum(edges[0], start), 0, None)
            bars += weight * part / part.sum()
    else:
        np.add.at(bars, np.searchsorted(edges[0], low, side="right") - 1, weights)
    total = bars.sum()
    return [round(float(share), 4) for share in bars / total] if total > 0 else []


def _numbers(edges: Floats) -> list[float | None]:
    """Edges to five digits; None is infinity."""
    return [float(f"{edge:.5g}") if np.isfinite(edge) else None for edge in edges]

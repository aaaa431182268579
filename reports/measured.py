"""One feature as `headrace report --compare` sees it, wherever it was measured; and two of them side by side. No Spark."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.drift import aligned_bins, difference_interval, psi_js

__all__ = ["Difference", "Measured", "difference"]


@dataclass(frozen=True)
class Measured:
    """What was measured of a feature on one side.

    Attributes
    ----------
    type : str
        Spark type; empty where it is not known.
    coverage : float or None
        Share of the cells with a real value or a measured zero; None without data.
    rows : float
        Rows of equal weight that would tell as much.
    quantiles : tuple of float
        At reports.bins.QUANTILES; empty where no number was seen.
    bins, bin_weights : array (B,)
        reports.bins of BITS_OF_WHOLE bits, ascending; None where they were not kept.
    texts : mapping
        Weight of the commonest texts.
    valued : float
        Weight of all cells with a value, for text.
    """

    feature: str
    type: str
    coverage: float | None
    rows: float
    quantiles: tuple[float, ...] = ()
    bins: NDArray[np.integer] | None = field(default=None, repr=False)
    bin_weights: NDArray[np.float64] | None = field(default=None, repr=False)
    texts: Mapping[str, float] = field(default_factory=dict)
    valued: float = 0.0


@dataclass(frozen=True)
class Difference:
    """A feature on both sides: coverage of B less that of A with its 95 % interval, and how far the values of B are from A's."""

    feature: str
    a: Measured
    b: Measured
    change: float | None
    low: float | None
    high: float | None
    psi: float | None
    js: float | None

    @property
    def is_sure(self) -> bool:
        """Whether 0 lies outside the interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def is_retyped(self) -> bool:
        """Whether the types of both sides are known and differ."""
        return bool(self.a.type and self.b.type) and self.a.type != self.b.type


def difference(a: Measured, b: Measured) -> Difference:
    """B beside A; values of different types are not compared."""
    change, low, high = None, None, None
    if a.coverage is not None and b.coverage is not None:
        change, low, high = difference_interval(b.coverage, b.rows, a.coverage, a.rows)
    made = Difference(a.feature, a, b, change, low, high, None, None)
    if made.is_retyped:
        return made
    psi, js = _distance(a, b)
    return Difference(a.feature, a, b, change, low, high, psi, js)


def _distance(a: Measured, b: Measured) -> tuple[float | None, float | None]:
    if a.texts or b.texts:
        return psi_js(*_aligned_texts(b, a))
    sides: list[Any] = [b.bins, b.bin_weights, a.bins, a.bin_weights]
    if any(side is None or len(side) == 0 for side in sides):
        return None, None
    return psi_js(*aligned_bins(*sides))


def _aligned_texts(now: Measured, reference: Measured) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the texts that both sides kept, and of all others together: one that a side cut off may be among these."""
    kept = sorted(now.texts.keys() & reference.texts.keys())
    weights = [np.array([side.texts[text] for text in kept]) for side in (now, reference)]
    others = [side.valued - weight.sum() for side, weight in zip((now, reference), weights, strict=True)]
    now_weights, reference_weights = (
        np.append(weight, max(other, 0.0)) for weight, other in zip(weights, others, strict=True)
    )
    return now_weights, reference_weights

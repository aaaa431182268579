"""From probabilities of the sampled rows to probabilities of the traffic: pure formulas, one array in, one array out.

Symbols: p' is what a model says that was trained, without weights, on the sampled rows; p is the same for the mature
traffic; a is the rate of negatives and b the rate of positives; r = a / b. A *negative* is a row with none of the
labels declared as positive (docs/semantics.md, S28), so "any" below is the union of those labels.

All formulas follow from Bayes' rule on P(y, kept | x): with p'_any the sampled probability of any positive,

    P'(y = 1 | x) = b p_y / (b p_any + a (1 - p_any))        for every y that implies "any".

Written with operators only, so numpy arrays, torch tensors (with gradients) and floats all do. The denominators are
sums of two non-negative terms and so lose no digits as p' -> 0, p' -> 1 or a -> 0; they are never below min(1, r).
Sources: docs/semantics.md, S30; the one-task form is that of He et al., "Practical Lessons from Predicting Clicks on
Ads at Facebook", ADKDD 2014, section 6.3: q = p / (p + (1 - p) / w), here with w = r.
"""

from typing import TypeVar

__all__ = [
    "calibrate",
    "calibrate_implied",
    "calibrate_per_row",
    "decalibrate",
    "decalibrate_implied",
    "inverse_rate",
    "rate_ratio",
]

Array = TypeVar("Array")  # numpy array, torch tensor or float: whatever has arithmetic


def rate_ratio(negative_rate: float, positive_rate: float = 1.0) -> float:
    """r = a / b, the one number that the closed forms need.

    Parameters
    ----------
    negative_rate, positive_rate : float in (0, 1]
        Probability with which a negative, a positive row was kept.

    Raises
    ------
    ValueError
        A rate is not in (0, 1].
    """
    for name, rate in (("negative_rate", negative_rate), ("positive_rate", positive_rate)):
        if not 0 < rate <= 1:
            raise ValueError(f"{name}: found {rate}, wanted a probability in (0, 1]")
    return negative_rate / positive_rate


def calibrate(sampled: Array, *, ratio: float) -> Array:
    """One task whose label is itself "any positive": p = r p' / ((1 - p') + r p').

    Parameters
    ----------
    sampled : array of any shape, values in [0, 1]
        p', probability on the sampled rows.
    ratio : float > 0
        r = a / b, see `rate_ratio`.

    Returns
    -------
    array of the same shape and kind, values in [0, 1]; inverse: `decalibrate`. 0 and 1 are fixed points.
    """
    _check_ratio(ratio)
    return ratio * sampled / ((1 - sampled) + ratio * sampled)  # type: ignore[operator, return-value]


def decalibrate(traffic: Array, *, ratio: float) -> Array:
    """Inverse of `calibrate`: p' = p / (p + r (1 - p)); same domain, shape and arguments."""
    _check_ratio(ratio)
    return traffic / (traffic + ratio * (1 - traffic))  # type: ignore[operator, return-value]


def calibrate_implied(sampled: Array, sampled_any: Array, *, ratio: float) -> Array:
    """A task that implies "any positive": p_y = p'_y r / (1 - (1 - r) p'_any) (docs/design.md, section 7).

    Where click is implied by every positive label, p'_any is p'_click; else it is the probability of their union.

    Parameters
    ----------
    sampled, sampled_any : arrays of one shape, 0 <= sampled <= sampled_any <= 1
        p'_y and p'_any. Where a model breaks the order, the result still stays within [0, 1] for r <= 1.
    ratio : float > 0
        r = a / b.

    Returns
    -------
    array of the same shape; inverse: `decalibrate_implied`. With sampled == sampled_any it is `calibrate`.
    """
    _check_ratio(ratio)
    return ratio * sampled / ((1 - sampled_any) + ratio * sampled_any)  # type: ignore[operator, return-value]


def decalibrate_implied(traffic: Array, traffic_any: Array, *, ratio: float) -> Array:
    """Inverse of `calibrate_implied`: p'_y = p_y / (p_any + r (1 - p_any)); arguments of the same domain and shape."""
    _check_ratio(ratio)
    return traffic / (traffic_any + ratio * (1 - traffic_any))  # type: ignore[operator, return-value]


def calibrate_per_row(label_over_rate: Array, one_over_rate: Array) -> Array:
    """The general form, rates r of each row's own: p = E[y / r | x, kept] / E[1 / r | x, kept].

    It is importance weighting (Horvitz and Thompson, JASA 1952), and needs nothing of how strata were drawn.
    The closed forms are its special cases: with rates a and b and a y that implies "any", the numerator is p'_y / b
    and the denominator `inverse_rate(p'_any, a, b)`.

    Parameters
    ----------
    label_over_rate, one_over_rate : arrays of one shape
        Estimates of the two expectations over sampled rows; 0 <= label_over_rate <= one_over_rate, one_over_rate >= 1.

    Returns
    -------
    array of the same shape, values in [0, 1]. No inverse: two inputs make one output.
    """
    return label_over_rate / one_over_rate  # type: ignore[operator, return-value]


def inverse_rate(sampled_any: Array, *, negative_rate: float, positive_rate: float = 1.0) -> Array:
    """E[1 / r | x, kept] = p'_any / b + (1 - p'_any) / a: how many impressions of the traffic one sampled row stands for.

    Parameters
    ----------
    sampled_any : array, values in [0, 1]
        p'_any.
    negative_rate, positive_rate : float in (0, 1]
        a and b.

    Returns
    -------
    array of the same shape, values between 1 / max(a, b) and 1 / min(a, b).
    """
    rate_ratio(negative_rate, positive_rate)
    return sampled_any / positive_rate + (1 - sampled_any) / negative_rate  # type: ignore[operator, return-value]


def _check_ratio(ratio: float) -> None:
    if not 0 < ratio < float("inf"):
        raise ValueError(f"ratio: found {ratio}, wanted a finite a / b above 0")

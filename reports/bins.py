"""Fixed bins for numbers: the leading bits of a double. Numpy only.

A bin is a power of two cut into 2^bits parts of equal width, whatever the data: bins of different days, slices and
machines are the same, so that distributions merge by adding up, exactly, in any order. With 6 bits a bin's middle is within
0.8 % of every number in it (4 bits: 3.1 %), and whole numbers below 128 (32) have a bin of their own. A code of `bits` is
the upper bits of the IEEE 754 double (sign, exponent, `bits` of the fraction), as in HdrHistogram and OpenTelemetry's
exponential histograms; 0 is zero, and a negative number has the negative of its mirror's code.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BITS_OF_SLICE",
    "BITS_OF_WHOLE",
    "QUANTILES",
    "bin_codes",
    "bin_high",
    "bin_low",
    "bin_middles",
    "coarser",
    "list_quantiles",
]

BITS_OF_WHOLE, BITS_OF_SLICE = 6, 4
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_FRACTION = 52
Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


def bin_codes(values: Floats, *, bits: int) -> Codes:
    """Bin of every number (N,); NaN must not be there."""
    raw = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    codes = raw & np.int64(0x7FFFFFFFFFFFFFFF)
    codes >>= np.int64(_FRACTION - bits)
    negative = raw < 0
    if negative.any():
        np.negative(codes, out=codes, where=negative)
    return codes


def bin_low(codes: NDArray[np.integer], *, bits: int) -> Floats:
    """The edge of each bin that is nearer to zero; it belongs to the bin."""
    whole = np.asarray(codes, dtype=np.int64)
    return np.sign(whole) * (np.abs(whole) << np.int64(_FRACTION - bits)).view(np.float64)


def bin_high(codes: NDArray[np.integer], *, bits: int) -> Floats:
    """The edge farther from zero; it does not belong to the bin. Infinity for the bins that hold or touch it."""
    whole = np.asarray(codes, dtype=np.int64)
    most = np.int64(0x7FF) << np.int64(bits)
    size = np.minimum(np.abs(whole) + 1, most) << np.int64(_FRACTION - bits)
    return np.where(whole == 0, 0.0, np.sign(whole) * size.view(np.float64))


def bin_middles(codes: NDArray[np.integer], *, bits: int, whole: bool) -> Floats:
    """Number that stands for each bin: its middle; where all numbers are whole and it holds one of them, that one."""
    low, high = bin_low(codes, bits=bits), bin_high(codes, bits=bits)
    with np.errstate(invalid="ignore"):
        alone = (np.abs(high - low) <= 1) if whole else np.zeros(low.shape, bool)
        return np.where(alone | np.isinf(high), np.sign(low) * np.ceil(np.abs(low)), low + (high - low) / 2)


def coarser(codes: Codes, *, by: int) -> Codes:
    """The same bins with `by` bits less."""
    return np.sign(codes) * (np.abs(codes) >> np.int64(by))


def list_quantiles(
    offsets: NDArray[np.integer],
    codes: NDArray[np.integer],
    units: NDArray[np.int64],
    *,
    bits: int,
    whole: NDArray[np.bool_],
) -> Floats:
    """Weighted QUANTILES (R, 7) of numbers in bins: the least bin whose cumulated weight reaches the share; NaN without weight.

    Parameters
    ----------
    offsets : (R + 1,) where the bins of each row begin among `codes` and `units`; those of a row ascending, each once
    units : weight of each bin in whole units
    whole : (R,) whether all numbers of a row are whole
    """
    reached = np.concatenate([[0], np.cumsum(units)])
    before, total = reached[offsets[:-1]], reached[offsets[1:]] - reached[offsets[:-1]]
    wanted = np.ceil(total[:, None] * np.array(QUANTILES) * (1 - 1e-12)).astype(np.int64)
    at = np.searchsorted(reached[1:], before[:, None] + np.maximum(wanted, 1))
    at = np.minimum(at, np.maximum(len(codes) - 1, 0))
    found = np.full(at.shape, np.nan)
    for kind in (False, True):
        own = np.flatnonzero((total > 0) & (whole == kind))
        if len(own):
            found[own] = bin_middles(np.asarray(codes)[at[own]], bits=bits, whole=kind)
    return found

"""Unsigned arithmetic modulo 2^128 on pairs of uint64 arrays (high, low): what an exact variance needs, no more."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Wide", "add", "product", "shifted", "subtract", "to_float"]

U64 = NDArray[np.uint64]
Wide = tuple[U64, U64]
_HALF = np.uint64(32)
_MASK = np.uint64(0xFFFFFFFF)


def product(left: U64, right: U64) -> Wide:
    """The full product of two 64-bit numbers, by halves."""
    a, b, c, d = left >> _HALF, left & _MASK, right >> _HALF, right & _MASK
    low, cross, other = b * d, a * d, b * c
    middle = (low >> _HALF) + (cross & _MASK) + (other & _MASK)
    high = a * c + (cross >> _HALF) + (other >> _HALF) + (middle >> _HALF)
    return high, (middle << _HALF) | (low & _MASK)


def shifted(value: U64, bits: int) -> Wide:
    """value * 2^bits, 0 <= bits < 128."""
    if bits == 0:
        return np.zeros_like(value), value
    if bits >= 64:
        return value << np.uint64(bits - 64), np.zeros_like(value)
    return value >> np.uint64(64 - bits), value << np.uint64(bits)


def add(left: Wide, right: Wide) -> Wide:
    """left + right."""
    low = left[1] + right[1]
    return left[0] + right[0] + (low < left[1]).astype(np.uint64), low


def subtract(left: Wide, right: Wide) -> Wide:
    """left - right."""
    return left[0] - right[0] - (left[1] < right[1]).astype(np.uint64), left[1] - right[1]


def to_float(value: Wide) -> NDArray[np.float64]:
    """The nearest doubles of both halves, put together: within one unit in the last place."""
    return value[0].astype(np.float64) * 2.0**64 + value[1].astype(np.float64)

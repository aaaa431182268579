"""Values as whole numbers that add up or unite: logarithmic buckets for quantiles, hashes for distinct counts. Numpy only."""

from decimal import Decimal, localcontext
from functools import cache, partial
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.axis import Ints

__all__ = ["bucket_of", "bucket_value", "hashes_of"]

_ACCURACY = Decimal("0.01")
_MOST_UNITS = 2**53


@cache
def _buckets() -> tuple[Ints, NDArray[np.float64]]:
    """Upper edges of the buckets in whole microunits, and the value in units that stands for each.

    Bucket i holds gamma^(i-1) < u <= gamma^i, and 2 gamma^i / (gamma + 1) is within 1 % of all of it (DDSketch; Masson,
    Rim, Lee 2019). Computed in decimals, so that every machine draws the same edges.
    """
    with localcontext(prec=60):
        gamma = (1 + _ACCURACY) / (1 - _ACCURACY)
        edge = Decimal(1)
        edges: list[int] = []
        middles: list[float] = []
        while not edges or edges[-1] < _MOST_UNITS:
            edges.append(int(edge))
            middles.append(float(2 * edge / (gamma + 1) / 1_000_000))
            edge *= gamma
    return np.array(edges, dtype=np.int64), np.array(middles)


def bucket_of(units: Ints) -> Ints:
    """Bucket of a value in microunits, -1 for 0."""
    return np.where(units > 0, np.searchsorted(_buckets()[0], units, side="left"), -1)


def bucket_value(buckets: Ints) -> NDArray[np.float64]:
    """Value in units that stands for a bucket."""
    return np.where(buckets < 0, 0.0, _buckets()[1][np.maximum(buckets, 0)])


def hashes_of(values: pa.Array) -> Ints:
    """64-bit hashes as int64 that sort like the unsigned ones: splitmix64 of integers, blake2b of text."""
    if pa.types.is_integer(values.type):
        bits = np.asarray(values.cast(pa.int64()), dtype=np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> np.uint64(31))
    else:
        coded = values.dictionary_encode()
        digest = partial(blake2b, digest_size=8)
        known = [int.from_bytes(digest(v.encode()).digest(), "little") for v in coded.dictionary.to_pylist()]
        bits = np.array(known, dtype=np.uint64)[np.asarray(coded.indices)] if known else np.zeros(0, np.uint64)
    return (bits ^ np.uint64(1 << 63)).view(np.int64)

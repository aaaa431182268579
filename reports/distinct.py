"""How many different values there are, estimated: HyperLogLog registers that merge by the greater. Numpy only.

Flajolet, Fusy, Gandouet, Meunier 2007, with linear counting for few values (Heule, Nunkesser, Hall 2013 compare both).
Standard error 1.04 / sqrt(registers): 1.6 % with 4,096 registers (the whole), 6.5 % with 256 (a slice's value).
"""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

__all__ = ["REGISTERS_OF_SLICE", "REGISTERS_OF_WHOLE", "estimate", "hash_numbers", "hash_texts", "places"]

REGISTERS_OF_WHOLE, REGISTERS_OF_SLICE = 12, 8
"""Logarithms to the base 2."""

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]


def hash_numbers(values: NDArray[np.float64]) -> Words:
    """64-bit hashes of doubles (N,), splitmix64 of their bits; -0.0 is 0.0."""
    bits = (values + 0.0).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))


def hash_texts(values: list[str]) -> Words:
    """64-bit hashes of texts, the same on every machine."""
    digests = [blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest() for value in values]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def places(hashes: Words, *, registers: int) -> tuple[NDArray[np.int64], Bytes]:
    """Register of each hash (its upper bits) and rank (leading zeros of the rest, and one): two arrays (N,)."""
    at = (hashes >> np.uint64(64 - registers)).astype(np.int64)
    rest = hashes << np.uint64(registers) | np.uint64(1 << (registers - 1))
    upper = (
        (rest >> np.uint64(11)).view(np.int64).astype(np.float64)
    )  # 53 bits are exact as a double, and its exponent says the first
    rank = 1023 + 53 - (upper.view(np.uint64) >> np.uint64(52))
    return at, rank.astype(np.uint8)


def estimate(registers: Bytes) -> NDArray[np.int64]:
    """Different values that registers (..., M) speak for."""
    many = registers.shape[-1]
    alpha = 0.7213 / (1 + 1.079 / many)
    raw = alpha * many**2 / np.ldexp(1.0, -registers.astype(np.int64)).sum(axis=-1)
    empty = (registers == 0).sum(axis=-1)
    few = many * np.log(many / np.maximum(empty, 1))
    return np.rint(np.where((raw <= 2.5 * many) & (empty > 0), few, raw)).astype(np.int64)

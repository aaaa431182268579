"""Columns of the training set to numbers a network takes: hashed ids and words, standardised numbers, missing bits.

- ids (user, item, author), words (string) and small whole numbers of the context (hour, weekday, position): hashed into
  buckets of their own; bucket 0 is null. All fields share one embedding table, so each has an offset.
- other numbers: log1p where they are counts or seconds, (x - mean) / std over the measured cells of the training days,
  clipped to +-CLIP; null becomes 0 and is told by its own missing bit.
Encoders are plain data: what `encoder_from_dict(encoder_to_dict(e))` returns encodes every row as `e` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from trainer.columns import MISSING_STATES, column, number_matrix, state_matrix
from trainer.published import FeatureSpec

__all__ = [
    "CLIP",
    "Category",
    "Encoder",
    "Number",
    "encode",
    "encoder_from_dict",
    "encoder_to_dict",
    "hash_bucket",
    "input_fields",
    "squash",
]

CLIP = 6.0  # standard deviations; beyond it lies almost nothing but errors, which must not pull the weights
_STRING_BUCKETS = 4096  # words are few: categories, scenes, cities
_IDS = ("user_id", "item_id", "author_id")


@dataclass(frozen=True)
class Category:
    """A column that is looked up: `offset` is its first row in the shared embedding table."""

    name: str
    buckets: int
    offset: int


@dataclass(frozen=True)
class Number:
    """A column that is standardised; `log` applies sign(x) log(1 + |x|) first, mean and std are of what follows."""

    name: str
    log: bool
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True)
class Encoder:
    """Everything needed to encode a row again: fitted once, saved in the checkpoint.

    `features` is the declared schema it was fitted on, as [name, type, unit]: what `evaluate` compares with a day's.
    """

    categories: tuple[Category, ...]
    numbers: tuple[Number, ...]
    features: tuple[tuple[str, str, str], ...]

    @property
    def rows(self) -> int:
        """Rows of the shared embedding table."""
        return sum(category.buckets for category in self.categories)

    @property
    def columns(self) -> list[str]:
        """Columns to read, `feature_states` included."""
        names = [c.name for c in self.categories] + [n.name for n in self.numbers] + ["feature_states"]
        return list(dict.fromkeys(names))


def input_fields(
    features: Sequence[FeatureSpec], *, present: set[str], hash_buckets: int
) -> tuple[tuple[Category, ...], tuple[Number, ...]]:
    """Which columns are looked up and which are numbers.

    Parameters
    ----------
    features : declared features of the day
    present : set of str
        Columns of the table: author_id is used only where there is one.
    hash_buckets : int >= 2
        Buckets of an id; words get 4096 at most.
    """
    words = [f.name for f in features if f.type == "string" or (f.type == "int" and f.source == "context")]
    sizes = {name: hash_buckets for name in _IDS if name in present}
    sizes |= {name: min(hash_buckets, _STRING_BUCKETS) for name in words}
    offsets = np.cumsum([0, *sizes.values()])
    categories = tuple(Category(n, size, int(o)) for (n, size), o in zip(sizes.items(), offsets, strict=False))
    numbers = tuple(
        Number(f.name, log=f.type == "bigint" or (f.type == "double" and f.unit == "s"))
        for f in features
        if f.name not in sizes and not f.type.startswith("array")  # lists are for models of sequences
    )
    return categories, numbers


def squash(values: npt.NDArray[np.float64], logs: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """sign(x) log(1 + |x|) in the columns of (B, N) that `logs` (N,) marks."""
    return np.where(logs, np.sign(values) * np.log1p(np.abs(values)), values)


def hash_bucket(values: pa.Array, *, buckets: int) -> npt.NDArray[np.int64]:
    """Buckets 1 .. buckets - 1 of ids, whole numbers or words; 0 for null. The same on every machine and run.

    Whole numbers go through the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), words through the
    SipHash of `pandas.util.hash_array` with its fixed key, once for each distinct word.
    """
    valid = ~values.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        hashed = _mix(values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint64))
    else:
        coded = values.cast(pa.string()).fill_null("").dictionary_encode()
        words = np.asarray(coded.dictionary.to_pylist(), dtype=object)
        of_word = pd.util.hash_array(words, categorize=False)
        hashed = of_word[coded.indices.to_numpy()] if len(words) else np.zeros(len(values), dtype=np.uint64)
    return np.where(valid, (hashed % np.uint64(buckets - 1)).astype(np.int64) + 1, 0)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)  # wraps around, as it should
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def encode(
    encoder: Encoder, batch: pa.RecordBatch, *, state_order: Sequence[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """One batch as the network's two inputs.

    Parameters
    ----------
    encoder : Encoder
    batch : RecordBatch of B rows with the columns `encoder.columns`
    state_order : names
        Features of this batch's own day, in the order of the bytes of `feature_states`.

    Returns
    -------
    ids : (B, F) int64, rows of the embedding table
    dense : (B, 2 N) float32, N standardised numbers and then N missing bits
    """
    looked_up = [hash_bucket(column(batch, c.name), buckets=c.buckets) + c.offset for c in encoder.categories]
    ids = np.stack(looked_up, axis=1)  # (B, F)
    names = [number.name for number in encoder.numbers]
    values, _ = number_matrix(batch, names)  # (B, N), NaN where there is none
    missing = np.isin(state_matrix(batch, state_order, names=names), MISSING_STATES) | np.isnan(values)
    scaled = (squash(values, _array(encoder, "log", dtype=bool)) - _array(encoder, "mean")) / _array(encoder, "std")
    dense = np.clip(np.nan_to_num(scaled, nan=0.0), -CLIP, CLIP)
    return ids, np.concatenate([dense, missing], axis=1, dtype=np.float32)


def _array(encoder: Encoder, attribute: str, *, dtype: type = float) -> npt.NDArray[Any]:
    return np.array([getattr(number, attribute) for number in encoder.numbers], dtype=dtype)


def encoder_to_dict(encoder: Encoder) -> dict[str, Any]:
    """Plain values for JSON; floats keep all their digits."""
    return asdict(encoder)


def encoder_from_dict(values: Mapping[str, Any]) -> Encoder:
    """Inverse of `encoder_to_dict`; raises KeyError or TypeError where the values are not one's."""
    return Encoder(
        tuple(Category(**c) for c in values["categories"]),
        tuple(Number(**n) for n in values["numbers"]),
        tuple((str(name), str(kind), str(unit)) for name, kind, unit in values["features"]),
    )

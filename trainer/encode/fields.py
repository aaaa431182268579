"""What an encoder knows of each column, as frozen plain data that goes through JSON and back without loss.

Looked-up columns share one embedding table, one after another. Row 0 of each is for a cell without a measured value:
null, NaN, infinite, or filled in. F looked-up columns, N dense inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = [
    "Buckets",
    "Category",
    "Encoder",
    "Hash",
    "MISSING",
    "Number",
    "Vocabulary",
    "encoder_from_dict",
    "encoder_to_dict",
]

Side = Literal["user", "item", "cross"]
MISSING = "?missing"  # behind a number's name: the input that says that it is missing


@dataclass(frozen=True)
class Hash:
    """Whole numbers or words by their hash: rows 1 .. buckets - 1."""

    name: str
    buckets: int
    side: Side = "cross"

    @property
    def rows(self) -> int:
        """Of the embedding table."""
        return self.buckets


@dataclass(frozen=True)
class Vocabulary:
    """Whole numbers or words by a row of their own: row 1 is for a value that is not in `values`, row 2 for its first.

    `values` are those met at least `min_count` times, the most frequent first, equally frequent ones by value.
    """

    name: str
    values: tuple[int, ...] | tuple[str, ...] = ()
    min_count: int = 1
    side: Side = "cross"

    @property
    def rows(self) -> int:
        """Of the embedding table."""
        return len(self.values) + 2

    @property
    def words(self) -> bool:
        """Whether the values are words."""
        return bool(self.values) and isinstance(self.values[0], str)

    @cached_property
    def index(self) -> pd.Index:
        """Places of the values in `values`, ready for several threads: pandas fills its hash table at the first use."""
        index = pd.Index(self.values, dtype=object if self.words else np.int64)
        index.get_indexer(index[:1])
        return index


@dataclass(frozen=True)
class Buckets:
    """A number by the quantile it falls into: row 1 + how many of the edges are at most x.

    Attributes
    ----------
    edges : increasing
        Different ones of the k / buckets quantiles.
    buckets : int
        Asked for; edges that fall together leave fewer.
    error : float
        Bound of the edges' relative error, seen downwards; 0: they are numpy's own.
    """

    name: str
    buckets: int
    edges: tuple[float, ...] = ()
    error: float = 0.0
    side: Side = "cross"

    @property
    def rows(self) -> int:
        """Of the embedding table."""
        return len(self.edges) + 2

    @property
    def exact(self) -> bool:
        """Whether the edges equal numpy's."""
        return self.error == 0.0


Category = Hash | Vocabulary | Buckets
_KINDS: dict[str, type[Category]] = {"hash": Hash, "vocabulary": Vocabulary, "buckets": Buckets}


@dataclass(frozen=True)
class Number:
    """A dense input: (x - mean) / std, cut at +- clip; 0 where there is no value.

    `log` applies sign(x) log(1 + |x|) first, mean and std are of what follows; `missing` adds a second input. Without
    `standardise` mean and std stay 0 and 1.
    """

    name: str
    log: bool
    mean: float = 0.0
    std: float = 1.0
    standardise: bool = True
    clip: float | None = 6.0  # beyond 6 deviations lies almost nothing but errors, which must not pull the weights
    missing: bool = True
    side: Side = "cross"


class Scales(NamedTuple):
    """What the N numbers are worked on with: their places, the first `logs` of them with a logarithm, and (N, 1) arrays."""

    order: list[int]
    logs: int
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    limit: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Encoder:
    """Everything needed to encode a row again: fitted once, saved in the checkpoint.

    Attributes
    ----------
    categories : looked-up columns: the ids first, then features
    numbers : dense columns
    features : declared features that the encoder reads, as (name, type, unit)
    """

    categories: tuple[Category, ...]
    numbers: tuple[Number, ...]
    features: tuple[tuple[str, str, str], ...]

    @property
    def rows(self) -> int:
        """Rows of the shared embedding table."""
        return sum(category.rows for category in self.categories)

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """First row of each looked-up column in the shared table, (F,)."""
        return np.cumsum([0, *(category.rows for category in self.categories)], dtype=np.int64)[:-1]

    @cached_property
    def scales(self) -> Scales:
        """Means, deviations and limits of the numbers as arrays; a number that is not cut ends where float32 does."""
        largest = float(np.finfo(np.float32).max)
        order = sorted(range(len(self.numbers)), key=lambda i: not self.numbers[i].log)
        sorted_ = [self.numbers[i] for i in order]
        values = [(n.mean, n.std, largest if n.clip is None else n.clip) for n in sorted_]
        mean, std, limit = np.array(values, dtype=np.float64).reshape(-1, 3).T[:, :, None]
        return Scales(order, sum(n.log for n in sorted_), mean, std, limit)

    @property
    def columns(self) -> list[str]:
        """Columns to read, `feature_states` included."""
        return [field.name for field in (*self.categories, *self.numbers)] + ["feature_states"]

    @property
    def fields(self) -> list[str]:
        """Names of the looked-up columns, in the order of `ids`."""
        return [category.name for category in self.categories]

    @property
    def dense(self) -> list[str]:
        """Names of the dense inputs, in their order: all numbers, then the missing bits of those that have one."""
        return [n.name for n in self.numbers] + [n.name + MISSING for n in self.numbers if n.missing]

    @property
    def sides(self) -> dict[str, Side]:
        """What each of `fields` and `dense` is about: the user, the item, or (cross) both or the request."""
        known: dict[str, Side] = {field.name: field.side for field in (*self.categories, *self.numbers)}
        return known | {name: known[name.removesuffix(MISSING)] for name in self.dense}


def encoder_to_dict(encoder: Encoder) -> dict[str, Any]:
    """Plain values for JSON; floats keep all their digits."""
    kinds = {kind: name for name, kind in _KINDS.items()}
    return {
        "categories": [{"kind": kinds[type(c)], **_values(c)} for c in encoder.categories],
        "numbers": [_values(number) for number in encoder.numbers],
        "features": [list(feature) for feature in encoder.features],
    }


def _values(field: Category | Number) -> dict[str, Any]:
    found = {f.name: getattr(field, f.name) for f in fields(field)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def encoder_from_dict(values: Mapping[str, Any]) -> Encoder:
    """Inverse of `encoder_to_dict`; raises KeyError, TypeError or ValueError where the values are not one's."""
    return Encoder(
        tuple(_category(category) for category in values["categories"]),
        tuple(Number(**number) for number in values["numbers"]),
        tuple((str(name), str(kind), str(unit)) for name, kind, unit in values["features"]),
    )


def _category(values: Mapping[str, Any]) -> Category:
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    kind = given.pop("kind")
    if kind not in _KINDS:
        raise ValueError(f"encoding {kind!r} of {given.get('name')}, known are {', '.join(_KINDS)}")
    return _KINDS[kind](**given)

"""What traffic is cut by: a code for every row in every slice, and slices put together so that rows are counted few times."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.states import NO_ENTITY
from headrace.config import Feature
from headrace.config.coverage import Slice

__all__ = ["OTHER", "Cut", "Joint", "cuts_of", "joints_of"]

OTHER = "(other)"
KNOWN, UNKNOWN = "known", "never seen"
_MOST_CELLS = 512
Ints = NDArray[np.int64]
Reader = Callable[[str], pa.Array]


@dataclass(frozen=True)
class Cut:
    """One slice of one day.

    Attributes
    ----------
    values : value of every code; None is null
    witness : index of a feature whose state tells whether the key was known; None where a column is read
    """

    declared: Slice
    values: tuple[str | None, ...]
    witness: int | None = None

    def codes(self, read: Reader, states: NDArray[np.uint8]) -> Ints:
        """Code of each row (N,). `read` gives a column of the training set, `states` are (F, N)."""
        if self.witness is not None:
            return (states[self.witness] == NO_ENTITY).astype(np.int64)
        column = read(str(self.declared.column))
        return self._bands(column) if self.declared.edges else self._values(column)

    def _bands(self, column: pa.Array) -> Ints:
        numbers = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
        codes = np.searchsorted(np.array(self.declared.edges), numbers, side="right")
        codes[np.isnan(numbers)] = len(self.values) - 1
        return codes

    def _values(self, column: pa.Array) -> Ints:
        coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        other, null = len(self.values) - 2, len(self.values) - 1
        known = {value: code for code, value in enumerate(self.values[:other])}
        texts = coded.dictionary.cast(pa.string()).to_pylist()
        table = np.array([*(known.get(text, other) for text in texts), null], dtype=np.int64)
        return table[coded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)]


def cuts_of(
    slices: Sequence[Slice],
    features: Sequence[Feature],
    *,
    entities: Mapping[str, str],
    kept: Mapping[str, Sequence[str]],
) -> list[Cut]:
    """The slices of one day.

    Parameters
    ----------
    slices : headrace.config.slices_of
    entities : groups without segment -> their entity
    kept : slice -> the values with most traffic, of those that count values
    """
    found = []
    for declared in slices:
        if declared.known:
            found.append(Cut(declared, (KNOWN, UNKNOWN), _witness(features, entities, declared.known)))
        elif declared.edges:
            found.append(Cut(declared, (*declared.bands, None)))
        else:
            values = [value for value in kept.get(declared.name, ()) if value != OTHER]
            found.append(Cut(declared, (*values, OTHER, None)))
    return found


def _witness(features: Sequence[Feature], entities: Mapping[str, str], entity: str) -> int:
    """A feature whose state is no_entity for unknown keys alone."""
    sources = [f"group:{group}" for group, of in entities.items() if of == entity]
    return next(i for i, feature in enumerate(features) if feature.source in sources)


@dataclass(frozen=True)
class Joint:
    """Slices whose values are counted together: one cell for each combination, summed up to slices afterwards.

    Attributes
    ----------
    places : of its cuts among all cuts; none for the whole of the traffic
    shape : values of each
    """

    places: tuple[int, ...]
    shape: tuple[int, ...]

    def cells(self, codes: Sequence[Ints], rows: int) -> Ints:
        """Cell of each row (N,)."""
        cell = np.zeros(rows, np.int64)
        for place, size in zip(self.places, self.shape, strict=True):
            cell = cell * size + codes[place]
        return cell


def joints_of(cuts: Sequence[Cut]) -> list[Joint]:
    """Few joints of at most 512 cells (one large slice may have more), after that of the whole."""
    chosen: list[list[int]] = []
    for place in sorted(range(len(cuts)), key=lambda i: -len(cuts[i].values)):
        size = len(cuts[place].values)
        fits = (own for own in chosen if size * prod(len(cuts[i].values) for i in own) <= _MOST_CELLS)
        own = next(fits, None)
        if own is None:
            chosen.append([place])
        else:
            own.append(place)
    return [Joint((), ()), *(Joint(tuple(own), tuple(len(cuts[i].values) for i in own)) for own in chosen)]

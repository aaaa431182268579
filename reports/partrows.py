"""What was counted of one feature in all slices, as one table of parts. Numpy and Arrow only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.states import STATES
from reports.bins import BITS_OF_SLICE, BITS_OF_WHOLE
from reports.parts import PARTS, listed
from reports.slices import Cut
from reports.values import FIRST_VALUE, ZERO, Floats, Ints, Values

__all__ = ["SlicePart", "part_table"]

_TEXTS_SENT = 200
_CODES = {"real": FIRST_VALUE, "true_zero": ZERO, "default_filled": 0, "null": 1, "stale": 2, "no_entity": 3}
_KINDS = {name: PARTS.field(name).type for name in PARTS.names}
_Listed = tuple[Ints, Ints, Ints]


@dataclass(frozen=True)
class SlicePart:
    """Counts of V values of one slice.

    Attributes
    ----------
    cut : None for the whole
    rows, units : by code (V, B)
    squares : squared weights (V,)
    moments : (V, 5), see reports.count
    registers : (V, M), or None for lists
    bins : of codes 4, 5, ..., for numbers
    """

    cut: Cut | None
    rows: Ints
    units: Ints
    squares: Floats
    moments: Floats
    registers: NDArray[np.uint8] | None
    values: Values
    bins: Ints

    def filled(self) -> "SlicePart":
        """Without the values that have no rows."""
        have = np.flatnonzero(self.rows.any(axis=1))
        own = self.registers[have] if self.registers is not None else None
        arrays = (self.rows[have], self.units[have], self.squares[have], self.moments[have])
        cut = self.cut and Cut(self.cut.declared, tuple(self.cut.values[i] for i in have), self.cut.witness)
        return SlicePart(cut, *arrays, own, self.values, self.bins)


def part_table(parts: Sequence[SlicePart], *, feature: int, day: int) -> pa.Table:
    """PARTS of the values that have rows, of all slices of one feature."""
    filled = [part.filled() for part in parts]
    sizes = np.array([len(part.rows) for part in filled])
    first, count = np.cumsum(sizes) - sizes, int(sizes.sum())
    names = [("all" if part.cut is None else part.cut.declared.name) for part in filled]
    values = [value for part in filled for value in (["all"] if part.cut is None else part.cut.values)]
    made: dict[str, pa.Array] = {
        "feature": pa.array(np.full(count, feature)),
        "day": pa.array(np.full(count, day, np.int32)),
        "slice": pa.array(names).take(pa.array(np.repeat(np.arange(len(names)), sizes))),
        "value": pa.array(values, pa.string()),
        "squares": pa.array(np.concatenate([part.squares for part in filled])),
    }
    for kind, states in (("rows", _states(filled, "rows")), ("units", _states(filled, "units"))):
        made |= {f"{kind}_{state}": pa.array(states[:, place].copy()) for place, state in enumerate(STATES)}
    moments = np.concatenate([part.moments for part in filled])
    for column, name in enumerate(("mean", "m2", "low", "high"), start=1):
        made[name] = pa.array(moments[:, column].copy(), mask=~(moments[:, 0] > 0))
    made |= _infinite(filled, count)
    made |= _lists([_bins(part) for part in filled], first, count, keys="bins", units="bin_units")
    made |= _lists(
        [_texts(part) for part in filled], first, count, keys="texts", units="text_units", names=_named(filled)
    )
    made["registers"] = pa.array([blob for part in filled for blob in _blobs(part)], pa.binary())
    return pa.table([made[name] for name in PARTS.names], schema=PARTS)


def _states(parts: Sequence[SlicePart], kind: str) -> Ints:
    """Rows or units (V, 6) in each state."""
    found = []
    for part in parts:
        counted: Ints = getattr(part, kind)
        special = counted[:, [_CODES[state] for state in STATES[1:]]]
        found.append(np.concatenate([counted[:, FIRST_VALUE:].sum(axis=1)[:, None], special], axis=1))
    return np.concatenate(found)


def _infinite(parts: Sequence[SlicePart], count: int) -> dict[str, pa.Array]:
    found = {"rows_infinite": np.zeros(count, np.int64), "units_infinite": np.zeros(count, np.int64)}
    start = 0
    for part in parts:
        own = slice(start, start + len(part.rows))
        endless = np.abs(part.bins) == 0x7FF << (BITS_OF_WHOLE if part.cut is None else BITS_OF_SLICE)
        if endless.any():
            codes = ZERO + np.flatnonzero(endless)
            found["rows_infinite"][own] = part.rows[:, codes].sum(axis=1)
            found["units_infinite"][own] = part.units[:, codes].sum(axis=1)
        start = own.stop
    return {name: pa.array(values) for name, values in found.items()}


def _bins(part: SlicePart) -> _Listed:
    """Row, bin and units of what is in bins, by row and bin."""
    order = np.argsort(part.bins, kind="stable")
    units = part.units[:, ZERO : ZERO + len(order)][:, order]
    row, at = np.nonzero(units)
    return row, part.bins[order][at], units[row, at]


def _named(parts: Sequence[SlicePart]) -> pa.Array:
    texts = parts[0].values.texts if parts else ()
    return pa.array(list(texts[1:-1]), pa.string())


def _texts(part: SlicePart) -> _Listed:
    """Row, text (its place among those named) and units of the texts with the greatest weight, greatest first."""
    named = part.units[:, FIRST_VALUE:-1] if part.values.texts else part.units[:, :0]
    top = np.argsort(-named, axis=1, kind="stable")[:, :_TEXTS_SENT]
    weight = np.take_along_axis(named, top, axis=1)
    row, place = np.nonzero(weight)
    return row, top[row, place], weight[row, place]


def _lists(
    found: Sequence[_Listed], first: Ints, count: int, *, keys: str, units: str, names: pa.Array | None = None
) -> dict[str, pa.Array]:
    """Lists of what was found in each part, whose rows begin at `first`."""
    owner = np.concatenate([row + start for (row, _, _), start in zip(found, first, strict=True)])
    key = pa.array(np.concatenate([key for _, key, _ in found]))
    weight = pa.array(np.concatenate([weight for _, _, weight in found]))
    return {
        keys: listed(owner, names.take(key) if names is not None else key, count=count, kind=_KINDS[keys]),
        units: listed(owner, weight, count=count, kind=_KINDS[units]),
    }


def _blobs(part: SlicePart) -> list[bytes | None]:
    if part.registers is None:
        return [None] * len(part.rows)
    size = part.registers.shape[1]
    whole = part.registers.tobytes()
    return [whole[start : start + size] for start in range(0, len(whole), size)]

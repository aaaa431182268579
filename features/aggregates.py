"""Every aggregate: from the statistics of one group to one Arrow column per cell. Definitions: docs/aggregates.md."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from features import int128
from features.asked import Asked
from features.axis import Ints
from features.contents import distinct, last_k, quantile, top_k
from features.ranges import extremes
from features.statistics import Bools, Floats, Statistics
from features.windows import Span, last_seen
from headrace.config import LIMBS, Cell
from headrace.durations import Window

__all__ = ["compute", "exact_variance"]

MICROUNITS = 1e6
_EVER = Span(0, None)


def compute(
    cells: Sequence[Cell],
    windows: dict[Window, int],
    *,
    own: Statistics,
    whole: Statistics | None,
    everyone: Statistics | None,
    known: Bools,
) -> list[pa.Array]:
    """One column per cell, in order."""
    group = Asked(windows, own, whole, everyone, known)
    return [_COMPUTE[cell.aggregate](group, cell) for cell in cells]


def _count(group: Asked, cell: Cell) -> pa.Array:
    return group.rows(group.own.total(f"{cell.metric}_count", group.number(cell)))


def _sum(group: Asked, cell: Cell) -> pa.Array:
    return group.rows(group.own.total(f"{cell.metric}_sum", group.number(cell)) / MICROUNITS)


def _mean(group: Asked, cell: Cell) -> pa.Array:
    total, count = (group.own.total(f"{cell.metric}_{c}", group.number(cell)) for c in ("sum", "count"))
    return group.rows(total / np.maximum(count * MICROUNITS, 1.0), valid=count > 0)  # rounded once


def _ratio(group: Asked, top: Floats, bottom: Ints) -> pa.Array:
    return group.rows(top / np.maximum(bottom, 1), valid=bottom > 0)


def _variance(group: Asked, cell: Cell) -> pa.Array:
    own, m, w = group.own, cell.metric, group.number(cell)
    count, total = own.total(f"{m}_count", w), own.total(f"{m}_sum", w)
    limbs = [own.total(f"{m}_square_{i}", w) for i in range(LIMBS)]
    variance = exact_variance(count, total, limbs)
    return group.rows(np.sqrt(variance) if cell.aggregate == "std" else variance, valid=count > 0)


def exact_variance(count: Ints, total: Ints, limbs: Sequence[Ints]) -> Floats:
    """Population variance in squared units: (n sum(u^2) - sum(u)^2) / n^2, the numerator in exact integers.

    Parameters
    ----------
    count, total : number and sum in microunits
    limbs : sum of squares in base 2^18 (features.facts)

    Where n sum(u^2) passes 2^127 (values of billions of seconds) doubles take over.
    """
    n = count.astype(np.uint64)
    squares: int128.Wide = (np.zeros_like(n), np.zeros_like(n))
    for place, limb in enumerate(limbs):
        squares = int128.add(squares, int128.shifted(limb.astype(np.uint64), 18 * place))
    high, low = int128.product(squares[1], n)
    scaled = high + squares[0] * n, low
    sums = np.abs(total).astype(np.uint64)
    top = int128.to_float(int128.subtract(scaled, int128.product(sums, sums)))
    safe = np.maximum(count, 1).astype(np.float64)
    huge = int128.to_float(squares) * safe > 2.0**127
    rough = np.maximum(int128.to_float(squares) / safe - (total / safe) ** 2, 0.0)
    return np.where(huge, rough, top / (safe * safe)) / MICROUNITS**2


def _rate(group: Asked, cell: Cell) -> pa.Array:
    top, bottom = _sides(group.own, cell, group.number(cell))
    return _ratio(group, top.astype(np.float64), bottom)


def _sides(statistics: Statistics, cell: Cell, window: int) -> tuple[Ints, Ints]:
    return statistics.total(f"{cell.metric}_count", window), statistics.total(f"{cell.over}_count", window)


def _smoothed(group: Asked, cell: Cell) -> pa.Array:
    """(numerator + k * prior) / (denominator + k), docs/design.md section 5; null where the population is empty."""
    assert group.everyone is not None and cell.strength is not None
    w, back = group.number(cell), group.own.back
    top, bottom = _sides(group.own, cell, w)
    all_top, all_bottom = (side[group.everyone.back] for side in _sides(group.everyone, cell, w))
    rate = all_top / np.maximum(all_bottom, 1)
    values = (top[back] + cell.strength * rate) / (bottom[back] + cell.strength)
    return pa.array(values, mask=~(group.known & (all_bottom > 0)))


def _share(group: Asked, cell: Cell) -> pa.Array:
    """The segment's events over the key's in all segments; null where the key has none."""
    assert group.whole is not None
    column, w = f"{cell.metric}_count", group.number(cell)
    part, total = group.own.total(column, w)[group.own.back], group.whole.total(column, w)[group.whole.back]
    return pa.array(part / np.maximum(total, 1), mask=~(group.known & (total > 0)))


def _trend(group: Asked, cell: Cell) -> pa.Array:
    """The rate in the short window over that in the long one; null where either has no rate, or the long one is 0."""
    assert cell.longer is not None
    top, bottom = _sides(group.own, cell, group.number(cell))
    long_top, long_bottom = _sides(group.own, cell, group.windows[cell.longer])
    valid = (bottom > 0) & (long_top > 0) & (long_bottom > 0)
    long_rate = np.where(valid, long_top, 1) / np.where(valid, long_bottom, 1)
    return group.rows(top / np.maximum(bottom, 1) / long_rate, valid=valid)


def _extreme(group: Asked, cell: Cell) -> pa.Array:
    points = group.own.value_points(f"{cell.metric}_{cell.aggregate}")
    span = group.own.spans[group.number(cell)]
    best, found = extremes(points, group.own.queries, span, largest=cell.aggregate == "max")
    return group.rows(np.where(found, best, 0) / MICROUNITS, valid=found)


def _edge(group: Asked, cell: Cell) -> pa.Array:
    stem = f"{cell.metric}_{'earliest' if cell.aggregate == 'first' else 'latest'}"
    points, values = group.own.edge_points(f"{stem}_ts", f"{stem}_value")
    span = group.own.spans[group.number(cell)]
    best, found = extremes(points, group.own.queries, span, largest=cell.aggregate == "last")
    shown = values[np.where(found, best, 0)] if len(values) else np.zeros(len(found), np.int64)
    return group.rows(shown / MICROUNITS, valid=found)


def _recency(group: Asked, cell: Cell) -> pa.Array:
    own, column = group.own.lasting, group.own.lasting.tiles.column(f"{cell.metric}_last_ts")
    present = np.asarray(column.is_valid().to_numpy())
    moments = np.asarray(column.fill_null(0).to_numpy(), dtype=np.int64)
    last, found = last_seen(own.edges, own.codes, moments, present=present)
    return group.rows((own.queries.as_of * own.tick - last) / MICROUNITS, valid=found)


def _age(group: Asked, cell: Cell) -> pa.Array:
    points = group.own.lasting.value_points(f"{cell.metric}_first_ts")
    first, found = extremes(points, group.own.queries, _EVER, largest=False)
    elapsed = group.own.queries.as_of * group.own.tick - np.where(found, first, 0)
    return group.rows(elapsed / MICROUNITS, valid=found)


_COMPUTE: dict[str, Callable[[Asked, Cell], pa.Array]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "variance": _variance,
    "std": _variance,
    "rate": _rate,
    "rate_smoothed": _smoothed,
    "share": _share,
    "trend": _trend,
    "min": _extreme,
    "max": _extreme,
    "first": _edge,
    "last": _edge,
    "recency": _recency,
    "age": _age,
    "distinct": distinct,
    "quantile": quantile,
    "top_k": top_k,
    "last_k": last_k,
}

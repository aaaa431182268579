"""Tiles of some keys, and the distinct moments asked about them: sums, extremes and contents of windows, computed once."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.axis import Ints
from features.facts import ragged_of, ranked
from features.ranges import Points, Queries, make_points
from features.state import Base
from features.windows import Edges, Span, window_edges, window_sums

__all__ = ["Bools", "Floats", "Statistics", "ints"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
_Made = tuple[Points, pa.Array]


def ints(column: pa.ChunkedArray) -> Ints:
    """A column without nulls as int64.

    Raises
    ------
    ValueError
        There are nulls: NaN on the way to int64 would be a number that nobody measured.
    """
    if column.null_count:
        raise ValueError(f"tiles: found {column.null_count} nulls where none may be, wanted tiles of one configuration")
    return np.asarray(column.to_numpy(), dtype=np.int64)


class Statistics:
    """What can be asked of one set of tiles, one answer per distinct (code, as_of).

    Parameters
    ----------
    tiles : table of T tiles, times as int64 microseconds
    codes : Ints (T,), key (x segment) of each tile
    asked, as_of : Ints (Q,), distinct queries, as_of in ticks
    back : Ints (N,), the query of each row
    tick : microseconds of a tick
    spans : windows in ticks
    n_codes : all codes are below it
    base : sums at an earlier moment; `tiles` are then those that enter or leave a window since, or are read in full
    lasting : tiles and codes for what no window bounds; None: the same
    """

    def __init__(
        self, tiles: pa.Table, codes: Ints, asked: Ints, as_of: Ints, back: Ints, tick: int, spans: tuple[Span, ...],
        n_codes: int, *, base: Base | None = None, lasting: tuple[pa.Table, Ints] | None = None,
    ) -> None:  # fmt: skip
        self.tiles, self.codes, self.back, self.tick, self.spans = tiles, codes, back, tick, spans
        self.queries, self.n_codes, self.base = Queries(asked, as_of), n_codes, base
        self.lasting = self if lasting is None else Statistics(*lasting, asked, as_of, back, tick, (), n_codes)
        self._sums: dict[tuple[str, int], Ints] = {}
        self._points: dict[str, _Made] = {}

    @cached_property
    def event(self) -> Ints:
        """Event tick of each tile."""
        return ints(self.tiles.column("event_hour")) // self.tick

    @cached_property
    def visible(self) -> Ints:
        """Visible tick of each tile."""
        return ints(self.tiles.column("visible_hour")) // self.tick

    @cached_property
    def edges(self) -> Edges:
        """Window edges of every query."""
        return window_edges(
            self.codes,
            self.event,
            self.visible,
            query_codes=self.queries.codes,
            as_of=self.queries.as_of,
            spans=self.spans,
            n_codes=self.n_codes,
            since=None if self.base is None else self.base.since,
        )

    def total(self, column: str, window: int) -> Ints:
        """Window sum of a tile column, (Q,)."""
        if (column, window) not in self._sums:
            values = ints(self.tiles.column(column))
            total = window_sums(self.edges, values, window=window)
            if self.base is not None:
                total = total + self.base.sums[column, window][self.queries.codes]
            self._sums[column, window] = total
        return self._sums[column, window]

    def value_points(self, column: str) -> Points:
        """Tiles with a value in `column`, ranked by it."""

        def make() -> _Made:
            values = self.tiles.column(column)
            return self._placed(values, _filled(values)), pa.nulls(0)

        return self._made(column, make)[0]

    def edge_points(self, moments: str, column: str) -> tuple[Points, Ints]:
        """Tiles ranked by (moment, value) of their first or last event, and the value of each rank."""

        def make() -> _Made:
            times, values = (_filled(self.tiles.column(c)) for c in (moments, column))
            order = np.lexsort((values, times))
            ranks = np.empty(len(order), np.int64)
            ranks[order] = np.arange(len(order))
            return self._placed(self.tiles.column(column), ranks), pa.array(values[order])

        points, values = self._made(column, make)
        return points, np.asarray(values, np.int64)

    def list_points(self, values: str, counts: str | None) -> tuple[Points, pa.Array]:
        """Entries of a list column as points ranked by value, and the value of each rank."""

        def make() -> _Made:
            lists = ragged_of([self.tiles.column(c) for c in (values, counts) if c])
            ranks, distinct = ranked(lists.columns[0])
            weights = np.asarray(lists.columns[1], np.int64) if counts else None
            own = lists.rows
            return make_points(self.codes[own], self.event[own], self.visible[own], ranks, weights), distinct

        return self._made(values, make)

    def moment_points(self, values: str, moments: str) -> tuple[Points, pa.Array, Queries]:
        """Entries with a moment of their own, placed at it; and the queries in microseconds, as such moments are."""

        def make() -> _Made:
            lists = ragged_of([self.tiles.column(c) for c in (values, moments)])
            ranks, distinct = ranked(lists.columns[0])
            own, at = lists.rows, np.asarray(lists.columns[1].cast(pa.int64()), np.int64)
            visible = np.maximum(self.visible[own] * self.tick, at)
            return make_points(self.codes[own], at, visible, ranks), distinct

        points, distinct = self._made(values, make)
        return points, distinct, Queries(self.queries.codes, self.queries.as_of * self.tick)

    def _placed(self, values: pa.ChunkedArray, ranks: Ints) -> Points:
        there = np.asarray(values.is_valid().to_numpy())
        return make_points(self.codes[there], self.event[there], self.visible[there], ranks[there])

    def _made(self, name: str, make: Callable[[], _Made]) -> _Made:
        if name not in self._points:
            self._points[name] = make()
        return self._points[name]


def _filled(values: pa.ChunkedArray) -> Ints:
    return np.asarray(values.fill_null(0).to_numpy(), np.int64)

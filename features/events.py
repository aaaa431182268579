"""Conformed events straight from their Parquet files to the columns that tiles are made of. Arrow and numpy only."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.axis import Ints
from features.conditions import bits_of, by_value, holds
from headrace.arrowfiles import OpenPart, Piece, open_parts
from headrace.config import Metric

__all__ = ["MICROUNITS", "event_columns", "read_events"]

MICROUNITS = 1_000_000


def read_events(
    pieces: Sequence[Sequence[Piece]], *, keys: Sequence[str], metrics: dict[str, Metric]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.Table]]:
    """A reader for the pieces of `headrace.arrowfiles.file_tasks` over files tagged `impressions` and `engagements`.

    Yields tables of `keys` and features.combine.EVENT_COLUMNS.
    """

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        for part in open_parts(batches, pieces, dictionaries=["action"]):
            for raw in part.tables(_columns(part, keys)):
                yield event_columns(raw, keys=keys, metrics=metrics, ds_number=part.ds_number)

    return run


def _columns(part: OpenPart, keys: Sequence[str]) -> list[str]:
    own = ["action", "value", "is_first"] if part.tag == "engagements" else []
    return [*keys, "event_ts", "effective_arrival_ts", *own]


def event_columns(raw: pa.Table, *, keys: Sequence[str], metrics: dict[str, Metric], ds_number: int) -> pa.Table:
    """Raw rows of one table and day with times in microseconds, a bit per metric, and values in microunits (S22)."""
    rows = raw.num_rows
    arrival = raw.column("effective_arrival_ts").cast(pa.int64())
    if "action" in raw.column_names:
        matches, units = _matches(raw, metrics), _units(raw)
    else:
        shown = bits_of(metrics, "impression", once=False) | bits_of(metrics, "impression", once=True)
        matches, units = np.full(rows, shown, np.int64), np.zeros(rows, np.int64)
    return pa.table(
        {
            **{key: raw.column(key) for key in keys},
            "event_us": raw.column("event_ts").cast(pa.int64()),
            "arrival_us": arrival,
            "own_us": arrival,
            "matches": matches,
            "units": units,
            "ds_number": np.full(rows, ds_number, np.int64),
        }
    )


def _matches(raw: pa.Table, metrics: dict[str, Metric]) -> Ints:
    """The bits of each row's action, looked up once per distinct action; `once` needs the first of its kind (S19)."""
    actions = raw.column("action").combine_chunks()
    actions = actions if pa.types.is_dictionary(actions.type) else actions.dictionary_encode()
    actions = actions.combine_chunks() if isinstance(actions, pa.ChunkedArray) else actions
    names = actions.dictionary.to_pylist()
    always = np.array([bits_of(metrics, name, once=False) for name in names], dtype=np.int64)
    first = np.array([bits_of(metrics, name, once=True) for name in names], dtype=np.int64)
    if not names:
        return np.zeros(raw.num_rows, np.int64)
    codes = actions.indices.to_numpy(zero_copy_only=False)
    is_first = raw.column("is_first").to_numpy(zero_copy_only=False)
    bits: Ints = always[codes] | np.where(is_first, first[codes], 0)
    for place, metric in by_value(metrics):  # none, as a rule
        counts = holds(metric, raw.column("value")) & (
            codes == (names.index(metric.action) if metric.action in names else -1)
        )
        bits |= np.where(counts & is_first if metric.once else counts, 1 << place, 0)
    return bits


def _units(raw: pa.Table) -> Ints:
    values = pc.fill_null(raw.column("value"), 0.0).to_numpy()
    return np.rint(values * MICROUNITS).astype(np.int64)

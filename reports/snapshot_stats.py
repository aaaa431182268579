"""What the serve snapshot of a day holds of every statistic: one row a key, read column by column from stats_<group>. No Spark."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.evidence import as_of_moment
from headrace.config import Config, Feature, feature_columns, group_cells
from headrace.config.columns import source_columns
from headrace.days import day_end, epoch_micros
from headrace.errors import InputError
from reports.bins import BITS_OF_WHOLE, QUANTILES, bin_codes
from reports.measured import Measured
from reports.page_delta import Opened, batches, open_table

__all__ = ["snapshot_features"]

_ELAPSED = ("recency", "age")  # grow by themselves, so that a key without news is not written again
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def snapshot_features(config: Config, *, ds: date) -> dict[str, Measured]:
    """Statistics of the snapshot of `ds`: of every key its newest row up to that day, every key weighed alike.

    Coverage is the share of rows whose cell is not null; nothing is filled there, and nothing is stale. Profiles and
    context are not in it, nor is what the tables do not hold.

    Complexity: memory of key, segment and day of all rows up to `ds`, and of one column.

    Raises
    ------
    InputError
        No group has a snapshot of `ds`.
    """
    found: dict[str, Measured] = {}
    built = False
    for name in config.features.groups:
        table = open_table(config.root, f"stats_{name}")
        if table is not None:
            built = built or ds in table.days
            found |= {one.feature: one for one in _group(config, name, table, ds)}
    if not built:
        raise InputError(
            f"stats of {ds}",
            found="no snapshot with rows of that day",
            wanted="stats_<group> built for the day",
            remedy=f"headrace stats --ds {ds}, or name a day that is there",
        )
    return found


def _group(config: Config, name: str, table: Opened, ds: date) -> Iterator[Measured]:
    span = (config.start_ds or date.min, ds)
    rows = _newest(table, span)
    elapsed = {cell.name for cell in group_cells(config.features.groups[name]) if cell.aggregate in _ELAPSED}
    passed = _passed(config, name, table, span, rows) if elapsed and len(rows) else np.zeros(len(rows))
    held = [one for one in source_columns(feature_columns(config), f"group:{name}") if one.name in table.schema.names]
    for feature in held:
        column = _column(table, feature.name, span).take(pa.array(rows))
        yield _measured(feature, column, added=passed if feature.name in elapsed else None)


def _column(table: Opened, name: str, span: tuple[date, date]) -> pa.ChunkedArray:
    """One column of the rows of a span, in the order of the files; null where a file lacks it."""
    found = [batch.column(0) for batch in batches(table, columns=[name], days=span)]
    return pa.chunked_array(found, table.schema.field(name).type)


def _newest(table: Opened, span: tuple[date, date]) -> Ints:
    """Positions of the newest row of every key (x segment), by key."""
    days = _column(table, "ds", span).cast(pa.int32()).to_numpy()
    keys = _column(table, "key", span).to_numpy()
    segments = np.zeros(len(keys), np.int64)
    if "segment" in table.schema.names:
        coded = _column(table, "segment", span).combine_chunks().dictionary_encode()
        segments = pc.fill_null(coded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    order = np.lexsort((-days, segments, keys))
    differs = [np.diff(side[order]) != 0 for side in (keys, segments)]
    return order[np.concatenate([np.ones(min(len(order), 1), bool), differs[0] | differs[1]])]


def _passed(config: Config, name: str, table: Opened, span: tuple[date, date], rows: Ints) -> Floats:
    """Seconds from the moment that each row speaks of to that of the day's end."""
    end = day_end(span[1], config.timezone)
    now = epoch_micros(as_of_moment(end, config.features.groups[name], config.timezone))
    spoken = _column(table, "as_of", span).take(pa.array(rows)).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return (now - spoken.to_numpy()) / 1e6


def _measured(feature: Feature, column: pa.ChunkedArray, *, added: Floats | None) -> Measured:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return Measured(feature.name, feature.type, _share(len(column) - column.null_count, len(column)), len(column))
    values = column.cast(pa.float64(), safe=False).to_numpy() + (0.0 if added is None else added)
    seen = values[~np.isnan(values)]
    finite = seen[np.isfinite(seen)]
    bins, weights = np.unique(bin_codes(finite, bits=BITS_OF_WHOLE), return_counts=True)
    quantiles = np.quantile(finite, QUANTILES, method="inverted_cdf") if len(finite) else []
    return Measured(
        feature.name,
        feature.type,
        _share(len(seen), len(values)),
        len(values),
        quantiles=tuple(float(value) for value in quantiles),
        bins=bins,
        bin_weights=weights.astype(np.float64),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

"""Arrow columns as numpy arrays: numbers with NaN for null, and the states of cells as bytes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import InputError

__all__ = ["DEFAULT_FILLED", "MISSING_STATES", "column", "integers", "number_matrix", "state_matrix"]

# Bytes of feature_states, as schemas/tables.py documents them: 0 real, 1 true_zero, 2 default_filled, 3 null, 4 stale,
# 5 no_entity.
DEFAULT_FILLED = 2
MISSING_STATES = (2, 3, 4, 5)


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column by name; raises KeyError where there is none."""
    return batch.column(batch.schema.names.index(name)) if name in batch.schema.names else _absent(name)


def _absent(name: str) -> pa.Array:
    raise KeyError(name)


def integers(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.int64]:
    """A whole-number column as (B,) int64; null is 0."""
    return column(batch, name).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)


def number_matrix(batch: pa.RecordBatch, names: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Number and boolean columns side by side.

    Returns
    -------
    values : (B, N) float64, NaN where the cell is null, NaN or infinite
    broken : (N,) int64, cells that were NaN or infinite
    """
    values = np.empty((batch.num_rows, len(names)))
    nulls = np.zeros(len(names), dtype=np.int64)
    for i, name in enumerate(names):
        cells = column(batch, name)
        cells = cells.cast(pa.int8()) if pa.types.is_boolean(cells.type) else cells
        values[:, i] = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)  # null becomes NaN
        nulls[i] = cells.null_count
    bad = ~np.isfinite(values)
    values[bad] = np.nan
    return values, bad.sum(axis=0) - nulls


def state_matrix(batch: pa.RecordBatch, order: Sequence[str], *, names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """States of the cells of `names`, (B, N) uint8, from `feature_states` whose bytes stand in `order`.

    Raises
    ------
    InputError
        A row's bytes are not as many as the day's features.
    """
    cells = column(batch, "feature_states").cast(pa.binary())
    offsets = np.frombuffer(cells.buffers()[1], dtype=np.int32)[cells.offset : cells.offset + len(cells) + 1]
    if cells.null_count or (np.diff(offsets) != len(order)).any():
        raise InputError(
            "training_set: feature_states",
            found=f"{cells.null_count} nulls, lengths {sorted(set(np.diff(offsets).tolist()))[:5]}",
            wanted=f"{len(order)} bytes in every row, one for each feature of the receipt",
            remedy="build the day again: headrace run --rebuild",
        )
    data = cells.buffers()[2]
    flat = np.frombuffer(data if data is not None else b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    places = {name: i for i, name in enumerate(order)}
    return flat.reshape(len(cells), len(order))[:, [places[name] for name in names]]

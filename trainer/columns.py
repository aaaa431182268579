"""Arrow columns as numpy arrays: numbers with NaN for null, and the states of cells as bytes.

B rows, N columns, S features of the day. Rows come as a RecordBatch or as a Table, whose columns may be in chunks.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import InputError

__all__ = [
    "DEFAULT_FILLED",
    "MISSING_STATES",
    "NO_ENTITY",
    "batches",
    "column",
    "floats",
    "integers",
    "is_text",
    "number_matrix",
    "plain",
    "row_states",
    "state_matrix",
    "unmeasured",
    "whole",
    "wrong_type",
]

# Bytes of feature_states, as schemas/tables.py documents them: 0 real, 1 true_zero, 2 default_filled, 3 null, 4 stale,
# 5 no_entity.
DEFAULT_FILLED, NO_ENTITY = 2, 5
MISSING_STATES = (2, 3, 4, 5)


def batches(rows: pa.RecordBatch | pa.Table) -> list[pa.RecordBatch]:
    """The rows in pieces in which every column is one array; nothing is copied."""
    return rows.to_batches() if isinstance(rows, pa.Table) else [rows]


def column(rows: pa.RecordBatch | pa.Table, name: str) -> pa.Array | pa.ChunkedArray:
    """A column by name, in chunks where the rows are a table; raises KeyError where there is none."""
    return rows.column(name)


def integers(rows: pa.RecordBatch | pa.Table, name: str) -> npt.NDArray[np.int64]:
    """A whole-number column as (B,) int64; null is 0."""
    return column(rows, name).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)


def floats(cells: pa.Array | pa.ChunkedArray, *, name: str) -> npt.NDArray[np.float64]:
    """A number or boolean column as (B,) float64, an array of its own; null is NaN. Raises as `plain` does."""
    made = np.empty(len(cells))
    start = 0
    for chunk in cells.chunks if isinstance(cells, pa.ChunkedArray) else [cells]:
        values, nulls = plain(chunk, name=name)
        part = made[start : start + len(values)]
        part[:] = values
        if nulls is not None:
            part[nulls] = np.nan
        start += len(values)
    return made


def plain(cells: pa.Array, *, name: str) -> tuple[npt.NDArray, npt.NDArray[np.bool_] | None]:
    """Numbers as they lie in memory, and where they are null.

    Parameters
    ----------
    cells : whole numbers, floating point, decimals, booleans, or nulls only
    name : str
        For the message.

    Returns
    -------
    values : (B,), read-only, as they lie in memory where they are numbers; what stands in a null cell is arbitrary
    nulls : (B,) bool, or None where there are none

    Raises
    ------
    InputError
        The column holds something else.
    """
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    kind = cells.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        if not (pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
            raise wrong_type(name, kind, wanted="numbers")
        cells = cells.cast(pa.float64() if pa.types.is_decimal(kind) else pa.int64())
    if not cells.null_count:
        return cells.to_numpy(), None
    dtype = np.dtype(cells.type.to_pandas_dtype())
    values = np.frombuffer(cells.buffers()[1], dtype=dtype, count=len(cells), offset=cells.offset * dtype.itemsize)
    return values, _nulls(cells)


def _nulls(cells: pa.Array) -> npt.NDArray[np.bool_]:
    """Where cells are null, from the bits of validity: several times faster than by `is_null`."""
    first, skip = divmod(cells.offset, 8)
    valid = np.frombuffer(cells.buffers()[0], dtype=np.uint8, count=(skip + len(cells) + 7) // 8, offset=first)
    return np.unpackbits(valid, count=skip + len(cells), bitorder="little")[skip:] == 0


def whole(cells: pa.Array, *, name: str) -> tuple[npt.NDArray, npt.NDArray[np.bool_] | None]:
    """Whole numbers or booleans, otherwise as `plain`."""
    values, nulls = plain(cells, name=name)
    if values.dtype.kind not in "iu":
        raise wrong_type(name, cells.type, wanted="whole numbers or words")
    return values, nulls


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds words, coded by a dictionary or not."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def wrong_type(name: str, kind: object, *, wanted: str) -> InputError:
    """For a column that holds something else than its feature declares."""
    return InputError(
        f"training_set: {name}",
        found=f"a column of {kind}",
        wanted=f"{wanted}, as its feature was declared when the encoder was fitted",
        remedy="build the day again: headrace run --ds DAY --rebuild; or train again where the declaration has changed",
    )


def number_matrix(
    rows: pa.RecordBatch | pa.Table, names: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Number and boolean columns side by side.

    Returns
    -------
    values : (B, N) float64, NaN where the cell is null, NaN or infinite; each column lies in one piece
    broken : (N,) int64, cells that were NaN or infinite
    """
    values = np.empty((len(names), rows.num_rows)).T  # (B, N)
    broken = np.zeros(len(names), dtype=np.int64)
    for i, name in enumerate(names):
        cells = column(rows, name)
        made = floats(cells, name=name)
        bad = ~np.isfinite(made)
        made[bad] = np.nan
        values[:, i] = made
        broken[i] = bad.sum() - cells.null_count
    return values, broken


def row_states(batch: pa.RecordBatch, order: Sequence[str]) -> npt.NDArray[np.uint8]:
    """`feature_states` of a batch as (B, S) uint8, read-only and without a copy; a byte for each name of `order`.

    Raises
    ------
    InputError
        A row's bytes are not as many as the day's features.
    """
    cells = column(batch, "feature_states").cast(pa.binary())
    if not len(cells):
        return np.empty((0, len(order)), dtype=np.uint8)
    _, ends, data = cells.buffers()
    offsets = np.frombuffer(ends, dtype=np.int32, count=len(cells) + 1, offset=4 * cells.offset)
    if cells.null_count or (np.diff(offsets) != len(order)).any():
        raise InputError(
            "training_set: feature_states",
            found=f"{cells.null_count} nulls, lengths {sorted(set(np.diff(offsets).tolist()))[:5]}",
            wanted=f"{len(order)} bytes in every row, one for each feature of the receipt",
            remedy="build the day again: headrace run --ds DAY --rebuild",
        )
    flat = np.frombuffer(data if data is not None else b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    return flat.reshape(len(cells), len(order))


def state_matrix(batch: pa.RecordBatch, order: Sequence[str], *, names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """States of the cells of `names`, (B, N) uint8; otherwise as `row_states`."""
    places = {name: i for i, name in enumerate(order)}
    return row_states(batch, order)[:, [places[name] for name in names]]


def unmeasured(states: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where a value, if there is any, was filled in: default_filled, and no_entity, which comes before it (S31, S33)."""
    return (states == DEFAULT_FILLED) | (states == NO_ENTITY)

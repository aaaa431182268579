"""Vectors of items as a table, and that table in memory. One row per item_id x version.

`version` is the SHA-256 of the weights that made the vector, so that a vector is never scored by a model that it is not
of. A Delta table is partitioned by version and may hold several: the new one is written while the old one still serves.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import torch
from deltalake import DeltaTable

from headrace.errors import ConfigError, InputError
from trainer.columns import column, integers
from trainer.prerank.latest import Latest
from trainer.prerank.sides import encode_part
from trainer.prerank.streams import (
    READ_AHEAD,
    Stream,
    item_ids,
    moments,
    picked,
    published_stream,
    refuse_missing,
    table_stream,
)
from trainer.prerank.towers import Towers, item_vectors, open_towers
from trainer.scoretables import check_free, open_rows, write_batches

__all__ = ["Exported", "ItemVectors", "export_items", "latest_items", "load_items"]

_COLUMNS = ("item_id", "version", "ds", "vector")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Exported:
    """What was written: items, the width of their vectors, their version, and how many rows they were chosen from."""

    out: str
    items: int
    width: int
    version: str
    rows: int


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of one version in memory; 4 K + 8 bytes an item, and an index.

    Attributes
    ----------
    version : str
    ids : (I,) int64, each once
    values : (I, K) float32
    """

    version: str
    ids: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]

    @cached_property
    def index(self) -> pd.Index:
        """Places of the ids."""
        return pd.Index(self.ids)

    def places(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows of `values` for items (B,); -1 for an item without a vector."""
        return self.index.get_indexer(ids)

    def take(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Rows of `values`, (B, K), anything for -1; torch copies them in half the time that numpy takes."""
        at = torch.from_numpy(np.maximum(places, 0))
        return torch.from_numpy(self.values).index_select(0, at).numpy()


def export_items(
    checkpoint: Path,
    *,
    out: str,
    root: str | None = None,
    days: Sequence[date] = (),
    source: str | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the vector of every item of some rows.

    Of an item's rows the latest decides: by request_ts, else event_ts, else ds, then by impression_id. The rows are read
    twice, first for that, then for the items' own columns; no more than a batch of either is in memory.

    Parameters
    ----------
    checkpoint : Path
        Folder that `train` wrote, of a model with an item tower.
    out : str
        `*.parquet` is written as one new file. Anything else is a Delta table, a new one or one of earlier vectors, in
        which those of the same version are replaced and all others stay.
    root, days : published days to read, or
    source : Delta table, Parquet file, or folder of Parquet files with item_id and the columns of the item's side
    progress : callable (rows done, rows in all), optional

    Raises
    ------
    ConfigError
        The model has no item tower, or `out` is something else.
    InputError
        A day is not published, a column is missing or of another type, or there are no rows.
    """
    if (root is None) == (source is None):
        raise ValueError("export_items: wanted root and days, or source")
    towers = open_towers(Path(checkpoint))
    _check_place(out)
    if root is not None:
        stream = published_stream(root, days, checkpoints=[towers.checkpoint])
    else:
        assert source is not None
        stream = table_stream(source, checkpoint=towers.checkpoint)
    refuse_missing(
        stream, ["item_id", *towers.item.encoder.columns], wanted="the columns that an item's vector is made of"
    )
    places = latest_items(stream, progress=progress)[1]
    if not len(places):
        raise InputError(stream.name, found="no rows", wanted="at least one item", remedy="name other rows")
    only = f"version = '{towers.version}'" if not out.endswith(".parquet") and DeltaTable.is_deltatable(out) else None
    batches = _vectors(towers, stream, places=places, progress=progress)
    write_batches(batches, out, schema=_schema(towers.width), partition="version", only=only)
    return Exported(out, len(places), towers.width, towers.version, stream.rows)


def _schema(width: int) -> pa.Schema:
    kinds = pa.int64(), pa.string(), pa.date32(), pa.list_(pa.float32(), width)
    return pa.schema(list(zip(_COLUMNS, kinds, strict=True)))


def _check_place(out: str) -> None:
    """Raise ConfigError unless `out` is free, or a Delta table of vectors."""
    if out.endswith(".parquet") or not DeltaTable.is_deltatable(out):
        check_free(out)
        return
    found = [field.name for field in DeltaTable(out).schema().fields]
    if sorted(found) != sorted(_COLUMNS):
        raise ConfigError(
            out,
            found=f"a table of {', '.join(found[:5])}",
            wanted="one of items' vectors, or none",
            remedy="name another",
        )


def latest_items(
    stream: Stream, *, progress: Progress | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Items of a stream and the places of their latest rows, (I,) each, in the order of the places."""
    keys = [name for name in ("item_id", stream.moment, "impression_id") if name in stream.present]
    latest = Latest(orders=3)
    for rows, _, ds in stream.read(keys):
        shown = integers(rows, "impression_id") if "impression_id" in keys else np.zeros(rows.num_rows, dtype=np.int64)
        day = np.full(rows.num_rows, ds.toordinal() if ds else 0)
        latest.add(item_ids(rows, name=stream.name), moments(rows, stream.moment), day, shown)
        if progress:
            progress(latest.rows, 2 * stream.rows)
    return latest.finish()


def _vectors(
    towers: Towers, stream: Stream, *, places: npt.NDArray[np.int64], progress: Progress | None
) -> Iterator[pa.RecordBatch]:
    """Rows of the table, for the rows of the stream at `places`."""
    columns = [*dict.fromkeys(["item_id", *towers.item.encoder.columns, *(["ds"] if "ds" in stream.present else [])])]
    done, schema = 0, _schema(towers.width)
    for rows, order, ds in picked(stream, places, columns=columns):
        ids = item_ids(rows, name=stream.name)
        flat = pa.array(item_vectors(towers, encode_part(towers.item, rows, state_order=order)).reshape(-1))
        day = (
            column(rows, "ds").cast(pa.date32())
            if "ds" in rows.column_names
            else pa.array([ds] * len(ids), pa.date32())
        )
        made = {
            "item_id": ids,
            "version": pa.array([towers.version] * len(ids)),
            "ds": day,
            "vector": pa.FixedSizeListArray.from_arrays(flat, towers.width),
        }
        yield from pa.table(made, schema=schema).combine_chunks().to_batches()
        done += len(ids)
        if progress:
            progress(stream.rows + done * stream.rows // len(places), 2 * stream.rows)


def load_items(items: str, *, towers: Towers) -> ItemVectors:
    """The vectors that belong to a model.

    Raises
    ------
    InputError
        There is no such table, it holds none of the model's version, or it is damaged.
    """
    data = open_rows(items)
    if lacking := [name for name in ("item_id", "version", "vector") if name not in data.schema.names]:
        raise _unfit(items, f"no column {', '.join(lacking)}")
    own = pads.field("version") == towers.version
    count = data.count_rows(filter=own)
    if not count:
        others = data.to_table(columns=["version"])["version"].unique().to_pylist()
        raise _unfit(
            items, f"vectors of {', '.join(v[:12] for v in others[:3]) or 'no model'}, none of {towers.version[:12]}"
        )
    ids, values = np.empty(count, dtype=np.int64), np.empty((count, towers.width), dtype=np.float32)
    start = 0
    for batch in data.scanner(columns=["item_id", "vector"], filter=own, use_threads=False, **READ_AHEAD).to_batches():
        part = slice(start, start + batch.num_rows)
        flat, wide = batch["vector"].flatten(), pc.list_value_length(batch["vector"])
        if (
            batch["item_id"].null_count
            or flat.null_count
            or not pc.all(pc.equal(wide, towers.width), skip_nulls=False).as_py()
        ):
            raise _unfit(items, f"vectors that are not {towers.width} numbers wide, or null")
        ids[part], values[part] = batch["item_id"], flat.to_numpy().reshape(-1, towers.width)
        start = part.stop
    made = ItemVectors(towers.version, ids, values)
    if not made.index.is_unique:
        raise _unfit(items, f"item {made.index[made.index.duplicated()][0]} twice in one version")
    return made


def _unfit(items: str, found: str) -> InputError:
    return InputError(
        f"vectors of items in {items}",
        found=found,
        wanted="one vector for each item, written with this very checkpoint",
        remedy="write them again: headrace export",
    )

"""Delta tables as the report reads them: some columns of some days, without Spark, and older tables with fewer columns."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.delta import DeltaFile, file_system, files_of
from headrace.errors import InputError

__all__ = ["Opened", "Row", "batches", "not_held", "open_table", "rows_of", "table_of"]

Row = dict[str, Any]

_BATCH_ROWS, _BATCH_LISTS, _BUFFER = 65_536, 4_096, 1 << 20  # rows, rows with lists, and bytes in memory at once


@dataclass(frozen=True)
class Opened:
    """One version of a table: its files by day, and the columns that its log knows."""

    name: str
    uri: str
    version: int
    schema: pa.Schema
    files: list[DeltaFile] = field(repr=False)

    @property
    def days(self) -> tuple[date, ...]:
        """Days that it holds, oldest first."""
        return tuple(sorted({file.ds for file in self.files}))


def open_table(root: str, name: str) -> Opened | None:
    """The table at `<root>/<name>`, or None where there is none."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    uri = f"{root.rstrip('/')}/{name}"
    try:
        table = DeltaTable(uri)
    except TableNotFoundError:
        return None
    schema = pa.schema(table.schema().to_arrow())
    return Opened(name, uri, table.version(), schema, files_of(table))


def not_held(root: str, table: Opened | None, *, wanted: str, ds: date) -> InputError:
    """The complaint that the coverage table holds none of the days `wanted`, which end with `ds`."""
    held = f"coverage of {table.days[0]} .. {table.days[-1]}" if table and table.days else "none"
    remedy = f"headrace run --ds {ds}, or name a day that is there"
    return InputError(f"{root}/coverage", found=held, wanted=wanted, remedy=remedy)


def batches(
    table: Opened | None,
    *,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    days: tuple[date, date],
    where: Any | None = None,
) -> Iterator[pa.RecordBatch]:
    """Record batches of the rows from one day to another, both included; nothing where there is no table.

    Parameters
    ----------
    columns : that the table must have
    optional : that older tables lack; left out where the table has never had them, null where a file has not
    where : Arrow expression, the rows wanted

    Raises
    ------
    InputError
        One of `columns` is not there.
    """
    if table is None:
        return
    _check_columns(table, columns)
    names = [*columns, *(name for name in optional if name in table.schema.names)]
    system, base = file_system(table.uri)
    for file in table.files:
        if days[0] <= file.ds <= days[1]:
            with system.open_input_file(f"{base}/{file.path}") as source:
                yield from _batches_of(
                    pq.ParquetFile(source, buffer_size=_BUFFER), table, names=names, ds=file.ds, where=where
                )


def _batches_of(
    file: pq.ParquetFile, table: Opened, *, names: list[str], ds: date, where: Any | None
) -> Iterator[pa.RecordBatch]:
    """One file, a few rows at a time: rows with lists would fill the memory if a file were opened at once."""
    held = [name for name in names if name != "ds" and name in file.schema_arrow.names]
    rows = _BATCH_LISTS if any(pa.types.is_nested(table.schema.field(name).type) for name in held) else _BATCH_ROWS
    for batch in file.iter_batches(batch_size=rows, columns=held, use_threads=False):
        columns = {name: batch[name].cast(table.schema.field(name).type) for name in held}
        columns["ds"] = pa.repeat(pa.scalar(ds, pa.date32()), batch.num_rows)
        for name in set(names) - columns.keys():
            columns[name] = pa.nulls(batch.num_rows, table.schema.field(name).type)
        found = pa.table({name: columns[name] for name in dict.fromkeys([*names, "ds"])})
        kept = found if where is None else found.filter(where)
        yield from kept.select(names).to_batches()


def table_of(found: Iterator[pa.RecordBatch]) -> pa.Table | None:
    """The batches as one table; None where there is no row."""
    kept = [batch for batch in found if batch.num_rows]
    return pa.Table.from_batches(kept) if kept else None


def rows_of(found: Iterator[pa.RecordBatch], *, absent: Sequence[str] = ()) -> list[Row]:
    """The batches as rows; a number that is not finite is None, and so is a column of `absent` that is not there."""
    blank: Row = dict.fromkeys(absent)
    return [blank | {key: _finite(value) for key, value in row.items()} for batch in found for row in batch.to_pylist()]


def _check_columns(table: Opened, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table.schema.names]
    if missing:
        raise InputError(
            table.name,
            found=f"no column {', '.join(missing)}",
            wanted="the columns of schemas/tables.py",
            remedy="build the table again with this version: headrace run --ds DAY --rebuild",
        )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

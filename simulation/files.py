"""Landing files: Parquet, CSV or JSON lines, rolled at a number of rows, always with the same columns and bytes."""

import json
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from simulation.tables import ID_PREFIX

__all__ = ["FolderWriter", "text_ids"]

_ROW_GROUP = 131_072


def text_ids(rows: pa.Table) -> pa.Table:
    """The table with every id column as text, such as "user-17"; null ids stay null."""
    for at, field in enumerate(rows.schema):
        if field.name in ID_PREFIX and pa.types.is_integer(field.type):
            text = pc.binary_join_element_wise(ID_PREFIX[field.name], rows[field.name].cast(pa.string()), "-")
            rows = rows.set_column(at, pa.field(field.name, pa.string()), text)
    return rows


class FolderWriter:
    """One folder of part files, open while its day is written.

    Parameters
    ----------
    folder : Path
        Made if absent.
    schema : pyarrow.Schema
        Of the files; a folder that got no rows still holds one empty file, so that its columns are known.
    format : "parquet", "csv" or "jsonl"
    file_rows : int
        Rows per file.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, format: str, file_rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._schema, self._format, self._file_rows = folder, schema, format, file_rows
        self._part, self._rows_here = 0, 0
        self._sink: Any = None
        self._open()

    def write(self, rows: pa.Table) -> None:
        """Append rows of the schema, opening further files as they fill."""
        at = 0
        while at < rows.num_rows:
            if self._rows_here == self._file_rows:
                self._turn_over()
            piece = rows.slice(at, self._file_rows - self._rows_here)
            self._put(piece)
            at += piece.num_rows
            self._rows_here += piece.num_rows

    def close(self) -> None:
        """Finish the last file."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _turn_over(self) -> None:
        self.close()
        self._part, self._rows_here = self._part + 1, 0
        self._open()

    def _open(self) -> None:
        path = self._folder / f"part-{self._part:05d}.{self._format}"
        if self._format == "parquet":
            self._sink = pq.ParquetWriter(path, self._schema, compression="zstd")
        else:
            self._sink = path.open("wb")
            if self._format == "csv":
                self._sink.write((",".join(self._schema.names) + "\n").encode())

    def _put(self, rows: pa.Table) -> None:
        if self._format == "parquet":
            self._sink.write_table(rows, row_group_size=_ROW_GROUP)
        elif self._format == "csv":
            _write_csv(rows, self._sink)
        else:
            _write_json_lines(rows, self._sink)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps as ISO 8601 with offset and doubles with "NaN" spelt as Java does; the rest as it stands."""
    if pa.types.is_timestamp(column.type):
        naive = column.cast(pa.timestamp("us")).cast(pa.string())
        return pc.binary_join_element_wise(pc.binary_replace_slice(naive, 10, 11, "T"), "+00:00", "")
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), "NaN", column.cast(pa.string()))
    return column


def _write_csv(rows: pa.Table, sink: IO[bytes]) -> None:
    # The words of simulation.tables need no quotes; pyarrow refuses a value that would.
    plain = pa.table({name: _plain(rows[name]) for name in rows.column_names})
    pa_csv.write_csv(plain, sink, pa_csv.WriteOptions(include_header=False, quoting_style="none"))


def _quoted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """JSON strings, escaped once per distinct value."""
    coded = column.combine_chunks().dictionary_encode()
    quoted = pa.array([json.dumps(value) for value in coded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([quoted.take(coded.indices)])


def _json_value(column: pa.ChunkedArray) -> pa.ChunkedArray:
    plain = _plain(column)
    if pa.types.is_timestamp(column.type):
        plain = pc.binary_join_element_wise('"', plain, '"', "")
    elif pa.types.is_floating(column.type):
        plain = pc.if_else(pc.is_nan(column), '"NaN"', plain)  # JSON has no NaN; readers take the text
    elif pa.types.is_string(column.type):
        plain = _quoted(column)
    return pc.fill_null(plain.cast(pa.string()), "null")


def _write_json_lines(rows: pa.Table, sink: IO[bytes]) -> None:
    names = rows.column_names
    fields = [pc.binary_join_element_wise(f'"{name}":', _json_value(rows[name]), "") for name in names]
    body = pc.binary_join_element_wise(*fields, ",")
    lines = pc.binary_join_element_wise("{", body, "}\n", "")
    sink.write("".join(lines.to_pylist()).encode())

"""Coverage of some days as a file for other tools: CSV, JSON or an Excel workbook (docs/blame.md).

CSV and JSON are streamed, a batch at a time. Text that a spreadsheet would take for a formula gets an apostrophe in CSV,
and is written as text in Excel. A sketch is no text and is left out; lists are JSON text.
"""

from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from headrace.errors import ConfigError
from reports.jsontext import json_lines, json_texts
from reports.page_delta import Opened, batches, not_held, open_table
from reports.page_html import written_beside
from reports.read import days_ending

__all__ = ["FIRST", "FORMATS", "export_coverage", "flat_batches"]

FORMATS = ("csv", "xlsx", "json")
FIRST = ("ds", "feature", "slice", "value")
"""Columns that open every row, where the table has them."""

_ROWS = 2048  # written at a time: text takes much more room than lists
_FORMULA = r"^[=+\-@\t\r']"  # starts of formulas, and the apostrophe: taking one away always gives the text back


def export_coverage(root: str, *, ds: date, days: int, format: str, out: Path) -> Path:
    """Write the coverage rows of the `days` days that end with `ds`, all slices.

    Parameters
    ----------
    root : path or URI that holds the Delta tables
    format : csv, json (one array of objects, lists as lists), or xlsx (also gates and receipts, and a summary)
    out : replaced whole or not at all; its folder is made where absent

    Raises
    ------
    ConfigError
        `days` is below 1, the format is none of these, `out` cannot be written, or a package is not installed.
    InputError
        There is no coverage of any of these days.
    """
    span = days_ending(ds, days=days)
    if format not in FORMATS:
        raise ConfigError("export: format", found=repr(format), wanted=" or ".join(FORMATS), remedy="change --format")
    coverage = open_table(root, "coverage")
    if coverage is None or not any(span[0] <= day <= ds for day in coverage.days):
        raise not_held(root, coverage, wanted=f"coverage of a day from {span[0]} to {ds}", ds=ds)
    with written_beside(out) as partial:
        if format == "xlsx":
            from reports.workbook import write_workbook

            write_workbook(root, coverage, span, partial)
        elif format == "csv":
            _write_csv(coverage, span, partial)
        else:
            _write_json(coverage, span, partial)
    return out


def flat_batches(
    table: Opened, span: tuple[date, ...], *, where: Any | None = None, flat: bool = True, without: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Rows of the days in the order of the table, FIRST columns first, without binary ones.

    Parameters
    ----------
    flat : lists and maps as JSON text
    without : columns that are left out
    """
    binary = {f.name for f in table.schema if pa.types.is_binary(f.type) or pa.types.is_large_binary(f.type)}
    names = [name for name in table.schema.names if name not in binary.union(without)]
    ordered = [*(name for name in FIRST if name in names), *(name for name in names if name not in FIRST)]
    for batch in batches(table, columns=ordered, days=(span[0], span[-1]), where=where):
        for at in range(0, batch.num_rows, _ROWS):
            part = batch.slice(at, _ROWS)
            columns = map(_flat, part.columns) if flat else part.columns
            yield pa.RecordBatch.from_arrays(list(columns), names=ordered)


def _flat(column: pa.Array) -> pa.Array:
    if not pa.types.is_nested(column.type):
        return column
    return pc.if_else(column.is_valid(), json_texts(column), pa.scalar(None, pa.string()))


def _write_csv(coverage: Opened, span: tuple[date, ...], path: Path) -> None:
    writer = None
    with path.open("wb") as file:
        for batch in flat_batches(coverage, span):
            safe = _for_csv(batch)
            if writer is None:
                writer = pacsv.CSVWriter(file, safe.schema)
            writer.write_batch(safe)
        if writer is not None:
            writer.close()


def _for_csv(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Numbers that are not finite as nothing, text that starts like a formula behind an apostrophe."""
    columns = []
    for column in batch.columns:
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_finite(column), column, None)
        elif pa.types.is_string(column.type):
            starts = pc.match_substring_regex(column, _FORMULA)
            column = pc.if_else(starts, pc.binary_join_element_wise("'", column, ""), column)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _write_json(coverage: Opened, span: tuple[date, ...], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        between = "["
        for batch in flat_batches(coverage, span, flat=False):
            file.write(between + "\n" + ",\n".join(json_lines(batch).to_pylist()))
            between = ","
        file.write("\n]\n")

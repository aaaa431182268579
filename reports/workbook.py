"""Coverage, gates and receipts of some days as an Excel workbook, written row by row (XlsxWriter, constant memory)."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from headrace.errors import ConfigError
from reports.export import FIRST, flat_batches
from reports.page_delta import Opened, Row, batches, open_table, rows_of
from reports.page_worse import coverage_of

__all__ = ["MOST_ROWS", "write_workbook"]

MOST_ROWS = 1_048_576
"""Rows that a sheet of Excel holds, header included."""

_LONGEST = 32_767  # characters in a cell
_UNREAD = ("bins", "bin_weights")  # hundreds of numbers a cell, and most of the time and size: CSV and JSON have them
_WIDE, _NARROW = 34, 14
_SUMMED = ("ds", "slice", "feature", "rows", "weight", "weight_real", "weight_true_zero")


def write_workbook(root: str, coverage: Opened, span: Sequence[date], path: Path) -> None:
    """Sheets summary, features (slice "all"), slices, gates, receipts of the days in `span`.

    A table that does not fit one sheet goes on in "slices 2" and so on. Numbers are numbers, days are dates, moments are
    in UTC; text is never read as a formula, a link or a number.

    Raises
    ------
    ConfigError
        XlsxWriter is not installed.
    OSError
        The file cannot be written.
    """
    book = _workbook(path, span[-1])
    days = tuple(span)
    _Sheets(book, "summary", ("ds", "status", "coverage", "features", "rows", "weight")).add(
        _summary(root, coverage, days)
    )
    for name, where in (("features", pc.field("slice") == "all"), ("slices", pc.field("slice") != "all")):
        _add_table(book, name, coverage, days, where=where)
    for name, source in (("gates", "gate_results"), ("receipts", "receipts")):
        table = open_table(root, source)
        if table is None:
            _Sheets(book, name, ("ds",)).add([])
        else:
            _add_table(book, name, table, days)
    _closed(book)


def _workbook(path: Path, day: date) -> Any:
    try:
        import xlsxwriter
    except ImportError:
        raise ConfigError(
            "export",
            found="XlsxWriter is not installed",
            wanted="the extra `report`, for Excel",
            remedy="pip install 'headrace[report]', or --format csv",
        ) from None
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = xlsxwriter.Workbook(str(path), options)
    book.set_properties({"title": f"Coverage of {day}", "created": datetime(day.year, day.month, day.day)})
    return book


def _closed(book: Any) -> None:
    from xlsxwriter.exceptions import FileCreateError

    try:
        book.close()
    except FileCreateError as error:
        raise error.args[0] if isinstance(error.args[0], OSError) else OSError(str(error)) from None


def _add_table(book: Any, name: str, table: Opened, days: tuple[date, ...], *, where: Any | None = None) -> None:
    sheets: _Sheets | None = None
    for batch in flat_batches(table, days, where=where, without=_UNREAD):
        sheets = sheets or _Sheets(book, name, batch.schema.names)
        sheets.add(row.values() for row in batch.to_pylist())
    if sheets is None:
        _Sheets(book, name, FIRST).add([])


def _summary(root: str, coverage: Opened, days: tuple[date, ...]) -> Iterator[list[Any]]:
    """One row a day: status of its publish receipt, coverage of the traffic, features, rows seen, impressions estimated."""
    span = (days[0], days[-1])
    found = rows_of(batches(coverage, columns=_SUMMED, days=span, where=pc.field("slice") == "all"))
    by_day: dict[date, list[Row]] = {day: [] for day in days}
    for row in found:
        by_day[row["ds"]].append(row)
    receipts = rows_of(batches(open_table(root, "receipts"), columns=("ds", "job", "revision", "status"), days=span))
    published = {r["ds"]: r["status"] for r in sorted(receipts, key=lambda r: r["revision"]) if r["job"] == "publish"}
    for day, rows in by_day.items():
        most = [max((row[name] or 0 for row in rows), default=0) for name in ("rows", "weight")]
        yield [day, published.get(day, "not published"), coverage_of(rows), len(rows), *most]


class _Sheets:
    """Sheets of one table: a header that stays, a filter, and another sheet where one is full."""

    def __init__(self, book: Any, name: str, columns: Sequence[str]) -> None:
        self.book, self.name, self.columns = book, name, list(columns)
        self.formats = {kind: book.add_format({"num_format": kind}) for kind in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss")}
        self.bold = book.add_format({"bold": True})
        self.count = 0
        self._open()

    def _open(self) -> None:
        self.count += 1
        self.sheet = self.book.add_worksheet(self.name if self.count == 1 else f"{self.name} {self.count}")
        self.row = 1
        for place, column in enumerate(self.columns):
            is_text = column in ("feature", "rule", "notes", "status")
            self.sheet.set_column(place, place, _WIDE if is_text else _NARROW)
            self.sheet.write_string(0, place, column, self.bold)
        self.sheet.freeze_panes(1, 2 if self.columns[:2] == ["ds", "feature"] else 1)
        self.sheet.autofilter(0, 0, 0, len(self.columns) - 1)

    def add(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write rows; the filter reaches to the last one."""
        for row in rows:
            if self.row == MOST_ROWS:
                self._open()
            for place, value in enumerate(row):
                self._write(place, value)
            self.row += 1
        self.sheet.autofilter(0, 0, max(self.row - 1, 1), len(self.columns) - 1)

    def _write(self, place: int, value: Any) -> None:
        if value is None or (isinstance(value, float) and not isfinite(value)):
            return
        if isinstance(value, bool):
            self.sheet.write_boolean(self.row, place, value)
        elif isinstance(value, int | float):
            self.sheet.write_number(self.row, place, value)
        elif isinstance(value, datetime):
            moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            self.sheet.write_datetime(self.row, place, moment, self.formats["yyyy-mm-dd hh:mm:ss"])
        elif isinstance(value, date):
            self.sheet.write_datetime(self.row, place, value, self.formats["yyyy-mm-dd"])
        else:
            self.sheet.write_string(self.row, place, _text(value))


def _text(text: str) -> str:
    return text if len(text) <= _LONGEST else f"({len(text):,} characters, more than a cell holds: export as csv)"

"""Writes landing files: Parquet at landing/<table>/ds=YYYY-MM-DD/part-NNNNN.parquet; memory is flat in the rows."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.days import day_range
from headrace.errors import InputError

__all__ = ["STAMP", "Landing", "Progress", "require"]

STAMP = pa.timestamp("us", tz="UTC")
Progress = Callable[[str, int], None]
_ROW_GROUP = 131_072  # rows kept back per table and day; part of what decides the bytes
_OPEN_FILES = 32  # days open at once: a log that jumps between days gets further parts, never more open files
_LONGEST = timedelta(days=400)


@dataclass
class _Part:
    """An open file and the rows that wait for it."""

    writer: pq.ParquetWriter
    waiting: list[pa.Table] = field(default_factory=list)

    def flush(self) -> None:
        if self.waiting:
            self.writer.write_table(pa.concat_tables(self.waiting).combine_chunks())
            self.waiting.clear()


@dataclass
class Landing:
    """Open files and what was written.

    Attributes
    ----------
    folder : Path
        The folder that will hold landing/.
    progress : callable(table, rows) or None
        Called after each batch with the rows that the table has so far.
    rows : dict of table to rows
    day_rows : dict of (table, day) to rows
    """

    folder: Path
    progress: Progress | None = None
    rows: Counter[str] = field(default_factory=Counter)
    day_rows: Counter[tuple[str, date]] = field(default_factory=Counter)
    _open: dict[tuple[str, date], _Part] = field(default_factory=dict)
    _parts: Counter[tuple[str, date]] = field(default_factory=Counter)

    @property
    def days(self) -> list[date]:
        """Days of impressions and engagements, sorted."""
        return sorted({day for table, day in self._parts if table in ("impressions", "engagements")})

    def write_by_day(self, table: str, rows: pa.Table, *, moment: str) -> None:
        """Append each row to the UTC day of its `moment`."""
        days = rows.column(moment).cast(pa.date32())
        for day in sorted(pc.unique(days).to_pylist()):
            self.write(table, day, rows.filter(pc.equal(days, pa.scalar(day))))

    def write(self, table: str, day: date, rows: pa.Table) -> None:
        """Append rows to one day; no rows at all still make its file."""
        part = self._part(table, day, rows.schema)
        part.waiting.append(rows)
        if sum(waiting.num_rows for waiting in part.waiting) >= _ROW_GROUP:
            part.flush()
        self.rows[table] += rows.num_rows
        self.day_rows[table, day] += rows.num_rows
        if self.progress is not None:
            self.progress(table, self.rows[table])

    def fill(self, schemas: dict[str, pa.Schema]) -> None:
        """Give every day from first to last a file of each table named: nothing happened is not nothing landed.

        Raises
        ------
        InputError
            Nothing was written, or the days are so far apart that some must be wrong.
        """
        if not self.days:
            raise InputError(
                "the source", found="no usable row", wanted="a log in the format of docs/adapters.md",
                remedy="check that --source is the folder of this log",
            )  # fmt: skip
        first, last = self.days[0], self.days[-1]
        if last - first > _LONGEST:
            raise InputError(
                "the source", found=f"days from {first} to {last}", wanted=f"at most {_LONGEST.days} days",
                remedy="remove the rows with wrong times, or adapt the log in pieces",
            )  # fmt: skip
        for day in day_range(first, last):
            for table, schema in schemas.items():
                if (table, day) not in self._parts:
                    self.write(table, day, schema.empty_table())

    def close(self) -> None:
        """Finish every file."""
        for key in list(self._open):
            self._finish(key)

    def _part(self, table: str, day: date, schema: pa.Schema) -> _Part:
        """The open file of a day, most recently used last."""
        key = (table, day)
        part = self._open.pop(key, None)
        if part is None:
            if len(self._open) >= _OPEN_FILES:
                self._finish(next(iter(self._open)))
            folder = self.folder / "landing" / table / f"ds={day}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"part-{self._parts[key]:05d}.parquet"
            part = _Part(pq.ParquetWriter(path, schema, compression="zstd"))
            self._parts[key] += 1
        self._open[key] = part
        return part

    def _finish(self, key: tuple[str, date]) -> None:
        part = self._open.pop(key)
        try:
            part.flush()
        finally:
            part.writer.close()


def require(source: Path, *names: str) -> list[Path]:
    """The files `names` of a source folder.

    Raises
    ------
    InputError
        One is missing.
    """
    found = [source / name for name in names]
    missing = [path.name for path in found if not path.is_file()]
    if missing:
        raise InputError(
            str(source), found=f"no {', '.join(missing)}" if source.is_dir() else "no such folder",
            wanted=f"the files {', '.join(names)}", remedy="point --source at the folder that holds them",
        )  # fmt: skip
    return found

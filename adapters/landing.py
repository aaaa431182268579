"""Writes landing files day by day, one open Parquet writer per table and day, in a folder that appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.errors import ConfigError, InputError

__all__ = ["STAMP", "Landing", "landing_folder", "require"]

STAMP = pa.timestamp("us", tz="UTC")


@dataclass
class Landing:
    """Open writers and what was written; memory is one batch a writer."""

    folder: Path
    rows: dict[str, int] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    writers: dict[tuple[str, date], pq.ParquetWriter] = field(default_factory=dict)

    def write_by_day(self, table: str, rows: pa.Table, *, moment: str) -> None:
        """Append each row to the UTC day of its `moment`."""
        days = rows.column(moment).cast(pa.date32())
        for day in sorted(d for d in pc.unique(days).to_pylist() if d is not None):
            self.write(table, day, rows.filter(pc.equal(days, pa.scalar(day))))

    def write(self, table: str, day: date, rows: pa.Table) -> None:
        """Append rows to one day's file."""
        key = (table, day)
        if key not in self.writers:
            folder = self.folder / "landing" / table / f"ds={day}"
            folder.mkdir(parents=True, exist_ok=True)
            self.writers[key] = pq.ParquetWriter(folder / "part-00000.parquet", rows.schema, compression="zstd")
        self.writers[key].write_table(rows)
        self.rows[table] = self.rows.get(table, 0) + rows.num_rows
        if table in ("impressions", "engagements"):
            self.days.add(day)

    def close(self) -> None:
        """Finish every file."""
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()


@contextmanager
def landing_folder(out: Path, *, overwrite: bool) -> Iterator[Landing]:
    """A Landing in a temporary folder beside `out`, renamed when all went well.

    Raises
    ------
    ConfigError
        `out` exists and `overwrite` is not set.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise ConfigError(
            str(out), found="something is there", wanted="a new or empty folder", remedy="choose another, or --overwrite"
        )
    building = out.parent / f".{out.name}.partial"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    landing = Landing(building)
    try:
        yield landing
        landing.close()
        if out.exists():
            shutil.rmtree(out) if out.is_dir() else out.unlink()
        building.rename(out)
    finally:
        landing.close()
        shutil.rmtree(building, ignore_errors=True)


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
            str(source), found=f"no {', '.join(missing)}", wanted=f"the files {', '.join(names)}",
            remedy="point --source at the folder that holds them",
        )
    return found

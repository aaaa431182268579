"""The landing zone of one world: every row goes to the folder of the day on which it arrives.

Rows of later days wait in memory until their day is opened: `late_days` at most, so memory does not grow with days.
Rows that would arrive after the last day are counted and dropped.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from simulation.clock import Clock, landing_index
from simulation.files import FolderWriter, text_ids
from simulation.spec import TableSummary, WorldSpec
from simulation.tables import DUPLICATES, MALFORMED, PROFILES, SCHEMAS, TAGS

__all__ = ["LandingZone", "day_name"]


def day_name(spec: WorldSpec, day: int) -> str:
    """Folder of day number `day`: ds=YYYY-MM-DD."""
    return f"ds={np.datetime64(spec.first_day) + day}"


class LandingZone:
    """Files and counts of one landing table; days are opened in order, each closed before the next."""

    def __init__(self, spec: WorldSpec, clock: Clock, *, table: str, base: Path) -> None:
        self._spec, self._clock, self._table, self._base = spec, clock, table, base
        self._waiting: dict[int, list[pa.Table]] = {}
        self._counts = np.zeros((spec.days + 1, len(TAGS)), dtype=np.int64)  # the last row: beyond the last day
        self._day = -1
        self._writer: FolderWriter | None = None

    def open_day(self, day: int) -> None:
        """Begin day number `day` with the rows that waited for it."""
        self._day, self._writer = day, None
        if self._table not in PROFILES:
            self._open_writer()
        for rows in self._waiting.pop(day, []):
            self._land(rows)

    def add(self, rows: pa.Table) -> None:
        """Land rows that arrive on the open day or later; profile rows (no arrival_ts) land on the open day."""
        if "arrival_ts" not in rows.column_names:
            self._land(rows)
            return
        arrival = rows["arrival_ts"].cast(pa.int64()).to_numpy()
        lands = landing_index(self._clock, arrival)
        for day in np.unique(lands):
            part = rows.filter(pa.array(lands == day))
            if day == self._day:
                self._land(part)
            elif day >= self._spec.days:
                self._count(part, row=-1)
            else:
                self._waiting.setdefault(int(day), []).append(part)

    def close_day(self) -> None:
        """Finish the open day's files."""
        if self._writer is not None:
            self._writer.close()

    def _open_writer(self) -> FolderWriter:
        spec = self._spec
        schema = SCHEMAS[self._table]
        if spec.id_kind == "string":
            schema = text_ids(schema.empty_table()).schema
        folder = self._base / self._table / day_name(spec, self._day)
        writer = FolderWriter(folder, schema, format=spec.format, file_rows=spec.file_rows)
        self._writer = writer
        return writer

    def _land(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        self._count(rows, row=self._day)
        writer = self._writer or self._open_writer()
        plain = rows.drop_columns(["_tag"])
        writer.write(text_ids(plain) if self._spec.id_kind == "string" else plain)

    def _count(self, rows: pa.Table, *, row: int) -> None:
        self._counts[row] += np.bincount(rows["_tag"].to_numpy(), minlength=len(TAGS))

    def summary(self) -> TableSummary:
        """Counts of what landed and of what would have landed too late."""
        landed = dict(zip(TAGS, self._counts[:-1].sum(axis=0).tolist(), strict=True))
        beyond = dict(zip(TAGS, self._counts[-1].tolist(), strict=True))
        per_day = self._counts[:-1].sum(axis=1).tolist()
        return TableSummary(
            rows=sum(landed.values()),
            good=landed["good"],
            late=landed["late"],
            closing=landed["closing"],
            duplicates={kind: landed[kind] for kind in DUPLICATES},
            malformed={reason: landed[reason] for reason in MALFORMED[self._table]},
            beyond_last_day={tag: count for tag, count in beyond.items() if count},
            rows_by_day={day_name(self._spec, day).removeprefix("ds="): rows for day, rows in enumerate(per_day)},
        )

"""What landed and was tiled each day, from receipts, and how far a day falls short of the days before it. No Spark."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from headrace.receipts import LOST, STARTED
from reports.page_delta import Row, batches, open_table, rows_of

__all__ = ["HISTORY", "InputDay", "Inputs", "Shortfall", "read_inputs"]

HISTORY = 14
"""Receipts before a day that it is compared with."""

_FEWEST = 3  # receipts that a median needs: profiles land whole on the first day, and as changes on the next
_LANDED = ("impressions", "engagements", "user_profile", "item_profile")
_LEAST_GAP = 0.2  # rows below the median by less than a fifth are everyday, and so is what counts vary by chance
_LEAST_EXCESS = 0.05  # share of late or refused rows above the median of that share
_COLUMNS = ("ds", "job", "revision", "status", "notes")


@dataclass(frozen=True)
class InputDay:
    """One table on one landing day, as the receipt says.

    Attributes
    ----------
    rows : int
        Rows that were kept; 0 for a day without a receipt.
    late_share : float or None
        Share of the rows read that landed on a later day than they happened; None for profiles and tiles, and where
        nothing was read.
    quarantined_share : float or None
        Share of the rows read that were refused; None for tiles, and where nothing was read.
    absent : frozenset of str
        Columns that no file had; of tiles, metrics that met no event.
    has_receipt : bool
    """

    rows: int
    late_share: float | None = None
    quarantined_share: float | None = None
    absent: frozenset[str] = frozenset()
    has_receipt: bool = True


@dataclass(frozen=True)
class Shortfall:
    """How far one day of a table is from what is usual; `severity` is the greatest share missing, late or refused."""

    table: str
    day: date
    found: InputDay
    median: float | None
    severity: float


@dataclass(frozen=True)
class Inputs:
    """Days of every table that the receipts speak of: name -> day -> Shortfall."""

    tables: Mapping[str, Mapping[date, Shortfall]]

    def day(self, table: str, day: date) -> Shortfall | None:
        """None where nothing is known of the day."""
        return self.tables.get(table, {}).get(day)

    def last_landed(self, table: str, *, by: date) -> date | None:
        """Latest day up to `by` on which the table got rows; None where the receipts read hold none."""
        days = self.tables.get(table, {})
        return max((day for day, one in days.items() if day <= by and one.found.rows), default=None)


def _shortfalls(table: str, days: Mapping[date, InputDay]) -> dict[date, Shortfall]:
    """Every day beside the HISTORY receipts before it; where these are too few the severity is 0."""
    made: dict[date, Shortfall] = {}
    before: list[InputDay] = []
    for day, found in sorted(days.items()):
        usual = median([one.rows for one in before]) if len(before) >= _FEWEST else None
        excesses = [
            _excess(getattr(found, share), [getattr(one, share) for one in before])
            for share in ("late_share", "quarantined_share")
        ]
        made[day] = Shortfall(table, day, found, usual, max(_gap(found.rows, usual), *excesses))
        before = [*before, found][-HISTORY:] if found.has_receipt else before
    return made


def _gap(rows: int, usual: float | None) -> float:
    if not usual or rows >= usual - max(_LEAST_GAP * usual, 3 * math.sqrt(usual)):
        return 0.0
    return 1 - rows / usual


def _excess(share: float | None, before: Sequence[float | None]) -> float:
    known = [one for one in before if one is not None]
    above = share - median(known) if share is not None and len(known) >= _FEWEST else 0.0
    return above if above >= _LEAST_EXCESS else 0.0


def read_inputs(root: str, *, first: date, last: date) -> Inputs:
    """What the receipts of ingest and tiles say of the days from `first` to `last`; a day left out between others is empty."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    receipts = rows_of(batches(open_table(root, "receipts"), columns=_COLUMNS, days=(first, last)))
    tables: dict[str, dict[date, InputDay]] = {}
    for row in _done(receipts):
        notes = dict(row["notes"])
        for name, found in _landed(notes) if row["job"] == "ingest" else _tiled(notes):
            tables.setdefault(name, {})[row["ds"]] = found
    return Inputs({name: _shortfalls(name, _with_gaps(found, days)) for name, found in tables.items()})


def _with_gaps(found: Mapping[date, InputDay], days: Sequence[date]) -> dict[date, InputDay]:
    """Days without a receipt after the first that has one are days without rows."""
    return {d: found.get(d, InputDay(0, has_receipt=False)) for d in days if d >= min(found)}


def _done(rows: Iterable[Row]) -> list[Row]:
    """The highest revision of ingest and tiles per day, of those that ended well."""
    best: dict[tuple[str, date], Row] = {}
    for row in rows:
        key = (row["job"], row["ds"])
        if row["job"] in ("ingest", "tiles") and row["status"] not in (STARTED, LOST):
            best[key] = max(row, best.get(key, row), key=lambda one: int(one["revision"]))
    return list(best.values())


def _landed(notes: Mapping[str, str]) -> Iterator[tuple[str, InputDay]]:
    for name in _LANDED:
        if f"{name}.rows_in" not in notes:
            continue
        read = int(notes[f"{name}.rows_in"])
        refused = sum(int(n) for key, n in notes.items() if key.startswith(f"{name}.quarantined_"))
        late = int(notes.get(f"{name}.late", 0))
        yield (
            name,
            InputDay(
                int(notes[f"{name}.rows_out"]),
                late_share=late / read if read and not name.endswith("_profile") else None,
                quarantined_share=refused / read if read else None,
                absent=frozenset(notes.get(f"{name}.absent_columns", "").split()),
            ),
        )


def _tiled(notes: Mapping[str, str]) -> Iterator[tuple[str, InputDay]]:
    silent = frozenset(notes.get("metrics_without_events", "").split())
    for key, rows in notes.items():
        if key.startswith("tiles_") and key.endswith(".rows"):
            yield key.removesuffix(".rows"), InputDay(int(rows), absent=silent)

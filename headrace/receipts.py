"""Receipts: one row per job x ds x revision, and what they say about work that is done.

The table is small and written through deltalake without Spark, so that any tool can read it in milliseconds.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from threading import Lock

import pyarrow as pa
from deltalake import write_deltalake

from headrace import __version__
from headrace.config import Config
from headrace.delta import is_table, read_days
from headrace.errors import ConflictError, HeadraceError

__all__ = [
    "REFUSED",
    "STARTED",
    "WITHDRAWN",
    "LOST",
    "Receipt",
    "Run",
    "all_latest",
    "before_writing",
    "begun",
    "check_accounting",
    "latest_receipts",
    "write_receipts",
]

REFUSED = "refused"  # status of days that a gate refused; what a job wrote of them is not to be trusted either
WITHDRAWN = "unpublished"  # status of a publish receipt that takes a day back
STARTED = "started"  # status while a job writes: until it is done, what its tables hold of the day is not to be trusted
LOST = "lost"  # status of a run that found another one writing the same days, and changed nothing
_RUN: ContextVar["Run | None"] = ContextVar("run", default=None)
_MAP = pa.map_(pa.string(), pa.string())
_STAMP = pa.timestamp("us", tz="UTC")
_SCHEMA = pa.schema(
    [
        *[pa.field(n, pa.string(), nullable=False) for n in ("job",)],
        pa.field("revision", pa.int32(), nullable=False),
        *[pa.field(n, pa.string(), nullable=False) for n in ("status", "fingerprint")],
        *[pa.field(n, _MAP, nullable=False) for n in ("inputs", "outputs", "versions")],
        *[pa.field(n, pa.string(), nullable=False) for n in ("config_hash", "code_version")],
        *[
            pa.field(f"rows_{n}", pa.int64(), nullable=False)
            for n in ("in", "out", "quarantined", "duplicate", "sampled_out", "immature")
        ],
        pa.field("notes", _MAP, nullable=False),
        pa.field("started_at", _STAMP, nullable=False),
        pa.field("ended_at", _STAMP, nullable=False),
        pa.field("ds", pa.date32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Receipt:
    """One row of `receipts`; see schemas.tables for the columns."""

    job: str
    ds: date
    fingerprint: str = ""
    status: str = "done"
    revision: int = 0
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    config_hash: str = ""
    code_version: str = __version__
    rows_in: int = 0
    rows_out: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    rows_sampled_out: int = 0
    rows_immature: int = 0
    notes: dict[str, str] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def check_accounting(receipt: Receipt) -> None:
    """S13. Raise HeadraceError (a bug, exit 1) unless every row is accounted for."""
    parts = {
        name: getattr(receipt, f"rows_{name}")
        for name in ("out", "quarantined", "duplicate", "sampled_out", "immature")
    }
    if receipt.rows_in != sum(parts.values()):
        raise HeadraceError(
            f"{receipt.job} {receipt.ds}",
            found=f"{receipt.rows_in} rows in, {parts}",
            wanted="rows in = out + quarantined + duplicate + sampled_out + immature",
            remedy="this is a bug in headrace, or files changed while they were read: run the day again and report it",
        )


def _uri(config: Config) -> str:
    return f"{config.root}/receipts"


def latest_receipts(config: Config) -> dict[tuple[str, date], Receipt]:
    """The highest revision of every job and day that is done; a day whose last build did not end has none."""
    return {key: receipt for key, receipt in all_latest(config).items() if receipt.status != STARTED}


def all_latest(config: Config) -> dict[tuple[str, date], Receipt]:
    """The highest revision of every job and day, whatever its status; runs that lost to another are passed over."""
    if not is_table(_uri(config)):
        return {}
    rows = read_days(_uri(config)).to_pylist(maps_as_pydicts="strict")
    lost = {(row["job"], row["ds"], row["revision"]) for row in rows if row["status"] == LOST}
    best: dict[tuple[str, date], Receipt] = {}
    for row in rows:
        if row["status"] in (LOST, STARTED) and (row["job"], row["ds"], row["revision"]) in lost:
            continue
        receipt = Receipt(**row)
        standing = best.get((receipt.job, receipt.ds))
        if standing is None or _rank(receipt) > _rank(standing):
            best[receipt.job, receipt.ds] = receipt
    return best


def _rank(receipt: Receipt) -> tuple[int, bool]:
    return receipt.revision, receipt.status != STARTED


def write_receipts(config: Config, receipts: Iterable[Receipt]) -> list[Receipt]:
    """Number those that have no revision yet, check and append all in one commit."""
    highest = _revisions(config)
    numbered = []
    for receipt in receipts:
        check_accounting(receipt)
        revision = receipt.revision or highest.get((receipt.job, receipt.ds), 0) + 1
        numbered.append(replace(receipt, revision=revision))
    rows = [{f.name: _plain(getattr(r, f.name)) for f in _SCHEMA} for r in numbered]
    write_deltalake(_uri(config), pa.Table.from_pylist(rows, schema=_SCHEMA), mode="append", partition_by=["ds"])
    return numbered


def _revisions(config: Config) -> dict[tuple[str, date], int]:
    if not is_table(_uri(config)):
        return {}
    found: dict[tuple[str, date], int] = {}
    for row in read_days(_uri(config), columns=["job", "revision"]).to_pylist():
        key = (row["job"], row["ds"])
        found[key] = max(found.get(key, 0), row["revision"])
    return found


@dataclass
class Run:
    """A build that is on its way: its receipts, STARTED from its first write on."""

    config: Config
    receipts: list[Receipt]
    has_begun: bool = False
    _lock: Lock = field(default_factory=Lock)

    def begin(self) -> None:
        """Put the receipts down as STARTED, once; from then on they have their revision."""
        with self._lock:
            if not self.has_begun:
                self.receipts = write_receipts(self.config, [replace(r, status=STARTED) for r in self.receipts])
                self.has_begun = True

    def check_newest(self) -> None:
        """Raise ConflictError where a run of the same job and day began after this one: the later one goes on."""
        highest = _revisions(self.config) if self.has_begun else {}
        later = [r for r in self.receipts if highest.get((r.job, r.ds), 0) > r.revision]
        if later:
            raise ConflictError(
                f"{later[0].job} {later[0].ds}, revision {later[0].revision}",
                found=f"another run of it that began later, revision {highest[later[0].job, later[0].ds]}",
                wanted="one run for a day at a time",
                remedy="this run stops and writes nothing more; look with headrace status, and run again if the other one did not end well",
            )

    def transactions(self, table: str, days: Collection[date]) -> dict[str, int]:
        """Delta transaction ids job/table/ds of the days, with the revision as their version."""
        return {f"{r.job}/{table}/{r.ds}": r.revision for r in self.receipts if r.ds in days and self.has_begun}

    def revision_of(self, day: date) -> int:
        """Revision that the day's receipt will have; 0 where nothing was written, so that it is still to be given."""
        return next(r.revision for r in self.receipts if r.ds == day) if self.has_begun else 0


@contextmanager
def begun(config: Config, receipts: Sequence[Receipt]) -> Iterator[Run]:
    """Within, the first write to a table (`before_writing`) puts these receipts down as STARTED.

    A run that loses to another (ConflictError) takes its STARTED back.
    """
    run = Run(config, list(receipts))
    token = _RUN.set(run)
    try:
        yield run
    except ConflictError:
        if run.has_begun:
            write_receipts(config, [replace(r, status=LOST) for r in run.receipts])
        raise
    finally:
        _RUN.reset(token)


def before_writing() -> Run | None:
    """What every writer of a table calls first; the run that it belongs to, if any."""
    run = _RUN.get()
    if run is not None:
        run.begin()
        run.check_newest()
    return run


def _plain(value: object) -> object:
    return list(value.items()) if isinstance(value, dict) else value

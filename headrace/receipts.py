"""Receipts: one row per job x ds x revision, and what they say about work that is done.

The table is small and written through deltalake without Spark, so that any tool can read it in milliseconds.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import date
from threading import Lock

import pyarrow as pa
from deltalake import write_deltalake

from headrace.config import Config
from headrace.delta import is_table, read_days
from headrace.errors import ConflictError
from headrace.parts import conflicting, own_job, seen_by, step_of
from headrace.receipt import LOST, REFUSED, STARTED, WITHDRAWN, Receipt, check_accounting

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
    "decided",
    "latest_receipts",
    "kept_receipts",
    "write_receipts",
]

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


def _uri(config: Config) -> str:
    return f"{config.root}/receipts"


def latest_receipts(config: Config) -> dict[tuple[str, date], Receipt]:
    """The highest revision of every job and day that is done; a day whose last build did not end has none."""
    return {key: receipt for key, receipt in all_latest(config).items() if receipt.status != STARTED}


def all_latest(config: Config) -> dict[tuple[str, date], Receipt]:
    """The highest revision of every job and day, whatever its status; runs that lost to another are passed over.

    A configuration of one group sees that group's receipts as the step's (headrace.parts).
    """
    return seen_by(config, kept_receipts(config))


def decided(config: Config, job: str) -> dict[date, Receipt]:
    """Of every day the highest revision of a job that has an end: what holds while a newer one is on its way, or was killed."""
    ended = [r for r in kept_receipts(config) if r.job == job and r.status != STARTED]
    return {r.ds: r for r in sorted(ended, key=lambda receipt: receipt.revision)}


def kept_receipts(config: Config) -> list[Receipt]:
    """Every receipt of a build that ended, and those STARTED that have no end; by the jobs' own names, `tiles@user` too."""
    if not is_table(_uri(config)):
        return []
    rows = read_days(_uri(config)).to_pylist(maps_as_pydicts="strict")
    ended = {(row["job"], row["ds"], row["revision"]) for row in rows if row["status"] != STARTED}
    begun = [row for row in rows if row["status"] == STARTED and (row["job"], row["ds"], row["revision"]) not in ended]
    return [Receipt(**row) for row in (*(r for r in rows if r["status"] not in (LOST, STARTED)), *begun)]


def write_receipts(config: Config, receipts: Iterable[Receipt]) -> list[Receipt]:
    """Number those that have no revision yet, check and append all in one commit."""
    highest = _highest(config)
    numbered = []
    for receipt in receipts:
        check_accounting(receipt)
        job = own_job(config, receipt.job)
        revision = receipt.revision or highest.get((step_of(job), receipt.ds), 0) + 1
        numbered.append(replace(receipt, job=job, revision=revision))
    if not numbered:
        return []
    rows = [{f.name: _plain(getattr(r, f.name)) for f in _SCHEMA} for r in numbered]
    write_deltalake(_uri(config), pa.Table.from_pylist(rows, schema=_SCHEMA), mode="append", partition_by=["ds"])
    return numbered


def _highest(config: Config) -> dict[tuple[str, date], int]:
    """By step: it and its groups count together, so that it can be told which is newer."""
    found: dict[tuple[str, date], int] = {}
    for (job, day), number in _revisions(config).items():
        found[step_of(job), day] = max(number, found.get((step_of(job), day), 0))
    return found


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
    has_committed: bool = False
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
        later = [
            (r, job, number)
            for r in self.receipts
            for (job, day), number in highest.items()
            if day == r.ds and number > r.revision and conflicting(job, r.job)
        ]
        if later:
            own, job, number = later[0]
            raise ConflictError(
                f"{own.job} {own.ds}, revision {own.revision}",
                found=f"another run that began later: {job}, revision {number}",
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

    A run that loses to another (ConflictError) takes its STARTED back, unless it has changed a table already.
    """
    run = Run(config, list(receipts))
    token = _RUN.set(run)
    try:
        yield run
    except ConflictError:
        if run.has_begun and not run.has_committed:
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

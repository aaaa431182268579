"""What one receipt says: one row per job x ds x revision, with every row accounted for."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from headrace import __version__
from headrace.errors import HeadraceError

__all__ = ["LOST", "REFUSED", "STARTED", "WITHDRAWN", "Receipt", "check_accounting"]

REFUSED = "refused"  # status of days that a gate refused; what a job wrote of them is not to be trusted either
WITHDRAWN = "unpublished"  # status of a publish receipt that takes a day back
STARTED = "started"  # status while a job writes: until it is done, what its tables hold of the day is not to be trusted
LOST = "lost"  # status of a run that found another one writing the same days, and changed nothing


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

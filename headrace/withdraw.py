"""`headrace unpublish`: take published days back; what they held stays on record, and they can be published again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from headrace.config import Config
from headrace.errors import InputError
from headrace.receipts import WITHDRAWN, Receipt, decided, write_receipts

__all__ = ["unpublish"]


def unpublish(config: Config, *, days: Sequence[date], reason: str) -> list[Receipt]:
    """Append a receipt `unpublished` with the reason to each day; readers no longer see them.

    `headrace run` leaves such days alone; `headrace publish` publishes them again.

    Raises
    ------
    InputError
        A day is not published; nothing is changed then.
    """
    published = decided(config, "publish")
    standing = {day: published.get(day) for day in days}
    absent = [day for day, receipt in standing.items() if receipt is None or receipt.status != "published"]
    if absent:
        raise InputError(
            f"unpublish {absent[0]}",
            found="a day that is not published",
            wanted="published days",
            remedy="headrace status shows which days are",
        )
    now = datetime.now(UTC)
    notes = {"reason": reason}
    return write_receipts(
        config,
        [
            replace(r, revision=0, status=WITHDRAWN, notes={**r.notes, **notes}, started_at=now, ended_at=now)
            for r in standing.values()
            if r is not None
        ],
    )

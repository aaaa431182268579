"""Globo.com (G1): clicks of a news portal, without impressions. One engagement per click.

Source: clicks.parquet with user_id, click_article_id, click_timestamp (milliseconds UTC) and columns that have no place
in engagements (Kaggle, "News portal user interactions by Globo.com").
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adapters.landing import STAMP, Landing, require
from adapters.said import Said, feature_groups
from adapters.text import keep
from headrace.errors import InputError

__all__ = ["adapt_globo"]

_WANTED = ["user_id", "click_article_id", "click_timestamp"]
_BATCH_ROWS = 262_144
_FROM_MS, _TO_MS = (
    946_684_800_000,
    4_102_444_800_000,
)  # 2000-01-01 (S7) and 2100-01-01: seconds or microseconds fall outside
_IDS = [("impression_id", pa.int64()), ("user_id", pa.int64()), ("item_id", pa.int64())]
_SCHEMAS = {
    "impressions": pa.schema([*_IDS, ("event_ts", STAMP)]),
    "engagements": pa.schema([*_IDS, ("action", pa.string()), ("event_ts", STAMP)]),
}


def adapt_globo(source: Path, landing: Landing) -> Said:
    """Write clicks as engagements without impression, and empty days of impressions so that the chain has its days."""
    (path,) = require(source, "clicks.parquet")
    said = Said()
    others: list[str] = []
    for rows in _batches(path, others):
        time = rows.column("click_timestamp")
        wrong = {f"rows without {name}": pc.is_null(rows.column(name)) for name in _WANTED}
        wrong["rows with a click_timestamp that is no millisecond of 2000 to 2099"] = pc.or_(
            pc.less(time, _FROM_MS), pc.greater_equal(time, _TO_MS)
        )
        rows = keep(rows, wrong, dropped=said.dropped)
        landing.write_by_day("engagements", _clicks(rows), moment="event_ts")
    landing.fill(_SCHEMAS)
    said.missing = _lacks(landing, others)
    said.config = {"timezone": "UTC", "context": {"columns": []}, "coverage": {"slices": []}}
    counted = {"windows": ["1h", "1d", "7d"], "count": ["click"], "recency": ["click"]}
    said.features = feature_groups({"user": {"entity": "user", **counted}, "item": {"entity": "item", **counted}})
    return said


def _batches(path: Path, others: list[str]) -> Iterator[pa.Table]:
    """Batches of the columns wanted as int64; the names of the other columns are put into `others`."""
    try:
        with pq.ParquetFile(path) as file:
            types = {field.name: field.type for field in file.schema_arrow}
            bad = [f"{c} {types.get(c, 'absent')}" for c in _WANTED if not pa.types.is_integer(types.get(c, pa.null()))]
            if bad:
                raise InputError(
                    str(path), found=", ".join(bad), wanted=f"whole numbers in {_WANTED}", remedy="check the file"
                )
            others += [name for name in types if name not in _WANTED]
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=_WANTED):
                yield pa.table(batch).cast(pa.schema([(name, pa.int64()) for name in batch.schema.names]))
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            str(path), found=" ".join(str(error).split())[:160], wanted="a whole Parquet file", remedy="fetch it again"
        ) from None


def _clicks(rows: pa.Table) -> pa.Table:
    return pa.table(
        {
            "impression_id": pa.nulls(rows.num_rows, pa.int64()),
            "user_id": rows.column("user_id"),
            "item_id": rows.column("click_article_id"),
            "action": pa.repeat("click", rows.num_rows),
            "event_ts": rows.column("click_timestamp").cast(pa.timestamp("ms", tz="UTC")).cast(STAMP),
        },
        schema=_SCHEMAS["engagements"],
    )


def _lacks(landing: Landing, others: list[str]) -> list[str]:
    busy, quiet = _busy_until(landing)
    sentences = [
        "no impressions: statistics can be built, labels and a training set cannot; every day's impressions are "
        "an empty file, and a day is published with no rows",
        "clicks only: label_click and every other label has no row to stand on",
        "no arrival times: every click counts as arrived when it happened",
        "no article metadata and no user profiles: nothing lands in user_profile and item_profile",
        "the last click of each session is stamped 30 s after the one before, as exported; the click stays",
        "dwell time is not a column of the source, and the time to the next click is not turned into watch events",
        "days are UTC days",
    ]
    if others:
        sentences.append(f"columns that engagements have no place for are left out: {', '.join(others)}")
    if quiet:
        sentences.append(
            f"99% of the clicks fall on days to {busy}; the days from then to {landing.days[-1]} hold {quiet:,} in all"
        )
    return sentences


def _busy_until(landing: Landing) -> tuple[date, int]:
    """The day by which 99% of the clicks had happened, and the clicks on the days after it."""
    total = left = landing.rows["engagements"]
    for day in landing.days:
        left -= landing.day_rows["engagements", day]
        if left <= 0.01 * total:
            break
    return day, left

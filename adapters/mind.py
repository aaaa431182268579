"""MIND (Microsoft News): impression lists with clicks, and news metadata. String ids stay strings; ingest hashes them.

Source: behaviors.tsv (impression id, user, time, history, impressions) and news.tsv, as in the MIND-small download
(Wu et al., "MIND: A Large-scale Dataset for News Recommendation", ACL 2020).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters.landing import STAMP, Landing, require
from adapters.said import Said, feature_groups
from adapters.text import keep, read_text

__all__ = ["adapt_mind"]

_BEHAVIORS = ["impression_id", "user_id", "time", "history", "shown"]
_NEWS = ["item_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities"]
_ALWAYS = datetime(2019, 1, 1, tzinfo=UTC)
_TIME = "%m/%d/%Y %I:%M:%S %p"
_LINES = 2_000  # turned into rows at a time: some 75,000 shown items
_WHO = [("user_id", pa.string()), ("item_id", pa.string())]
_REQUEST = [("request_id", pa.string()), ("request_ts", STAMP)]
_SCHEMAS = {
    "impressions": pa.schema(
        [("impression_id", pa.string()), *_REQUEST, *_WHO, ("event_ts", STAMP), ("position", pa.int32())]
    ),
    "engagements": pa.schema([("impression_id", pa.string()), *_WHO, ("action", pa.string()), ("event_ts", STAMP)]),
}


@dataclass
class _Shown:
    """How much of what was shown has metadata."""

    known: pa.Array
    rows: int = 0
    described: int = 0
    items: set[str] = field(default_factory=set)

    def add(self, items: pa.ChunkedArray) -> None:
        self.rows += len(items)
        self.described += pc.sum(pc.is_in(items, value_set=self.known)).as_py() or 0
        self.items.update(pc.unique(items).to_pylist())


def adapt_mind(source: Path, landing: Landing) -> Said:
    """Write impressions, clicks and item profiles, 2,000 lines at a time."""
    behaviors, news = require(source, "behaviors.tsv", "news.tsv")
    said = Said()
    profiles = _profiles(news, said)
    shown = _Shown(profiles.column("item_id").combine_chunks())
    for lines in _lines(behaviors, said):
        rows, clicked = _rows(lines, said)
        shown.add(rows.column("item_id"))
        clicks = rows.filter(clicked)
        clicks = clicks.append_column("action", pa.repeat("click", clicks.num_rows)).select(
            _SCHEMAS["engagements"].names
        )
        landing.write_by_day("impressions", rows, moment="event_ts")
        landing.write_by_day("engagements", clicks, moment="event_ts")
    landing.fill(_SCHEMAS)
    landing.write("item_profile", landing.days[0], profiles)
    said.missing = _lacks(shown)
    said.config = {
        "timezone": "UTC",
        "profiles": {"item": {"columns": {"subcategory": "string"}}},
        "labels": {"positive": ["click"]},
        "context": {"columns": ["position"]},
        "coverage": {"slices": ["item_category"]},
    }
    said.features = _groups()
    return said


def _groups() -> dict:
    counted = {"windows": ["1h", "1d", "7d"], "count": ["impression", "click"]}
    return feature_groups({
        "user": {"entity": "user", **counted, "rate_smoothed": {"click": 10}, "recency": ["click"]},
        "item": {"entity": "item", **counted, "rate_smoothed": {"click": 20}, "recency": ["impression"]},
        "user_by_category": {
            "entity": "user", "segment": "item.category", "windows": ["7d"], "count": ["click"],
            "rate_smoothed": {"click": 10},
        },
    })  # fmt: skip


def _lacks(shown: _Shown) -> list[str]:
    share = shown.described / shown.rows if shown.rows else 0.0
    distinct = len(shown.items.intersection(shown.known.to_pylist()))
    return [
        f"item metadata covers {share:.1%} of the {shown.rows:,} items shown ({distinct:,} of {len(shown.items):,} "
        "distinct ones); the others have no profile",
        "times have no timezone: they are read as UTC",
        "a click has no time of its own: it is given its impression's",
        "clicks only: label_like, label_collect, label_share, label_follow and label_comment are 0 and label_watch_s "
        "says nothing, because none of it was logged",
        "no arrival times: every row counts as arrived when it happened",
        "no users' profiles, scenes, devices, operating systems, networks or cities",
        "no authors, durations, publication times or quality scores of news: null; format is 'note', a word of ours",
        f"news have no dates: landed on the first day and valid from {_ALWAYS:%Y-%m-%d}, a date of ours; an item can "
        "thus have a profile before it was published",
        "the news a user clicked before (history) have no times: they make no events",
        "MIND shuffled each list: position is the place in the list, not on the page",
        "titles, abstracts, urls and entities of news are left out",
    ]


def _profiles(path: Path, said: Said) -> pa.Table:
    """All news as item profiles; the file is the vocabulary of the log and small beside it."""
    blocks = [_news_rows(block, said) for block in read_text(path, wanted=_NEWS[:3], names=_NEWS, dropped=said.dropped)]
    return pa.concat_tables(blocks)


def _news_rows(block: pa.Table, said: Said) -> pa.Table:
    news = keep(block, {"news.tsv: lines without news id": pc.is_null(block.column("item_id"))}, dropped=said.dropped)
    count = news.num_rows
    absent = {"author_id": pa.int64(), "duration_s": pa.float64(), "publish_ts": STAMP, "quality_score": pa.float64()}
    return pa.table({
        "item_id": news.column("item_id"), "valid_from": pa.repeat(pa.scalar(_ALWAYS, STAMP), count),
        "category": news.column("category"), "subcategory": news.column("subcategory"),
        "format": pa.repeat("note", count),
        **{name: pa.nulls(count, kind) for name, kind in absent.items()},
    })  # fmt: skip


def _lines(path: Path, said: Said) -> Iterator[pa.Table]:
    """Good lines, a few at a time, with their time parsed; the others are counted by reason."""
    wanted = ["impression_id", "user_id", "time", "shown"]
    for block in read_text(path, wanted=wanted, names=_BEHAVIORS, dropped=said.dropped):
        moment = _moment(block.column("time"))
        wrong = {f"behaviors.tsv: lines without {c}": pc.is_null(block.column(c)) for c in wanted}
        wrong["behaviors.tsv: lines with an unreadable time"] = pc.is_null(moment)
        good = keep(block.append_column("event_ts", moment), wrong, dropped=said.dropped)
        for start in range(0, good.num_rows, _LINES):
            yield good.slice(start, _LINES)


def _moment(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times such as 11/12/2019 2:14:46 PM as UTC; null where the text is not one.

    strptime alone takes 2/30 for 3/1 and 19 for the year 19: month, day and year must come back as they were written.
    """
    shaped = pc.match_substring_regex(text, r"^\d{1,2}/\d{1,2}/[2-9]\d{3} \d{1,2}:[0-5]\d:[0-5]\d [AP]M$")
    parsed = pc.strptime(text, format=_TIME, unit="us", error_is_null=True)
    again = pc.replace_substring_regex(pc.strftime(parsed, format="%m/%d/%Y"), r"(^|/)0", r"\1")
    written = pc.replace_substring_regex(pc.replace_substring_regex(text, " .*$", ""), r"(^|/)0", r"\1")
    good = pc.and_(shaped, pc.equal(again, written))
    return pc.if_else(good, parsed, pa.scalar(None, pa.timestamp("us"))).cast(STAMP)


def _rows(lines: pa.Table, said: Said) -> tuple[pa.Table, pa.ChunkedArray]:
    """Impressions of some lines, one row a shown item, and which of them were clicked."""
    lists = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(lines.column("shown"))).combine_chunks()
    line = pc.list_parent_indices(lists)
    starts = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    position = np.arange(len(line)) - starts[line.to_numpy()]
    of = lines.select(["impression_id", "user_id", "event_ts"]).take(line)
    numbered = pa.array(position.astype("int32"))
    every = pa.table({
        "impression_id": pc.binary_join_element_wise(of.column("impression_id"), numbered.cast(pa.string()), "-"),
        "request_id": of.column("impression_id"), "request_ts": of.column("event_ts"), "user_id": of.column("user_id"),
        "item_id": pc.list_flatten(lists), "event_ts": of.column("event_ts"), "position": numbered,
    }, schema=_SCHEMAS["impressions"])  # fmt: skip
    shaped = pc.match_substring_regex(every.column("item_id"), r"^.+-[01]$")
    rows = keep(every, {"behaviors.tsv: shown items without -0 or -1": pc.invert(shaped)}, dropped=said.dropped)
    shown = rows.column("item_id")
    at = rows.schema.get_field_index("item_id")
    return rows.set_column(at, "item_id", pc.utf8_slice_codeunits(shown, 0, -2)), pc.ends_with(shown, "-1")

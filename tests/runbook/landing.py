"""Causes that end with exit code 4 because of what lies in landing, or does not yet."""

import pandas as pd

from headrace.chain import run_step
from headrace.config import Config
from headrace.steps import step_named
from schemas.ingest import survey
from tests.runbook.night import DAY, NEXT, SHOWN, Night
from tests.tiny import IMPRESSION, frame_of, write_day


def _surveyed(night: Night, config: Config | None = None, *, table: str = "impressions") -> None:
    """What ingest does first: look at every file of the day."""
    survey(config or night.config(), table, days=[DAY])


def landing_empty(night: Night) -> None:
    night.headrace("run", "--ds", DAY)


def nothing_to_show(night: Night) -> None:
    night.headrace("status")


def day_not_landed(night: Night) -> None:
    night.landed(tables=("impressions",))
    night.headrace("landed", "--ds", DAY)


def marker_awaited(night: Night) -> None:
    night.landed()
    night.headrace("landed", "--ds", DAY, settings=("ingest.marker=_SUCCESS",))


def marker_missing(night: Night) -> None:
    night.landed()
    _surveyed(night, night.config("ingest.marker=_SUCCESS"))


def labels_not_mature(night: Night) -> None:
    night.landed()
    night.headrace("run", "--ds", DAY)


def day_before_history(night: Night) -> None:
    night.landed(NEXT)
    night.headrace("run", "--ds", DAY)


def folder_misnamed(night: Night) -> None:
    night.landed()
    (night.folder / "landing" / "impressions" / "ds=2024-5-2").mkdir()
    night.headrace("run", "--ds", DAY)


def folder_missing(night: Night) -> None:
    night.landed(tables=("impressions",))
    _surveyed(night, table="engagements")


def file_unreadable(night: Night) -> None:
    night.landed()
    night.file().write_bytes(night.file().read_bytes()[:-40])
    _surveyed(night)


def file_of_unknown_format(night: Night) -> None:
    night.landed()
    night.file().with_name("notes.xlsx").write_text("?")
    _surveyed(night)


def column_missing(night: Night) -> None:
    rows = frame_of([SHOWN], IMPRESSION).drop(columns="item_id")
    write_day(night.folder / "landing", "impressions", DAY, rows)
    _surveyed(night)


def column_twice(night: Night) -> None:
    rows = pd.DataFrame([{**SHOWN, "Item_Id": 3}])
    write_day(night.folder / "landing", "impressions", DAY, rows)
    _surveyed(night)


def file_damaged_inside(night: Night) -> None:
    import gzip

    night.landed()
    line = b'{"impression_id": 9, "user_id": 2, "item_id": 3, "event_ts": "2024-05-01 12:00:00"}\n'
    whole = gzip.compress(line * 20_000, 1)
    night.file().with_name("more.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    run_step(lambda: night.spark, night.config(), step_named("ingest"), days=[DAY])  # type: ignore[arg-type, return-value]


def rows_quarantined(night: Night) -> None:
    night.landed(tables=("engagements",))
    rows = pd.DataFrame([{**SHOWN, "event_ts": 1714564800123}])
    write_day(night.folder / "landing", "impressions", DAY, rows)
    night.patch.setattr("headrace.session.spark_session", lambda *_, **__: night.spark)
    night.headrace("ingest", "--ds", DAY)

"""Ingest: formats, refusals, repeats, and a clear outcome for everything that can lie in a landing folder."""

import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from headrace.chain import plan_run, run_step
from headrace.delta import read_days
from headrace.errors import InputError
from headrace.steps import STEPS
from tests.conftest import config_of
from tests.tiny import ENGAGEMENT, IMPRESSION, frame_of, write_day

DAY = date(2024, 5, 1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SHOWN = {"impression_id": 1, "user_id": 2, "item_id": 3, "event_ts": NOON}
CLICK = {**SHOWN, "action": "click"}


def ingest(spark, config, *days: date):
    return run_step(lambda: spark, config, STEPS[0], days=list(days) or [DAY]).receipts


def land(folder: Path, impressions: list[dict], engagements: list[dict], day: date = DAY) -> None:
    write_day(folder / "landing", "impressions", day, frame_of(impressions, IMPRESSION))
    write_day(folder / "landing", "engagements", day, frame_of(engagements, ENGAGEMENT))


def land_text(folder: Path, table: str, kind: str, text: str) -> None:
    where = folder / "landing" / table / f"ds={DAY}"
    where.mkdir(parents=True, exist_ok=True)
    (where / f"a.{kind}").write_text(text)


def rows(config, name: str) -> list[dict]:
    return read_days(f"{config.root}/{name}").to_pylist()


def reasons(config) -> Counter:
    return Counter(row["reason"] for row in rows(config, "quarantine"))


def test_every_broken_row_is_refused_with_its_reason(spark, tmp_path):
    config = config_of(tmp_path)
    last = NOON.replace(hour=22)  # the end of the day in Berlin
    land(
        tmp_path,
        [
            SHOWN,
            {**SHOWN, "impression_id": 2, "user_id": None},
            {**SHOWN, "impression_id": None},
            {**SHOWN, "impression_id": 3, "event_ts": None},
            {**SHOWN, "impression_id": 4, "event_ts": datetime(1999, 12, 31, tzinfo=UTC)},
            {**SHOWN, "impression_id": 5, "event_ts": last + timedelta(days=1), "arrival_ts": last + timedelta(days=9)},
            {
                **SHOWN,
                "impression_id": 6,
                "event_ts": last + timedelta(days=1, microseconds=1),
                "arrival_ts": last + timedelta(days=9),
            },
            {**SHOWN, "impression_id": -7},
            {**SHOWN, "impression_id": 0, "user_id": 0},
        ],
        [
            CLICK,
            {**CLICK, "action": "zap"},
            {**CLICK, "action": None},
            {**CLICK, "action": "watch", "value": None},
            {**CLICK, "action": "watch", "value": float("nan")},
            {**CLICK, "action": "watch", "value": float("inf")},
            {**CLICK, "action": "watch", "value": -0.5},
            {**CLICK, "action": "watch", "value": 2.0**53},
            {**CLICK, "action": "like", "value": 7.0},
            {**CLICK, "impression_id": None},
        ],
    )
    (receipt,) = ingest(spark, config)
    assert reasons(config) == {
        "null_user_id": 1,
        "null_impression_id": 1,
        "null_event_ts": 1,
        "event_ts_out_of_range": 2,
        "unknown_action": 1,
        "null_action": 1,
        "bad_watch_value": 4,
        "value_too_large": 1,
    }
    assert (receipt.rows_in, receipt.rows_out, receipt.rows_quarantined) == (19, 7, 12)
    assert receipt.notes["engagements.value_ignored"] == "1"
    refused = rows(config, "quarantine")[0]
    assert json.loads(refused["row_json"])["item_id"] == 3
    assert refused["source_file"].endswith(".parquet")


def test_the_first_to_arrive_stands_and_a_contradiction_is_counted(spark, tmp_path):
    config = config_of(tmp_path)
    early, late = {"arrival_ts": NOON + timedelta(minutes=1)}, {"arrival_ts": NOON + timedelta(hours=1)}
    land(
        tmp_path,
        [{**SHOWN, **late, "position": 9}, {**SHOWN, **early, "position": 1}, {**SHOWN, **late, "position": 1}],
        [CLICK, {**CLICK, **late}],
    )
    (receipt,) = ingest(spark, config)
    assert [row["position"] for row in rows(config, "impressions")] == [1]
    assert receipt.rows_duplicate == 3
    assert receipt.notes["impressions.conflicting_duplicates"] == "1"
    assert "engagements.conflicting_duplicates" not in receipt.notes


def test_repeats_are_recognised_within_the_horizon_kept_or_not_and_stand_beyond_it(spark, tmp_path):
    config = config_of(tmp_path)
    days = [DAY + timedelta(days=n) for n in range(12)]
    for number, day in enumerate(days):
        again = [SHOWN] if number in (0, 3, 6, 10) else []  # 3 and 6 each within 3 days of the last, 10 is not
        land(tmp_path, again, [], day)
    together = ingest(spark, config, *days)
    assert {r.ds: r.rows_duplicate for r in together if r.rows_duplicate} == {days[3]: 1, days[6]: 1}
    assert [row["ds"] for row in rows(config, "impressions")] == [days[0], days[10]]


def test_a_day_at_a_time_recognises_the_same_repeats(spark, tmp_path):
    config = config_of(tmp_path)
    days = [DAY + timedelta(days=n) for n in range(4)]
    for number, day in enumerate(days):
        land(
            tmp_path,
            [{**SHOWN, "position": number}] if number in (0, 3) else [],
            [CLICK] if number in (0, 2) else [],
            day,
        )
    receipts = [ingest(spark, config, day)[0] for day in days]
    assert [r.rows_duplicate for r in receipts] == [0, 0, 1, 1]
    assert receipts[3].notes["impressions.conflicting_duplicates"] == "1"


def test_once_counts_the_first_of_an_impression_and_action(spark, tmp_path):
    config = config_of(tmp_path)
    later = {"event_ts": NOON + timedelta(minutes=5)}
    orphan = {**CLICK, "impression_id": None}
    land(tmp_path, [SHOWN], [{**CLICK, **later}, CLICK, orphan, {**orphan, **later}])
    ingest(spark, config)
    found = {(r["impression_id"], r["event_ts"]): r["is_first"] for r in rows(config, "engagements")}
    assert found == {
        (1, NOON): True,
        (1, later["event_ts"]): False,
        (None, NOON): True,
        (None, later["event_ts"]): True,
    }


def test_csv_and_json_lines_give_the_rows_that_parquet_gives(spark, tmp_path):
    landing = tmp_path / "landing"
    for table, header in (
        ("impressions", "impression_id,user_id,item_id,event_ts,position"),
        ("engagements", "impression_id,user_id,item_id,action,value,event_ts"),
    ):
        (landing / table / f"ds={DAY}").mkdir(parents=True)
        text = {
            "impressions": f"{header}\n1,2,3,2024-05-01T14:00:00.1234567+02:00,4\n2,2,3,2024-05-01 12:00:00,\n3,2,x,2024-05-01 12:00:00,1\n4,2\n5,2,3,1714564800,1\n",
            "engagements": f"{header}\n1,2,3,watch,1.5,2024-05-01T12:00:09Z\n",
        }[table]
        (landing / table / f"ds={DAY}" / "a.csv").write_text(text)
    with gzip.open(landing / "impressions" / f"ds={DAY}" / "b.jsonl.gz", "wt") as out:
        out.write(
            '{"impression_id": 7, "user_id": 2, "item_id": 3, "event_ts": "2024-05-01 12:00:00"}\n{"impression_id": 8, "user\n'
        )
    config = config_of(tmp_path)
    (receipt,) = ingest(spark, config)
    found = {row["impression_id"]: row for row in rows(config, "impressions")}
    assert set(found) == {1, 2, 7}
    assert found[1]["event_ts"] == NOON.replace(microsecond=123456)
    assert found[1]["position"] == 4
    assert reasons(config) == {"bad_type_item_id": 1, "malformed_row": 2, "bad_type_event_ts": 1}
    assert receipt.rows_in == 8


def test_text_ids_are_hashed_and_their_texts_kept(spark, tmp_path):
    day = tmp_path / "landing"
    write_day(
        day,
        "impressions",
        DAY,
        pd.DataFrame([{"impression_id": "a-1", "user_id": "007", "item_id": "N1", "event_ts": NOON}]),
    )
    write_day(
        day,
        "engagements",
        DAY,
        pd.DataFrame(
            [{"impression_id": "a-1", "user_id": "007", "item_id": "N1", "action": "click", "event_ts": NOON}]
        ),
    )
    config = config_of(tmp_path)
    ingest(spark, config)
    (shown,), (done,) = rows(config, "impressions"), rows(config, "engagements")
    assert shown["impression_id"] == done["impression_id"]
    texts = {(r["kind"], r["id"]): r["text"] for r in rows(config, "id_map")}
    assert texts["impressions.user_id", shown["user_id"]] == "007"
    assert shown["user_id"] == spark.sql("SELECT xxhash64('007') AS h").first()["h"]


def test_bare_numbers_need_a_declared_unit(spark, tmp_path):
    millis = pd.DataFrame(
        [{**{k: SHOWN[k] for k in ("impression_id", "user_id", "item_id")}, "event_ts": 1714564800123}]
    )
    write_day(tmp_path / "landing", "impressions", DAY, millis)
    write_day(tmp_path / "landing", "engagements", DAY, frame_of([], ENGAGEMENT))
    ingest(spark, config_of(tmp_path))
    assert reasons(config_of(tmp_path)) == {"bad_type_event_ts": 1}
    config = config_of(tmp_path, "ingest.timestamp_units={event_ts: ms}")
    ingest(spark, config)
    assert rows(config, "impressions")[0]["event_ts"] == datetime(2024, 5, 1, 12, 0, 0, 123000, tzinfo=UTC)
    assert rows(config, "quarantine") == []


def test_a_truncated_file_is_named_and_nothing_is_written(spark, tmp_path):
    land(tmp_path, [SHOWN], [CLICK])
    file = tmp_path / "landing" / "impressions" / f"ds={DAY}" / "part-0.parquet"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match="unreadable parquet file") as refused:
        ingest(spark, config_of(tmp_path))
    assert "part-0.parquet" in refused.value.what
    assert not (tmp_path / "tables").exists()


def test_a_missing_column_is_named(spark, tmp_path):
    land(tmp_path, [SHOWN], [CLICK])
    write_day(tmp_path / "landing", "impressions", DAY, frame_of([SHOWN], IMPRESSION).drop(columns="item_id"))
    with pytest.raises(InputError, match="item_id"):
        ingest(spark, config_of(tmp_path))


def test_a_day_without_a_folder_is_refused_and_an_empty_folder_is_a_day_without_rows(spark, tmp_path):
    land(tmp_path, [SHOWN], [CLICK])
    (tmp_path / "landing" / "engagements" / f"ds={DAY}" / "part-0.parquet").unlink()
    (receipt,) = ingest(spark, config_of(tmp_path))
    assert (receipt.rows_in, receipt.rows_out) == (1, 1)
    assert receipt.notes["user_profile.folder"] == "none"
    (tmp_path / "landing" / "engagements" / f"ds={DAY}").rmdir()
    with pytest.raises(InputError, match="no folder"):
        ingest(spark, config_of(tmp_path))


def test_a_file_of_unknown_format_and_a_folder_that_is_no_day_are_refused(spark, tmp_path):
    land(tmp_path, [SHOWN], [CLICK])
    (tmp_path / "landing" / "impressions" / f"ds={DAY}" / "notes.xlsx").write_text("?")
    with pytest.raises(InputError, match="unknown format"):
        ingest(spark, config_of(tmp_path))
    (tmp_path / "landing" / "impressions" / "ds=yesterday").mkdir()
    with pytest.raises(InputError, match="ds=yesterday"):
        plan_run(config_of(tmp_path), ds=DAY, days=1)


def test_a_day_that_is_not_mature_is_refused_with_the_moment_when_it_will_be(tmp_path):
    land(tmp_path, [SHOWN], [CLICK])
    with pytest.raises(InputError, match="2024-05-02 22:00 UTC") as refused:
        plan_run(config_of(tmp_path), ds=DAY, days=1)
    assert refused.value.exit_code == 4


def test_a_file_damaged_inside_is_named(spark, tmp_path):
    land(tmp_path, [SHOWN], [CLICK])
    file = tmp_path / "landing" / "impressions" / f"ds={DAY}" / "more.jsonl.gz"
    whole = gzip.compress(
        b'{"impression_id": 9, "user_id": 2, "item_id": 3, "event_ts": "2024-05-01 12:00:00"}\n' * 20_000, 1
    )
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged inside"):
        ingest(spark, config_of(tmp_path))


def test_pandas_files_as_they_come_are_read(spark, tmp_path):
    folder = tmp_path / "landing"
    nanos = pd.DataFrame(
        [SHOWN, {**SHOWN, "impression_id": 2, "user_id": None}, {**SHOWN, "impression_id": 3, "user_id": 2.0**60}]
    )
    nanos["event_ts"] = nanos["event_ts"].astype("datetime64[ns, UTC]") + pd.Timedelta(nanoseconds=1999)
    (folder / "impressions" / f"ds={DAY}").mkdir(parents=True)
    nanos.to_parquet(
        folder / "impressions" / f"ds={DAY}" / "a.parquet", index=False
    )  # ids become floats, times nanoseconds
    done = folder / "engagements" / f"ds={DAY}"
    done.mkdir(parents=True)
    (done / "a.csv").write_text(
        "impression_id,ds,user_id,item_id,action,event_ts\n1.0,x,2,3,click,2024-05-01T12:00:00Z\n,x,2,3,klick,2024-05-01T12:00:00Z\n"
    )
    config = config_of(tmp_path)
    ingest(spark, config)
    (shown,) = rows(config, "impressions")
    assert (shown["user_id"], shown["event_ts"]) == (2, NOON.replace(microsecond=1))
    assert [row["impression_id"] for row in rows(config, "engagements")] == [1]
    assert reasons(config) == {"null_user_id": 1, "bad_type_user_id": 1, "unknown_action": 1}


def test_columns_twice_and_columns_of_lists_are_refused(spark, tmp_path):
    land(tmp_path, [SHOWN], [CLICK])
    file = tmp_path / "landing" / "engagements" / f"ds={DAY}" / "b.csv"
    file.write_text("user_id,item_id,action,event_ts,User_ID\n")
    with pytest.raises(InputError, match="more than once"):
        ingest(spark, config_of(tmp_path))
    file.unlink()
    lists = pd.DataFrame([{**SHOWN, "position": [1]}])
    lists.to_parquet(tmp_path / "landing" / "impressions" / f"ds={DAY}" / "c.parquet", index=False)
    with pytest.raises(InputError, match="position: list"):
        ingest(spark, config_of(tmp_path))


def test_a_day_needs_its_horizon_ingested_and_a_step_its_inputs(spark, tmp_path):
    days = [DAY + timedelta(days=n) for n in range(3)]
    for day in days:
        land(tmp_path, [SHOWN], [CLICK], day)
    with pytest.raises(InputError, match="2024-05-01 not ingested"):
        ingest(spark, config_of(tmp_path), days[2])
    with pytest.raises(InputError, match="of ingest, 2024-05-02 the first, not built"):
        run_step(lambda: spark, config_of(tmp_path), STEPS[1], days=[days[1]])


def test_one_stray_quote_or_brace_costs_one_row_not_the_rest_of_the_file(spark, tmp_path):
    header = "impression_id,user_id,item_id,event_ts,scene\n"
    lines = [
        f"{n},2,3,2024-05-01 12:00:00,{chr(34)}feed" if n == 2 else f"{n},2,3,2024-05-01 12:00:00,feed"
        for n in range(1, 6)
    ]
    land_text(tmp_path, "impressions", "csv", header + "\n".join(lines) + "\n")
    one = '{"user_id": 2, "item_id": 3, "action": "click", "event_ts": "2024-05-01 12:00:00", "impression_id": %d}'
    land_text(tmp_path, "engagements", "jsonl", f"{one % 1}\n{one % 2}{one % 3}\n\n{one % 4}\n")
    config = config_of(tmp_path)
    (receipt,) = ingest(spark, config)
    assert receipt.rows_in == 5 + 3
    assert {1, 3, 4, 5} <= {row["impression_id"] for row in rows(config, "impressions")}
    assert sorted(row["impression_id"] for row in rows(config, "engagements")) == [1, 4]
    assert reasons(config)["malformed_row"] >= 1


def test_a_day_folder_spelled_otherwise_and_a_file_named_like_a_pattern_are_refused(spark, tmp_path):
    land(tmp_path, [SHOWN], [CLICK])
    odd = tmp_path / "landing" / "user_profile" / f"ds={DAY:%Y%m%d}"
    odd.mkdir(parents=True)
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        ingest(spark, config_of(tmp_path))
    odd.rmdir()
    (tmp_path / "landing" / "engagements" / f"ds={DAY}" / "a[1].csv").write_text("user_id\n")
    with pytest.raises(InputError, match="rename the file"):
        ingest(spark, config_of(tmp_path))

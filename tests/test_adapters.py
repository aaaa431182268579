"""Public logs to the landing format: on tiny made-up excerpts, and on the real data where it is."""

import hashlib
import json
import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from adapters import ADAPTERS, AdaptSummary, adapt
from headrace.chain import plan_run
from headrace.config import feature_columns, load_config
from headrace.errors import ConfigError, InputError
from schemas.conform import check_columns, landing_columns
from schemas.landing import landed_days, survey_day

EXCERPTS = Path(__file__).parent / "data" / "adapters"
SHARED = Path(os.environ.get("HEADRACE_SHARED", Path(__file__).parents[2] / "shared")) / "data"
CLICKS: dict[str, list[int | None]] = {
    "user_id": [1, 2, 2, None, 3, 1],
    "click_article_id": [10, 10, 11, 10, 12, 13],
    "click_timestamp": [1506826800026, 1506902399999, 1506902400000, 1506902400001, 1506902400, 1507161600000],
    "click_environment": [4] * 6,
}


@pytest.fixture
def globo(tmp_path: Path) -> Path:
    """Clicks of 2017-10-01, 02 and 05; one without user, one in seconds instead of milliseconds."""
    source = tmp_path / "globo_source"
    source.mkdir()
    pq.write_table(pa.table(CLICKS), source / "clicks.parquet")
    return source


def source_of(name: str, globo: Path) -> Path:
    return globo if name == "globo" else EXCERPTS / name


def rows_of(out: Path, table: str) -> list[dict]:
    found = ds.dataset(out / "landing" / table, partitioning=ds.partitioning(flavor="hive")).to_table()
    return found.to_pylist()


def digests(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the public data {name} is not here: set HEADRACE_SHARED to the folder that holds data/{name}")
    return SHARED / name


def test_mind_lists_become_impressions_with_their_place_and_clicks_at_the_same_time(tmp_path):
    adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "m")
    at = datetime(2019, 11, 11, 23, 59, 59, tzinfo=UTC)
    second = [r for r in rows_of(tmp_path / "m", "impressions") if r["request_id"] == "2"]
    common = {"request_id": "2", "request_ts": at, "user_id": "U2", "event_ts": at, "ds": "2019-11-11"}
    assert second == [
        {**common, "impression_id": "2-0", "item_id": "N2", "position": 0},
        {**common, "impression_id": "2-1", "item_id": "N3", "position": 1},
    ]
    clicks = {
        (r["impression_id"], r["user_id"], r["item_id"], r["action"]) for r in rows_of(tmp_path / "m", "engagements")
    }
    assert clicks == {("1-0", "U1", "N1", "click"), ("2-1", "U2", "N3", "click"), ("4-3", "U3", "N4", "click")}


def test_mind_midnight_and_noon_are_read_on_a_twelve_hour_clock(tmp_path):
    adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "m")
    times = {r["request_id"]: r["event_ts"] for r in rows_of(tmp_path / "m", "impressions")}
    assert times["3"] == datetime(2019, 11, 13, 0, 0, tzinfo=UTC)
    assert times["4"] == datetime(2019, 11, 13, 12, 30, tzinfo=UTC)


def test_mind_counts_every_line_and_shown_item_that_it_cannot_read(tmp_path):
    summary = adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "m")
    assert summary.dropped == {
        "behaviors.tsv: lines with an unreadable time": 2,
        "behaviors.tsv: lines without 5 columns": 1,
        "behaviors.tsv: lines without shown": 1,
        "behaviors.tsv: lines without user_id": 1,
        "behaviors.tsv: shown items without -0 or -1": 2,
        "news.tsv: lines without 8 columns": 1,
    }
    assert summary.rows == {"engagements": 3, "impressions": 9, "item_profile": 3}


def test_mind_place_in_the_list_counts_items_that_were_dropped(tmp_path):
    adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "m")
    fourth = {r["item_id"]: r["position"] for r in rows_of(tmp_path / "m", "impressions") if r["request_id"] == "4"}
    assert fourth == {"N1": 0, "N4": 3}


def test_mind_result_does_not_depend_on_how_many_lines_are_turned_at_a_time(tmp_path, monkeypatch):
    adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "whole")
    monkeypatch.setattr("adapters.mind._LINES", 1)
    adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "single")
    assert digests(tmp_path / "whole") == digests(tmp_path / "single")


def test_mind_says_how_much_of_what_was_shown_has_metadata(tmp_path):
    summary = adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "m")
    assert summary.missing[0].startswith("item metadata covers 55.6% of the 9 items shown (2 of 4 distinct ones)")


def test_mind_profiles_leave_null_what_news_do_not_have(tmp_path):
    adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "m")
    first, second, _ = rows_of(tmp_path / "m", "item_profile")
    assert (first["item_id"], first["category"], first["subcategory"], first["format"]) == (
        "N1",
        "sports",
        "golf",
        "note",
    )
    assert second["subcategory"] is None
    assert {first[c] for c in ("author_id", "duration_s", "publish_ts", "quality_score")} == {None}


def test_a_line_that_is_not_utf8_is_counted_and_its_neighbours_stay(tmp_path):
    source = shutil.copytree(EXCERPTS / "mind", tmp_path / "s")
    with (source / "behaviors.tsv").open("ab") as file:
        file.write(b"10\tU\xff\t11/13/2019 9:00:00 AM\t\tN1-1\n11\tU9\t11/13/2019 9:00:00 AM\t\tN1-1\n")
    summary = adapt("mind", source=source, out=tmp_path / "m")
    assert summary.dropped["behaviors.tsv: lines that are not UTF-8"] == 1
    assert [r["user_id"] for r in rows_of(tmp_path / "m", "engagements")][-1] == "U9"


def test_globo_clicks_are_engagements_without_impression_on_their_utc_day(globo, tmp_path):
    adapt("globo", source=globo, out=tmp_path / "g")
    found = [
        (r["user_id"], r["item_id"], r["action"], r["impression_id"], r["ds"])
        for r in rows_of(tmp_path / "g", "engagements")
    ]
    assert found == [
        (1, 10, "click", None, "2017-10-01"), (2, 10, "click", None, "2017-10-01"),
        (2, 11, "click", None, "2017-10-02"), (1, 13, "click", None, "2017-10-05"),
    ]  # fmt: skip
    assert rows_of(tmp_path / "g", "engagements")[0]["event_ts"] == datetime(2017, 10, 1, 3, 0, 0, 26_000, tzinfo=UTC)


def test_globo_counts_clicks_without_user_and_times_in_another_unit(globo, tmp_path):
    summary = adapt("globo", source=globo, out=tmp_path / "g")
    assert summary.dropped == {
        "rows with a click_timestamp that is no millisecond of 2000 to 2099": 1, "rows without user_id": 1,
    }  # fmt: skip


def test_globo_has_an_empty_file_of_impressions_for_every_day_and_of_clicks_for_days_without(globo, tmp_path):
    summary = adapt("globo", source=globo, out=tmp_path / "g")
    every = [date(2017, 10, day) for day in range(1, 6)]
    assert summary.days == every
    for table in ("impressions", "engagements"):
        assert landed_days(str(tmp_path / "g" / "landing"), table) == every
    assert summary.rows == {"engagements": 4, "impressions": 0}


def test_globo_names_the_columns_it_leaves_out(globo, tmp_path):
    summary = adapt("globo", source=globo, out=tmp_path / "g")
    assert any(sentence.endswith("left out: click_environment") for sentence in summary.missing)


def test_more_days_than_open_files_make_more_parts_and_lose_nothing(globo, tmp_path, monkeypatch):
    monkeypatch.setattr("adapters.landing._OPEN_FILES", 1)
    shuffled = pa.table({name: [*values[:3], values[0]] for name, values in CLICKS.items()})
    pq.write_table(shuffled, globo / "clicks.parquet", row_group_size=1)
    monkeypatch.setattr("adapters.globo._BATCH_ROWS", 1)
    adapt("globo", source=globo, out=tmp_path / "g")
    files = sorted((tmp_path / "g" / "landing" / "engagements" / "ds=2017-10-01").iterdir())
    assert [file.name for file in files] == ["part-00000.parquet", "part-00001.parquet"]
    assert len(rows_of(tmp_path / "g", "engagements")) == 4


def test_days_too_far_apart_are_refused(globo, tmp_path):
    late = {**CLICKS, "click_timestamp": [*CLICKS["click_timestamp"][:5], 1707161600000]}
    pq.write_table(pa.table(late), globo / "clicks.parquet")
    with pytest.raises(InputError, match="days from 2017-10-01 to 2024-02-05"):
        adapt("globo", source=globo, out=tmp_path / "g")


def test_kuairand_users_keep_what_is_real_and_null_the_rest(tmp_path):
    summary = adapt("kuairand", source=EXCERPTS / "kuairand", out=tmp_path / "k")
    first, second = rows_of(tmp_path / "k", "user_profile")
    assert (first["active_degree"], first["is_live_streamer"], first["follow_user_num"]) == ("full_active", 1, 8)
    assert (first["follow_user_num_range"], first["onehot_feat4"], first["gender"]) == ("(0,10]", "4", None)
    assert (second["active_degree"], second["is_live_streamer"], second["onehot_feat4"]) == (None, None, None)
    assert "is_live_streamer is -124, no answer, for 1 users: null" in summary.missing


def test_kuairand_videos_have_seconds_the_first_tag_and_the_day_of_upload_in_shanghai(tmp_path):
    adapt("kuairand", source=EXCERPTS / "kuairand", out=tmp_path / "k")
    video, picture = rows_of(tmp_path / "k", "item_profile")
    assert (video["item_id"], video["author_id"], video["duration_s"], video["format"]) == (0, 7, 87.433, "video")
    assert (video["category"], video["tags"], video["server_width"], video["music_type"]) == ("39", "39,68", 720, "9")
    assert video["publish_ts"] == datetime(2022, 4, 9, 16, tzinfo=UTC)
    assert (picture["duration_s"], picture["format"], picture["category"]) == (None, None, None)


def test_kuairand_counts_cells_that_it_cannot_read(tmp_path):
    summary = adapt("kuairand", source=EXCERPTS / "kuairand", out=tmp_path / "k")
    assert summary.dropped == {
        "user_features_pure.csv: lines without 31 columns": 1,
        "users with an unreadable follow_user_num": 1,
        "users with an unreadable user_id": 1,
        "videos with an unreadable server_width": 1,
        "videos with an unreadable upload_dt": 1,
    }


def test_kuairand_alone_cannot_run_and_the_message_says_why(tmp_path):
    adapt("kuairand", source=EXCERPTS / "kuairand", out=tmp_path / "k")
    with pytest.raises(InputError, match="no folder ds="):
        plan_run(load_config(tmp_path / "k" / "kuairand.yaml"), ds=date(2022, 4, 8), days=1)


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_the_configuration_beside_the_landing_loads_and_fits_its_files(name, globo, tmp_path):
    summary = adapt(name, source=source_of(name, globo), out=tmp_path / "o")
    config = load_config(tmp_path / "o" / f"{name}.yaml")
    assert (config.landing, config.root) == (str(tmp_path / "o" / "landing"), str(tmp_path / "o" / "tables"))
    for table in summary.rows:
        for day in landed_days(config.landing, table):
            files = survey_day(config.landing, table, day) or []
            check_columns(config, table, files)
            assert {c for file in files for c, _ in file.columns} <= set(landing_columns(config, table))
    assert {f.source.partition(":")[2] for f in feature_columns(config) if f.source.startswith("group")} == set(
        config.features.groups
    )


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_same_source_same_bytes(name, globo, tmp_path):
    adapt(name, source=source_of(name, globo), out=tmp_path / "a")
    adapt(name, source=source_of(name, globo), out=tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_every_time_that_lands_is_a_utc_microsecond(name, globo, tmp_path):
    adapt(name, source=source_of(name, globo), out=tmp_path / "o")
    for file in (tmp_path / "o" / "landing").rglob("*.parquet"):
        for column in pq.read_schema(file):
            assert not pa.types.is_timestamp(column.type) or column.type == pa.timestamp("us", tz="UTC")


def test_the_summary_lies_beside_the_landing(tmp_path):
    summary = adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "m")
    said = json.loads((tmp_path / "m" / "adapted.json").read_text())
    assert isinstance(summary, AdaptSummary)
    assert (said["rows"], said["dropped"], said["missing"]) == (summary.rows, summary.dropped, summary.missing)
    assert said["days"] == ["2019-11-11", "2019-11-12", "2019-11-13"]


def test_progress_hears_of_every_table(tmp_path):
    heard: dict[str, int] = {}
    summary = adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "m", progress=heard.__setitem__)
    assert heard == summary.rows


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_a_missing_source_is_an_input_error_and_leaves_nothing(name, tmp_path):
    with pytest.raises(InputError, match="no such folder") as caught:
        adapt(name, source=tmp_path / "nowhere", out=tmp_path / "o")
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("column", ["user_id", "click_timestamp"])
def test_a_missing_column_is_an_input_error(column, globo, tmp_path):
    pq.write_table(pa.table(CLICKS).drop_columns([column]), globo / "clicks.parquet")
    with pytest.raises(InputError, match=f"{column} absent"):
        adapt("globo", source=globo, out=tmp_path / "g")


def test_a_missing_csv_column_is_an_input_error(tmp_path):
    source = shutil.copytree(EXCERPTS / "kuairand", tmp_path / "s")
    (source / "video_features_basic_pure.csv").write_text("video_id,author_id\n1,2\n")
    with pytest.raises(InputError, match="upload_dt"):
        adapt("kuairand", source=source, out=tmp_path / "k")


@pytest.mark.parametrize("content", [b"", b"PAR1 but not whole"])
def test_a_broken_parquet_file_is_an_input_error(content, globo, tmp_path):
    (globo / "clicks.parquet").write_bytes(content)
    with pytest.raises(InputError, match="whole Parquet file"):
        adapt("globo", source=globo, out=tmp_path / "g")


@pytest.mark.parametrize("file", ["behaviors.tsv", "news.tsv"])
def test_an_empty_file_is_an_input_error(file, tmp_path):
    source = shutil.copytree(EXCERPTS / "mind", tmp_path / "s")
    (source / file).write_text("")
    with pytest.raises(InputError, match="Empty CSV file"):
        adapt("mind", source=source, out=tmp_path / "m")


def test_a_source_without_one_good_row_is_an_input_error(tmp_path):
    source = shutil.copytree(EXCERPTS / "mind", tmp_path / "s")
    (source / "behaviors.tsv").write_text("1\tU1\tyesterday\t\tN1-0\n")
    with pytest.raises(InputError, match="no usable row"):
        adapt("mind", source=source, out=tmp_path / "m")


def test_an_unknown_adapter_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="globo, kuairand, mind"):
        adapt("movielens", source=tmp_path, out=tmp_path / "o")


def test_a_folder_with_content_is_left_alone(tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine.txt").write_text("mine")
    for overwrite in (False, True):  # overwrite replaces what an adapter wrote, nothing else
        with pytest.raises(ConfigError):
            adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "o", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["mine.txt"]


def test_overwrite_replaces_the_landing_and_keeps_the_tables(globo, tmp_path):
    out = tmp_path / "o"
    adapt("mind", source=EXCERPTS / "mind", out=out)
    (out / "tables").mkdir()
    (out / "tables" / "kept").write_text("")
    adapt("globo", source=globo, out=out, overwrite=True)
    assert sorted(p.name for p in out.iterdir()) == [
        "adapted.json",
        "globo.yaml",
        "globo_features.yaml",
        "landing",
        "tables",
    ]
    assert not (out / "landing" / "item_profile").exists()


def test_a_failure_leaves_the_last_good_version(tmp_path):
    adapt("mind", source=EXCERPTS / "mind", out=tmp_path / "o")
    before = digests(tmp_path)
    with pytest.raises(InputError):
        adapt("mind", source=EXCERPTS / "kuairand", out=tmp_path / "o", overwrite=True)
    assert digests(tmp_path) == before


def test_real_mind_has_the_published_counts(tmp_path):
    summary = adapt("mind", source=shared("mind_5k"), out=tmp_path / "m")
    assert summary.rows == {"engagements": 7542, "impressions": 189359, "item_profile": 2000}
    assert (summary.dropped, summary.days) == ({}, [date(2019, 11, day) for day in range(9, 15)])
    assert summary.missing[0].startswith("item metadata covers 2.8% of the 189,359 items shown")


def test_real_globo_has_every_click_on_its_day(tmp_path):
    summary = adapt("globo", source=shared("globo_clicks"), out=tmp_path / "g")
    assert summary.rows == {"engagements": 2_988_181, "impressions": 0}
    assert (summary.dropped, summary.days[0], summary.days[-1]) == ({}, date(2017, 10, 1), date(2017, 11, 13))
    busiest = ds.dataset(tmp_path / "g" / "landing" / "engagements" / "ds=2017-10-02")
    assert busiest.count_rows() == 303_177


def test_real_kuairand_has_every_profile(tmp_path):
    summary = adapt("kuairand", source=shared("kuairand_pure_profiles"), out=tmp_path / "k")
    assert (summary.rows, summary.dropped) == ({"item_profile": 7583, "user_profile": 27285}, {})
    assert any(sentence.startswith("239 videos have no duration") for sentence in summary.missing)

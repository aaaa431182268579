"""The synthetic world: the same bytes again, a truth that the rows obey, and dirt that is counted."""

import hashlib
import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from headrace.days import day_end, day_start
from headrace.errors import ConfigError, InputError
from simulation import WorldSpec, WorldSummary, simulate, world_spec

TINY: dict[str, Any] = {
    "days": 4,
    "impressions_per_day": 4_000,
    "users": 300,
    "items": 200,
    "authors": 20,
    "categories": 5,
}
CLEAN: dict[str, Any] = {"late_share": 0, "duplicate_share": 0, "malformed_share": 0}
DIRTY: dict[str, Any] = {"late_share": 0.05, "duplicate_share": 0.03, "malformed_share": 0.02}
EVENT_KEYS = {"impressions": ["impression_id"], "engagements": ["impression_id", "action", "event_ts"]}


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, WorldSummary]:
    out = tmp_path_factory.mktemp("dirty") / "world"
    return out, simulate(out, spec=WorldSpec(**TINY, **DIRTY, seed=11, timezone="Asia/Tokyo"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, WorldSummary]:
    out = tmp_path_factory.mktemp("clean") / "world"
    return out, simulate(out, spec=WorldSpec(**TINY, **CLEAN, seed=11, timezone="Asia/Tokyo"))


def digests(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(folder: Path) -> pd.DataFrame:
    """All rows below a folder, with the ds of their own folder and in the order of days."""
    parts = []
    for path in sorted(folder.rglob("*.parquet")):
        parts.append(pq.ParquetFile(path).read().to_pandas().assign(ds=path.parent.name.removeprefix("ds=")))
    return pd.concat(parts, ignore_index=True)


def read_json_lines(path: Path) -> pd.DataFrame:
    return pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])


def reasons(rows: pd.DataFrame, table: str) -> pd.Series:
    """Why ingest would refuse each row, found from the row alone; empty text where it is good."""
    reason = pd.Series("", index=rows.index)
    if table.endswith("_profile"):
        reason[rows["valid_to"] <= rows["valid_from"]] = "valid_to_before_valid_from"
        reason[rows["valid_from"].isna()] = "null_valid_from"
        reason[rows[f"{table.removesuffix('_profile')}_id"].isna()] = "null_key"
        return reason
    reason[rows["event_ts"] > rows["arrival_ts"] + timedelta(days=1)] = "future_event_ts"
    reason[rows["event_ts"] < pd.Timestamp("2000-01-01", tz="UTC")] = "ancient_event_ts"
    for name in ("event_ts", "item_id", "user_id"):
        reason[rows[name].isna()] = f"null_{name}"
    if table == "engagements":
        reason[rows["action"] == "teleport"] = "unknown_action"
        watch = rows["action"] == "watch"
        reason[watch & rows["value"].isna()] = "nan_watch"
        reason[watch & (rows["value"] < 0)] = "negative_watch"
    return reason


def good_rows(out: Path, table: str) -> pd.DataFrame:
    rows = read(out / "landing" / table)
    return rows[reasons(rows, table) == ""]


def test_a_day_of_many_chunks_has_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.run.CHUNK_IMPRESSIONS", 500)
    summary = simulate(tmp_path / "w", spec=WorldSpec(**TINY | {"days": 2}, **CLEAN))
    truth = read(tmp_path / "w/truth")
    assert len(truth) == summary.truth_rows == (475 + 465) * 8
    assert truth["impression_id"].is_unique and truth["event_ts"].dt.date.nunique() >= 2
    assert truth.groupby("ds")["impression_id"].agg(lambda ids: ids.max() - ids.min() + 1 == len(ids)).all()


def test_the_same_spec_gives_the_same_bytes(tmp_path: Path) -> None:
    spec = WorldSpec(**TINY, file_rows=1_000)
    simulate(tmp_path / "one", spec=spec)
    simulate(tmp_path / "two", spec=spec)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert (tmp_path / "one/landing/impressions/ds=2026-01-06/part-00003.parquet").is_file()


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate(tmp_path / str(seed), spec=WorldSpec(**TINY | {"days": 1}, seed=seed))
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert one.keys() == two.keys() and not set(one.values()) & set(two.values())


def test_dirt_leaves_the_truth_as_it_was(clean: tuple[Path, WorldSummary], dirty: tuple[Path, WorldSummary]) -> None:
    assert digests(clean[0] / "truth") == digests(dirty[0] / "truth")


def test_a_world_without_dirt_has_no_bad_late_or_repeated_row(clean: tuple[Path, WorldSummary]) -> None:
    for table, counted in clean[1].tables.items():
        rows = read(clean[0] / "landing" / table)
        assert (reasons(rows, table) == "").all()
        assert counted.rows == counted.good + counted.closing == len(rows)
        if table in EVENT_KEYS:
            assert not rows.duplicated(EVENT_KEYS[table]).any()


def test_like_collect_and_share_imply_a_click(clean: tuple[Path, WorldSummary]) -> None:
    truth = read(clean[0] / "truth")
    assert truth[["liked", "collected", "shared"]].to_numpy().any()
    for name in ("liked", "collected", "shared"):
        assert not (truth[name] & ~truth["clicked"]).any()


def test_engagements_are_what_the_truth_says(clean: tuple[Path, WorldSummary]) -> None:
    counted = clean[1].tables["engagements"]
    truth = read(clean[0] / "truth").set_index("impression_id")
    did = read(clean[0] / "landing/engagements")
    beyond = sum(counted.beyond_last_day.values())
    for action, name in {"click": "clicked", "like": "liked", "collect": "collected", "share": "shared"}.items():
        ids = set(did.loc[did["action"] == action, "impression_id"])
        expected = set(truth.index[truth[name]])
        assert ids <= expected and len(expected - ids) <= beyond
    last = truth["event_ts"].max() - timedelta(hours=6)
    seconds = did[did["action"] == "watch"].groupby("impression_id")["value"].sum()
    settled = truth.index[(truth["event_ts"] < last) & (truth["watch_s"] > 0)]
    np.testing.assert_allclose(seconds[settled], truth.loc[settled, "watch_s"], rtol=1e-12)


def test_engagements_follow_their_impression_and_carry_its_ids(clean: tuple[Path, WorldSummary]) -> None:
    shown = read(clean[0] / "truth").set_index("impression_id")
    did = read(clean[0] / "landing/engagements")
    own = shown.loc[did["impression_id"]]
    later = did["event_ts"].reset_index(drop=True) - own["event_ts"].reset_index(drop=True)
    assert later.min() > timedelta(0) and later.max() < timedelta(hours=24)
    for name in ("user_id", "item_id"):
        assert (did[name].to_numpy() == own[name].to_numpy()).all()


@pytest.mark.parametrize(
    "p, happened",
    [("p_click", "clicked"), ("p_like", "liked"), ("p_collect", "collected"), ("p_share", "shared")],
)
def test_realised_rates_are_within_four_standard_errors(
    clean: tuple[Path, WorldSummary], p: str, happened: str
) -> None:
    truth = read(clean[0] / "truth")
    error = np.sqrt((truth[p] * (1 - truth[p])).sum())
    assert abs(truth[happened].sum() - truth[p].sum()) < 4 * error


def test_probabilities_are_true_in_every_tenth_of_their_range(clean: tuple[Path, WorldSummary]) -> None:
    truth = read(clean[0] / "truth").sort_values("p_click")
    for tenth in np.array_split(np.arange(len(truth)), 10):
        rows = truth.iloc[tenth]
        error = np.sqrt((rows["p_click"] * (1 - rows["p_click"])).sum())
        assert abs(rows["clicked"].sum() - rows["p_click"].sum()) < 4 * error


def test_watched_seconds_agree_with_their_expectation(clean: tuple[Path, WorldSummary]) -> None:
    truth = read(clean[0] / "truth").dropna(subset=["expected_watch_s"])
    difference = truth["watch_s"] - truth["expected_watch_s"]
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))


def test_only_videos_are_watched(clean: tuple[Path, WorldSummary]) -> None:
    items = read(clean[0] / "landing/item_profile").drop_duplicates("item_id").set_index("item_id")["format"]
    did = read(clean[0] / "landing/engagements")
    watched = items.reindex(did.loc[did["action"] == "watch", "item_id"]).dropna()
    assert set(watched) == {"video"}
    assert did.loc[did["action"] != "watch", "value"].isna().all()


@pytest.mark.parametrize("table", ["impressions", "engagements", "user_profile", "item_profile"])
def test_malformed_rows_are_as_many_as_the_summary_says(dirty: tuple[Path, WorldSummary], table: str) -> None:
    rows = read(dirty[0] / "landing" / table)
    found = reasons(rows, table).value_counts().drop("").to_dict()
    counted = dirty[1].tables[table]
    assert found == {reason: count for reason, count in counted.malformed.items() if count}
    assert len(rows) == counted.rows
    assert rows["ds"].value_counts().to_dict() == {day: n for day, n in counted.rows_by_day.items() if n}


@pytest.mark.parametrize("table", ["impressions", "engagements"])
def test_duplicates_are_as_many_as_the_summary_says(dirty: tuple[Path, WorldSummary], table: str) -> None:
    rows, counted = good_rows(dirty[0], table), dirty[1].tables[table]
    rows = rows.sort_values(["ds", "arrival_ts"], kind="stable")
    keys = EVENT_KEYS[table]
    assert rows.duplicated(keys).sum() == sum(counted.duplicates.values()) > 0
    told = "position" if table == "impressions" else "item_id"
    assert (rows[told] != rows.groupby(keys)[told].transform("first")).sum() == counted.duplicates["conflicting"] > 0
    exact = rows.drop(columns="ds").duplicated(keep="first")
    assert exact.sum() == counted.duplicates["exact"] > 0


@pytest.mark.parametrize("table", ["impressions", "engagements"])
def test_duplicates_land_within_three_days_of_the_first(dirty: tuple[Path, WorldSummary], table: str) -> None:
    rows = good_rows(dirty[0], table).assign(day=lambda r: pd.to_datetime(r["ds"]))
    days = rows.groupby(EVENT_KEYS[table])["day"]
    assert (days.max() - days.min()).max() <= timedelta(days=3)


@pytest.mark.parametrize("table", ["impressions", "engagements"])
def test_late_rows_are_as_many_as_the_summary_says(dirty: tuple[Path, WorldSummary], table: str) -> None:
    first = good_rows(dirty[0], table).sort_values(["ds", "arrival_ts"]).drop_duplicates(EVENT_KEYS[table])
    late = first["arrival_ts"] - first["event_ts"] >= timedelta(minutes=5)
    assert late.sum() == dirty[1].tables[table].late > 0
    assert (first["arrival_ts"] - first["event_ts"]).max() <= timedelta(days=5)


@pytest.mark.parametrize("table", ["impressions", "engagements"])
def test_a_row_lands_on_the_local_day_of_its_arrival(dirty: tuple[Path, WorldSummary], table: str) -> None:
    rows = read(dirty[0] / "landing" / table)
    assert (rows["arrival_ts"].dt.tz_convert("Asia/Tokyo").dt.strftime("%Y-%m-%d") == rows["ds"]).all()
    happened = rows["event_ts"].dt.tz_convert("Asia/Tokyo").dt.strftime("%Y-%m-%d")
    assert (happened < rows["ds"]).any()


def test_impressions_that_never_landed_are_counted(dirty: tuple[Path, WorldSummary]) -> None:
    counted = dirty[1].tables["impressions"]
    unique = good_rows(dirty[0], "impressions")["impression_id"].nunique()
    beyond = counted.beyond_last_day.get("good", 0) + counted.beyond_last_day.get("late", 0)
    assert unique == counted.good + counted.late
    assert unique + beyond == dirty[1].truth_rows


def test_traffic_follows_the_local_clock(tmp_path: Path) -> None:
    local = {}
    for zone in ("America/New_York", "Asia/Tokyo"):
        simulate(tmp_path / zone, spec=WorldSpec(**TINY | {"days": 1}, **CLEAN, timezone=zone))
        moments = read(tmp_path / zone / "truth")["event_ts"].dt.tz_convert(ZoneInfo(zone))
        local[zone] = moments.dt.hour.value_counts(normalize=True).reindex(range(24), fill_value=0)
    for shares in local.values():
        assert shares[20:23].sum() > 8 * shares[2:5].sum()


def test_a_weekend_day_has_more_traffic_than_a_tuesday(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "w", spec=WorldSpec(**TINY | {"days": 7}, **CLEAN))
    rows = summary.tables["impressions"].rows_by_day
    assert rows["2026-01-10"] > rows["2026-01-06"] * 1.1
    assert abs(sum(rows.values()) / 7 - 4_000) < 40


@pytest.mark.parametrize("day, hours", [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_on_which_the_clocks_change_has_its_own_length(tmp_path: Path, day: date, hours: int) -> None:
    spec = WorldSpec(**TINY | {"days": 1}, **CLEAN, first_day=day, timezone="Europe/Berlin")
    simulate(tmp_path / "w", spec=spec)
    requests = read(tmp_path / "w/landing/impressions")["request_ts"]
    start, end = day_start(day, spec.timezone), day_end(day, spec.timezone)
    assert end - start == timedelta(hours=hours)
    assert requests.min() >= start and requests.max() < end
    assert requests.dt.floor("h").nunique() == hours


def test_a_request_shows_no_item_twice_at_positions_from_zero(clean: tuple[Path, WorldSummary]) -> None:
    rows = read(clean[0] / "landing/impressions")
    per_request = rows.groupby("request_id")
    assert not rows.duplicated(["request_id", "item_id"]).any()
    assert (per_request["user_id"].nunique() == 1).all() and (per_request["request_ts"].nunique() == 1).all()
    assert (rows["event_ts"] > rows["request_ts"]).all()
    whole = rows.groupby("request_id").filter(lambda r: len(r) == 8)
    assert (
        whole.sort_values("event_ts").groupby("request_id")["position"].agg(list).map(tuple) == tuple(range(8))
    ).all()


def test_eight_items_are_enough_for_requests_of_eight(tmp_path: Path) -> None:
    spec = WorldSpec(**TINY | {"days": 1, "items": 8, "impressions_per_day": 80}, new_item_share=0, **CLEAN)
    simulate(tmp_path / "w", spec=spec)
    assert (read(tmp_path / "w/truth").groupby(lambda row: row // 8)["item_id"].nunique() == 8).all()


def test_nobody_acts_before_they_registered_and_nothing_shows_before_it_was_published(
    clean: tuple[Path, WorldSummary],
) -> None:
    rows = read(clean[0] / "landing/impressions")
    for key, moment in (("user", "registered_ts"), ("item", "publish_ts")):
        profile = read(clean[0] / f"landing/{key}_profile").drop_duplicates(f"{key}_id").set_index(f"{key}_id")
        began = profile[moment].reindex(rows[f"{key}_id"]).reset_index(drop=True)
        assert (rows["request_ts"] >= began)[began.notna()].all()
        assert began.max() > rows["request_ts"].min()


def test_a_declared_share_of_users_has_no_profile(tmp_path: Path) -> None:
    spec = WorldSpec(**TINY | {"days": 1}, **CLEAN, no_profile_share=0.5)
    simulate(tmp_path / "w", spec=spec)
    profiled = set(read(tmp_path / "w/landing/user_profile")["user_id"])
    seen = set(read(tmp_path / "w/truth")["user_id"])
    assert 0.3 < len(seen - profiled) / len(seen) < 0.7


def test_a_profile_version_lands_on_the_day_it_begins_and_repeats_only_to_close(
    clean: tuple[Path, WorldSummary],
) -> None:
    for table, key in (("user_profile", "user_id"), ("item_profile", "item_id")):
        rows = read(clean[0] / "landing" / table)
        first = rows.drop_duplicates([key, "valid_from"])
        begins = first["valid_from"].dt.tz_convert("Asia/Tokyo").dt.strftime("%Y-%m-%d")
        assert ((begins == first["ds"]) | (first["ds"] == "2026-01-05")).all()
        assert first["valid_to"].isna().all()
        repeats = rows[rows.duplicated([key, "valid_from"])]
        assert repeats["valid_to"].notna().all()
        assert len(repeats) == clean[1].tables[table].closing
        starts = set(zip(first[key], first["valid_from"], strict=True))
        assert set(zip(repeats[key], repeats["valid_to"], strict=True)) <= starts
    assert clean[1].tables["item_profile"].closing > 0


def test_profile_gaps_are_present(clean: tuple[Path, WorldSummary]) -> None:
    table = pq.ParquetFile(clean[0] / "landing/item_profile/ds=2026-01-05/part-00000.parquet").read()
    score = table["quality_score"]
    assert score.null_count > 0 and np.isnan(score.drop_null().to_numpy()).any()
    users = read(clean[0] / "landing/user_profile")
    assert users["gender"].isna().any()


@pytest.mark.parametrize("format, load", [("csv", pd.read_csv), ("jsonl", read_json_lines)])
def test_text_formats_hold_the_same_rows(tmp_path: Path, format: str, load) -> None:  # type: ignore[no-untyped-def]
    small: dict[str, Any] = {
        "days": 2,
        "impressions_per_day": 800,
        "users": 60,
        "items": 50,
        "authors": 6,
        "categories": 3,
    }
    for kind in ("parquet", format):
        simulate(tmp_path / kind, spec=world_spec({**small, **DIRTY, "format": kind}))
    for table in ("impressions", "engagements", "item_profile"):
        name = f"landing/{table}/ds=2026-01-05/part-00000"
        wanted = pq.ParquetFile(tmp_path / f"parquet/{name}.parquet").read().to_pandas()
        found = load(tmp_path / f"{format}/{name}.{format}")
        assert list(found.columns) == list(wanted.columns)
        for column in wanted:
            if isinstance(wanted[column].dtype, pd.DatetimeTZDtype):
                assert found[column].dropna().astype(str).str.endswith("+00:00").all()
                moments = pd.to_datetime(found[column], format="ISO8601", utc=True).dt.as_unit("us")
                pd.testing.assert_series_equal(moments, wanted[column])
            elif wanted[column].dtype == object:
                assert found[column].fillna("").tolist() == wanted[column].fillna("").tolist()
            else:
                np.testing.assert_array_equal(found[column].astype(float), wanted[column].astype(float))


def test_ids_can_be_text(tmp_path: Path) -> None:
    simulate(tmp_path / "w", spec=WorldSpec(**TINY | {"days": 1}, id_kind="string"))
    rows = read(tmp_path / "w/landing/impressions")
    assert rows["user_id"].dropna().str.fullmatch(r"user-\d+").all() and rows["user_id"].isna().any()
    assert rows["impression_id"].isin(read(tmp_path / "w/truth")["impression_id"]).mean() > 0.99


def test_world_json_is_the_summary(dirty: tuple[Path, WorldSummary]) -> None:
    assert WorldSummary.model_validate(json.loads((dirty[0] / "world.json").read_text())) == dirty[1]


def test_a_folder_with_content_is_refused_unless_told_to_overwrite(tmp_path: Path) -> None:
    spec = WorldSpec(**TINY | {"days": 1, "impressions_per_day": 100})
    (tmp_path / "w").mkdir()
    (tmp_path / "w/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="empty folder"):
        simulate(tmp_path / "w", spec=spec)
    assert (tmp_path / "w/notes.txt").read_text() == "mine"
    simulate(tmp_path / "w", spec=spec, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["landing", "truth", "world.json"]


def test_a_world_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def stop(day: date, done: int, total: int, rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "w", spec=WorldSpec(**TINY), progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_of_every_day(tmp_path: Path) -> None:
    calls: list[tuple[date, int, int, int]] = []
    simulate(tmp_path / "w", spec=WorldSpec(**TINY | {"days": 2}), progress=lambda *call: calls.append(call))
    assert [call[:3] for call in calls] == [(date(2026, 1, 5), 1, 2), (date(2026, 1, 6), 2, 2)]
    assert 0 < calls[0][3] < calls[1][3]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"dayz": 3}, "dayz"),
        ({"late_share": 1.5}, "late_share"),
        ({"timezone": "Mars/Olympus"}, "IANA"),
        ({"items": 9}, "request_size"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        world_spec(values)


def test_simulation_imports_no_spark() -> None:
    code = "import sys, simulation; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

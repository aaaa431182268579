"""stats_<group> against the brute-force oracle: the newest row of every key is what an impression at the end of ds sees."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql.pandas.types import to_arrow_schema

from features.build import group_plans
from features.combine import combine_events, merge_tiles
from features.events import event_columns
from features.snapshots import _changed, latest, snapshot_moments
from features.tiles import tile_spec
from headrace import tables
from headrace.chain import run_step
from headrace.config import value_types
from headrace.days import day_end
from headrace.delta import read_days
from headrace.receipts import latest_receipts
from headrace.steps import step_named
from schemas.grouptables import stats_schema
from tests.conftest import FIRST, config_of
from tests.oracle import Oracle, as_of
from tests.test_aggregates import EVERYTHING, config_with, events_table

DAYS = [FIRST + timedelta(days=n) for n in range(2)]


@pytest.fixture(scope="module")
def served(spark, world, tmp_path_factory):
    """The tiny world with snapshots of three days, built one by one and backwards."""
    config, _ = world
    folder = tmp_path_factory.mktemp("stats")
    copy = config_of(folder, f"landing={config.landing}")
    shutil.copytree(config.root, copy.root)
    for day in reversed(DAYS):
        run_step(lambda: spark, copy, step_named("stats"), days=[day])
    names = ("impressions", "engagements", "user_profile", "item_profile")
    known = [[r for r in read_days(f"{copy.root}/{n}").to_pylist() if r["ds"] <= DAYS[-1]] for n in names]
    return copy, Oracle(copy, *known)


def _any(rows, column: str):
    return next((r[column] for r in rows if r[column] is not None), None)


def asked(group, key, segment, day, config) -> dict:
    row = {"request_ts": day_end(day, config.timezone), f"{group.entity}_id": key}
    if group.segment is not None:
        source, column = group.segment.split(".")
        row[column if source == "impression" else f"{source}_{column}"] = segment
    return row


def test_the_newest_row_of_every_key_is_what_the_end_of_the_day_sees(spark, served):
    config, oracle = served
    checked = 0
    for plan in group_plans(config.features, types=value_types(config)):
        group = config.features.groups[plan.name]
        stored = tables.read(spark, config, f"stats_{plan.name}")
        for day, (now, _) in snapshot_moments(group, DAYS, config.timezone).items():
            rows = latest(stored, plan, ds=day, now=now).collect()
            assert {as_of(day_end(day, config.timezone), group, config.timezone)} >= {
                r["as_of"].astimezone(now.tzinfo) for r in rows
            }
            keys = {oracle.key_of(e, group) for e in oracle.events if oracle.visible(e, group) < now} - {None}
            assert {r["key"] for r in rows} == keys
            for row in rows:
                segment = row["segment"] if group.segment else None
                if group.segment is not None and segment is None:  # what an impression in a segment it never met sees
                    segment = "(never met)" if isinstance(_any(rows, "segment"), str) else -1
                    expected = oracle.group_cells(plan.name, asked(group, row["key"], segment, day, config))
                    plain = [c.name for c in plan.cells if c.aggregate != "rate_smoothed"]  # its prior is the segment's
                    assert {n: row[n] for n in plain} == {n: expected[n] for n in plain}
                    continue
                expected = oracle.group_cells(plan.name, asked(group, row["key"], segment, day, config))
                assert {name: row[name] for name in expected if not isinstance(expected[name], list)} == {
                    name: value for name, value in expected.items() if not isinstance(value, list)
                }
                checked += 1
    assert checked > 80


def test_only_rows_with_news_are_written_and_any_order_gives_the_same(spark, served):
    config, _ = served
    before = {day: latest_receipts(config)["stats", day].outputs for day in DAYS}
    again = run_step(lambda: spark, config, step_named("stats"), days=DAYS, rebuild=DAYS)
    assert {r.ds: r.outputs for r in again.receipts} == before
    rows = read_days(f"{config.root}/stats_user").to_pylist()
    per_day = [sum(r["ds"] == day for r in rows) for day in DAYS]
    assert per_day[0] == len({r["key"] for r in rows if r["ds"] == DAYS[0]}) > 0
    assert len(rows) < len(DAYS) * len({r["key"] for r in rows}) + 1
    assert all(r["touched_ts"] < r["as_of"] for r in rows)


def test_priors_are_those_behind_the_smoothed_rates(served):
    config, oracle = served
    group = config.features.groups["item_by_gender"]
    for row in read_days(f"{config.root}/priors_item_by_gender").to_pylist():
        at = as_of(day_end(row["ds"], config.timezone), group, config.timezone)
        members = oracle.members(group, None, row["segment"], at=at)
        for window in group.windows:
            top, bottom = (len(oracle.count(members, m, window, at)) for m in ("click", "impression"))
            assert row[f"item_by_gender_click_rate_smoothed_{window.name}"] == (top / bottom if bottom else None)


def test_a_new_click_is_news_even_where_no_other_cell_changes(tmp_path):
    """One impression and one click a day, windows of a day: only recency and age move, and not as the clock does."""
    group = {"windows": ["1d"], "count": ["impression", "click"], "recency": ["click"], "age": ["click"]}
    config = config_with(tmp_path, **({name: type(declared)() for name, declared in EVERYTHING.items()} | group))
    start = datetime(2024, 4, 1, 10, tzinfo=UTC)
    events = [
        {"impression_id": n, "user_id": 1, "item_id": 1, "event_ts": at, "effective_arrival_ts": at, "ds": at.date(),
         "action": action, "value": None, "is_first": True}
        for n in range(3)
        for action in ("impression", "click")
        for at in [start + timedelta(days=n)]
    ]  # fmt: skip
    spec = tile_spec(config.features, "user")
    columns = event_columns(events_table(events), keys=[spec.key], metrics=config.features.metrics, ds_number=0)
    tiles = merge_tiles(combine_events(columns, spec), spec)
    (plan,) = group_plans(config.features)
    schema = to_arrow_schema(stats_schema(config, "user").schema)
    for n in range(3):
        day = (start + timedelta(days=n)).date()
        now, before = snapshot_moments(config.features.groups["user"], [day], "UTC")[day]
        rows = _changed(plan, tiles, None, day=day, now=now, before=before, schema=schema).to_pylist()
        assert [row["user_click_recency_s"] for row in rows] == [(now - start - timedelta(days=n)).total_seconds()]
        assert [row["user_click_age_s"] for row in rows] == [(now - start).total_seconds()]

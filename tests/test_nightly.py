"""Two ways, one answer: rows that start from a state, and states that start from a state, equal those from all tiles."""

import io
import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from features.build import group_plans
from features.combine import combine_events, merge_tiles
from features.events import event_columns
from features.groupstats import group_columns
from features.nightly import Start, _advanced, needed_files, started
from features.plan import GroupPlan
from features.reading import spine_files, tile_rows
from features.tiles import tile_spec
from headrace import tables, writing
from headrace.chain import run_step, up_to_date
from headrace.days import epoch_micros
from headrace.delta import DeltaFile
from headrace.errors import GateError
from headrace.receipts import latest_receipts
from headrace.steps import step_named
from headrace.verify import verify_state
from tests.conftest import DAYS, FIRST, LAST, config_of
from tests.test_aggregates import HOUR, START, config_with, events_table, shown_and, some_rows


def some_tiles(config, seed: int) -> tuple[GroupPlan, pa.Table]:
    rng = np.random.default_rng(seed)
    shown = some_rows(rng, 150, action="impression")
    done = some_rows(rng, 90, action="click") + some_rows(rng, 90, action="watch")
    (plan,), spec = group_plans(config.features), tile_spec(config.features, "user")
    raw = events_table(shown_and(shown, done))
    events = event_columns(raw, keys=["user_id", "item_id"], metrics=config.features.metrics, ds_number=0)
    return plan, merge_tiles(combine_events(events, spec), spec)


def opened(plan: GroupPlan, tiles: pa.Table, first: int, last: int) -> pa.Table:
    """What is read of the tiles: each in a file of its own, as narrow as files can be."""
    epoch = START - timedelta(microseconds=epoch_micros(START))
    hours = zip(tiles["event_hour"].to_pylist(), tiles["visible_hour"].to_pylist(), strict=True)
    bounds = [{"event_hour": (e, e), "visible_hour": (v, v)} for e, v in hours]
    files = [DeltaFile(str(n), FIRST, 1, b) for n, b in enumerate(bounds)]
    moments = [epoch + timedelta(microseconds=m) for m in (first, last)]
    return tiles.take([int(f.path) for f in needed_files(plan, files, first=moments[0], last=moments[1])])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("refresh", "delay"), [("1h", "1h"), ("1h", "0"), ("0", "7m")])
def test_a_state_and_what_enters_and_leaves_give_what_all_tiles_give(tmp_path, seed, refresh, delay):
    config = config_with(tmp_path, refresh=refresh, delay=delay)
    plan, tiles = some_tiles(config, seed)
    day = 24 * HOUR // timedelta(microseconds=1)
    base = epoch_micros(START)
    state = None
    for night in range(1, 4):  # each state from the one before
        moment = base + night * day
        before = plan if state is None else started(plan, Start(FIRST, START + timedelta(days=night - 1)))
        read = tiles if state is None else opened(before, tiles, moment, moment)
        state = _advanced(before, read, state, moment=moment)
        fresh = _advanced(plan, tiles, None, moment=moment)
        assert sorted_rows(state) == sorted_rows(fresh)
        asked = np.sort(np.random.default_rng(seed).integers(moment, moment + day, 60)) // plan.tick * plan.tick
        rows = pa.table({"user_id": pa.array([1, 2, 3, 4, 5, None] * 10, pa.int64()), plan.as_of: asked})
        since = started(plan, Start(FIRST, START + timedelta(days=night)))
        found, known = group_columns(
            since, rows, tiles=opened(since, tiles, int(asked[0]), int(asked[-1])), population=None, state=state
        )
        wanted, known_too = group_columns(plan, rows, tiles=tiles, population=None)
        assert known.tolist() == known_too.tolist()
        for cell, ours, theirs in zip(plan.cells, found, wanted, strict=True):
            assert ours.to_pylist() == theirs.to_pylist(), cell.name


def sorted_rows(table: pa.Table) -> list:
    return sorted(table.to_pylist(), key=lambda row: row["key"])


def test_a_night_opens_what_enters_and_leaves_and_no_more(tmp_path):
    config = config_with(
        tmp_path,
        windows=["1h", "30d"],
        **{k: {} for k in ("distinct", "quantile", "top_k")},
        min=[],
        max=[],
        first=[],
        last=[],
    )
    (plan,) = group_plans(config.features)
    files = []
    for number in range(60):
        start = epoch_micros(START + timedelta(days=number))
        hours = (start, start + 86_400_000_000 - 1)
        files.append(DeltaFile(str(number), FIRST, 100, {"event_hour": hours, "visible_hour": hours}))
    tonight = START + timedelta(days=59)
    since = started(plan, Start(FIRST, tonight))
    kept = needed_files(since, files, first=tonight, last=tonight + timedelta(hours=23))
    assert {int(f.path) for f in kept} == {29, 58, 59}  # 30d; 1d of the trend and the hours beside; what enters
    assert needed_files(since, [replace(files[0], bounds=None)], first=tonight, last=tonight) != []


@pytest.fixture(scope="module")
def nights(spark, world, tmp_path_factory):
    """The tiny world with a state of every day."""
    config, _ = world
    copy = config_of(tmp_path_factory.mktemp("nights"), f"landing={config.landing}")
    shutil.copytree(config.root, copy.root)
    days = [FIRST + timedelta(days=n) for n in range(DAYS + 1)]
    run_step(lambda: spark, copy, step_named("state"), days=days)
    return copy, days


def test_training_sets_built_from_states_are_the_same_rows(spark, world, nights):
    config, (copy, _) = world[0], nights
    chosen = [LAST]
    assert any(group.state for group in spine_files(copy, days=chosen, states=up_to_date(copy, "state")))
    fewer = tile_rows(spine_files(copy, days=chosen, states=up_to_date(copy, "state")))
    every = tile_rows(spine_files(copy, days=chosen, states=[]))
    assert all(fewer[name] <= every[name] for name in every)
    built = run_step(lambda: spark, copy, step_named("features"), days=chosen, rebuild=chosen)
    assert built.receipts[0].outputs == latest_receipts(config)["features", LAST].outputs


def test_verify_finds_states_right_and_a_changed_row_wrong(spark, nights):
    copy, days = nights
    text = io.StringIO()
    verify_state(spark, copy, days=days[-1:], console=Console(file=text, width=120))
    assert text.getvalue().count("the same") == len(copy.features.groups)
    state = tables.read(spark, copy, "state_user", days=days[-1:])
    rows = [row.asDict() for row in state.collect()]
    rows[0]["click_count__1d"] += 1
    from schemas.tables import table

    broken = spark.createDataFrame(rows, table(copy, "state_user").schema)
    writing.write_frame(broken, copy, table(copy, "state_user"), days=days[-1:])
    with pytest.raises(GateError, match=f"state_user of {days[-1]}"):
        verify_state(spark, copy, days=days[-1:], console=Console(file=text, width=120))

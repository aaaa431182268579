"""Partial tiles against a dictionary, without Spark: any split of the events into batches gives the same tiles."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from features.combine import TileSpec, combine_events, merge_tiles
from headrace.config import Measure
from headrace.errors import InputError

HOUR = 3_600_000_000
COUNTED = (("click", 1), ("impression", 0))
MEASURES = (
    Measure("click_count", "add", "click", "one"),
    Measure("click_last_ts", "greatest", "click", "moment"),
    Measure("impression_count", "add", "impression", "one"),
    Measure("watch_sum", "add", "watch", "units"),
)
BITS = {"impression": 0, "click": 1, "watch": 2}


def spec_of(*, segment: str | None, tick_us: int, delay_us: int = 0) -> TileSpec:
    return TileSpec("g", "user_id", segment, tick_us, delay_us, MEASURES, BITS)


def some_events(seed: int, *, wide: bool) -> pa.Table:
    rng = np.random.default_rng(seed)
    n = 2_000
    ids = np.array([0, -1, 5, 7, -(2**63), 2**63 - 1]) if wide else np.arange(40)
    event = rng.integers(-3 * HOUR, 30 * HOUR, n)
    segments = [[None, "", "a", "b"][i] for i in rng.integers(0, 4, n)]
    return pa.table(
        {
            "user_id": pa.array(rng.choice(ids, n), mask=rng.random(n) < 0.05),
            "category": pa.array(segments),
            "event_us": event,
            "arrival_us": event + rng.choice([0, 1, HOUR, 50 * HOUR], n),
            "own_us": event,
            "matches": rng.integers(0, 8, n),
            "units": rng.integers(0, 2**50, n),
            "ds_number": rng.integers(-1, 3, n),
        }
    )


def by_hand(events: pa.Table, spec: TileSpec) -> dict:
    tiles: dict = defaultdict(lambda: {"known_ts": None, "click": 0, "impression": 0, "watch": 0, "last": None})
    for row in events.to_pylist():
        if row["user_id"] is None:
            continue
        visible = max(row["event_us"], row["arrival_us"] - spec.delay_us)
        known = max(row["event_us"], row["own_us"] - spec.delay_us)
        segment = (row["category"],) if spec.segment else ()
        hours = [moment // spec.tick_us * spec.tick_us for moment in (row["event_us"], visible)]
        tile = tiles[(row["user_id"], *segment, *hours, row["ds_number"])]
        tile["known_ts"] = known if tile["known_ts"] is None else min(tile["known_ts"], known)
        for name, bit in COUNTED:
            tile[name] += row["matches"] >> bit & 1
        tile["watch"] += row["units"] * (row["matches"] >> 2 & 1)
        if row["matches"] >> 1 & 1:
            tile["last"] = row["event_us"] if tile["last"] is None else max(tile["last"], row["event_us"])
    return dict(tiles)


def as_dict(tiles: pa.Table, spec: TileSpec) -> dict:
    values = {"known_ts": "known_ts", "click_count": "click", "impression_count": "impression"}
    values |= {"watch_sum": "watch", "click_last_ts": "last"}
    rows = tiles.to_pylist()
    found = {tuple(r[c] for c in spec.grain): {short: r[c] for c, short in values.items()} for r in rows}
    assert len(found) == len(rows), "a tile stands twice"
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("segment", "tick_us"), [(None, HOUR), ("category", HOUR), ("category", 1)])
def test_tiles_equal_those_made_by_hand(seed, wide, segment, tick_us):
    events, spec = some_events(seed, wide=wide), spec_of(segment=segment, tick_us=tick_us, delay_us=HOUR)
    assert as_dict(combine_events(events, spec), spec) == by_hand(events, spec)


@pytest.mark.parametrize("cuts", [[], [1], [0, 700, 701, 1999]])
def test_partial_tiles_of_any_batches_merge_to_the_same_tiles(cuts):
    events, spec = some_events(9, wide=True), spec_of(segment="category", tick_us=HOUR)
    edges = [0, *cuts, events.num_rows]
    parts = [combine_events(events.slice(a, b - a), spec) for a, b in pairwise(edges)]
    assert as_dict(merge_tiles(pa.concat_tables(parts), spec), spec) == by_hand(events, spec)


def test_a_batch_without_a_key_makes_no_tile():
    events = some_events(1, wide=False).slice(0, 10)
    events = events.set_column(0, "user_id", pa.nulls(10, pa.int64()))
    assert combine_events(events, spec_of(segment=None, tick_us=HOUR)).num_rows == 0


def test_a_segment_of_too_many_values_is_refused():
    events, spec = some_events(1, wide=False), replace(spec_of(segment="category", tick_us=HOUR), most_segments=3)
    assert combine_events(events, spec).num_rows > 0  # null is no value
    with pytest.raises(InputError, match="max_segment_values"):
        combine_events(events, replace(spec, most_segments=2))

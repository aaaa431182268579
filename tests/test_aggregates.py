"""Every aggregate against the brute-force oracle, without Spark: random logs with edges, ties, late and repeated events."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from features.build import group_plans
from features.combine import combine_events, merge_tiles
from features.events import event_columns
from features.groupstats import group_columns
from features.tiles import tile_spec
from headrace.config import Config, group_cells, load_config
from tests.oracle import Oracle, as_of

HOUR, MICRO = timedelta(hours=1), timedelta(microseconds=1)
START = datetime(2024, 4, 1, tzinfo=UTC)
METRICS = {
    "impression": {"action": "impression"},
    "click": {"action": "click", "once": True},
    "watch_s": {"action": "watch", "value": True, "unit": "s"},
    "long_watch": {"action": "watch", "value": True, "unit": "s", "where": ["value >= 10", "value < 1000"]},
}
WINDOWS = ["1h", "5h", "2d", "lifetime", "3h ending 2h before", "lifetime ending 4h before"]
EVERYTHING = {
    "count": ["click", "long_watch"],
    "sum": ["watch_s"],
    "mean": ["long_watch"],
    "variance": ["watch_s"],
    "std": ["long_watch"],
    "rate": ["click", "watch_s/click"],
    "trend": {"click": ["2h", "1d"]},
    "min": ["watch_s"],
    "max": ["watch_s"],
    "first": ["watch_s"],
    "last": ["watch_s"],
    "recency": ["click", "watch_s"],
    "age": ["click", "watch_s"],
    "distinct": {"impression": "item_id"},
    "quantile": {"watch_s": [0, 0.07, 0.5, 0.55, 0.99]},
    "top_k": {"impression": {"of": "item_id", "k": 3}},
    "last_k": {
        "impression": [
            {"of": "item_id", "k": 4, "times": True},
            {"of": "item_id", "k": 3, "distinct": True, "times": True},
        ]
    },
}


def config_with(folder: Path, **changes: object) -> Config:
    group = {"entity": "user", "windows": WINDOWS, "delay": "1h", "refresh": "1h", "tolerance": "1d", **EVERYTHING}
    features = {"tile": "1h", "metrics": METRICS, "groups": {"user": {**group, **changes}}}
    (folder / "features.yaml").write_text(yaml.safe_dump(features), encoding="utf-8")
    (folder / "my.yaml").write_text(f"extends: base.yaml\nroot: {folder}\nlanding: {folder}\nfeatures: features.yaml\n")
    return load_config(folder / "my.yaml")


def some_rows(rng: np.random.Generator, n: int, *, action: str) -> list[dict]:
    rows = []
    for number in range(n):
        moment = START + timedelta(microseconds=int(rng.integers(0, 60 * HOUR // MICRO)))
        if number % 3 == 0:  # on an hour, or a microsecond beside it
            moment = moment.replace(minute=0, second=0, microsecond=0) + int(rng.integers(-1, 2)) * MICRO
        late = [timedelta(0), timedelta(minutes=50), 3 * HOUR, 30 * HOUR][int(rng.choice(4, p=[0.6, 0.2, 0.1, 0.1]))]
        rows.append(
            {
                "impression_id": number,
                "user_id": int(rng.integers(1, 5)),
                "item_id": int(rng.zipf(1.6)) % 9 - 3,
                "event_ts": moment,
                "effective_arrival_ts": moment + late,
                "ds": date(2024, 4, 1),
                "action": action,
                "value": float(rng.choice([0.0, 0.1, 7.25, 10.0, 1e3, 123456.789012])) if action == "watch" else None,
                "is_first": bool(rng.random() < 0.8),
            }
        )
    return rows


def events_table(events: list[dict]) -> pa.Table:
    """Conformed rows as a table."""
    stamp = pa.timestamp("us", "UTC")
    kinds = {"user_id": pa.int64(), "item_id": pa.int64(), "event_ts": stamp, "effective_arrival_ts": stamp}
    schema = pa.schema({**kinds, "action": pa.string(), "value": pa.float64(), "is_first": pa.bool_()})
    return pa.Table.from_pylist([{n: e[n] for n in schema.names} for e in events], schema=schema)


def engine_cells(config: Config, events: list[dict], asked: list[dict], *, parts: int) -> list[dict]:
    """The product's own path, without Spark: events to partial tiles, merged, to columns."""
    (plan,), spec = group_plans(config.features), tile_spec(config.features, "user")
    raw = events_table(events)
    made = []
    for part in range(parts):
        chosen = raw.take(list(range(part, raw.num_rows, parts)))
        given = event_columns(chosen, keys=["user_id", "item_id"], metrics=config.features.metrics, ds_number=0)
        made.append(combine_events(given, spec))
    moments = [as_of(row["request_ts"], config.features.groups["user"], "UTC") for row in asked]
    micros = [(moment - datetime(1970, 1, 1, tzinfo=UTC)) // MICRO for moment in moments]
    rows = pa.table({"user_id": pa.array([r["user_id"] for r in asked], pa.int64()), plan.as_of: micros})
    arrays, _ = group_columns(plan, rows, tiles=merge_tiles(pa.concat_tables(made), spec), population=None)
    columns = {cell.name: array.to_pylist() for cell, array in zip(plan.cells, arrays, strict=True)}
    return [{name: values[i] for name, values in columns.items()} for i in range(len(asked))]


def in_micros(value: object) -> object:
    if isinstance(value, list):
        return [in_micros(v) for v in value]
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // MICRO if isinstance(value, datetime) else value


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("refresh", "delay"), [("1h", "1h"), ("1h", "0"), ("0", "7m"), ("1d", "2h")])
def test_every_aggregate_equals_the_brute_force_oracle(tmp_path, seed, refresh, delay):
    rng = np.random.default_rng(seed)
    config = config_with(tmp_path, refresh=refresh, delay=delay)
    shown = some_rows(rng, 90, action="impression")
    done = some_rows(rng, 60, action="click") + some_rows(rng, 60, action="watch")
    oracle = Oracle(config, shown, done, [], [])
    asked = [
        {"user_id": int(rng.integers(1, 6)), "request_ts": START + timedelta(minutes=int(rng.integers(0, 5000)))}
        for _ in range(40)
    ]
    asked += [{"user_id": e["user_id"], "request_ts": e["event_ts"] + HOUR} for e in shown[:20]]
    found = engine_cells(config, shown_and(shown, done), asked, parts=1 + seed)
    for row, cells in zip(asked, found, strict=True):
        expected = {name: in_micros(value) for name, value in oracle.group_cells("user", row).items()}
        assert cells == expected


def shown_and(shown: list[dict], done: list[dict]) -> list[dict]:
    return [{**row, "action": "impression", "value": None, "is_first": True} for row in shown] + done


def test_the_names_of_all_cells_are_unique_and_in_the_order_of_the_columns(tmp_path):
    cells = group_cells(config_with(tmp_path).features.groups["user"])
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    assert "user_click_count_3h_ending_2h_before" in names
    assert {"user_watch_s_p50_lifetime", "user_impression_last_3_distinct_item_id_ts"} <= set(names)

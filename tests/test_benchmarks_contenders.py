"""The benchmarks' worlds repeat, their contenders agree with the definition, and the comparison sees what differs."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.compare import compare
from benchmarks.contenders import duckdb, polars
from benchmarks.contenders.common import Job
from benchmarks.names import COUNTED, ENTITIES, SUMMED, WINDOWS, feature, feature_names
from benchmarks.worlds import FEATURE_WORLDS, feature_world, landing_world
from headrace.errors import ConfigError, InputError

_HOUR_US = 3_600_000_000
_BUILDS = {"duckdb": duckdb, "polars": polars}
WAYS = [f"{name}:{how}" for name, module in _BUILDS.items() for how in module.HOWS]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return feature_world(tmp_path_factory.mktemp("worlds"), "tiny")


def _world(folder: Path, *, impressions: list, engagements: list, spine: list) -> Path:
    """Impressions (id, user, item, at), engagements (user, item, action, value, at), spine (id, user, item, at); UTC hours."""
    ts = pa.timestamp("us", "UTC")
    ids, integer, text, real = [pa.int64()] * 3, pa.int64(), pa.string(), pa.float64()
    shown = ("impression_id", "user_id", "item_id")
    tables = {
        "impressions/ds=x": ((*shown, "event_ts"), [*ids, ts], impressions),
        "engagements/ds=x": (
            ("user_id", "item_id", "action", "value", "event_ts"),
            [integer, integer, text, real, ts],
            engagements,
        ),
        "spine": ((*shown, "request_ts"), [*ids, ts], spine),
    }
    for name, (columns, types, rows) in tables.items():
        (folder / name).mkdir(parents=True)
        timed = [(*row[:-1], datetime.fromtimestamp(row[-1] * 3600, UTC)) for row in rows]
        arrays = [pa.array([row[n] for row in timed], kind) for n, kind in enumerate(types)]
        pq.write_table(pa.table(arrays, names=list(columns)), folder / name / "part-0.parquet")
    return folder


def _built(world: Path, out: Path, *, way: str = WAYS[0]) -> dict[int, dict]:
    out.mkdir(parents=True, exist_ok=True)
    name, _, how = way.partition(":")
    _BUILDS[name].build(Job(world, out, how))
    return {row["impression_id"]: row for row in pq.read_table(out / "part-0.parquet").to_pylist()}


def _micros(row: dict, column: str) -> int:
    return int(row[column].timestamp() * 1_000_000 + 0.5)


def _oracle(world: Path) -> dict[int, dict]:
    """The definition, row by row: every event of the key compared with every edge."""
    impressions = [row | {"action": "impression"} for row in pq.read_table(world / "impressions").to_pylist()]
    events = impressions + pq.read_table(world / "engagements").to_pylist()
    features = {}
    for row in pq.read_table(world / "spine").to_pylist():
        as_of = _micros(row, "request_ts") // _HOUR_US * _HOUR_US
        cells = features[row["impression_id"]] = dict.fromkeys(feature_names())
        for entity in ENTITIES:
            mine = [e for e in events if e[f"{entity}_id"] == row[f"{entity}_id"] and _micros(e, "event_ts") < as_of]
            for window, hours in WINDOWS.items() if mine else ():
                inside = [e for e in mine if _micros(e, "event_ts") >= as_of - hours * _HOUR_US]
                for metric in COUNTED:
                    count = sum(e["action"] == metric.removesuffix("_seconds") for e in inside)
                    cells[feature(entity, f"{metric}_count", window)] = count
                watched = sum(round(e["value"] * 1e6) for e in inside if e["action"] == "watch")
                cells[feature(entity, f"{SUMMED}_sum", window)] = watched / 1e6
    return features


@pytest.mark.parametrize("way", WAYS)
def test_every_formulation_equals_the_definition_on_every_cell(tiny: Path, tmp_path: Path, way: str) -> None:
    wanted = _oracle(tiny)
    found = _built(tiny, tmp_path / "out", way=way)
    assert {key: {name: row[name] for name in feature_names()} for key, row in found.items()} == wanted


@pytest.mark.parametrize("way", WAYS)
def test_an_event_at_the_start_of_a_window_is_inside_and_one_at_as_of_is_outside(tmp_path: Path, way: str) -> None:
    shown = [(1, 7, 1, 100.0), (2, 7, 2, 101.0), (3, 7, 3, 102.0)]
    world = _world(tmp_path / "w", impressions=shown, engagements=[], spine=[(3, 7, 3, 101.5)])
    row = _built(world, tmp_path / "out", way=way)[3]
    assert (row["user_impression_count_1h"], row["user_impression_count_1d"]) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_a_key_without_event_before_as_of_is_null_and_one_with_old_events_only_is_zero(
    tmp_path: Path, way: str
) -> None:
    # The user's only earlier event is an engagement 1,000 hours ago; the item's first event is the spine row itself.
    world = _world(
        tmp_path / "w",
        impressions=[(1, 7, 9, 2000.5)],
        engagements=[(7, 5, "like", None, 1000.0)],
        spine=[(1, 7, 9, 2000.5), (2, 7, 9, 2001.5)],
    )
    rows = _built(world, tmp_path / "out", way=way)
    assert (rows[1]["user_like_count_30d"], rows[1]["item_like_count_30d"], rows[2]["item_like_count_30d"]) == (
        0,
        None,
        0,
    )


def test_the_tiny_world_has_unknown_keys_known_zeros_and_counts(tiny: Path, tmp_path: Path) -> None:
    rows = _built(tiny, tmp_path / "out").values()
    assert {None, 0, 1} <= {row["item_click_count_7d"] for row in rows}


def test_the_same_seed_writes_the_same_world(tiny: Path, tmp_path: Path) -> None:
    again = feature_world(tmp_path, "tiny")
    files = sorted(file.relative_to(tiny) for file in tiny.rglob("*.parquet"))
    assert files and all((tiny / file).read_bytes() == (again / file).read_bytes() for file in files)


def test_a_world_that_is_there_is_not_written_again(tiny: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in tiny.rglob("*.parquet")}
    assert feature_world(tiny.parent, "tiny") == tiny
    assert {file: file.stat().st_mtime_ns for file in tiny.rglob("*.parquet")} == before


def test_a_world_has_the_size_it_states(tiny: Path) -> None:
    size = FEATURE_WORLDS["tiny"]
    events = sum(pq.read_table(tiny / name).num_rows for name in ("impressions", "engagements"))
    ids = pq.read_table(tiny / "spine")["impression_id"].to_pylist()
    assert abs(events - size.events) <= 5 and len(set(ids)) == len(ids) == size.spine


def test_every_file_of_a_world_holds_only_the_day_in_its_path(tiny: Path) -> None:
    for file in [*tiny.glob("impressions/*/*.parquet"), *tiny.glob("engagements/*/*.parquet")]:
        days = {str(ts.date()) for ts in pq.ParquetFile(file).read()["event_ts"].to_pylist()}
        assert days == {file.parent.name.removeprefix("ds=")}


def test_the_landing_world_has_one_big_day_between_small_ones(tmp_path: Path) -> None:
    world = landing_world(tmp_path, rows=500)
    days = sorted((world / "landing" / "impressions").glob("ds=*/*.parquet"))
    assert [pq.ParquetFile(file).metadata.num_rows for file in days] == [5, 5, 5, 500, 5]
    assert json.loads((world / "day.json").read_text())["ds"] == days[3].parent.name.removeprefix("ds=")


def test_an_unknown_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="huge"):
        feature_world(tmp_path, "huge")


def _written(folder: Path, rows: list[tuple]) -> Path:
    folder.mkdir()
    table = pa.table({"impression_id": [row[0] for row in rows], "x": pa.array([row[1] for row in rows], pa.int64())})
    pq.write_table(table, folder / "part-0.parquet")
    return folder


def test_outputs_in_another_order_are_equal(tmp_path: Path) -> None:
    left, right = _written(tmp_path / "l", [(1, 5), (2, None)]), _written(tmp_path / "r", [(2, None), (1, 5)])
    assert compare(left, right, columns=["x"]).equal


def test_a_null_beside_a_zero_is_a_mismatch(tmp_path: Path) -> None:
    left, right = _written(tmp_path / "l", [(1, None), (2, 3)]), _written(tmp_path / "r", [(1, 0), (2, 3)])
    found = compare(left, right, columns=["x"])
    assert (found.mismatches, found.equal) == ({"x": 1}, False)


def test_rows_missing_on_either_side_are_counted_apart_from_cells(tmp_path: Path) -> None:
    left, right = _written(tmp_path / "l", [(1, 1), (2, 2)]), _written(tmp_path / "r", [(2, 2), (3, 3), (4, 4)])
    found = compare(left, right, columns=["x"])
    assert (found.missing, found.mismatches, found.equal) == ((1, 2), {}, False)


def test_a_row_written_twice_is_not_equal(tmp_path: Path) -> None:
    left, right = _written(tmp_path / "l", [(1, 1), (1, 1)]), _written(tmp_path / "r", [(1, 1), (1, 1)])
    assert not compare(left, right, columns=["x"]).equal


def test_two_empty_outputs_are_not_called_equal(tmp_path: Path) -> None:
    assert not compare(_written(tmp_path / "l", []), _written(tmp_path / "r", []), columns=["x"]).equal


def test_an_output_without_the_column_is_refused(tmp_path: Path) -> None:
    left, right = _written(tmp_path / "l", [(1, 1)]), _written(tmp_path / "r", [(1, 1)])
    with pytest.raises(InputError, match="no column y"):
        compare(left, right, columns=["y"])

"""The benchmarks that compare worlds, at tiny scale and in this process: outputs are equal, figures are what they say."""

import json
from collections import Counter
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import nightly, sampling, scale, skew, wide
from benchmarks.contenders import headrace_night
from benchmarks.contenders.common import Job, fresh, spilled_bytes
from benchmarks.harness import output_folder, take_turns
from benchmarks.nightworlds import NightWorld, night_world
from benchmarks.skew import largest_part
from benchmarks.streams import stream_world
from benchmarks.wideness import SETS, wide_groups, wide_names
from benchmarks.worlds import feature_world
from features.build import group_plans
from features.tiles import packed_tiles_of_files, tile_spec
from headrace.arrowfiles import file_tasks
from headrace.delta import delta_files
from headrace.exchange import unpack


def run_here(contender: str, *, world: Path, out: Path, timeout_s: float = 0.0) -> dict:
    """What a contender's process would say, without the process."""
    name, _, how = contender.partition(":")
    module = import_module(f"benchmarks.contenders.{name}")
    known = getattr(module, "HOWS", ("only",))
    job = Job(world, fresh(output_folder(out, contender)), how or known[0])
    facts = module.build(job)
    return {"inner_s": 1.0, "wall_s": 1.0, "peak_rss_mb": 1.0, "peak_workers_rss_mb": 1.0, "facts": facts or {}}


@pytest.fixture
def here(spark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.run_once", run_here)
    for module in (sampling, skew, scale):
        monkeypatch.setattr(module, "run_once", run_here)


def run(bench, folder: Path, *options: str) -> dict:
    """The result of a benchmark that finds nothing wrong."""
    out = folder / "result.json"
    assert bench(["--scale", "tiny", "--rounds", "1", "--work", str(folder), "--out", str(out), *options])
    return dict(json.loads(out.read_text()))


def test_hot_keys_change_where_rows_go_and_nothing_else(here, tmp_path):
    result = run(skew.bench, tmp_path, "--contenders", "headrace:hot,duckdb")
    assert {name for name in result["checks"] if "headrace:hot" in name} == {
        f"headrace:hot = duckdb, {percent} %" for percent in skew.HOT_PERCENTS
    }
    assert "headrace:hot, 60 % / headrace:hot, 0 %" in result["ratios"]


def test_the_hot_world_gives_one_user_and_one_item_their_part_of_log_and_spine(tmp_path):
    world = feature_world(tmp_path, "tiny", hot_percent=60)
    for table in ("impressions", "engagements", "spine"):
        for column in ("user_id", "item_id"):
            keys = np.concatenate([pq.read_table(f)[column].to_numpy() for f in (world / table).rglob("*.parquet")])
            assert 0.5 < np.mean(keys == 1) < 0.7


def test_the_largest_partition_is_near_the_mean_where_hot_keys_are_shared_and_not_where_they_are_not():
    keys = np.random.default_rng(3).integers(1, 50_000, 100_000)
    keys[:20_000] = 7
    table = pa.table({"user_id": keys})
    assert largest_part(table, partitions=50) <= 2 < 9 < largest_part(table, partitions=50, sharing=False)


def test_tiles_of_a_hot_key_go_to_every_partition_that_has_its_rows(spark, tmp_path):
    from benchmarks.contenders.headrace import features_config, log_files

    world, features = feature_world(tmp_path, "tiny"), features_config()
    tasks = file_tasks(spark, {t: log_files(world, t) for t in ("impressions", "engagements")})
    specs = [tile_spec(features, name) for name in features.groups]

    def placed(hot: dict) -> dict[str, Counter]:
        packed = packed_tiles_of_files(tasks, specs, metrics=features.metrics, partitions=5, hot=hot).toArrow()
        found: dict[str, Counter] = {"user": Counter(), "item": Counter()}
        for batch in packed.to_batches():
            for n, pid in enumerate(batch["pid"].to_pylist()):
                for tag, tiles in unpack([batch.slice(n, 1)]).items():
                    found[tag].update((key, pid) for key in tiles["key"].to_pylist())
        return found

    plain, shared = placed({}), placed({"user": {1: 3}})
    assert plain["item"] == shared["item"]
    assert {k: n for k, n in plain["user"].items() if k[0] != 1} == {
        k: n for k, n in shared["user"].items() if k[0] != 1
    }
    (count,) = [n for (key, _), n in plain["user"].items() if key == 1]
    assert [n for (key, _), n in shared["user"].items() if key == 1] == [count] * 3


def test_wide_sets_have_the_features_they_say_and_equal_duckdb(here, tmp_path):
    assert [len(wide_names(which)) for which in SETS] == [600, 60, 60]
    assert [len(wide_groups(which)) for which in SETS] == [12, 2, 12]
    result = run(wide.bench, tmp_path, "--contenders", "headrace_wide:600,duckdb_wide:600")
    assert result["checks"] == {"headrace_wide:600 = duckdb_wide:600": True}


def test_scale_gives_seconds_per_event_of_each_size_over_the_one_before(here, tmp_path):
    result = run(scale.bench, tmp_path)
    small, large = scale.SIZES["tiny"]
    assert result["ratios"][f"headrace:sized seconds per event, {large} / {small}"] == round(small / large, 3)
    assert len(result["checks"]) == 2


def test_a_size_for_which_the_disk_has_no_room_is_left_out():
    assert scale.sizes_of("full", free_bytes=10**10) == [1_000_000, 10_000_000]
    assert scale.sizes_of("full", free_bytes=0) == [1_000_000]


def test_a_streamed_world_has_unique_ids_and_its_spine_in_the_last_days(tmp_path):
    world = stream_world(tmp_path, events=4_000)
    shown = [pq.read_table(file)["impression_id"].to_pylist() for file in (world / "impressions").rglob("*.parquet")]
    ids = [one for part in shown for one in part]
    spine = pq.read_table(world / "spine")
    assert len(set(ids)) == len(ids) and set(spine["impression_id"].to_pylist()) <= set(ids)
    assert spine.num_rows == 496 and min(spine["request_ts"].to_pylist()).date().isoformat() >= "2026-05-31"


def test_bytes_spilled_come_from_the_event_log(tmp_path):
    end = {"Event": "SparkListenerTaskEnd", "Task Metrics": {"Disk Bytes Spilled": 5, "Memory Bytes Spilled": 9}}
    lines = [json.dumps(line, separators=(",", ":")) for line in ({"Event": "SparkListenerJobEnd"}, end, end)]
    assert set(spilled_bytes(tmp_path).values()) == {-1}
    (tmp_path / "local-1").write_text("\n".join(lines))
    assert spilled_bytes(tmp_path) == {"spilled_disk_bytes": 10, "spilled_memory_bytes": 18}


SIZE = NightWorld(days=10, events=120, users=20, items=10, longest=9, early=9, middle=10)


def test_a_twentieth_of_the_late_world_is_one_to_three_days_late(tmp_path):
    world = night_world(tmp_path, "tiny")
    for root, low, high in (("timely", 0, 0), ("late", 0.01, 0.1)):
        folder = world / root / "impressions"
        files = delta_files(str(folder))
        rows = pa.concat_tables([pq.ParquetFile(folder / f.path).read() for f in files])
        behind = rows["effective_arrival_ts"].cast(pa.int64()).to_numpy() - rows["event_ts"].cast(pa.int64()).to_numpy()
        assert low <= np.mean(behind > 0) <= high
        assert all(86_400_000_000 <= one < 3 * 86_400_000_000 for one in behind[behind > 0])


def test_a_night_from_a_state_opens_fewer_tiles_and_gives_what_all_tiles_give(spark, tmp_path, monkeypatch):
    monkeypatch.setitem(import_module("benchmarks.nightworlds").NIGHT_WORLDS, "tiny", SIZE)
    world, prepared = night_world(tmp_path, "tiny"), fresh(tmp_path / "prepared")
    days = [SIZE.day(night) for night in range(1, SIZE.days + 1)]
    config = headrace_night._root(
        spark, Job(world, prepared), "plain", events="timely", windows=["1d", "7d"], delay="0", days=days,
        nights=days[-2:-1],
    )  # fmt: skip
    assert len(group_plans(config.features)) == 2
    (prepared / "size.json").write_text(json.dumps(asdict(SIZE)))
    found: dict[str, Any] = {}
    for how in ("night", "scratch"):
        found[how] = headrace_night.build(Job(prepared, fresh(tmp_path / how), how))
    assert found["night"]["state"] == found["scratch"]["state"]
    assert found["night"]["tile_rows"] < found["scratch"]["tile_rows"] / 2


def _night(state: str, *, rows: int, seconds: float) -> dict:
    once = {"inner_s": seconds, "wall_s": seconds, "peak_rss_mb": 1.0, "peak_workers_rss_mb": 1.0}
    return once | {"phases": {}, "facts": {"tile_rows": rows, "tile_rows_delayed": 60, "state": {"state_user": state}}}


@pytest.mark.parametrize(("short_scratch", "passes"), [("b", True), ("c", False)])
def test_a_state_that_differs_from_its_recompute_fails_the_nightly_benchmark(
    tmp_path, monkeypatch, short_scratch, passes
):
    states = dict.fromkeys(headrace_night.HOWS, "a") | {"short": "b", "short_scratch": short_scratch}
    states |= {"late_day": "d", "late_scratch": "d"}

    def said(contender: str, **_: object) -> dict:
        how = contender.partition(":")[2]
        whole = "scratch" in how
        return _night(states[how], rows=300 if whole else 20, seconds=4.0 if whole else 2.0)

    def rounds(names: list[str], **_: object) -> dict:
        return take_turns({name: partial(said, name) for name in names}, rounds=1)

    monkeypatch.setattr(nightly, "run_once", said)
    monkeypatch.setattr(nightly, "run_rounds", rounds)
    out = tmp_path / "result.json"
    argv = ["--scale", "tiny", "--rounds", "1", "--work", str(tmp_path), "--out", str(out)]
    assert nightly.bench(argv) is passes
    result = json.loads(out.read_text())
    assert result["ratios"]["tile rows, recompute / night"] == 15 and result["ratios"]["night / recompute"] == 0.5
    assert [name for name, passed in result["checks"].items() if not passed] == (
        [] if passes else ["state of short = short_scratch"]
    )


def test_labels_and_samples_agree_with_duckdb_on_every_positive(here, tmp_path):
    result = run(sampling.bench, tmp_path)
    assert set(result["checks"]) == {"positives, cell by cell", "negatives kept, within 6 standard errors"}
    facts = {name: c["facts"] for name, c in result["contenders"].items() if name.startswith("headrace_labels")}
    assert 0 < facts["headrace_labels:steps"]["rows_out"] < facts["headrace_labels:steps"]["rows_in"] == 2_000
    assert (
        facts["headrace_labels:all"]["rows_out"] == 2_000 and 50 < facts["headrace_labels:twentieth"]["rows_out"] < 160
    )

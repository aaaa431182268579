"""The coverage benchmark at tiny scale: its world is one that `features` could have left, its counts agree, scans are counted."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import coverage
from benchmarks.contenders import headrace_coverage
from benchmarks.contenders.common import Job, fresh
from benchmarks.contenders.headrace_coverage import rows_scanned
from benchmarks.contenders.popmon_pandas import read_frame
from benchmarks.coverageworlds import coverage_config, coverage_world
from features.states import STATES
from headrace.config import Config, feature_columns, slices_of
from headrace.delta import delta_files


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coverage_world(tmp_path_factory.mktemp("coverage"), "tiny")


def _rows(world: Path) -> pa.Table:
    files = delta_files(str(world / "training_set"))
    return pa.concat_tables([pq.ParquetFile(world / "training_set" / file.path).read() for file in files])


def test_the_world_has_200_features_and_ten_slices(world):
    config = coverage_config(world)
    assert len(feature_columns(config)) == 200 and len(slices_of(config)) == 10
    assert {"known_item", "city"} <= {one.name for one in slices_of(config)}


def test_states_fit_the_values_of_the_world(world):
    rows, features = _rows(world), feature_columns(coverage_config(world))
    states = np.frombuffer(b"".join(rows["feature_states"].to_pylist()), np.uint8).reshape(-1, len(features))
    assert set(np.unique(states)) == set(range(len(STATES)))
    for position, feature in enumerate(features):
        column, own = rows[feature.name].combine_chunks(), states[:, position]
        assert column.filter(pa.array(own <= STATES.index("true_zero"))).null_count == 0
        if feature.default is None:
            assert (
                column.filter(pa.array(own == STATES.index("null"))).null_count == (own == STATES.index("null")).sum()
            )
        if feature.type in ("int", "bigint", "double"):
            zeros = column.filter(pa.array(own == STATES.index("true_zero")))
            assert pc.all(pc.equal(zeros, 0)).as_py() is not False


def test_the_same_seed_writes_the_same_rows(world, tmp_path):
    assert _rows(coverage_world(tmp_path, "tiny")).equals(_rows(world))


def _two_slices(root: Path) -> Config:
    config = coverage_config(root)
    slices = [one for one in config.coverage.slices if one.name in ("device", "known_item")]
    return config.model_copy(update={"coverage": config.coverage.model_copy(update={"slices": slices})})


def test_the_counts_of_the_step_are_those_of_the_files_and_a_wrong_one_is_seen(spark, world, tmp_path, monkeypatch):
    monkeypatch.setattr(headrace_coverage, "coverage_config", _two_slices)
    facts = headrace_coverage.build(Job(world, fresh(tmp_path / "out"), "step"))
    assert facts == {"rows": 1_000, "rows_out": 1_400, "slice_values": 6}
    checks = coverage.equality(world, tmp_path / "out" / "root")
    assert len(checks) == 5 and all(checks.values())
    found = coverage._found(world / "training_set", feature_columns(coverage_config(world)))
    found["user_age"].range = (0.0, 99.0)
    monkeypatch.setattr(coverage, "_found", lambda *given: found)
    checks = coverage.equality(world, tmp_path / "out" / "root")
    assert [name for name, passed in checks.items() if not passed] == ["least and greatest"]


def test_rows_scanned_are_those_of_the_tables_own_scans(tmp_path):
    def scan(location: str, counter: int) -> dict:
        metrics = [
            {"name": "number of output rows", "accumulatorId": counter},
            {"name": "scan time", "accumulatorId": 9},
        ]
        return {"metadata": {"Location": f"InMemoryFileIndex [file:{location}]"}, "metrics": metrics, "children": []}

    plan = {"metadata": {}, "metrics": [], "children": [scan("/w/training_set", 1), scan("/w/coverage", 2)]}
    values = [{"ID": 1, "Value": 70}, {"ID": 2, "Value": 500}, {"ID": 9, "Value": "3000"}]
    events = [{"sparkPlanInfo": plan}, {"Stage Info": {"Accumulables": values}}]
    (tmp_path / "local-1").write_text("\n".join(map(json.dumps, events)))
    assert rows_scanned(tmp_path, "/training_set") == 70


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(coverage.importlib.util, "find_spec", lambda name: None)
    assert coverage.contenders_of("full") == ["headrace_coverage:step"]
    monkeypatch.setattr(coverage.importlib.util, "find_spec", lambda name: object())
    assert {"ge_spark:each", "popmon_pandas:features", "evidently_sample"} <= set(coverage.contenders_of("full"))


def test_a_sample_takes_its_share_of_every_row_group(world):
    assert len(read_frame(world, ["scene"], most_rows=250)) == 250 and len(read_frame(world, ["scene"])) == 1_000

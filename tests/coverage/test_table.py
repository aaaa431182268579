"""The coverage table that the job wrote, against the training set of the same days by hand; and how it looks back."""

from dataclasses import replace
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.chain import run_step
from headrace.config import feature_columns
from headrace.delta import delta_files, read_days
from headrace.errors import InputError
from headrace.receipts import latest_receipts, write_receipts
from headrace.steps import step_named
from reports.rows import PART_COLUMNS, merged_days
from schemas.coverage import HISTORY_COLUMNS
from tests.conftest import LAST, config_of
from tests.coverage.oracle import by_hand, check_row

SLICES = ("scene", "item_format", "user_gender")


def _key(row: dict) -> tuple:
    return row["ds"], row["feature"], row["slice"], row["value"]


def test_every_row_is_what_the_training_set_says_by_hand(world) -> None:
    config, _ = world
    found = {_key(row): row for row in read_days(f"{config.root}/coverage").to_pylist()}
    training = read_days(f"{config.root}/training_set")
    for day in sorted(set(training.column("ds").to_pylist())):
        rows = training.filter(pa.compute.equal(training.column("ds"), day))
        weights = rows.column("sample_weight").to_pylist()
        marks = rows.column("feature_states").to_pylist()
        for place, feature in enumerate(feature_columns(config)):
            values = [
                None if isinstance(v, list) else str(v).lower() if isinstance(v, bool) else v
                for v in rows.column(feature.name).to_pylist()
            ]
            states = [mark[place] for mark in marks]
            for name in ("all", *SLICES):
                where = ["all"] * len(values) if name == "all" else rows.column(name).to_pylist()
                for value, facts in by_hand(values, states, weights, where).items():
                    check_row(found.pop((day, feature.name, name, value)), facts, feature, whole=name == "all")
    assert found == {}


def test_days_look_back_on_the_days_before_them_in_one_build(world) -> None:
    config, _ = world
    rows = read_days(f"{config.root}/coverage").to_pylist()
    first = LAST - timedelta(days=2)
    whole = {(r["ds"], r["feature"]): r for r in rows if r["slice"] == "all"}
    assert all(r["reference"] is None and r["psi"] is None for (day, _), r in whole.items() if day == first)
    last = whole[LAST, "position"]
    assert last["reference"] == f"{first}..{LAST - timedelta(days=1)} (2 days)"
    assert last["first_ds"] == first and last["psi"] is not None and 0 <= last["js"] <= 1
    assert last["coverage_change_low"] <= last["coverage_change"] <= last["coverage_change_high"]
    earlier = [whole[first + timedelta(days=n), "position"] for n in (0, 1)]
    covered = sum(r["weight_real"] + r["weight_true_zero"] for r in earlier) / sum(r["weight"] for r in earlier)
    assert last["coverage_change"] == pytest.approx(last["coverage"] - covered)


def test_a_day_built_alone_later_hashes_as_in_one_build(spark, copied) -> None:
    before = latest_receipts(copied)["coverage", LAST]
    wide = config_of(_folder(copied), f"landing={copied.landing}", "coverage.reference_days=1")
    (receipt,) = run_step(lambda: spark, wide, step_named("coverage"), days=[LAST]).receipts
    assert receipt.outputs == before.outputs
    rows = read_days(f"{copied.root}/coverage", days=[LAST]).to_pylist()
    assert {r["reference"] for r in rows if r["slice"] == "all"} == {
        f"{LAST - timedelta(days=1)}..{LAST - timedelta(days=1)} (1 day)"
    }


def _folder(config):
    from pathlib import Path

    return Path(config.root).parent


def test_merged_days_count_what_their_rows_count_together(world) -> None:
    config, _ = world
    rows = read_days(f"{config.root}/coverage", columns=[name for name in PART_COLUMNS if name != "ds"])
    merged = merged_days(rows.select([*PART_COLUMNS])).to_pylist()
    training = read_days(f"{config.root}/training_set")
    whole = next(r for r in merged if (r["feature"], r["slice"]) == ("position", "all"))
    assert whole["rows"] == training.num_rows
    assert whole["weight"] == pytest.approx(sum(training.column("sample_weight").to_pylist()))
    assert whole["max"] == max(v for v in training.column("position").to_pylist() if v is not None)
    assert not set(HISTORY_COLUMNS) & set(whole)


def test_a_feature_that_the_training_set_lacks_is_named_with_exit_4(spark, copied) -> None:
    for file in delta_files(f"{copied.root}/training_set", days=[LAST]):
        path = f"{copied.root}/training_set/{file.path}"
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["user_age"]), path)
    with pytest.raises(InputError, match="files without the column user_age") as refused:
        run_step(lambda: spark, copied, step_named("coverage"), days=[LAST], rebuild=[LAST])
    assert refused.value.exit_code == 4


def test_a_day_without_rows_has_no_coverage_and_is_done(spark, copied) -> None:
    empty = date(2024, 3, 1)
    features = latest_receipts(copied)["features", LAST]
    write_receipts(
        copied, [replace(features, ds=empty, revision=0, outputs={"training_set": "empty"}, rows_in=0, rows_out=0)]
    )
    outcome = run_step(lambda: spark, copied, step_named("coverage"), days=[empty])
    assert outcome.receipts[0].outputs == {"coverage": "empty"}
    assert outcome.receipts[0].rows_out == 0

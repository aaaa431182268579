"""What is said of every feature, read from small tables."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.config import feature_columns
from headrace.errors import ConfigError
from reports import facts
from reports.facts import feature_facts
from tests.reports.coverage_tables import DAY, config_of, covered, day_before, receipt, write

KEYS = (
    "group", "source", "entity", "segment", "window", "aggregate", "type", "unit", "definition", "default", "tolerance",
    "lineage", "blame", "suggestion", "filled",
)  # fmt: skip
RATE = "user_click_rate_1d"


def _engagements(ds: date, rows: int) -> dict[str, Any]:
    return receipt("ingest", ds=ds, notes={"engagements.rows_in": rows, "engagements.rows_out": rows})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight days of one rate, which fell on the last one, when engagements fell."""
    filled = {"rows_default_filled": 5, "weight_default_filled": 50.0}
    rows = [covered(RATE, real=0.9 if n else 0.6, ds=day_before(n), mean=0.2, **filled) for n in range(9)]
    rows += [covered(RATE, real=0.1, slice="scene", value="feed", mean=0.9)]
    write(tmp_path, "coverage", rows)
    write(tmp_path, "receipts", [_engagements(day_before(n), 1000 if n else 10) for n in range(9)])
    return tmp_path


def test_every_feature_has_every_key_in_the_order_of_the_columns_and_is_json(root: Path) -> None:
    config = config_of(root)
    found = feature_facts(config, ds=DAY, days=1)
    assert list(found) == [feature.name for feature in feature_columns(config)]
    assert {tuple(one) for one in found.values()} == {KEYS}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_statistic_is_described_as_declared(root: Path) -> None:
    found = feature_facts(config_of(root), ds=DAY, days=1)["item_by_gender_click_rate_smoothed_1d"]
    wanted = {"group": "item_by_gender", "source": "group:item_by_gender", "entity": "item", "segment": "user.gender"}
    wanted |= {"window": "1d", "aggregate": "rate_smoothed", "type": "double", "unit": "ratio", "tolerance": "1d"}
    assert {key: found[key] for key in wanted} == wanted
    assert [step["table"] for step in found["lineage"]] == [
        "impressions",
        "engagements",
        "user_profile",
        "tiles_item_by_gender",
    ]


def test_profile_and_context_have_no_group_and_their_own_tolerance(root: Path) -> None:
    found = feature_facts(config_of(root), ds=DAY, days=1)
    assert (found["user_gender"]["group"], found["user_gender"]["entity"], found["user_gender"]["tolerance"]) == (
        None,
        "user",
        "2d",
    )
    assert (found["scene"]["tolerance"], found["scene"]["entity"], found["scene"]["lineage"]) == (
        None,
        None,
        [{"table": "impressions", "kind": "landing"}],
    )


def test_a_fall_is_blamed_also_where_fewer_days_are_shown(root: Path) -> None:
    found = feature_facts(config_of(root), ds=DAY, days=1)
    assert (found[RATE]["blame"]["input"], found[RATE]["blame"]["rows"]) == ("engagements", 10)
    assert found["scene"]["blame"] is None
    assert feature_facts(config_of(root), ds=day_before(1), days=1)[RATE]["blame"] is None


def test_fills_and_suggestions_are_of_the_days_shown_and_of_the_whole_traffic(root: Path) -> None:
    config = config_of(root)
    assert feature_facts(config, ds=DAY, days=2)[RATE]["filled"] == {"rows": 10, "weight": 100.0, "share": 0.005}
    assert feature_facts(config, ds=DAY, days=1)[RATE]["filled"]["rows"] == 5
    assert feature_facts(config, ds=DAY, days=1)[RATE]["suggestion"]["value"] == pytest.approx(0.2)
    assert feature_facts(config, ds=DAY, days=1)["scene"]["filled"] == {"rows": 0, "weight": 0.0, "share": 0.0}


def test_priors_of_the_newest_day_up_to_the_one_asked_for_are_used(root: Path) -> None:
    column = "user_click_rate_smoothed_1d"
    schema = pa.schema([(column, pa.float64()), ("ds", pa.date32())])
    rows = [
        {column: 0.05, "ds": day_before(3)},
        {column: 0.06, "ds": day_before(1)},
        {column: 0.99, "ds": day_before(-1)},
    ]
    write(root, "priors_user", rows, schema=schema)
    found = feature_facts(config_of(root), ds=DAY, days=1)[RATE]["suggestion"]
    assert (found["kind"], found["value"]) == ("prior", 0.06)


def test_a_table_of_an_older_version_is_read(tmp_path: Path) -> None:
    rows = [covered(RATE, real=0.9 if n else 0.6, ds=day_before(n), mean=0.2) for n in range(3)]
    later = {"type", "effective_rows", "q50", "top_values", "top_weights", "bins", "coverage_change_high"}
    made = pa.Table.from_pylist([{k: v for k, v in row.items() if k not in later} for row in rows])
    extra = {name: pa.nulls(3, pa.float64()) for name in ("std", "min", "max")}
    for name, column in extra.items():
        made = made.append_column(name, column)
    write(tmp_path, "coverage", made.to_pylist(), schema=made.schema)
    found = feature_facts(config_of(tmp_path), ds=DAY, days=3)[RATE]
    assert found["blame"]["change"] == pytest.approx(-0.3) and found["suggestion"]["kind"] == "prior"


def test_without_any_table_everything_is_declared_and_nothing_measured(tmp_path: Path) -> None:
    found = feature_facts(config_of(tmp_path), ds=DAY, days=7)
    assert {one["blame"] for one in found.values()} == {None}
    assert {one["suggestion"]["kind"] for one in found.values()} == {"none", "zero"}
    with pytest.raises(ConfigError):
        feature_facts(config_of(tmp_path), ds=DAY, days=0)


def test_only_narrow_columns_of_the_whole_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []
    read = facts.batches

    def spied(table: Any, **given: Any) -> Any:
        asked.append({*given["columns"], *given.get("optional", ())})
        return read(table, **given)

    monkeypatch.setattr(facts, "batches", spied)
    feature_facts(config_of(root), ds=DAY, days=1)
    assert asked and not set.union(*asked) & {"bins", "bin_weights", "distinct_sketch"}

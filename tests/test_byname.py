"""Tables of few files are read by their names: the same rows and types as by Delta's own reader, and by that where names do not say all."""

from collections.abc import Callable
from datetime import date, timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace import tables, writing
from headrace.byname import read_by_name, stored_schema
from tests.conftest import config_of
from tests.test_arrowfiles import MONDAY, TUESDAY, made_table

ROWS = [(1, "a", MONDAY), (2, None, MONDAY), (3, "c", TUESDAY)]


def everyday(_: date) -> bool:
    return True


def only(*days: date) -> Callable[[date], bool]:
    return lambda ds: ds in days


@pytest.fixture
def things(spark, tmp_path):
    """A table of two days."""
    config = config_of(tmp_path)
    frame = spark.createDataFrame(ROWS, "id bigint, name string, ds date")
    writing.write_frame(frame, config, made_table(), days=[MONDAY, TUESDAY])
    return config


def rows_of(frame) -> list[tuple]:
    return sorted((row["id"], row["name"], row["ds"]) for row in frame.collect())


def test_rows_columns_types_and_comments_are_those_of_the_table(spark, things):
    uri = tables.table_uri(things, "things")
    by_name = read_by_name(spark, uri, chosen=everyday)
    by_delta = spark.read.format("delta").load(uri)
    assert by_name is not None and rows_of(by_name) == rows_of(by_delta) == ROWS
    assert [(f.name, f.dataType) for f in by_name.schema] == [(f.name, f.dataType) for f in by_delta.schema]
    assert by_name.schema["id"].metadata == by_delta.schema["id"].metadata == {"comment": "key"}
    assert stored_schema(DeltaTable(uri)) == by_delta.schema


def test_no_job_lists_the_table(spark, things, capsys):
    tables.read(spark, things, "things", days=[MONDAY]).explain(mode="formatted")
    plan = capsys.readouterr().out
    assert "Scan parquet" in plan and "Delta" not in plan


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, ROWS),
        ({"days": [MONDAY]}, ROWS[:2]),
        ({"days": []}, []),
        ({"first": TUESDAY}, ROWS[2:]),
        ({"last": MONDAY}, ROWS[:2]),
        ({"first": TUESDAY, "days": [MONDAY]}, []),
    ],
)
def test_the_days_asked_for_whichever_way_they_are_read(spark, things, monkeypatch, asked, wanted):
    assert rows_of(tables.read(spark, things, "things", **asked)) == wanted
    monkeypatch.setattr("headrace.byname._MOST_FILES", -1)
    assert rows_of(tables.read(spark, things, "things", **asked)) == wanted


def test_history_begins_at_start_ds_whichever_way_it_is_read(spark, things, monkeypatch):
    later = things.model_copy(update={"start_ds": TUESDAY})
    assert rows_of(tables.read(spark, later, "things")) == ROWS[2:]
    monkeypatch.setattr("headrace.byname._MOST_FILES", -1)
    assert rows_of(tables.read(spark, later, "things")) == ROWS[2:]


def test_a_column_that_came_later_is_null_in_older_files(spark, things):
    uri = tables.table_uri(things, "things")
    more = pa.table({"id": [4], "name": ["d"], "extra": [1.5], "ds": [TUESDAY + timedelta(days=1)]})
    write_deltalake(uri, more, mode="append", schema_mode="merge", partition_by=["ds"])
    frame = read_by_name(spark, uri, chosen=everyday)
    assert frame is not None
    assert sorted((r["id"], r["extra"]) for r in frame.collect()) == [(1, None), (2, None), (3, None), (4, 1.5)]


def test_a_frame_holds_the_version_that_stood_when_it_was_made(spark, things):
    before = tables.read(spark, things, "things")
    frame = spark.createDataFrame([(9, "z", MONDAY)], "id bigint, name string, ds date")
    writing.write_frame(frame, things, made_table(), days=[MONDAY, TUESDAY])
    assert rows_of(before) == ROWS
    assert rows_of(tables.read(spark, things, "things")) == [(9, "z", MONDAY)]


def test_no_rows_of_a_table_are_a_frame_of_its_columns(spark, things):
    frame = read_by_name(spark, tables.table_uri(things, "things"), chosen=only())
    assert frame is not None and frame.columns == ["id", "name", "ds"] and frame.count() == 0


def test_many_files_and_rows_deleted_beside_them_are_left_to_delta(spark, things, monkeypatch):
    uri = tables.table_uri(things, "things")
    monkeypatch.setattr("headrace.byname._MOST_FILES", 1)
    assert read_by_name(spark, uri, chosen=everyday) is None
    assert read_by_name(spark, uri, chosen=only(TUESDAY)) is not None
    monkeypatch.undo()
    spark.sql(f"ALTER TABLE delta.`{uri}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = true)")
    spark.sql(f"DELETE FROM delta.`{uri}` WHERE id = 1")
    assert read_by_name(spark, uri, chosen=everyday) is None
    assert rows_of(tables.read(spark, things, "things")) == ROWS[1:]

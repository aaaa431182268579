"""Tables made and widened without Spark: as Spark's own are, by one run or by several at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from deltalake import DeltaTable
from pyspark.sql import types as t

from headrace.byname import stored_schema
from headrace.creating import KEPT, ensure_table
from headrace.errors import ConfigError
from schemas.columns import Table, parse_fields
from schemas.tables import TABLES


def widened(made: Table, *lines: str) -> Table:
    return replace(made, schema=t.StructType([*made.schema, *parse_fields("\n".join(lines))]))


@pytest.mark.parametrize("name", TABLES)
def test_columns_comments_nullability_and_properties_stand_as_declared(tmp_path, name):
    ensure_table(f"{tmp_path}/{name}", TABLES[name])
    standing = DeltaTable(f"{tmp_path}/{name}")
    assert stored_schema(standing) == TABLES[name].schema
    assert standing.metadata().partition_columns == ["ds"]
    assert standing.metadata().configuration == KEPT
    assert standing.protocol().min_reader_version == 1


def test_a_new_column_is_added_as_one_that_may_be_null_and_nothing_else_changes(tmp_path):
    uri, made = f"{tmp_path}/quarantine", TABLES["quarantine"]
    ensure_table(uri, made)
    for _ in range(2):
        ensure_table(uri, widened(made, "shade double! a new one"))
    ensure_table(uri, made)
    found = stored_schema(DeltaTable(uri))
    assert found.fields[:-1] == made.schema.fields
    assert found["shade"] == t.StructField("shade", t.DoubleType(), True, {"comment": "a new one"})
    assert DeltaTable(uri).version() == 1


def test_a_column_of_another_type_is_refused(tmp_path):
    made = TABLES["quarantine"]
    ensure_table(f"{tmp_path}/quarantine", widened(made, "shade double"))
    with pytest.raises(ConfigError, match="column shade"):
        ensure_table(f"{tmp_path}/quarantine", widened(made, "shade string"))


@pytest.mark.parametrize("columns", [["shade"] * 4, ["a", "b", "c", "d"]])
def test_runs_at_the_same_moment_all_find_what_they_need(tmp_path, columns):
    uri, made = f"{tmp_path}/quarantine", TABLES["quarantine"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: ensure_table(uri, widened(made, f"{name} double")), columns))
    assert stored_schema(DeltaTable(uri)).names[: len(made.schema)] == made.schema.names
    assert set(columns) <= set(stored_schema(DeltaTable(uri)).names)

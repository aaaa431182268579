"""Small frames are part of the plan: their values and types are those of their rows, and no task reads them."""

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import functions as F
from pyspark.sql import types as t

from headrace.frames import frame_of, no_rows
from schemas.columns import make_table

KINDS = make_table(
    "kinds",
    "row",
    "",
    """
    id bigint! a number
    name string a text
    at timestamp a moment
    rate double a share
    tags array<string> some texts
    notes map texts by text
    ds date! day
    """,
).schema
AT = datetime(2024, 3, 31, 1, 30, 0, 123456, tzinfo=UTC)
ROW = {
    "id": 1,
    "name": "a",
    "at": AT,
    "rate": 0.1,
    "tags": ["x", None],
    "notes": {"k": "v"},
    "ds": date(2024, 3, 31),
}
BLANK = dict.fromkeys(ROW) | {"id": 2, "ds": date(2024, 4, 1)}


def test_rows_and_types_are_kept(spark):
    frame = frame_of(spark, [ROW | {"more": 1}, BLANK], KINDS)
    assert frame.schema == KINDS
    first, second = frame.orderBy("id").collect()
    assert first.asDict() == ROW | {"at": AT.replace(tzinfo=None)}
    assert second.asDict() == BLANK


def test_what_is_empty_is_planned_away_and_no_python_runs(spark, capsys):
    empty = no_rows(spark, KINDS)
    assert empty.schema == KINDS and empty.count() == 0
    joined = frame_of(spark, [ROW], KINDS).join(empty.withColumn("b", F.lit(1)), on="id", how="left_semi")
    joined.explain()
    plan = capsys.readouterr().out
    assert "LocalTableScan" in plan and "ExistingRDD" not in plan and "Join" not in plan


def test_a_null_where_none_may_be_is_refused(spark):
    with pytest.raises(ValueError, match=r"columns \['id'\]: found null"):
        frame_of(spark, [BLANK | {"id": None}], t.StructType([t.StructField("id", t.LongType(), False)]))

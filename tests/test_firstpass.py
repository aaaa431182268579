"""The first pass over conformed rows: counts by day and flag, and exactly the hashes that occur twice."""

from collections import Counter
from datetime import date

import pytest
from pyspark.sql import functions as F

from schemas.firstpass import first_pass, flag_counts, flags_of, hash_partitions, suspects

SCHEMA = "key bigint, _reason string, _counted_late boolean, _counted_odd boolean, _ds date"
MONDAY, BEFORE_1970 = date(2024, 4, 1), date(1969, 12, 31)


@pytest.mark.parametrize("partitions", [1, 3])
def test_counts_and_suspects_equal_those_of_a_plain_loop(spark, partitions):
    rows = [
        (n % 700, "null_user_id" if n % 13 == 0 else None, n % 3 == 0, n % 5 == 0, MONDAY if n % 2 else BEFORE_1970)
        for n in range(1_000)
    ]
    earlier = [500, 650, 650, 9_999]
    frame = spark.createDataFrame(rows, SCHEMA).repartition(3)
    hashed = spark.createDataFrame([(key,) for key in earlier], "_hash bigint")
    found = first_pass(frame, hashed, key_hash=F.col("key"), partitions=partitions)
    expected: Counter = Counter()
    for _, reason, late, odd, day in rows:
        expected[day, 1 if reason else 2 * late + 4 * odd] += 1
    assert {(r["day"], r["flags"]): r["n"] for r in flag_counts(found).collect()} == dict(expected)
    good = Counter([key for key, reason, *_ in rows if reason is None] + earlier)
    assert sorted(r["_hash"] for r in suspects(found).collect()) == sorted(k for k, n in good.items() if n > 1)
    assert flags_of(frame) == ("refused", "_counted_late", "_counted_odd")


def test_without_a_key_only_counts_come_out(spark):
    frame = spark.createDataFrame([(1, None, False, False, MONDAY)] * 3, SCHEMA)
    found = first_pass(frame, None, key_hash=None, partitions=2).collect()
    assert [(r["n"], r["_hash"]) for r in found] == [(3, None)]


def test_no_row_makes_no_count_and_no_suspect(spark):
    frame = spark.createDataFrame([], SCHEMA)
    assert first_pass(frame, None, key_hash=F.col("key"), partitions=2).count() == 0


def test_big_days_are_spread_over_more_tasks():
    assert hash_partitions(1_000, least=8) == 8
    assert hash_partitions(800_000_000, least=8) > 50

"""Tables that several writers share: each replaces its own rows of a day and nothing else, whoever wrote the files."""

from datetime import date
from functools import partial

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace import tables, writing
from headrace.delta import delta_files, read_days
from headrace.errors import ConfigError, ConflictError
from headrace.parallel import at_once
from headrace.receipts import Receipt, begun, write_receipts
from headrace.shares import Share
from schemas.columns import make_table
from tests.conftest import config_of

MONDAY, TUESDAY = date(2024, 4, 1), date(2024, 4, 2)
BY_ANN, BY_BOB = Share("owner", "ann"), Share("owner", "bob")
SHARED = make_table(
    "shared", "row of somebody", "", "owner string! whose\nid bigint! key\nodd boolean! id is odd\nds date! day"
)


@pytest.fixture
def config(tmp_path):
    return config_of(tmp_path)


def write(spark, config, share, rows, *, days=(MONDAY,)):
    whole = [(share.begins, number, number % 2 == 1, day) for number, day in rows]
    frame = spark.createDataFrame(whole, SHARED.schema)
    return writing.write_frame(frame, config, SHARED, days=list(days), share=share, summed=["odd"])


def rows_of(config, *, day=None):
    found = read_days(tables.table_uri(config, "shared"), days=None if day is None else [day]).to_pylist()
    return sorted((row["owner"], row["id"]) for row in found)


def mixed(config, *, days=(MONDAY,), stats=True):
    """A table whose files hold rows of both, as OPTIMIZE leaves them."""
    tables.ensure(config, SHARED)
    rows = [{"owner": o, "id": n, "odd": n == 1, "ds": day} for day in days for o in ("ann", "bob") for n in (1, 2)]
    schema = pa.schema([("owner", pa.string()), ("id", pa.int64()), ("odd", pa.bool_()), ("ds", pa.date32())])
    uri = tables.table_uri(config, "shared")
    if not stats:
        keeping(config, columns=0)
    write_deltalake(uri, pa.Table.from_pylist(rows, schema=schema), mode="append", partition_by=["ds"])


def keeping(config, *, columns):
    """Tell the table to keep least and greatest values of so many columns."""
    uri = tables.table_uri(config, "shared")
    DeltaTable(uri).alter.set_table_properties({"delta.dataSkippingNumIndexedCols": f"{columns}"})


def test_each_replaces_its_own_rows_only(spark, config):
    write(spark, config, BY_ANN, [(1, MONDAY), (2, MONDAY)])
    write(spark, config, BY_BOB, [(7, MONDAY)])
    write(spark, config, BY_ANN, [(3, MONDAY)])
    assert rows_of(config) == [("ann", 3), ("bob", 7)]
    assert len(delta_files(tables.table_uri(config, "shared"))) == 2


def test_other_days_stay_and_days_without_rows_are_cleared(spark, config):
    write(spark, config, BY_ANN, [(1, MONDAY), (2, TUESDAY)], days=[MONDAY, TUESDAY])
    write(spark, config, BY_ANN, [], days=[MONDAY])
    assert rows_of(config) == [("ann", 2)]
    assert tables.holds(config, "shared", BY_ANN, days=[TUESDAY])
    assert not tables.holds(config, "shared", BY_ANN, days=[MONDAY])
    assert not tables.holds(config, "shared", BY_BOB, days=[TUESDAY])


def test_rows_and_sums_are_told_by_day(spark, config):
    written = write(spark, config, BY_ANN, [(1, MONDAY), (3, MONDAY), (2, TUESDAY)], days=[MONDAY, TUESDAY])
    assert written.rows == {MONDAY: 2, TUESDAY: 1}
    assert {day: sums["odd"] for day, sums in written.sums.items()} == {MONDAY: 2, TUESDAY: 0}


def test_nothing_in_place_of_nothing_is_no_commit(spark, config):
    tables.ensure(config, SHARED)
    before = tables.version_of(config, "shared")
    assert write(spark, config, BY_ANN, []).version == before


@pytest.mark.parametrize("stats", [True, False])
def test_rows_that_share_a_file_are_set_apart_first_and_none_is_lost(spark, config, stats):
    mixed(config, days=[MONDAY, TUESDAY], stats=stats)
    keeping(config, columns=32)
    assert tables.holds(config, "shared", BY_ANN, days=[MONDAY])
    write(spark, config, BY_ANN, [(9, MONDAY)])
    assert rows_of(config, day=MONDAY) == [("ann", 9), ("bob", 1), ("bob", 2)]
    write(spark, config, BY_BOB, [(8, TUESDAY)], days=[MONDAY, TUESDAY])
    assert rows_of(config) == [("ann", 1), ("ann", 2), ("ann", 9), ("bob", 8)]


def test_rows_of_many_writers_in_one_file_are_set_apart_whoever_comes_first(spark, config):
    names = ["ann", "bob", "cleo", "dan"]
    shares = {name: Share("owner", name) for name in names}
    for name in ("bob", "dan", "ann", "cleo"):
        for share in shares.values():
            write(spark, config, share, [(1, MONDAY)])
        DeltaTable(tables.table_uri(config, "shared")).optimize.compact()
        assert len(delta_files(tables.table_uri(config, "shared"))) == 1
        write(spark, config, shares[name], [(9, MONDAY)])
        assert rows_of(config) == sorted([(other, 1) for other in names if other != name] + [(name, 9)])


def test_a_log_that_will_not_tell_whose_files_are_is_refused(spark, config):
    mixed(config, stats=False)
    with pytest.raises(ConfigError, match="unset the table's properties"):
        write(spark, config, BY_ANN, [(9, MONDAY)])
    assert rows_of(config) == [(owner, number) for owner in ("ann", "bob") for number in (1, 2)]


def test_days_that_are_apart_are_not_written_again(spark, config):
    write(spark, config, BY_BOB, [(7, MONDAY)])
    (kept,) = delta_files(tables.table_uri(config, "shared"))
    write(spark, config, BY_ANN, [(1, MONDAY)])
    assert kept.path in {file.path for file in delta_files(tables.table_uri(config, "shared"))}


def test_writers_of_the_same_day_at_once_all_land(spark, config):
    shares = [Share("owner", name) for name in ("ann", "bob", "cleo", "dan")]
    tables.ensure(config, SHARED)
    for again in range(2):
        at_once([partial(write, spark, config, share, [(again, MONDAY)]) for share in shares])
    assert rows_of(config) == [(share.begins, 1) for share in shares]


def test_of_two_writers_of_the_same_rows_one_says_so(spark, config, monkeypatch):
    write(spark, config, BY_ANN, [(1, MONDAY)])
    original = writing.parquet_sink

    def interrupted(*arguments, **named):
        monkeypatch.setattr(writing, "parquet_sink", original)
        write(spark, config, BY_ANN, [(2, MONDAY)])
        return original(*arguments, **named)

    monkeypatch.setattr(writing, "parquet_sink", interrupted)
    with pytest.raises(ConflictError, match="nothing was changed by this run"):
        write(spark, config, BY_ANN, [(3, MONDAY)])
    assert rows_of(config) == [("ann", 2)]


def test_files_merged_while_one_writes_are_a_conflict_and_no_row_is_doubled(spark, config, monkeypatch):
    write(spark, config, BY_ANN, [(1, MONDAY)])
    write(spark, config, BY_BOB, [(2, MONDAY)])
    original = writing.write_files

    def interrupted(*arguments, **named):
        DeltaTable(tables.table_uri(config, "shared")).optimize.compact()
        return original(*arguments, **named)

    monkeypatch.setattr(writing, "write_files", interrupted)
    with pytest.raises(ConflictError):
        write(spark, config, BY_ANN, [(3, MONDAY)])
    assert rows_of(config) == [("ann", 1), ("bob", 2)]
    monkeypatch.undo()
    write(spark, config, BY_ANN, [(3, MONDAY)])
    assert rows_of(config) == [("ann", 3), ("bob", 2)]


def test_a_revision_that_is_there_already_is_refused_for_its_share_only(spark, config):
    with begun(config, [Receipt("ingest", MONDAY)]):
        write(spark, config, BY_ANN, [(1, MONDAY)])
        write(spark, config, BY_BOB, [(1, MONDAY)])
        with pytest.raises(ConflictError):
            write(spark, config, BY_ANN, [(2, MONDAY)])
    write_receipts(config, [Receipt("ingest", MONDAY)])
    with begun(config, [Receipt("ingest", MONDAY)]):
        write(spark, config, BY_ANN, [(2, MONDAY)])
    assert rows_of(config) == [("ann", 2), ("bob", 1)]


@pytest.mark.parametrize(
    ("low", "high", "whole", "none"),
    [
        ("bob", "bob", True, False),
        ("bob.a", "bob.z", True, False),
        ("ann", "bob", False, False),
        ("bob", "cleo", False, False),
        ("ann", "cleo", False, False),
        ("ann", "bo", False, True),
        ("boc", "z", False, True),
        (None, None, False, False),
    ],
)
def test_bounds_tell_whose_a_file_is(low, high, whole, none):
    assert (BY_BOB._whole((low, high)), BY_BOB._none((low, high))) == (whole, none)

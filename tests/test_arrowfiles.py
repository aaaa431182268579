"""Files written and read inside tasks: what is committed, what is not, and how work is spread."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from pyspark.errors import PySparkException

from headrace import tables, writing
from headrace.arrowfiles import Piece, file_tasks, open_parts
from headrace.arrowsink import parquet_sink
from headrace.delta import DeltaFile, read_days
from headrace.errors import HeadraceError, InputError
from schemas.columns import Table, parse_fields
from tests.conftest import config_of

MONDAY, TUESDAY = date(2024, 4, 1), date(2024, 4, 2)
ARROW = pa.schema(
    [pa.field("id", pa.int64(), nullable=False), pa.field("name", pa.string()), pa.field("ds", pa.date32())]
)


def rows_of(*rows: tuple) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(ARROW.names, row, strict=True)) for row in rows], schema=ARROW)


def made_table() -> Table:
    from pyspark.sql import types as t

    return Table("things", "id", t.StructType(parse_fields("id bigint! key\nname string text\nds date! day")), ("id",))


def test_the_sink_writes_one_file_a_day_and_says_what_is_in_it(tmp_path):
    batches = [rows_of((1, "a", MONDAY), (2, None, TUESDAY)), rows_of((3, "c", MONDAY))]
    written = [row for batch in parquet_sink(str(tmp_path), ARROW)(batches) for row in batch.to_pylist()]
    assert {(r["ds"], json.loads(r["stats"])["numRecords"]) for r in written} == {("2024-04-01", 2), ("2024-04-02", 1)}
    for row in written:
        file = tmp_path / row["path"]
        assert file.stat().st_size == row["size"]
        assert pq.ParquetFile(file).schema_arrow.names == ["id", "name"]


def test_rows_of_other_days_than_their_own_stand_apart_with_narrow_bounds(tmp_path):
    stamp = pa.timestamp("us", "UTC")
    schema = pa.schema([pa.field("event_hour", stamp, nullable=False), pa.field("ds", pa.date32())])
    noon = datetime(2024, 4, 1, 12, tzinfo=UTC)
    moments = [noon + timedelta(days=n) for n in (0, 0, -1, -2, -40, -50)]
    batch = pa.RecordBatch.from_pylist([{"event_hour": m, "ds": MONDAY} for m in moments], schema=schema)
    written = [
        row for b in parquet_sink(str(tmp_path), schema, bounded=["event_hour"])([batch]) for row in b.to_pylist()
    ]
    stats = sorted((json.loads(row["stats"]) for row in written), key=lambda s: s["minValues"]["event_hour"])
    assert [(s["minValues"]["event_hour"][:10], s["numRecords"]) for s in stats] == [
        ("2024-02-11", 2),
        ("2024-03-30", 1),
        ("2024-03-31", 1),
        ("2024-04-01", 2),
    ]


def test_a_column_that_sets_rows_apart_must_not_be_null(tmp_path):
    schema = pa.schema([pa.field("event_hour", pa.timestamp("us", "UTC")), pa.field("ds", pa.date32())])
    with pytest.raises(ValueError, match="may be null"):
        parquet_sink(str(tmp_path), schema, bounded=["event_hour"])


def test_rows_of_days_that_are_not_written_are_refused(spark, tmp_path):
    config, made = config_of(tmp_path), made_table()
    frame = spark.createDataFrame([(1, "a", MONDAY), (2, "b", TUESDAY)], "id bigint, name string, ds date")
    with pytest.raises(ValueError, match=r"rows of \['2024-04-02'\]"):
        writing.write_frame(frame, config, made, days=[MONDAY])
    assert tables.total_rows(config, "things") == 0


def test_the_log_bounds_every_timestamp_that_it_can_write_down_and_counts_its_nulls(tmp_path):
    stamp = pa.timestamp("us", "UTC")
    schema = pa.schema([pa.field(n, stamp) for n in ("seen", "never", "far")] + [pa.field("ds", pa.date32())])
    moments = [datetime(2024, 4, 1, 12, tzinfo=UTC), None, datetime(1969, 4, 9, 12, 0, 0, 1500, tzinfo=UTC)]
    far = pa.array([300_000_000_000_000_000] * 3, pa.int64()).cast(stamp)
    columns = [pa.array(moments, stamp), pa.nulls(3, stamp), far, pa.array([MONDAY] * 3, pa.date32())]
    (row,) = [
        r
        for b in parquet_sink(str(tmp_path), schema)([pa.RecordBatch.from_arrays(columns, schema=schema)])
        for r in b.to_pylist()
    ]
    stats = json.loads(row["stats"])
    assert stats["minValues"] == {"seen": "1969-04-09T12:00:00.001Z"}
    assert stats["maxValues"] == {"seen": "2024-04-01T12:00:00.000Z"}
    assert stats["nullCount"] == {"seen": 1, "never": 3, "far": 0}


def test_many_small_batches_become_one_row_group(tmp_path):
    batches = [rows_of((number, "a", MONDAY)) for number in range(50)]
    (written,) = [row for batch in parquet_sink(str(tmp_path), ARROW)(batches) for row in batch.to_pylist()]
    footer = pq.ParquetFile(tmp_path / written["path"]).metadata
    assert (footer.num_rows, footer.num_row_groups) == (50, 1)


def test_the_sink_refuses_a_null_where_none_may_be_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"columns \['id'\]: found null"):
        list(parquet_sink(str(tmp_path), ARROW)([rows_of((1, "a", MONDAY)), rows_of((None, "b", MONDAY))]))
    assert list(Path(tmp_path).rglob("*.parquet")) == []


def test_a_task_that_fails_half_way_leaves_no_file(tmp_path):
    def breaks():
        yield rows_of((1, "a", MONDAY))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        list(parquet_sink(str(tmp_path), ARROW)(breaks()))
    assert list(Path(tmp_path).rglob("*.parquet")) == []


def written_by(spark, rows: list[tuple]):
    """A build function as jobs pass it: its tasks hand their rows to the sink."""

    def build(*, sink):
        end, ends_as = sink
        return spark.createDataFrame(rows, "id bigint, name string, ds date").mapInArrow(
            lambda batches: end(b.cast(ARROW) for b in batches), ends_as
        )

    return build


def test_days_are_replaced_in_one_commit_and_others_stay(spark, tmp_path):
    config, made = config_of(tmp_path), made_table()
    tables.ensure(config, made)
    first = writing.write_files(
        config, made, written_by(spark, [(1, "a", MONDAY), (2, "b", TUESDAY)]), days=[MONDAY, TUESDAY]
    )
    second = writing.write_files(config, made, written_by(spark, [(3, "c", MONDAY)]), days=[MONDAY])
    assert second.version == first.version + 1
    found = read_days(f"{config.root}/things").to_pylist()
    assert sorted((r["id"], r["ds"]) for r in found) == [(2, TUESDAY), (3, MONDAY)]
    assert tables.row_counts(config, "things", days=[MONDAY, TUESDAY]) == {MONDAY: 1, TUESDAY: 1}
    by_spark = spark.read.format("delta").load(f"{config.root}/things").collect()
    assert sorted((r["id"], r["name"]) for r in by_spark) == [(2, "b"), (3, "c")]


def test_a_day_without_rows_is_replaced_by_nothing(spark, tmp_path):
    config, made = config_of(tmp_path), made_table()
    tables.ensure(config, made)
    writing.write_files(config, made, written_by(spark, [(1, "a", MONDAY)]), days=[MONDAY])
    writing.write_files(config, made, written_by(spark, []), days=[MONDAY])
    assert tables.total_rows(config, "things") == 0


def test_a_failed_write_leaves_the_last_good_version(spark, tmp_path):
    config, made = config_of(tmp_path), made_table()
    tables.ensure(config, made)
    before = writing.write_files(config, made, written_by(spark, [(1, "a", MONDAY)]), days=[MONDAY])
    with pytest.raises(PySparkException, match="null"):
        writing.write_files(config, made, written_by(spark, [(None, "b", MONDAY)]), days=[MONDAY])
    assert tables.version_of(config, "things") == before.version
    assert tables.total_rows(config, "things") == 1


def test_every_row_group_is_read_once_and_tasks_share_the_rows(spark, tmp_path):
    table = pa.table({"id": list(range(1000))})
    files = []
    for number, (rows, group) in enumerate([(1000, 50), (10, 10), (300, 300)]):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table.slice(0, rows), path, row_group_size=group)
        files.append(DeltaFile(str(path), MONDAY, rows))

    tasks = file_tasks(spark, {"things": files})
    pieces = tasks.pieces

    def read(batches):
        for part in open_parts(batches, pieces):
            for piece in part.tables(["id"]):
                days = pa.array([part.ds_number] * piece.num_rows, pa.int64())
                yield from pa.table({"id": piece["id"], "ds_number": days}).to_batches()

    found = tasks.frame.mapInArrow(read, "id bigint, ds_number bigint").collect()
    assert Counter(r["id"] for r in found) == Counter(i for f in files for i in range(f.rows))
    assert {r["ds_number"] for r in found} == {(MONDAY - date(1970, 1, 1)).days}
    loads = [sum(piece.rows for piece in own) for own in pieces]
    assert len(loads) == 2 and max(loads) - min(loads) <= max(piece.rows for own in pieces for piece in own)


def test_no_file_makes_no_row(spark):
    assert [own for own in file_tasks(spark, {"things": []}).pieces if own] == []


def test_a_file_that_lacks_a_column_is_refused(tmp_path):
    path = tmp_path / "old.parquet"
    pq.write_table(pa.table({"id": [1]}), path)
    pieces = [[Piece("tiles_user", str(path), 0, 0, 1, 1)]]
    with pytest.raises(InputError, match="like_count"):
        for part in open_parts([pa.RecordBatch.from_pydict({"id": [0]})], pieces):
            list(part.tables(["id", "like_count"]))


def test_times_are_microseconds_whatever_unit_another_writer_chose(tmp_path):
    path, moment = tmp_path / "compacted.parquet", datetime(2024, 4, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    times = pa.array([moment], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"event_ts": times}), path, use_deprecated_int96_timestamps=True)
    pieces = [[Piece("impressions", str(path), 0, 0, 1, 1)]]
    for part in open_parts([pa.RecordBatch.from_pydict({"id": [0]})], pieces):
        (table,) = part.tables(["event_ts"])
    assert table.column("event_ts").cast(pa.int64()).to_pylist() == [int(moment.timestamp() * 1e6)]


def test_a_day_that_another_run_wrote_at_the_same_time_is_found_out(spark, tmp_path, monkeypatch):
    config, made = config_of(tmp_path), made_table()
    tables.ensure(config, made)
    commit = DeltaTable.create_write_transaction

    def after_another(target, *given, **more):
        """The other run commits between our reading of the log and our commit; both find the day empty."""
        monkeypatch.setattr(DeltaTable, "create_write_transaction", commit)
        writing.write_files(config, made, written_by(spark, [(1, "a", MONDAY)]), days=[MONDAY])
        commit(target, *given, **more)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", after_another)
    with pytest.raises((HeadraceError, CommitFailedError)):
        writing.write_files(config, made, written_by(spark, [(2, "b", MONDAY)]), days=[MONDAY])

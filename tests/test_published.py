"""Readers of published days: each day at its own version, and nothing of what was written since."""

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace.config import Config, load_config
from headrace.delta import delta_files
from headrace.errors import InputError
from headrace.published import _AGE_LIMIT, pinned_days, read_published, spark_published
from headrace.receipts import LOST, STARTED, Receipt, write_receipts
from headrace.withdraw import unpublish

D1, D2, D3 = date(2024, 5, 1), date(2024, 5, 2), date(2024, 5, 3)


def config_at(root: Path) -> Config:
    return load_config(settings=[f"root={root}", f"landing={root}/landing"])


def write(root: Path, ds: date, ids: Sequence[int], *, table: str = "training_set", **columns: Sequence) -> int:
    """Replace a day of a table; returns the version."""
    rows = pa.table({"id": pa.array(ids, pa.int64()), **columns, "ds": pa.array([ds] * len(ids), pa.date32())})
    uri = str(root / table)
    if DeltaTable.is_deltatable(uri):
        where = f"ds = '{ds}'"
        write_deltalake(uri, rows, mode="overwrite", predicate=where, schema_mode="merge")
    else:
        write_deltalake(uri, rows, partition_by=["ds"])
    return DeltaTable(uri).version()


def publish(root: Path, ds: date, *, status: str = "published", **versions: int) -> None:
    """Append a `publish` receipt, one revision higher than the last."""
    write_receipts(config_at(root), [receipt(ds, status=status, **versions)])


def receipt(ds: date, *, status: str = "published", **versions: int) -> Receipt:
    texts = {table: str(version) for table, version in versions.items()}
    outputs = {table: f"hash of {table}" for table in versions}
    return Receipt("publish", ds, status=status, versions=texts, outputs=outputs)


def ids(root: Path, **options: object) -> list[tuple[date, int]]:
    rows = read_published(root, **options).to_table().to_pylist()  # type: ignore[arg-type]
    return sorted((row["ds"], row["id"]) for row in rows)


def test_each_day_is_read_at_its_own_version(tmp_path):
    first = write(tmp_path, D1, [1, 2])
    second = write(tmp_path, D2, [3])
    write(tmp_path, D1, [9])
    publish(tmp_path, D1, training_set=first)
    publish(tmp_path, D2, training_set=second)
    assert ids(tmp_path) == [(D1, 1), (D1, 2), (D2, 3)]
    assert ids(tmp_path, days=[D2]) == [(D2, 3)]


def test_what_is_written_later_is_unseen_until_it_is_published(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    again = write(tmp_path, D1, [2])
    write(tmp_path, D2, [3])
    assert ids(tmp_path) == [(D1, 1)]
    publish(tmp_path, D1, training_set=again)
    assert ids(tmp_path) == [(D1, 2)]


def test_pinned_day_says_what_its_highest_receipt_says(tmp_path):
    publish(tmp_path, D1, training_set=4, coverage=2)
    publish(tmp_path, D1, training_set=5, coverage=3)
    (pinned,) = pinned_days(tmp_path).values()
    assert (pinned.ds, pinned.revision) == (D1, 2)
    assert pinned.versions == {"training_set": 5, "coverage": 3}
    assert pinned.outputs["coverage"] == "hash of coverage"


@pytest.mark.parametrize("status", ["unpublished", "refused"])
def test_day_whose_highest_receipt_is_not_published_is_withdrawn(tmp_path, status):
    for day in (D1, D2):
        publish(tmp_path, day, training_set=write(tmp_path, day, [1]))
    publish(tmp_path, D2, status=status)
    assert list(pinned_days(tmp_path)) == [D1]
    assert ids(tmp_path) == [(D1, 1)]


@pytest.mark.parametrize("status", [STARTED, LOST])
def test_a_publish_that_is_on_its_way_or_lost_takes_nothing_away(tmp_path, status):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    publish(tmp_path, D1, status=status)
    publish(tmp_path, D2, status=status)
    assert list(pinned_days(tmp_path)) == [D1]
    assert ids(tmp_path) == [(D1, 1)]


def test_a_day_whose_publish_was_killed_can_be_taken_back(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    publish(tmp_path, D1, status=STARTED)
    unpublish(config_at(tmp_path), days=[D1], reason="clicks logged twice")
    assert pinned_days(tmp_path) == {}


def test_of_one_revision_what_is_done_stands_above_what_was_begun(tmp_path):
    done = receipt(D1, training_set=write(tmp_path, D1, [1]))
    write_receipts(config_at(tmp_path), [receipt(D1, status=STARTED), done])
    assert ids(tmp_path) == [(D1, 1)]


def test_day_that_is_not_published_is_refused_with_those_that_are(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    with pytest.raises(InputError, match=r"2024-05-03: not published(?s:.*)published days: 2024-05-01") as caught:
        read_published(tmp_path, days=[D1, D3])
    assert caught.value.exit_code == 4


def test_root_where_nothing_is_published_is_refused(tmp_path):
    with pytest.raises(InputError, match="receipts"):
        read_published(tmp_path)
    publish(tmp_path, D1, status="refused")
    with pytest.raises(InputError, match="there are none"):
        read_published(tmp_path)


def test_column_that_a_version_lacks_is_null_in_its_days(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    publish(tmp_path, D2, training_set=write(tmp_path, D2, [2], added=[0.5]))
    rows = read_published(tmp_path).to_table().sort_by("id")
    assert rows.schema.names == ["id", "ds", "added"]
    assert rows["added"].to_pylist() == [None, 0.5]
    assert read_published(tmp_path, days=[D1]).schema.names == ["id", "ds"]


def test_column_that_may_not_be_null_may_be_where_another_version_lacks_it(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    fields = [pa.field("id", pa.int64()), pa.field("sure", pa.int64(), nullable=False), pa.field("ds", pa.date32())]
    rows = pa.table([[2], [3], pa.array([D2])], schema=pa.schema(fields))
    write_deltalake(str(tmp_path / "training_set"), rows, mode="overwrite", schema_mode="overwrite")
    publish(tmp_path, D2, training_set=1)
    assert read_published(tmp_path).schema.field("sure").nullable
    assert not read_published(tmp_path, days=[D2]).schema.field("sure").nullable


def test_only_the_columns_asked_for_and_the_day_are_there(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1], a=[2], b=[3]))
    found = read_published(tmp_path, columns=["b"])
    assert found.to_table().to_pylist() == [{"b": 3, "ds": D1}]
    with pytest.raises(InputError, match="no column nope"):
        read_published(tmp_path, columns=["nope"])


def test_filter_on_the_day_opens_only_its_files(tmp_path):
    for day in (D1, D2):
        publish(tmp_path, day, training_set=write(tmp_path, day, [1]))
    found = read_published(tmp_path)
    assert len(list(found.get_fragments(pc.field("ds") == D2))) == 1


def test_no_row_is_read_before_it_is_asked_for(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    for file in delta_files(str(tmp_path / "training_set")):
        (tmp_path / "training_set" / file.path).write_bytes(b"not Parquet")
    assert read_published(tmp_path).schema.names == ["id", "ds"]


def test_published_day_without_rows_is_an_empty_dataset(tmp_path):
    write(tmp_path, D1, [1])
    publish(tmp_path, D2, training_set=write(tmp_path, D2, []))
    assert read_published(tmp_path, days=[D2]).to_table().schema.names == ["id", "ds"]
    assert ids(tmp_path) == []


@pytest.mark.parametrize("version", [41, -1])
def test_version_that_the_log_does_not_know_is_refused(tmp_path, version):
    write(tmp_path, D1, [1])
    publish(tmp_path, D1, training_set=version)
    with pytest.raises(InputError, match=f"at version {version}"):
        read_published(tmp_path)


def test_missing_file_is_refused_by_name(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    next((tmp_path / "training_set").rglob("*.parquet")).unlink()
    with pytest.raises(InputError, match=r"\.parquet"):
        read_published(tmp_path)


def test_file_that_lies_outside_the_table_is_refused(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    (commit,) = (tmp_path / "training_set" / "_delta_log").glob("*.json")
    commit.write_text(commit.read_text().replace('"path":"ds=', f'"path":"{tmp_path.as_uri()}/clone/ds='))
    with pytest.raises(InputError, match="not a path within the table"):
        read_published(tmp_path)


def test_receipt_that_pins_no_training_set_is_refused(tmp_path):
    publish(tmp_path, D1, coverage=1)
    with pytest.raises(InputError, match="publish receipt of 2024-05-01, revision 1"):
        pinned_days(tmp_path)


def test_rows_deleted_by_deletion_vectors_are_refused(tmp_path, monkeypatch):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1, 2]))
    (file,) = DeltaTable(str(tmp_path / "training_set")).file_uris()
    marked = pa.table({"filepath": [file], "selection_vector": [[True, False]]})
    protocol = type("Protocol", (), {"reader_features": ["deletionVectors"]})
    monkeypatch.setattr(DeltaTable, "protocol", lambda _: protocol)
    monkeypatch.setattr(DeltaTable, "deletion_vectors", lambda _: marked)
    with pytest.raises(InputError, match="deletion vectors"):
        read_published(tmp_path)


def test_with_spark_and_without_the_rows_of_the_world_are_the_same(spark, world):
    root = world[0].root
    chosen = sorted(pinned_days(root))[:2]
    for days in (None, chosen):
        plain = read_published(root, days=days).to_table()
        by_spark = spark_published(spark, root, days=days).toArrow()
        assert by_spark.schema.names == plain.schema.names and plain.num_rows > 0
        assert _sorted(by_spark) == _sorted(plain)


def test_with_spark_and_without_rewritten_days_of_several_versions_are_the_same(spark, tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1, 2]))
    publish(tmp_path, D2, training_set=write(tmp_path, D2, [3], added=[0.5]))
    write(tmp_path, D1, [9], added=[9.0])
    plain, by_spark = read_published(tmp_path).to_table(), spark_published(spark, tmp_path).toArrow()
    assert by_spark.schema.names == plain.schema.names
    assert _sorted(by_spark, "id") == _sorted(plain, "id") and ids(tmp_path) == [(D1, 1), (D1, 2), (D2, 3)]


def test_version_older_than_deltas_week_is_read_with_spark_and_leaves_its_setting_alone(spark, tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    write(tmp_path, D1, [2])
    for path in (tmp_path / "training_set").rglob("*.*"):
        os.utime(path, (0, 0))
    before = spark.conf.get(_AGE_LIMIT)
    assert [row.id for row in spark_published(spark, tmp_path).collect()] == [1]
    assert spark.conf.get(_AGE_LIMIT) == before == "true"


def test_spark_reader_refuses_what_the_other_refuses(spark, tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    with pytest.raises(InputError, match="not published"):
        spark_published(spark, tmp_path, days=[D2])
    publish(tmp_path, D1, training_set=41)
    with pytest.raises(InputError, match="at version 41"):
        spark_published(spark, tmp_path)


def _sorted(rows: pa.Table, key: str = "impression_id") -> list[dict]:
    return rows.sort_by(key).to_pylist()

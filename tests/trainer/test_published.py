"""Published days: which they are, at which version they are read, and what is refused."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace.errors import InputError
from tests.trainer.world import FEATURES, FIRST, make_day, publish, write_day
from trainer.published import find_days, open_day, published_days
from trainer.rows import day_pieces


def _ids(root: Path, ds: date = FIRST, **options: object) -> list[int]:
    batches = open_day(str(root), find_days(str(root), [ds])[0], columns=["impression_id"], **options)  # type: ignore[arg-type]
    return [i for batch in batches for i in batch.column(0).to_pylist()]


def test_published_day_carries_version_hash_and_notes(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, version=write_day(tmp_path, make_day(FIRST, rows=200)))
    (day,) = published_days(str(tmp_path))
    assert (day.ds, day.version, day.content_hash) == (FIRST, 0, f"hash-{FIRST}-1")
    assert [f.name for f in day.features] == [f["name"] for f in FEATURES]
    assert day.sampling["negative_rate"] == 0.1 and day.labels["implies"] == {"like": "click"}


def test_day_whose_latest_revision_was_refused_is_not_published(tmp_path: Path) -> None:
    version = write_day(tmp_path, make_day(FIRST, rows=200))
    publish(tmp_path, FIRST, version=version, revision=1)
    publish(tmp_path, FIRST, version=version, revision=2, status="refused")
    assert published_days(str(tmp_path)) == []


def test_highest_revision_stands_whatever_the_order_of_writing(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, version=5, revision=10)
    publish(tmp_path, FIRST, version=4, revision=9)
    assert [day.version for day in published_days(str(tmp_path))] == [5]


def test_unpublished_day_is_refused_with_the_days_that_are(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, version=0)
    with pytest.raises(InputError, match=r"2024-05-09: not published(?s:.*)published days: 2024-05-01") as caught:
        find_days(str(tmp_path), [date(2024, 5, 9)])
    assert caught.value.exit_code == 4


def test_root_without_receipts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="receipts"):
        published_days(str(tmp_path))


def test_later_versions_do_not_change_what_a_published_day_reads(tmp_path: Path) -> None:
    first = make_day(FIRST, rows=200)
    publish(tmp_path, FIRST, version=write_day(tmp_path, first))
    write_day(tmp_path, make_day(FIRST, rows=900), mode="overwrite")
    assert sorted(_ids(tmp_path)) == sorted(first["impression_id"].to_pylist())


def test_reading_is_projected_and_bounded(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, version=write_day(tmp_path, make_day(FIRST, rows=900)))
    day = find_days(str(tmp_path), [FIRST])[0]
    batches = list(open_day(str(tmp_path), day, columns=["label_like", "user_id"], batch_rows=50))
    assert max(b.num_rows for b in batches) <= 50 and set(batches[0].schema.names) == {"label_like", "user_id"}


def test_seed_shuffles_row_groups_and_loses_no_row(tmp_path: Path) -> None:
    for k in range(6):
        version = write_day(tmp_path, make_day(FIRST, rows=300).slice(k * 10, 10))
    publish(tmp_path, FIRST, version=version)
    plain, shuffled = _ids(tmp_path), _ids(tmp_path, rng=np.random.default_rng(3))
    assert plain != shuffled and sorted(plain) == sorted(shuffled) and len(plain) == 60
    assert shuffled == _ids(tmp_path, rng=np.random.default_rng(3))


def test_missing_file_is_named(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, version=write_day(tmp_path, make_day(FIRST, rows=200)))
    next((tmp_path / "training_set").rglob("*.parquet")).unlink()
    with pytest.raises(InputError, match=r"\.parquet"):
        _ids(tmp_path)


def test_version_that_is_gone_is_refused(tmp_path: Path) -> None:
    write_day(tmp_path, make_day(FIRST, rows=200))
    publish(tmp_path, FIRST, version=41)
    with pytest.raises(InputError, match="version 41"):
        _ids(tmp_path)


def test_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, version=write_day(tmp_path, make_day(FIRST, rows=200)))
    with pytest.raises(InputError, match="no column nope"):
        list(open_day(str(tmp_path), find_days(str(tmp_path), [FIRST])[0], columns=["nope"]))


def test_receipt_without_notes_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, version=0, features=[{"name": "x"}])
    with pytest.raises(InputError, match="publish receipt of 2024-05-01"):
        published_days(str(tmp_path))


def test_rows_deleted_by_deletion_vectors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = write_day(tmp_path, make_day(FIRST, rows=200))
    (file,) = DeltaTable(str(tmp_path / "training_set")).file_uris()
    marked = pa.table({"filepath": [file], "selection_vector": [[True, False]]})
    protocol = type("Protocol", (), {"reader_features": ["deletionVectors"]})
    monkeypatch.setattr(DeltaTable, "protocol", lambda _: protocol)
    monkeypatch.setattr(DeltaTable, "deletion_vectors", lambda _: marked)
    with pytest.raises(InputError, match="deletion vectors"):
        day_pieces(str(tmp_path), ds=FIRST, version=version)


@pytest.mark.parametrize("name", ["receipts", "training_set"])
def test_table_that_is_not_partitioned_by_day_is_refused(tmp_path: Path, name: str) -> None:
    publish(tmp_path, FIRST, version=write_day(tmp_path, make_day(FIRST, rows=200)))
    shutil.rmtree(tmp_path / name)
    write_deltalake(str(tmp_path / name), pa.table({"job": ["publish"]}))
    with pytest.raises(InputError, match=name):
        _ids(tmp_path)

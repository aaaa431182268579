"""What `headrace doctor` says of storage, clock and a session, and that it leaves nothing behind."""

import os
import time
from datetime import UTC, date, datetime

import pytest
from deltalake import DeltaTable, write_deltalake

from headrace.doctor import storage
from headrace.doctor.started import check_session
from headrace.receipt import Receipt
from headrace.receipts import write_receipts
from tests.conftest import config_of

D1 = date(2024, 5, 1)


def test_storage_here_is_well_and_nothing_stays(tmp_path):
    config = config_of(tmp_path)
    stored, clock = storage.check_storage(config)
    assert (stored.state, clock.state) == ("ok", "ok")
    assert list(tmp_path.iterdir()) == []


def test_a_root_named_by_a_uri_is_tried_too(tmp_path):
    assert [c.state for c in storage.check_storage(config_of(tmp_path, f"root=file://{tmp_path}/tables"))] == [
        "ok",
        "ok",
    ]
    assert list(tmp_path.iterdir()) == []


def test_what_lay_under_the_root_stays(tmp_path):
    (tmp_path / "tables" / "mine").mkdir(parents=True)
    assert all(check.state == "ok" for check in storage.check_storage(config_of(tmp_path)))
    assert [path.name for path in tmp_path.rglob("*")] == ["tables", "mine"]


@pytest.mark.parametrize(
    ("broken", "what"),
    [("_written", "write a file"), ("_rename_and_link", "rename and link"), ("_commit_twice", "commit twice")],
)
def test_nothing_stays_where_a_step_breaks_off(monkeypatch, tmp_path, broken, what):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(storage, broken, full)
    check = next(iter(storage.check_storage(config_of(tmp_path))))
    assert check.state == "fail" and what in check.found and "no space left" in check.found
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_made_fails(tmp_path):
    (tmp_path / "tables").write_text("a file\n")
    stored, clock = storage.check_storage(config_of(tmp_path, f"root={tmp_path}/tables/below"))
    assert stored.state == "fail" and "cannot make a folder" in stored.found and "skipped" in clock.found
    assert (tmp_path / "tables").read_text() == "a file\n"


def test_storage_that_loses_a_commit_fails(monkeypatch, tmp_path):
    def losing(target, rows, *, mode="error"):
        if isinstance(target, str) or DeltaTable(target.table_uri).version() == 0:
            write_deltalake(target, rows, mode=mode)

    monkeypatch.setattr(storage, "write_deltalake", losing)
    check = next(iter(storage.check_storage(config_of(tmp_path))))
    assert check.state == "fail" and "found (1, 2), wanted (2, 3)" in check.found
    assert list(tmp_path.iterdir()) == []


def test_a_disk_whose_links_replace_files_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(storage.os, "link", os.replace)
    check = next(iter(storage.check_storage(config_of(tmp_path))))
    assert check.state == "fail" and "took the place of a file" in check.found


@pytest.mark.parametrize(
    ("away", "state"), [(0, "ok"), (4, "ok"), (-4, "ok"), (60, "warn"), (-60, "warn"), (900, "fail")]
)
def test_the_clock_is_held_against_the_storages(away, state):
    stamp = storage.Stamp(1000.0, 1000.5, 1000.2 + away)
    assert storage.judged_clock(stamp, None, now=1001).state == state


def test_a_stamp_cut_to_whole_seconds_is_not_away():
    assert storage.judged_clock(storage.Stamp(1000.9, 1000.95, 1000.0), None, now=1001).found.startswith("0 s")


@pytest.mark.parametrize(("ahead_s", "state"), [(-60, "ok"), (100, "warn"), (4000, "fail")])
def test_a_receipt_from_the_future_tells_of_the_clock(tmp_path, ahead_s, state):
    ended = datetime.fromtimestamp(time.time() + ahead_s, UTC)
    config = config_of(tmp_path)
    write_receipts(config, [Receipt("ingest", D1, ended_at=ended)])
    clock = list(storage.check_storage(config))[-1]
    assert clock.state == state and "newest receipt ended" in clock.found
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["receipts"]


def test_a_session_computes_and_stores_and_leaves_nothing(spark, tmp_path):
    checks = list(check_session(spark, root=str(tmp_path / "tables")))
    assert [(check.name, check.state) for check in checks] == [("Python worker", "ok"), ("Delta table", "ok")]
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_cannot_be_written_is_a_line(spark, tmp_path):
    (tmp_path / "tables").write_text("a file\n")
    checks = list(check_session(spark, root=str(tmp_path / "tables" / "below")))
    assert [check.state for check in checks] == ["ok", "fail"]

"""Pruning: what is read by someone stays, what is young stays, the log stays, and the rest goes."""

import io
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyarrow import fs
from rich.console import Console

from headrace.delta import delta_files
from headrace.errors import HeadraceError, InputError
from headrace.prune import Pruned, print_plan, prune, prune_plan
from tests.test_published import D1, D2, config_at, ids, publish, write


def files(root: Path, table: str = "training_set", *, version: int | None = None) -> set[str]:
    return {file.path for file in delta_files(str(root / table), version=version)}


def lying(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def age(root: Path, *, hours: float) -> None:
    """Make all that lies there older, the log's commits too."""
    then = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def rewritten(root: Path) -> None:
    """A published day, and another that is not, both written again since, all of it days ago."""
    publish(root, D1, training_set=write(root, D1, [1, 2]))
    write(root, D2, [3])
    write(root, D1, [8])
    write(root, D2, [9])
    age(root, hours=72)


def test_published_day_is_read_after_its_table_was_rewritten_and_pruned(tmp_path):
    rewritten(tmp_path)
    prune(config_at(tmp_path), prune_plan(config_at(tmp_path)))
    assert ids(tmp_path) == [(D1, 1), (D1, 2)]


def test_only_old_versions_that_are_not_published_go(tmp_path):
    rewritten(tmp_path)
    plan = prune_plan(config_at(tmp_path))
    of_d2 = files(tmp_path, version=1) - files(tmp_path, version=0)
    assert {(file.table, file.path) for file in plan} == {("training_set", path) for path in of_d2}
    before = lying(tmp_path)
    done = prune(config_at(tmp_path), plan)
    assert done == Pruned(1, plan[0].bytes, 0, 0) and done.bytes > 0
    assert before - lying(tmp_path) == {f"training_set/{file.path}" for file in plan}


def test_planning_deletes_nothing_and_the_log_is_never_touched(tmp_path):
    rewritten(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in lying(tmp_path)}
    plan = prune_plan(config_at(tmp_path))
    assert {name: (tmp_path / name).read_bytes() for name in lying(tmp_path)} == before
    prune(config_at(tmp_path), plan)
    after = {name: (tmp_path / name).read_bytes() for name in lying(tmp_path)}
    assert {n: b for n, b in after.items() if "_delta_log" in n} == {
        n: b for n, b in before.items() if "_delta_log" in n
    }


def test_day_of_a_pinned_version_that_is_not_published_goes(tmp_path):
    write(tmp_path, D2, [3])
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    write(tmp_path, D2, [9])
    age(tmp_path, hours=72)
    assert {file.path for file in prune_plan(config_at(tmp_path))} == files(tmp_path, version=0)


@pytest.mark.parametrize("table", ["coverage", "sampling_rates", "spine"])
def test_every_table_that_a_receipt_pins_is_kept_at_that_version(tmp_path, table):
    versions = {name: write(tmp_path, D1, [1], table=name) for name in ("training_set", table)}
    publish(tmp_path, D1, **versions)  # type: ignore[arg-type]
    write(tmp_path, D1, [2], table=table)
    age(tmp_path, hours=72)
    assert prune_plan(config_at(tmp_path)) == []


@pytest.mark.parametrize("status", ["unpublished", "refused"])
def test_withdrawn_day_frees_its_version(tmp_path, status):
    rewritten(tmp_path)
    publish(tmp_path, D1, status=status)
    assert {file.path for file in prune_plan(config_at(tmp_path))} == files(tmp_path, version=1)


@pytest.mark.parametrize("status", ["started", "lost"])
def test_day_whose_next_publish_was_killed_keeps_its_version(tmp_path, status):
    rewritten(tmp_path)
    before = prune_plan(config_at(tmp_path))
    publish(tmp_path, D1, status=status)
    assert prune_plan(config_at(tmp_path)) == before


def test_republished_day_frees_the_version_before(tmp_path):
    rewritten(tmp_path)
    publish(tmp_path, D1, training_set=3)
    assert {file.path for file in prune_plan(config_at(tmp_path))} == files(tmp_path, version=1)
    prune(config_at(tmp_path), prune_plan(config_at(tmp_path)))
    assert ids(tmp_path) == [(D1, 8)]


def test_young_file_stays_though_no_commit_names_it(tmp_path):
    rewritten(tmp_path)
    folder = tmp_path / "training_set" / f"ds={D1}"
    for name, hours in (("running.parquet", 23), ("crashed.parquet", 25)):
        (folder / name).write_bytes(b"rows")
        then = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
        os.utime(folder / name, (then, then))
    planned = {Path(file.path).name for file in prune_plan(config_at(tmp_path))}
    assert "crashed.parquet" in planned and "running.parquet" not in planned


def test_old_file_that_was_replaced_lately_stays_for_who_reads_it_now(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    write(tmp_path, D2, [3])
    age(tmp_path, hours=72)
    write(tmp_path, D2, [9])
    assert prune_plan(config_at(tmp_path)) == []
    assert len(prune_plan(config_at(tmp_path), keep_hours=0)) == 1


def test_checksum_goes_and_stays_with_its_file(tmp_path):
    rewritten(tmp_path)
    for path in (tmp_path / "training_set").glob("ds=*/*.parquet"):
        path.with_name(f".{path.name}.crc").write_bytes(b"crc")
    age(tmp_path, hours=72)
    planned = sorted(Path(file.path).name for file in prune_plan(config_at(tmp_path)))
    assert len(planned) == 2 and planned[0] == f".{planned[1]}.crc"


def test_what_is_no_data_file_of_a_day_stays(tmp_path):
    rewritten(tmp_path)
    strange = [
        tmp_path / "training_set" / "deletion_vector_1.bin",
        tmp_path / "training_set" / "loose.parquet",
        tmp_path / "training_set" / "_change_data" / f"ds={D1}" / "cdc.parquet",
        tmp_path / "training_set" / f"ds={D1}" / "notes.txt",
        tmp_path / "not_a_table" / f"ds={D1}" / "part.parquet",
    ]
    for path in strange:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"kept")
    age(tmp_path, hours=72)
    prune(config_at(tmp_path), prune_plan(config_at(tmp_path)))
    assert all(path.exists() for path in strange)


def test_no_link_is_followed_out_of_the_table(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    rewritten(root)
    shutil.copytree(root / "training_set", outside)
    (outside / "part.parquet").write_bytes(b"another's")
    (root / "alias").symlink_to(root / "training_set")  # under this name nothing is published
    (root / "linked").symlink_to(outside)
    (root / "training_set" / "ds=2024-06-01").symlink_to(outside)
    (root / "training_set" / f"ds={D1}" / "link.parquet").symlink_to(outside / "part.parquet")
    (root / "training_set" / f"ds={D1}" / "ds=loop").symlink_to(root / "training_set")
    age(tmp_path, hours=72)
    before = lying(outside)
    plan = prune_plan(config_at(root))
    assert len(plan) == 1 and prune(config_at(root), plan).deleted == 1
    assert lying(outside) == before and ids(root) == [(D1, 1), (D1, 2)]


def test_link_that_came_after_the_plan_is_not_followed(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    rewritten(root)
    plan = prune_plan(config_at(root))
    (root / "training_set" / f"ds={D2}").rename(outside)
    (root / "training_set" / f"ds={D2}").symlink_to(outside)
    assert prune(config_at(root), plan) == Pruned(0, 0, 0, 1)


@pytest.mark.parametrize("broken", ["cleaned", "gap", "garbage", "unknown version", "no table"])
def test_nothing_is_planned_where_a_pinned_version_cannot_be_looked_up(tmp_path, broken):
    rewritten(tmp_path)
    write(tmp_path, D1, [1], table="other")
    plan = prune_plan(config_at(tmp_path))
    log = tmp_path / "training_set" / "_delta_log"
    if broken == "cleaned":  # as a writer does after delta.logRetentionDuration
        DeltaTable(str(tmp_path / "training_set")).create_checkpoint()
        for version in range(3):
            (log / f"{version:020d}.json").unlink()
    elif broken == "gap":
        DeltaTable(str(tmp_path / "training_set")).create_checkpoint()
        (log / f"{0:020d}.json").unlink()
    elif broken == "garbage":
        (log / f"{0:020d}.json").write_text("{not json")
    elif broken == "unknown version":
        publish(tmp_path, D2, training_set=41)
    else:
        publish(tmp_path, D2, training_set=1, coverage=0)
    for refused in (lambda: prune_plan(config_at(tmp_path)), lambda: prune(config_at(tmp_path), plan)):
        with pytest.raises(InputError, match=r"training_set|coverage"):
            refused()
    assert all((tmp_path / file.table / file.path).exists() for file in plan)


def test_root_without_receipts_is_refused(tmp_path):
    rewritten(tmp_path)
    shutil.rmtree(tmp_path / "receipts")
    with pytest.raises(InputError, match="receipts"):
        prune_plan(config_at(tmp_path))


def test_lately_written_commit_that_cannot_be_read_is_refused(tmp_path):
    rewritten(tmp_path)
    uri = tmp_path / "training_set"
    DeltaTable(str(uri)).create_checkpoint()
    publish(tmp_path, D1, training_set=3)
    (uri / "_delta_log" / f"{2:020d}.json").write_text("{not json")  # the checkpoint stands in for it
    with pytest.raises(InputError, match="a commit of a Delta table"):
        prune_plan(config_at(tmp_path))


def test_file_that_is_gone_is_fine_and_one_needed_again_stays(tmp_path):
    rewritten(tmp_path)
    write(tmp_path, D2, [10])
    write(tmp_path, D2, [11])
    age(tmp_path, hours=72)
    plan = prune_plan(config_at(tmp_path))
    assert len(plan) == 3
    (again,) = files(tmp_path, version=3) - files(tmp_path, version=2)
    lost, *_ = (file for file in plan if file.path != again)
    (tmp_path / "training_set" / lost.path).unlink()
    publish(tmp_path, D2, training_set=3)
    done = prune(config_at(tmp_path), plan)
    assert (done.deleted, done.gone, done.kept) == (1, 1, 1)
    assert ids(tmp_path) == [(D1, 1), (D1, 2), (D2, 9)]


def test_file_that_cannot_be_deleted_is_named_and_the_others_go(tmp_path, monkeypatch):
    rewritten(tmp_path)
    (tmp_path / "training_set" / f"ds={D1}" / "crashed.parquet").write_bytes(b"rows")
    age(tmp_path, hours=72)
    plan = prune_plan(config_at(tmp_path))

    class Guarded(fs.LocalFileSystem):
        def delete_file(self, path: str) -> None:
            if path.endswith("crashed.parquet"):
                raise PermissionError("not yours")
            super().delete_file(path)

    monkeypatch.setattr("headrace.prune.file_system", lambda uri: (Guarded(), uri))
    with pytest.raises(HeadraceError, match=r"1 of 2 files(?s:.*)crashed\.parquet: not yours") as caught:
        prune(config_at(tmp_path), plan)
    assert caught.value.exit_code == 1
    left = [file.path for file in plan if (tmp_path / "training_set" / file.path).exists()]
    assert left == [f"ds={D1}/crashed.parquet"]


def test_root_may_be_a_uri(tmp_path):
    rewritten(tmp_path)
    by_uri = config_at(tmp_path).model_copy(update={"root": tmp_path.as_uri()})
    assert prune_plan(by_uri) == prune_plan(config_at(tmp_path))
    assert prune(by_uri, prune_plan(by_uri)).deleted == 1


def test_plan_is_shown_with_totals_and_with_what_is_kept_for_whom(tmp_path):
    rewritten(tmp_path)
    publish(tmp_path, D2, training_set=3)
    write(tmp_path, D1, [5], table="other")
    write(tmp_path, D1, [6], table="other")
    age(tmp_path, hours=72)
    plan = prune_plan(config_at(tmp_path))
    console = Console(record=True, width=132, file=io.StringIO())
    print_plan(config_at(tmp_path), plan, console=console)
    shown = console.export_text()
    rows = [line.split() for line in shown.replace("│", " ").replace("┃", " ").splitlines()]
    total = f"{sum(file.bytes for file in plan):,}"
    assert ["total", "2", total] in [row[:3] for row in rows]
    assert ["other", "1"] in [row[:2] for row in rows]
    assert "Kept only for some of 2 published day(s)" in shown
    assert ["training_set", "0", "1", "2024-05-01"] in rows and ["training_set", "3"] not in [row[:2] for row in rows]


def test_it_is_said_where_nothing_may_go_and_no_old_version_is_needed(tmp_path):
    publish(tmp_path, D1, training_set=write(tmp_path, D1, [1]))
    console = Console(record=True, width=132, file=io.StringIO())
    print_plan(config_at(tmp_path), prune_plan(config_at(tmp_path)), console=console)
    shown = console.export_text()
    assert "No file may go." in shown and "1 published day(s) need no more than the latest versions." in shown

"""Which rows a batch holds, whoever makes it and wherever the run began."""

import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.trainer.parquet_pieces import loader_of, numbered_pieces, rows_of
from trainer.loader import Loader
from trainer.order import epoch_order, permutation_of, slices_of

SIZES = (333, 1, 250, 417)
ROWS = sum(SIZES)


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    return loader_of(numbered_pieces(tmp_path_factory.mktemp("rows"), SIZES))


def test_an_epoch_holds_every_row_once(loader: Loader) -> None:
    rows = [row for batch in rows_of(loader) for row in batch]
    assert sorted(rows) == list(range(ROWS)) and rows != sorted(rows)


def test_all_batches_are_full_but_the_last(loader: Loader) -> None:
    sizes = [len(batch) for batch in rows_of(loader)]
    assert (set(sizes[:-1]) == {16} and sizes[-1] == ROWS % 16) or sizes[-1] == 16
    assert loader.order(0).batches == len(sizes) and loader.order(0).rows == ROWS


def test_columns_of_a_batch_keep_their_rows_together(loader: Loader) -> None:
    for _, batch in loader.epoch(0):
        assert (batch["wide"][:, 0] == batch["row"]).all()
        assert (batch["wide"][:, 1] == (batch["row"] % 1000).double() ** 2).all()


def test_another_epoch_or_seed_is_another_order(loader: Loader) -> None:
    first = rows_of(loader, 0)
    assert first != rows_of(loader, 1) and first != rows_of(replace(loader, seed=8)) and first == rows_of(loader, 0)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_batches(loader: Loader, workers: int) -> None:
    assert rows_of(replace(loader, workers=workers)) == rows_of(loader)


@pytest.mark.parametrize("start", [0, 1, 9, 10, 11, 37, 62])
@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_starting_at_any_batch_gives_the_rest_of_the_epoch(loader: Loader, start: int, workers: int) -> None:
    assert rows_of(replace(loader, workers=workers), start=start) == rows_of(loader)[start:]


def test_batches_are_numbered_from_the_start(loader: Loader) -> None:
    assert [number for number, _ in loader.epoch(0, start=60)] == [60, 61, 62]


def test_worker_processes_give_the_same_batches_in_every_epoch_and_end_when_closed(loader: Loader) -> None:
    apart = replace(loader, workers=2, processes=True, _pools=[])
    with closing(apart):
        assert rows_of(apart) == rows_of(loader) and rows_of(apart, 1, start=5) == rows_of(loader, 1, start=5)
    assert apart._pools == []


def test_starting_after_the_last_batch_gives_nothing(loader: Loader) -> None:
    assert rows_of(loader, start=loader.order(0).batches) == []


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_ranks_share_the_rows_and_differ_by_one_batch_at_most(loader: Loader, ranks: int) -> None:
    shards = [rows_of(replace(loader, shard=(rank, ranks), workers=rank % 2)) for rank in range(ranks)]
    assert sorted(row for shard in shards for batch in shard for row in batch) == list(range(ROWS))
    counts = [len(shard) for shard in shards]
    assert max(counts) - min(counts) <= 1


def test_a_shard_that_is_none_is_refused(loader: Loader) -> None:
    with pytest.raises(ValueError, match="shard"):
        rows_of(replace(loader, shard=(2, 2)))


def test_a_window_mixes_rows_of_several_row_groups(loader: Loader) -> None:
    groups = {piece.path: k for k, piece in enumerate(loader.pieces)}
    order = loader.order(0)
    parts = slices_of(order, 0)
    assert sum(part.end - part.begin for part in parts) == 160 and len(parts) >= 2 and groups
    assert sorted(permutation_of(order, 0)) == list(range(160))


def test_slices_of_all_windows_cover_every_row_group_once(loader: Loader) -> None:
    order = epoch_order(loader.pieces, batch_size=16, window_rows=48, seed=3, epoch=2)
    seen: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for window in range(order.windows):
        for part in slices_of(order, window):
            seen.setdefault((part.piece.path, part.piece.row_group), []).append((part.begin, part.end))
    for piece in loader.pieces:
        parts = seen[piece.path, piece.row_group]
        assert [row for begin, end in parts for row in range(begin, end)] == list(range(piece.rows))


def test_an_error_of_a_worker_reaches_the_caller(loader: Loader) -> None:
    def broken(piece: object) -> pa.Table:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        rows_of(replace(loader, read=broken, workers=2))


def test_a_loop_that_is_left_early_leaves_no_thread_behind(loader: Loader) -> None:
    batches = replace(loader, workers=2).epoch(0)
    next(batches)
    _close(batches)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("headrace-loader")]


def _close(batches: Iterator) -> None:
    batches.close()  # type: ignore[attr-defined]


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    peaks = []
    for name, files in (("few", 2), ("many", 10)):
        pieces = numbered_pieces(tmp_path / name, [20_000] * files, group_rows=5000)
        small = loader_of(pieces, workers=1, batch_size=500, window_rows=5000)
        rows_of(small, start=0)
        tracemalloc.start()
        for _ in small.epoch(1):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


_CHILD = """
import sys
from pathlib import Path
from contextlib import closing
from dataclasses import replace
from tests.trainer.parquet_pieces import loader_of, numbered_pieces
folder, start, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
loader = loader_of(numbered_pieces(folder, {sizes}), workers=workers)
for number, batch in loader.epoch(0, start=start):
    print(number, *batch["row"].tolist(), flush=True)
"""


def _killed_after(folder: Path, start: int, *, workers: int, batches: int) -> list[list[int]]:
    """Batches that a child process gave before it was killed, without warning, in the middle of its work."""
    source = _CHILD.replace("{sizes}", repr(SIZES))
    command = [sys.executable, "-c", source, str(folder), str(start), str(workers)]
    seen: list[list[int]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            number, *rows = map(int, line.split())
            assert number == start + len(seen)
            seen.append(rows)
            if len(seen) == batches:
                os.kill(child.pid, signal.SIGKILL)
                break
    return seen


def test_a_killed_run_goes_on_to_the_row_with_another_number_of_workers(loader: Loader, tmp_path: Path) -> None:
    seen: list[list[int]] = []
    for workers, batches in ((1, 7), (4, 13), (2, 1), (0, 1000)):
        seen += _killed_after(tmp_path / "rows", len(seen), workers=workers, batches=batches)
    assert seen == rows_of(loader)
    assert np.concatenate(seen).size == ROWS

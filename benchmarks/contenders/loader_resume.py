"""Kill a reader again and again: what it wrote before and after, put together, must be what an undisturbed one writes.

A child writes the keys of each batch to a file, together with the batch's number, and is killed (SIGKILL) at a random
batch, or while a batch is made or written. The next begins after the last whole record, perhaps with other workers.

hundred  25 kills each with 1, 2 and 4 workers, and with a number that changes at every start
few      2 each
"""

import importlib
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, COLUMNS, rows_files, torch_of_one_thread
from benchmarks.contenders.loader_headrace import loader_of
from benchmarks.trainworlds import KEY

__all__ = ["HOWS", "Tally", "build", "whole_records"]

HOWS = ("hundred", "few")
_KILLS = {"hundred": 25, "few": 2}
_MODES: dict[str, tuple[int, ...]] = {"1": (1,), "2": (2,), "4": (4,), "changing": (0, 1, 2, 4)}
_WINDOW = 16_384
_HEAD = 2  # numbers before the keys of a record: number of the batch, count of keys
_POLL_S = 0.0005
_PATIENCE_S = 60.0
Ints = npt.NDArray[np.int64]


@dataclass
class Tally:
    """What happened in one mode."""

    kills: int = 0
    torn: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    equal: list[bool] = field(default_factory=list)

    def add(self, found: Ints, *, wanted: Ints) -> None:
        """Keys of an epoch that was killed, beside those of one that was not."""
        self.rows += len(wanted)
        self.lost += len(np.setdiff1d(wanted, found))
        self.doubled += len(found) - len(np.unique(found))
        self.equal.append(np.array_equal(found, wanted))


def build(job: Job) -> dict[str, Any]:
    """Kill in every mode; facts of each and of all together."""
    torch_of_one_thread()
    importlib.import_module("trainer.loader")  # children are forks: nothing is imported again
    files = rows_files(job.world)
    job.clock.start()
    modes = {name: _mode(job.out, files, name=name, kills=_KILLS[job.how]) for name in _MODES}
    tallies = list(modes.values())
    facts: dict[str, Any] = {
        n: sum(getattr(t, n) for t in tallies) for n in ("kills", "torn", "rows", "lost", "doubled")
    }
    facts["epochs"] = sum(len(tally.equal) for tally in tallies)
    return facts | {
        "equal": all(all(tally.equal) for tally in tallies),
        "kills_by_workers": {n: t.kills for n, t in modes.items()},
    }


def _mode(out: Path, files: Sequence[Path], *, name: str, kills: int) -> Tally:
    """Epoch after epoch, each killed again and again, until there were enough kills."""
    rng = np.random.default_rng([3, len(name), _MODES[name][-1]])
    tally, epoch = Tally(), 0
    while tally.kills < kills:
        wanted = _undisturbed(out, files, epoch=epoch)
        path = out / f"{name}-{epoch}.bin"
        found = _killed(path, files, epoch=epoch, workers=_MODES[name], kills=kills, tally=tally, rng=rng)
        tally.add(found, wanted=wanted)
        epoch += 1
    return tally


def _undisturbed(out: Path, files: Sequence[Path], *, epoch: int) -> Ints:
    """Keys of an epoch in the order of a run that nothing disturbs; kept for the other modes."""
    path = out / f"undisturbed-{epoch}.bin"
    if not path.exists():
        child = _start(path, files, epoch=epoch, start=0, workers=1)
        child.join()
    return _keys(path)


def _killed(
    path: Path,
    files: Sequence[Path],
    *,
    epoch: int,
    workers: Sequence[int],
    kills: int,
    tally: Tally,
    rng: np.random.Generator,
) -> Ints:
    """Keys of one epoch that is killed until it, or the kills, are done."""
    batches = loader_of(files, columns=COLUMNS, workers=0, window=_WINDOW).order(epoch).batches
    while (done := _next_batch(path, tally)) < batches:
        child = _start(path, files, epoch=epoch, start=done, workers=int(rng.choice(workers)))
        if tally.kills < kills:
            step = int(rng.integers(0, 2 * batches // kills + 2))
            _wait_for(path, batches=done + step, child=child)
            time.sleep(float(rng.random()) * 0.003)
            child.kill()
        child.join()
        tally.kills += child.exitcode == -9
        if child.exitcode not in (0, -9):
            raise AssertionError(f"{path.name}: the reader ended with {child.exitcode}")
    return _keys(path)


def _start(path: Path, files: Sequence[Path], *, epoch: int, start: int, workers: int) -> Any:
    arguments = {"epoch": epoch, "start": start, "workers": workers}
    child = multiprocessing.get_context("fork").Process(target=_write, args=(path, files), kwargs=arguments)
    child.start()
    return child


def _write(path: Path, files: Sequence[Path], *, epoch: int, start: int, workers: int) -> None:
    """The child: one record a batch, in two writes, so that a kill can fall between them."""
    loader = loader_of(files, columns=(*COLUMNS, KEY), workers=workers, window=_WINDOW)
    target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number, batch in loader.epoch(epoch, start=start):
        keys = batch[KEY].numpy()
        os.write(target, np.array([number, len(keys)], np.int64).tobytes())
        os.write(target, keys.tobytes())
    os.close(target)


def _wait_for(path: Path, *, batches: int, child: Any) -> None:
    """Until so many whole records are there, or the child has ended."""
    deadline, size = time.monotonic() + _PATIENCE_S, batches * 8 * (_HEAD + BATCH)
    while not (path.exists() and path.stat().st_size >= size) and child.is_alive() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _next_batch(path: Path, tally: Tally) -> int:
    """Number of the batch after the last whole record; what is torn behind it is cut off."""
    records = whole_records(path)
    size = 8 * sum(_HEAD + len(keys) for _, keys in records)
    if path.exists() and path.stat().st_size > size:
        tally.torn += 1
        os.truncate(path, size)
    return records[-1][0] + 1 if records else 0


def whole_records(path: Path) -> list[tuple[int, Ints]]:
    """(number of the batch, its keys) of every record that is there in full."""
    raw = path.read_bytes() if path.exists() else b""
    numbers, found, at = np.frombuffer(raw[: len(raw) // 8 * 8], np.int64), [], 0
    while at + _HEAD <= len(numbers) and at + _HEAD + numbers[at + 1] <= len(numbers):
        end = at + _HEAD + int(numbers[at + 1])
        found.append((int(numbers[at]), numbers[at + _HEAD : end]))
        at = end
    return found


def _keys(path: Path) -> Ints:
    return np.concatenate([keys for _, keys in whole_records(path)])


if __name__ == "__main__":
    contend(build, hows=HOWS)

"""Made training sets for the trainer's benchmarks: encoded rows whose labels can be learned, in time order.

One row per impression_id: 20 ids, 10 numbers, 4 labels. The true logit of a label is a sum of effects of ids, of a few
pairs of ids, and of numbers; labels share a part of them. Two kinds of world, of the same columns:
loader  rows/part-*.parquet, labels that become more frequent with time
trainer train/part-*.parquet, and test/part-*.parquet with the true logits beside the labels
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import brentq
from scipy.special import expit

from benchmarks.worldfiles import SEED, known, made_once

__all__ = [
    "DENSE",
    "IDS",
    "KEY",
    "LABELS",
    "LOADER_WORLDS",
    "TRAIN_WORLDS",
    "TRUTHS",
    "VOCABULARIES",
    "LoaderWorld",
    "TrainWorld",
    "loader_world",
    "train_world",
]

VOCABULARIES = (1_000_000, 100_000, *(1_000 for _ in range(18)))  # all below 2^24: a float32 holds any id
IDS = tuple(f"id_{n}" for n in range(len(VOCABULARIES)))
DENSE = tuple(f"x_{n}" for n in range(10))
LABELS = tuple(f"label_{n}" for n in range(4))
TRUTHS = tuple(f"truth_{n}" for n in range(4))
KEY = "impression_id"  # the row's place in time

_RATES = (0.2, 0.1, 0.05, 0.03)  # shares of positives
_STEEPNESS = (0.8, 1.0, *(0.7 for _ in range(18)))  # Zipf exponents
_SCALES = (0.3, 0.5, *(0.3 for _ in range(18)))  # standard deviations of the ids' effects
_PAIRS = ((1, 2), (3, 4), (5, 6))
_PAIR_WIDTH, _PAIR_SCALE = 4, 0.3
_SHARED = 0.7  # of an effect's standard deviation, common to all labels
_DRIFT = 2.0  # logits, from the first row to the last of a loader's world
_STRIDE = 7_919  # prime, coprime to every vocabulary: frequent ids do not lie side by side
_CHUNK = 50_000
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LoaderWorld:
    """Rows, how many files they lie in, and rows of a row group."""

    rows: int
    files: int
    group_rows: int


@dataclass(frozen=True)
class TrainWorld:
    """Rows to learn from, rows to be judged by, and rows of a row group."""

    train: int
    test: int
    group_rows: int


LOADER_WORLDS = {
    "tiny": LoaderWorld(rows=5_000, files=3, group_rows=700),
    "small": LoaderWorld(rows=100_000, files=4, group_rows=16_384),
    "full": LoaderWorld(rows=2_000_000, files=8, group_rows=65_536),
}
TRAIN_WORLDS = {
    "tiny": TrainWorld(train=3_000, test=2_000, group_rows=1_000),
    "small": TrainWorld(train=40_000, test=20_000, group_rows=16_384),
    "full": TrainWorld(train=500_000, test=100_000, group_rows=65_536),
}


def loader_world(folder: Path, scale: str) -> Path:
    """Write the loader's world of a scale, unless it is there; return its folder. Raises ConfigError: no such scale."""
    size = known(LOADER_WORLDS, scale)
    return made_once(folder / f"loader-{scale}", asdict(size), partial(_write_loader, size=size))


def train_world(folder: Path, scale: str) -> Path:
    """Write the trainer's world of a scale, unless it is there; return its folder. Raises ConfigError: no such scale."""
    size = known(TRAIN_WORLDS, scale)
    return made_once(folder / f"trainer-{scale}", asdict(size), partial(_write_train, size=size))


def _write_loader(folder: Path, *, size: LoaderWorld) -> None:
    truth = _Truth()
    bounds = np.linspace(0, size.rows, size.files + 1).astype(int)
    for number, (begin, end) in enumerate(pairwise(bounds)):
        drift = _DRIFT / size.rows
        rows = truth.rows(begin=int(begin), end=int(end), drift=drift, middle=size.rows / 2)
        _write(folder / "rows", rows.drop_columns(list(TRUTHS)), number=number, group_rows=size.group_rows)


def _write_train(folder: Path, *, size: TrainWorld) -> None:
    truth, whole = _Truth(), size.train + size.test
    for name, begin, end in (("train", 0, size.train), ("test", size.train, whole)):
        middle = begin + (end - begin) // 2
        for number, (first, last) in enumerate(((begin, middle), (middle, end))):
            rows = truth.rows(begin=first, end=last)
            kept = rows if name == "test" else rows.drop_columns(list(TRUTHS))
            _write(folder / name, kept, number=number, group_rows=size.group_rows)


def _write(folder: Path, rows: pa.Table, *, number: int, group_rows: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / f"part-{number}.parquet", row_group_size=group_rows, compression="zstd")


class _Truth:
    """What makes the labels: effects of ids (V, T), factors of pairs (V, K), weights of numbers (N, T), intercepts (T,)."""

    def __init__(self) -> None:
        rng = np.random.default_rng(SEED)
        self.effects = [
            _labelled(rng, count) * np.float32(scale) for count, scale in zip(VOCABULARIES, _SCALES, strict=True)
        ]
        self.factors = {
            field: rng.standard_normal((VOCABULARIES[field], _PAIR_WIDTH), dtype=np.float32)
            for field in sorted({f for pair in _PAIRS for f in pair})
        }
        self.pairs = rng.standard_normal((len(_PAIRS), len(LABELS)), dtype=np.float32) * np.float32(0.3) + 1
        self.linear = _labelled(rng, len(DENSE)) * np.float32(0.25)
        self.squared = _labelled(rng, len(DENSE)) * np.float32(0.12)
        sample = self.logits(*_inputs(rng, _CHUNK))
        # The intercept with which the mean probability of a large sample is the declared rate.
        self.intercepts = np.array(
            [brentq(_surplus, -30, 30, args=(sample[:, t], rate)) for t, rate in enumerate(_RATES)], np.float32
        )

    def logits(self, ids: Ints, dense: Floats) -> Floats:
        """(B, T), without the intercepts."""
        found = dense @ self.linear + (dense**2 - 1) @ self.squared
        for field, effects in enumerate(self.effects):
            found += effects[ids[:, field]]
        for weights, (a, b) in zip(self.pairs, _PAIRS, strict=True):
            product = (self.factors[a][ids[:, a]] * self.factors[b][ids[:, b]]).sum(axis=1)  # (B,)
            found += product[:, None] / np.float32(_PAIR_WIDTH**0.5) * weights * np.float32(_PAIR_SCALE)
        return found

    def rows(self, *, begin: int, end: int, drift: float = 0.0, middle: float = 0.0) -> pa.Table:
        """Rows [begin, end) of time; their logits rise by `drift` a row, and by nothing at `middle`."""
        return pa.concat_tables(self._chunks(begin, end, drift=drift, middle=middle)).combine_chunks()

    def _chunks(self, begin: int, end: int, *, drift: float, middle: float) -> Iterator[pa.Table]:
        for first in range(begin, end, _CHUNK):
            keys = np.arange(first, min(first + _CHUNK, end))
            rng = np.random.default_rng([SEED, first])
            ids, dense = _inputs(rng, len(keys))
            logits = self.logits(ids, dense) + self.intercepts + (drift * (keys - middle))[:, None].astype(np.float32)
            labels = (rng.random(logits.shape) < expit(logits)).astype(np.int8)
            columns = dict(zip(IDS, ids.T, strict=True)) | dict(zip(DENSE, dense.T, strict=True)) | {KEY: keys}
            columns |= dict(zip(LABELS, labels.T, strict=True)) | dict(zip(TRUTHS, logits.T, strict=True))
            yield pa.table({name: np.ascontiguousarray(values) for name, values in columns.items()})


def _surplus(intercept: float, logits: Floats, rate: float) -> float:
    return float(expit(logits + intercept).mean()) - rate


def _labelled(rng: np.random.Generator, count: int) -> Floats:
    """Standard normal effects (count, T) of which labels share a part."""
    shared = rng.standard_normal((count, 1), dtype=np.float32) * np.float32(_SHARED)
    return shared + rng.standard_normal((count, len(LABELS)), dtype=np.float32) * np.float32((1 - _SHARED**2) ** 0.5)


def _inputs(rng: np.random.Generator, rows: int) -> tuple[Ints, Floats]:
    """Ids (B, F) with Zipf's popularity, each of its own vocabulary, and standard normal numbers (B, N)."""
    ids = [_zipf(rng.random(rows), count=count, exponent=s) for count, s in zip(VOCABULARIES, _STEEPNESS, strict=True)]
    return np.stack(ids, axis=1), rng.standard_normal((rows, len(DENSE)), dtype=np.float32)


def _zipf(uniform: npt.NDArray[np.float64], *, count: int, exponent: float) -> Ints:
    """Ids in [0, count) whose density falls as rank^-exponent: the inverse of its distribution, then spread out."""
    if exponent == 1.0:
        rank = np.exp(uniform * np.log(count + 1.0))
    else:
        power = 1 - exponent
        rank = (uniform * ((count + 1.0) ** power - 1) + 1) ** (1 / power)
    return (np.minimum(rank.astype(np.int64) - 1, count - 1) * _STRIDE) % count

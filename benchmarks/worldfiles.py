"""Made worlds on disk: typed columns to Parquet, a folder per day, written whole or not at all."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.errors import ConfigError

__all__ = [
    "ACTIONS",
    "DAY_US",
    "FIRST_DAY",
    "SEED",
    "START_US",
    "known",
    "made_once",
    "to_table",
    "work_folder",
    "write_days",
]

SEED = 20260501
FIRST_DAY = date(2026, 5, 1)
DAY_US = 24 * 3_600_000_000
START_US = (FIRST_DAY - date(1970, 1, 1)).days * DAY_US
ACTIONS = ("click", "like", "collect", "watch")
Value = TypeVar("Value")
_WORDS = {  # columns held as an index into these words
    "action": list(ACTIONS),
    "scene": ["feed", "search", "follow"],
    "device": ["phone", "tablet"],
    "os": ["android", "ios"],
    "network": ["wifi", "cell"],
    "city": [f"city_{n}" for n in range(50)],
}


def work_folder(given: Path | None) -> Path:
    """The folder for worlds and outputs: the given one, else one under the system's temporary folder."""
    folder = given or Path(tempfile.gettempdir()) / "headrace-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def known(scales: Mapping[str, Value], scale: str) -> Value:
    """The value of a scale, or ConfigError."""
    if scale not in scales:
        raise ConfigError("--scale", found=scale, wanted=" or ".join(scales), remedy="name one of these")
    return scales[scale]


def made_once(target: Path, facts: dict[str, int], write: Callable[[Path], object]) -> Path:
    """Make a folder unless it is there with the same facts; by way of a temporary one, so that no half is ever used.

    Parameters
    ----------
    facts : what the world was made from; kept beside it in `world.json`
    write : fills the folder it is given
    """
    facts = facts | {"seed": SEED, "version": 2}
    marker = target / "world.json"
    if marker.exists() and json.loads(marker.read_text()) == facts:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        write(making)
        (making / "world.json").write_text(json.dumps(facts))
        shutil.rmtree(target, ignore_errors=True)
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return target


def to_table(columns: dict[str, np.ndarray]) -> pa.Table:
    """Times become UTC microseconds, indices into words become text, NaN becomes null."""
    arrays = {}
    for name, values in columns.items():
        if name.endswith("_ts"):
            arrays[name] = pa.array(values, pa.timestamp("us", "UTC"))
        elif name in _WORDS:
            words = pa.array(_WORDS[name], pa.string())
            arrays[name] = pa.DictionaryArray.from_arrays(pa.array(values), words).dictionary_decode()
        else:
            arrays[name] = pa.array(values, from_pandas=True)
    return pa.table(arrays)


def write_days(folder: Path, columns: dict[str, np.ndarray]) -> None:
    """One file per day of event_ts; the rows must be in order of day."""
    for day, part in _days(columns):
        target = folder / f"ds={FIRST_DAY + timedelta(days=day)}"
        target.mkdir(parents=True, exist_ok=True)
        pq.write_table(to_table(part), target / "part-0.parquet", compression="zstd")


def _days(columns: dict[str, np.ndarray]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    day = (columns["event_ts"] - START_US) // DAY_US
    for value in np.unique(day):
        rows = slice(*np.searchsorted(day, [value, value + 1]))
        yield int(value), {name: array[rows] for name, array in columns.items()}

"""Shuffled batches of 2,048 rows from Parquet: Headrace's loader beside Hugging Face datasets, Ray Data, torch-rechub, pyarrow.

Beside the seconds: how well each shuffles, and a hundred kills after which nothing is lost or doubled.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.contenders.loader_common import BATCH, WINDOW, rows_files, versions_of
from benchmarks.contenders.loader_quality import labels_by_key, quality
from benchmarks.harness import Asked, alone, arguments, main, output_folder, run_once, run_rounds
from benchmarks.record import Target, finish, ratios, record
from benchmarks.trainworlds import IDS, KEY, LABELS, LOADER_WORLDS, loader_world

__all__ = ["bench", "contenders_of", "equality"]

_OURS, _AHEAD = "loader_headrace:core", "loader_headrace:ahead"
_RAY = ("loader_ray:all", "loader_ray:core")
_HF = ("loader_hf:iterable", "loader_hf:stream", "loader_hf:map")
_FLOOR, _RECHUB = "loader_pyarrow", "loader_rechub"
_PACKAGES = {"loader_ray": "ray", "loader_hf": "datasets", "loader_rechub": "torch_rechub"}
_KNOWN = ("loader_headrace", "loader_pyarrow", *_PACKAGES)
_ONCE = _HF[1:]  # minutes each at full scale
_PEERS = (*_RAY, *_HF, _RECHUB, _FLOOR)
_BEST_RAY = f"the faster Ray Data / {_OURS}"
_TARGETS = (Target(_BEST_RAY, limit=8, at_least=True),)


def contenders_of(scale: str) -> list[str]:
    """Those that run by default: peers whose package is there; the slow formulations not at full scale."""
    peers = [*_RAY, *(_HF[:1] if scale == "full" else _HF[:2]), _RECHUB]
    return [_OURS, _AHEAD, _FLOOR, *(name for name in peers if _installed(name))]


def _installed(name: str) -> bool:
    package = _PACKAGES.get(name.partition(":")[0])
    return package is None or importlib.util.find_spec(package) is not None


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where every contender gave each row once and the kills lost and doubled nothing.

    Raises
    ------
    InputError
        A contender failed.
    """
    asked = arguments("loader", contenders=contenders_of, known=_KNOWN, argv=argv)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    world, out = loader_world(asked.work, asked.scale), asked.work / f"loader-{asked.scale}-out"
    once = [name for name in asked.contenders if name in _ONCE]
    rounds = [name for name in asked.contenders if name not in _ONCE]
    contenders = run_rounds(rounds, rounds=asked.rounds, world=world, out=out)
    contenders |= run_rounds(once, rounds=1, world=world, out=out)
    kills = run_once(f"loader_resume:{'few' if asked.scale == 'tiny' else 'hundred'}", world=world, out=out)["facts"]
    result = record(
        "loader",
        asked,
        contenders=contenders,
        ratios=_values(contenders),
        targets=_TARGETS if asked.scale == "full" else (),
        checks=equality(world, contenders) | _resumed(kills),
        work=_work(asked, kills),
    )
    result["shuffle"] = run_once("loader_quality", world=world, out=out)["facts"] | _orders(
        world, out, contenders=contenders
    )
    result["resume"] = kills
    finish(result, asked.out)
    _show(result["shuffle"])
    return all(result["checks"].values())


def _values(contenders: dict[str, dict[str, Any]]) -> dict[str, float]:
    values = ratios(contenders, [(peer, _OURS) for peer in _PEERS])
    ray = [values[name] for name in (f"{peer} / {_OURS}" for peer in _RAY) if name in values]
    values |= {_BEST_RAY: min(ray)} if ray else {}
    return values | {f"rows/s of {name}": c["facts"]["rows_per_s"] for name, c in contenders.items()}


def _work(asked: Asked, kills: dict[str, Any]) -> dict[str, Any]:
    size = LOADER_WORLDS[asked.scale]
    work: dict[str, Any] = {"rows": size.rows, "files": size.files, "rows of a row group": size.group_rows}
    work |= {
        "columns": "20 int64, 10 float32, 4 int8",
        "batch": BATCH,
        "window or buffer": WINDOW,
        "kills": kills["kills"],
    }
    missing = [package for name, package in _PACKAGES.items() if not _installed(name)]
    work |= {"left out, not installed": ", ".join(missing)} if missing else {}
    return work | versions_of("torch", "ray", "datasets", "torch-rechub")


def equality(world: Path, contenders: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Rows, batches and sums of every contender beside what pyarrow finds in the files."""
    tables = [pq.read_table(file, columns=[*IDS, *LABELS]) for file in rows_files(world)]
    rows = sum(table.num_rows for table in tables)
    wanted = {"rows": rows, "largest_batch": BATCH if rows >= BATCH else rows}
    for name, columns in (("id_sum", IDS), ("label_sum", LABELS)):
        wanted[name] = sum(int(table[c].to_numpy().sum(dtype=np.int64)) for table in tables for c in columns)
    return {
        f"{name}: the files' rows and sums": {key: c["facts"][key] for key in wanted} == wanted
        for name, c in contenders.items()
    }


def _orders(world: Path, out: Path, *, contenders: Iterable[str]) -> dict[str, dict[str, float]]:
    """Quality of the orders that the contenders left."""
    labels = labels_by_key(world)
    return {name: quality(np.load(output_folder(out, name) / "order.npy"), labels) for name in contenders}


def _resumed(kills: dict[str, Any]) -> dict[str, bool]:
    return {
        f"{kills['kills']} kills: no row lost": kills["lost"] == 0,
        f"{kills['kills']} kills: no row doubled": kills["doubled"] == 0,
        f"{kills['kills']} kills: the rows, in the order, of an undisturbed run": kills["equal"],
    }


def _show(shuffle: dict[str, dict[str, float]]) -> None:
    """The table of docs/trainer.md."""
    names = list(next(iter(shuffle.values())))
    table = Table(title=f"shuffle quality, {KEY} as place in time, {LABELS[0]}")
    table.add_column("order")
    for name in names:
        table.add_column(name, justify="right")
    for order, found in shuffle.items():
        table.add_row(order, *(f"{found[name]:g}" for name in names))
    Console(width=120).print(table)


if __name__ == "__main__":
    main(bench)

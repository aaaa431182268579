"""GAUC of 10 million rows of 200,000 users, weighted and with ties, beside DuckDB, Polars and scikit-learn by user; one thread each.

Beside it, seconds of XAUC by user, XAUC and NDCG@10 on the same rows. Equality: every contender's value, and at a hundredth
of the size all pairs of every user. The target is on CPU time: what else a shared core does is no part of it.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Asked, alone, arguments, main, take_turns
from benchmarks.measure import last_json_line, measured
from benchmarks.record import Target, finish, ratios, record
from benchmarks.worldfiles import SEED, known, made_once
from headrace.errors import InputError

__all__ = ["ROWS", "bench", "brute", "contend", "metric_world"]

ROWS = {"tiny": 20_000, "small": 1_000_000, "full": 10_000_000}
_USER_ROWS = 50  # mean
_OURS, _OTHERS = "headrace", ("headrace:gxauc", "headrace:xauc", "headrace:ndcg")
_ONCE = "sklearn"  # minutes
_SECONDS, _CORE = "GAUC, s", "GAUC, s of one core (CPU time of one thread)"
_PER = f" / {_OURS}"
_TARGETS = (Target(_CORE, limit=10),)
_SAME, _SAME_ENGINES = 1e-12, 1e-9  # DuckDB's sums are in whatever order it likes

_THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

World = dict[str, np.ndarray]


def metric_world(folder: Path, *, rows: int) -> Path:
    """Labels int8, scores float64 (a hundred thousand values), hashed users int64 of uneven activity, weights 1 and 10."""
    return made_once(folder / f"metrics-{rows}", {"rows": rows}, lambda made: _write(made, rows))


def _write(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(SEED)
    users = max(rows // _USER_ROWS, 2)
    activity = np.cumsum(rng.lognormal(0, 1, users))
    user = np.minimum(np.searchsorted(activity, rng.random(rows) * activity[-1]), users - 1)
    score = np.floor(rng.beta(1, 8, rows) * 1e5) / 1e5
    label = rng.random(rows) < score
    columns = {
        "user": rng.integers(-(2**63), 2**63 - 1, users)[user],
        "score": score,
        "label": label.astype(np.int8),
        "weight": np.where(label, 1.0, 10.0),
    }
    for name, cells in columns.items():
        np.save(folder / f"{name}.npy", cells)


def _read(folder: Path) -> World:
    return {name: np.load(folder / f"{name}.npy") for name in ("user", "score", "label", "weight")}


def _headrace(world: World, how: str) -> float:
    from trainer.metrics import gauc, gxauc, ndcg_at_k, xauc

    y, s, w, users = (world[name] for name in ("label", "score", "weight", "user"))
    if how == "ndcg":
        return ndcg_at_k(y, s, requests=np.arange(len(y)) // 10, k=10, weights=w).value
    if how in ("xauc", "gxauc"):
        seconds = s * (1 + users % 7)  # all values differ in the label
        return xauc(seconds, s, weights=w) if how == "xauc" else gxauc(seconds, s, groups=users, weights=w).value
    return gauc(y, s, groups=users, weights=w).value


def _duckdb(world: World, how: str) -> float:
    import duckdb
    import pyarrow as pa

    rows = pa.table(world)
    with duckdb.connect(config={"threads": 1, "memory_limit": "8GB", "preserve_insertion_order": False}) as base:
        base.register("rows", rows)
        query = """
            WITH ties AS (SELECT "user" u, score s, sum(weight * label) p, sum(weight * (1 - label)) n FROM rows GROUP BY u, s),
            ranked AS (SELECT u, p, n, sum(n) OVER (PARTITION BY u ORDER BY s ROWS UNBOUNDED PRECEDING) - n AS below FROM ties),
            users AS (SELECT sum(p * (below + n / 2)) won, sum(p) * sum(n) pairs, sum(p + n) size FROM ranked GROUP BY u)
            SELECT sum(size * won / pairs) / sum(size) FROM users WHERE pairs > 0"""
        found = base.execute(query).fetchone()
    return float(found[0]) if found else float("nan")


def _polars(world: World, how: str) -> float:
    import polars as pl

    w, y, n = pl.col("weight"), pl.col("label"), pl.col("n")
    ties = (
        pl.LazyFrame(world).group_by("user", "score").agg(p=(w * y).sum(), n=(w * (1 - y)).sum()).sort("user", "score")
    )
    ranked = ties.with_columns(below=n.cum_sum().over("user") - n)
    pairs = pl.col("p").sum() * n.sum()
    users = ranked.group_by("user").agg(
        won=(pl.col("p") * (pl.col("below") + n / 2)).sum(), pairs=pairs, size=(pl.col("p") + n).sum()
    )
    mean = (pl.col("size") * pl.col("won") / pl.col("pairs")).sum() / pl.col("size").sum()
    return float(users.filter(pl.col("pairs") > 0).select(mean).collect().item())


def _sklearn(world: World, how: str) -> float:
    from sklearn.metrics import roc_auc_score

    def value(y: np.ndarray, s: np.ndarray, w: np.ndarray) -> float:
        return roc_auc_score(y, s, sample_weight=w) if 0 < y.sum() < len(y) else float("nan")

    return _by_user(world, value)


def brute(world: World) -> float:
    """GAUC by the definition: all pairs of every user."""

    def value(y: np.ndarray, s: np.ndarray, w: np.ndarray) -> float:
        up, down = s[y == 1][:, None], s[y == 0][None, :]
        weights = w[y == 1][:, None] * w[y == 0][None, :]
        return (
            float((weights * ((up > down) + (up == down) / 2)).sum() / weights.sum()) if weights.size else float("nan")
        )

    return _by_user(world, value)


def _by_user(world: World, value: Callable[[np.ndarray, np.ndarray, np.ndarray], float]) -> float:
    order = np.argsort(world["user"], kind="stable")
    y, s, w, users = (world[name][order] for name in ("label", "score", "weight", "user"))
    edges = [0, *(np.flatnonzero(users[1:] != users[:-1]) + 1), len(users)]
    parts = [slice(a, b) for a, b in pairwise(edges)]
    found = np.array([(value(y[part], s[part], w[part]), w[part].sum()) for part in parts])
    found = found[~np.isnan(found[:, 0])]
    return float(np.average(found[:, 0], weights=found[:, 1]))


_CONTENDERS: dict[str, Callable[[World, str], float]] = {
    "headrace": _headrace,
    "duckdb": _duckdb,
    "polars": _polars,
    "sklearn": _sklearn,
}


def contend(name: str, folder: Path) -> None:
    """Be one contender, and print one JSON line. Its clock starts with the arrays in memory and its modules loaded."""
    contender, _, how = name.partition(":")
    world = _read(folder)
    few = {column: cells[:1000] for column, cells in world.items()}
    _CONTENDERS[contender](few | {"user": few["user"] % 2}, how)
    begin, cpu = time.perf_counter(), time.process_time()
    value = _CONTENDERS[contender](world, how)
    seconds = {"inner_s": round(time.perf_counter() - begin, 3)}
    print(json.dumps(seconds | {"facts": {"value": value, "cpu_s": round(time.process_time() - cpu, 3)}}), flush=True)


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where every contender finds the same.

    Raises
    ------
    InputError
        A contender failed.
    """
    asked = arguments("metrics", contenders=_contenders, known=tuple(_CONTENDERS), argv=argv)
    with alone(asked.work):
        return _run(asked)


def _contenders(scale: str) -> list[str]:
    """Those whose package is there; scikit-learn by user not at full scale unless asked for."""
    peers = [name for name in ("duckdb", "polars", "sklearn") if importlib.util.find_spec(name)]
    return [_OURS, *_OTHERS, *(name for name in peers if not (name == _ONCE and scale == "full"))]


def _run(asked: Asked) -> bool:
    rows = known(ROWS, asked.scale)
    world = metric_world(asked.work, rows=rows)
    once = {name: partial(_once, name, world) for name in asked.contenders}
    contenders = take_turns({n: run for n, run in once.items() if n != _ONCE}, rounds=asked.rounds)
    contenders |= take_turns({n: run for n, run in once.items() if n == _ONCE}, rounds=1)
    values = ratios(contenders, [(peer, _OURS) for peer in contenders if peer.partition(":")[0] != _OURS])
    if _OURS in contenders:
        cpu = {name: c["facts"]["cpu_s"] for name, c in contenders.items()}
        values |= {
            f"{name}, CPU": round(cpu[name[: -len(_PER)]] / cpu[_OURS], 3) for name in values if name.endswith(_PER)
        }
        values |= {_SECONDS: contenders[_OURS]["median"], _CORE: cpu[_OURS]}
    checks = _equal(contenders) | _right(asked.work, rows=max(rows // 100, ROWS["tiny"]))
    result = record(
        "metrics",
        asked,
        contenders=contenders,
        ratios=values,
        targets=_TARGETS if asked.scale == "full" else (),
        checks=checks,
        work={"rows": rows, "users": rows // _USER_ROWS, "threads": 1},
    )
    finish(result, asked.out)
    return all(checks.values())


def _once(name: str, world: Path) -> dict[str, Any]:
    """Run one contender in a process of its own, with one thread."""
    call = f"from benchmarks.metrics import contend; contend({name!r}, pathlib.Path({str(world)!r}))"
    program = f"import os, pathlib; os.environ |= dict.fromkeys({_THREADS!r}, '1'); {call}"
    run = measured([sys.executable, "-c", program], timeout_s=3600)
    said = last_json_line(run.stdout)
    if run.code != 0 or said is None:
        tail = "\n".join(run.stderr.splitlines()[-15:])
        found, remedy = f"exit {run.code} after {run.wall_s:.0f} s\n{tail}", "look at what it said"
        raise InputError(f"contender {name}", found=found, wanted="one JSON line", remedy=remedy)
    peaks = {"peak_rss_mb": run.peak_rss_mb, "peak_workers_rss_mb": run.peak_workers_rss_mb}
    return said | {"wall_s": run.wall_s} | peaks


def _equal(contenders: dict[str, dict[str, Any]]) -> dict[str, bool]:
    found = {name: c["facts"]["value"] for name, c in contenders.items() if name not in _OTHERS}
    ours = found.pop(_OURS, None)
    return {f"{_OURS} = {n}, to 1e-9": abs(v - ours) <= _SAME_ENGINES for n, v in found.items() if ours is not None}


def _right(work: Path, *, rows: int) -> dict[str, bool]:
    world = _read(metric_world(work, rows=rows))
    return {f"all pairs of every user, {rows:,} rows, to 1e-12": abs(_headrace(world, "") - brute(world)) <= _SAME}


if __name__ == "__main__":
    main(bench)

"""Polars on the features benchmark, all in memory: hourly tiles, prefix sums over key and hour, one look-up per window edge.

search  key and hour in one integer, a binary search per edge in the sorted tiles
asof    an ASOF join by key per edge, the way its documentation shows
"""

from collections.abc import Callable

import polars as pl

from benchmarks.contenders.common import Job, contend
from benchmarks.names import COUNTED, ENTITIES, METRICS, SUMMED, WINDOWS, feature

__all__ = ["HOWS", "build"]

HOWS = ("search", "asof")
_HOURS = 1 << 20  # hours of a key's own range: a millennium's fit below
_BACKS = (0, *WINDOWS.values())


def build(job: Job) -> None:
    """Write impression_id and the 48 features of every spine row to `out/part-0.parquet`."""
    spine = pl.scan_parquet(job.world / "spine" / "*.parquet").select(
        "impression_id", "user_id", "item_id", _hour("request_ts").alias("hour")
    )
    rows = spine.collect()
    for entity in ENTITIES:
        with job.clock.phase(f"{entity} tiles"):
            tiles = _tiles(job, entity)
        with job.clock.phase(f"{entity} windows"):
            points = rows.select(pl.col(f"{entity}_id").alias("key"), "hour").unique()
            features = _named(_WAYS[job.how](tiles, points), entity)
        with job.clock.phase(f"{entity} join"):
            rows = rows.join(features, left_on=[f"{entity}_id", "hour"], right_on=["key", "hour"], how="left")
    with job.clock.phase("write"):
        rows.drop("user_id", "item_id", "hour").write_parquet(job.out / "part-0.parquet", compression="zstd")


def _hour(column: str) -> pl.Expr:
    """Whole hours since 1970 UTC."""
    return pl.col(column).dt.epoch("us") // 3_600_000_000


def _tiles(job: Job, entity: str) -> pl.DataFrame:
    """key x hour, sorted: the six additive metrics."""
    key, hour = pl.col(f"{entity}_id").alias("key"), _hour("event_ts").alias("hour")
    seen = pl.scan_parquet(job.world / "impressions" / "*" / "*.parquet", hive_partitioning=False)
    shown = seen.select(key, hour).group_by("key", "hour").agg(pl.len().cast(pl.Int64).alias(METRICS[0]))
    done = pl.scan_parquet(job.world / "engagements" / "*" / "*.parquet", hive_partitioning=False)
    counts = [
        (pl.col("action") == name.removesuffix("_seconds")).sum().cast(pl.Int64).alias(f"{name}_count")
        for name in COUNTED[1:]
    ]
    micros = (pl.col("value") * 1e6).round(mode="half_to_even").cast(pl.Int64)
    acted = done.select(key, hour, "action", micros.alias("micros")).group_by("key", "hour")
    both = shown.join(
        acted.agg(*counts, pl.col("micros").sum().alias(METRICS[-1])), on=["key", "hour"], how="full", coalesce=True
    )
    return both.with_columns(pl.col(*METRICS).fill_null(0)).sort("key", "hour").collect()


def _search(tiles: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    """One prefix over all keys: both edges of a window lie in the key's own range, so their difference is its own."""
    at = tiles.select(pl.col("key") * _HOURS + pl.col("hour")).to_series()
    before = pl.concat([tiles.select(METRICS).clear(1), tiles.select(pl.col(METRICS).cum_sum())]).fill_null(0)
    points = points.sort("key", "hour")
    edge = {back: at.search_sorted(points.select(_edge(back)).to_series()) for back in _BACKS}
    known = edge[0] > at.search_sorted(points.select(pl.col("key") * _HOURS).to_series())
    upto = {back: before[found] for back, found in edge.items()}
    return points.with_columns(known.alias("known"), *_differences(lambda m, back: upto[back][m]))


def _edge(back: int) -> pl.Expr:
    return pl.col("key") * _HOURS + (pl.col("hour") - back).clip(0)


def _asof(tiles: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    prefix = tiles.select("key", "hour", pl.col(METRICS).cum_sum().over("key")).sort("hour")
    points = points.sort("hour")
    found = {}
    for back in _BACKS:
        edges = points.select("key", hour=pl.col("hour") - back)
        found[back] = edges.join_asof(
            prefix, on="hour", by="key", strategy="backward", allow_exact_matches=False, check_sortedness=False
        )
    known = found[0][METRICS[0]].is_not_null()
    return points.with_columns(known.alias("known"), *_differences(lambda m, back: found[back][m].fill_null(0)))


def _differences(upto: Callable[[str, int], pl.Series]) -> list[pl.Series]:
    return [(upto(m, 0) - upto(m, back)).alias(f"{m}_{back}") for m in METRICS for back in WINDOWS.values()]


_WAYS = {"search": _search, "asof": _asof}


def _named(sums: pl.DataFrame, entity: str) -> pl.DataFrame:
    """Window sums under their feature names; an unknown key's are null, sums of values are seconds."""
    seconds = [name for name in sums.columns if name.startswith(f"{SUMMED}_sum")]
    # numpy divides; Polars multiplies by the rounded reciprocal of 1e6, which is one unit in the last place off.
    sums = sums.with_columns(pl.Series(name, sums[name].to_numpy() / 1e6) for name in seconds)
    columns = [
        pl.when("known").then(f"{m}_{back}").alias(feature(entity, m, window))
        for m in METRICS
        for window, back in WINDOWS.items()
    ]
    return sums.select("key", "hour", *columns)


if __name__ == "__main__":
    contend(build, hows=HOWS)

"""`headrace state` (and `headrace tiles`) of one night, from the state of the night before or from all tiles.

prepare  from a world of benchmarks.nightworlds to roots with tiles and states of the nights; what the others read
night    the last night from the state before; early, middle: other nights of the same root; short: where no window is
         longer than 7 days; day, late_day: tiles and state of the last day, where everything is in time, or not
scratch  the last night without any state before it; likewise early_scratch and so on
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.names import COUNTED, SUMMED
from benchmarks.nightworlds import NightWorld
from benchmarks.worldfiles import FIRST_DAY
from features.reading import state_files, tile_rows
from headrace.chain import run_step, up_to_date
from headrace.config import Config, load_config
from headrace.digests import PARTS
from headrace.receipts import Receipt, latest_receipts, write_receipts
from headrace.steps import step_named
from schemas.landing import INGESTED

__all__ = ["HOWS", "build", "opened_rows"]

_PARTITIONS = 8
_STATES = 4  # nights of a state in the roots that are not there for their chain


@dataclass(frozen=True)
class _Night:
    """A night to build: of which root, which night of it, with the day's tiles, without a state before it."""

    root: str
    night: str = "last"
    tiles: bool = False
    scratch: bool = False


_NIGHTS = {
    "night": _Night("plain"),
    "scratch": _Night("plain", scratch=True),
    "early": _Night("plain", "early"),
    "early_scratch": _Night("plain", "early", scratch=True),
    "middle": _Night("plain", "middle"),
    "middle_scratch": _Night("plain", "middle", scratch=True),
    "short": _Night("short"),
    "short_scratch": _Night("short", scratch=True),
    "day": _Night("plain", tiles=True),
    "late_day": _Night("late", tiles=True),
    "late_scratch": _Night("late", scratch=True),
}
HOWS = ("night", *(how for how in _NIGHTS if how != "night"), "prepare")


def build(job: Job) -> dict[str, object]:
    """Prepare the roots, or build one night in a copy of one; return content hashes and rows of tiles opened."""
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    return _prepare(spark, job) if job.how == "prepare" else _night(spark, job, _NIGHTS[job.how])


def _night(spark: SparkSession, job: Job, asked: _Night) -> dict[str, object]:
    size = _size(job.world)
    day = size.day({"early": size.early, "middle": size.middle, "last": size.days}[asked.night])
    config = _copied(job.world / asked.root, job.out / "root", states=not asked.scratch)
    rows = opened_rows(config, day=day)
    job.clock.start()
    if asked.tiles:
        with job.clock.phase("tiles"):
            run_step(lambda: spark, config, step_named("tiles"), days=[day], rebuild=[day])
    with job.clock.phase("state"):
        outcome = run_step(lambda: spark, config, step_named("state"), days=[day], rebuild=[day])
    job.clock.stop()
    return {"tile_rows": rows, "state": outcome.receipts[0].outputs}


def opened_rows(config: Config, *, day: date) -> int:
    """Rows of tiles in the files that the state of `day` opens."""
    return sum(tile_rows(state_files(config, day=day, states=up_to_date(config, "state"))).values())


def _prepare(spark: SparkSession, job: Job) -> dict[str, object]:
    """Roots: plain with a state of every night; short, late and delayed with states of the last nights."""
    size = NightWorld(**{k: v for k, v in json.loads((job.world / "world.json").read_text()).items() if k in _SIZES})
    days = [size.day(night) for night in range(1, size.days + 1)]
    longest, nights = f"{size.longest}d", days[-_STATES:]
    made = partial(_root, spark, job, days=days)
    made("plain", events="timely", windows=["1d", "7d", longest], delay="0", nights=days)
    made("short", events="timely", windows=["1d", "3d", "7d"], delay="0", nights=nights)
    made("late", events="late", windows=["1d", "7d", longest], delay="0", nights=nights)
    hourly = made("delayed", events="timely", windows=["1d", "7d", longest], delay="1h", nights=nights[-2:-1])
    (job.out / "size.json").write_text(json.dumps(asdict(size)))
    return {"tile_rows_delayed": opened_rows(hourly, day=days[-1])}


_SIZES = tuple(NightWorld.__dataclass_fields__)


def _size(prepared: Path) -> NightWorld:
    return NightWorld(**json.loads((prepared / "size.json").read_text()))


def _root(
    spark: SparkSession, job: Job, name: str, *, events: str, windows: list[str], delay: str, days: list[date],
    nights: Sequence[date],
) -> Config:  # fmt: skip
    """A root with the events, receipts of their ingest, tiles of all days, and states of `nights`."""
    root = job.out / name
    shutil.copytree(job.world / events, root, copy_function=_linked)
    (root / "features.json").write_text(json.dumps(_features(windows, delay=delay)))
    config = _config(root)
    facts = {"config_hash": config.digest_of(*PARTS["ingest"]), "fingerprint": "made"}
    made = [Receipt("ingest", ds, outputs={t: f"{events} {ds}" for t in INGESTED}, **facts) for ds in days]  # type: ignore[arg-type]
    write_receipts(config, made)
    for step, chosen in (("tiles", days), ("state", nights)):
        with job.clock.phase(f"{name} {step} of {len(chosen)} days"):
            run_step(lambda: spark, config, step_named(step), days=chosen)
    return config


def _features(windows: list[str], *, delay: str) -> dict[str, object]:
    metrics = {name: {"action": "watch" if name == SUMMED else name, "value": name == SUMMED} for name in COUNTED}
    group = {
        "windows": windows,
        "delay": delay,
        "refresh": "1h",
        "tolerance": "1d",
        "count": list(COUNTED),
        "sum": [SUMMED],
        "recency": ["click"],
    }
    groups = {entity: {"entity": entity, **group} for entity in ("user", "item")}
    return {"tile": "1h", "metrics": metrics, "groups": groups}


def _config(root: Path) -> Config:
    settings = {"root": root, "landing": root / "landing", "features": root / "features.json", "start_ds": FIRST_DAY}
    return load_config(settings=[f"{key}={value}" for key, value in settings.items()])


def _copied(root: Path, to: Path, *, states: bool) -> Config:
    """A root of its own for one night; without states also without their receipts."""
    left_out = shutil.ignore_patterns(*([] if states else ["state_*", "receipts"]))
    shutil.copytree(root, to, copy_function=_linked, ignore=left_out)
    config = _config(to)
    if not states:
        write_receipts(config, [r for (job, _), r in latest_receipts(_config(root)).items() if job != "state"])
    return config


def _linked(source: str, target: str) -> None:
    """Data files are never changed, so a link will do; a log may be."""
    (os.link if source.endswith(".parquet") and "_delta_log" not in source else shutil.copy2)(source, target)


if __name__ == "__main__":
    contend(build, hows=HOWS)

"""`headrace labels` and `headrace sample` of one day, with their receipts, content hashes and gate; and `headrace features` after.

steps     labels and sample, negatives at a tenth
prepare   tiles and labels of the day, for the two that follow
all       the 48 features of every row
twentieth the 48 features of a twentieth of the rows
"""

import os
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.contenders.headrace import feature_settings
from benchmarks.worldfiles import FIRST_DAY
from headrace.chain import run_step
from headrace.config import Config, load_config
from headrace.config.load import config_from
from headrace.digests import PARTS
from headrace.receipts import Receipt, write_receipts
from headrace.steps import step_named

__all__ = ["HOWS", "build"]

HOWS = ("steps", "prepare", "all", "twentieth")
_RATES = {"steps": (0.1, 1.0), "prepare": (1.0, 1.0), "all": (1.0, 1.0), "twentieth": (0.05, 0.05)}
_TIMED = {
    "steps": ("labels", "sample"),
    "prepare": ("tiles", "labels"),
    "all": ("features",),
    "twentieth": ("features",),
}
_PARTITIONS = 8
_TABLES = ("impressions", "engagements", "user_profile", "item_profile")


def build(job: Job) -> dict[str, object]:
    """The steps in a copy of the world; rows in and out of the last one."""
    root = job.out / "root"
    shutil.copytree(job.world / "root" if (job.world / "root").is_dir() else job.world, root, copy_function=_linked)
    config = _config(root, *_RATES[job.how])
    if not (root / "receipts").is_dir():
        _ingested(config)
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    if job.how in ("all", "twentieth"):
        run_step(lambda: spark, config, step_named("sample"), days=[FIRST_DAY])
    job.clock.start()
    for step in _TIMED[job.how]:
        days = [FIRST_DAY + timedelta(days=n) for n in (-1, 0, 1)] if step == "tiles" else [FIRST_DAY]
        with job.clock.phase(step):
            outcome = run_step(lambda: spark, config, step_named(step), days=days)
    job.clock.stop()
    return {"rows_in": outcome.receipts[0].rows_in, "rows_out": outcome.receipts[0].rows_out}


def _config(root: Path, negative: float, positive: float) -> Config:
    """Three labels and watch time; the features of the features benchmark."""
    labels: Sequence[str] = ("click", "like", "collect")
    base = load_config().settings
    return config_from(
        {
            **base,
            "root": str(root),
            "landing": f"{root}/landing",
            "start_ds": FIRST_DAY - timedelta(days=1),
            "features": feature_settings(),
            "labels": {
                **base["labels"],
                "windows": {"click": "1h", "like": "24h", "collect": "24h"},
                "positive": list(labels),
                "implies": {"like": "click", "collect": "click"},
            },
            "sampling": {**base["sampling"], "negative_rate": negative, "positive_rate": positive},
        },
        origin="benchmark",
    )


def _ingested(config: Config) -> None:
    """Receipts as `ingest` would have written them."""
    facts = {"config_hash": config.digest_of(*PARTS["ingest"]), "fingerprint": "made"}
    days = [FIRST_DAY + timedelta(days=n) for n in (-1, 0, 1)]
    write_receipts(config, [Receipt("ingest", ds, outputs=dict.fromkeys(_TABLES, f"{ds}"), **facts) for ds in days])  # type: ignore[arg-type]


def _linked(source: str, target: str) -> None:
    (os.link if source.endswith(".parquet") and "_delta_log" not in source else shutil.copy2)(source, target)


if __name__ == "__main__":
    contend(build, hows=HOWS)

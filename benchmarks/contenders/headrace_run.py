"""The whole chain of one day, ingest to publish, for the memory benchmark."""

import json
from datetime import date

from benchmarks.contenders.common import Job, bench_session, contend
from headrace.chain import plan_run, run_step
from headrace.config import load_config
from headrace.steps import STEPS

__all__ = ["build"]


def build(job: Job) -> None:
    """Run every step for the big day; the days before and after are ingested with it."""
    ds = date.fromisoformat(json.loads((job.world / "day.json").read_text())["ds"])
    config = load_config(settings=[f"landing={job.world / 'landing'}", f"root={job.out}"])
    spark = bench_session(partitions=8, memory=job.memory)
    plan = plan_run(config, ds=ds, days=1)
    job.clock.start()
    for step in STEPS:
        run_step(lambda: spark, config, step, days=plan.per_step[step.name])


if __name__ == "__main__":
    contend(build)

"""`headrace ingest` of one landing day: checks, repeats, quarantine, receipts' hashes, all of it."""

import json
from datetime import date

from benchmarks.contenders.common import Job, bench_session, contend
from headrace.chain import run_step
from headrace.config import load_config
from headrace.steps import STEPS

__all__ = ["build"]


def build(job: Job) -> None:
    """Ingest the days before (not measured), then the big day, into Delta tables under `out`."""
    facts = json.loads((job.world / "day.json").read_text())
    config = load_config(settings=[f"landing={job.world / 'landing'}", f"root={job.out}"])
    spark = bench_session(partitions=8, memory=job.memory)
    ingest = STEPS[0]
    run_step(lambda: spark, config, ingest, days=[date.fromisoformat(d) for d in facts["before"]])
    job.clock.start()
    run_step(lambda: spark, config, ingest, days=[date.fromisoformat(facts["ds"])])


if __name__ == "__main__":
    contend(build)

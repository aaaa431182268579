"""One night by spark-submit: as one application, as seven, and on a standalone cluster of as many cores.

prepare     a simulated world whose first day is published; what the others read
one         the second day by jobs/nightly.py in local[2]
seven       the same by the job of every step, an application each
cluster     the same by jobs/nightly.py on a master and two workers of one core each, which stand before the clock starts
start       an application that makes a session and ends: JVM, Python, jars from the cache of `--packages`
start_jars  the same with the jars named by their files, so that nothing is resolved
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pyspark

from benchmarks.contenders.common import Job, bench_session, contend
from headrace.config import load_config
from headrace.errors import InputError
from headrace.receipts import latest_receipts
from headrace.session import delta_package
from headrace.steps import STEPS

__all__ = ["HOWS", "applications", "build"]

HOWS = ("one", "seven", "cluster", "start", "start_jars", "prepare")
_HOME = Path(__file__).parents[2]
_SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"
_FIRST = date(2024, 5, 1)
_NIGHT = _FIRST + timedelta(days=1)
_START = """
from headrace.config import load_config
from headrace.session import spark_session

spark_session(load_config().spark).stop()
"""


def build(job: Job) -> dict[str, object]:
    """Prepare, or run the applications of one way; content hashes of the night by step."""
    if job.how == "prepare":
        return _prepare(job)
    (job.out / "start.py").write_text(_START)
    if not job.how.startswith("start"):
        shutil.copytree(job.world / "tables", job.out / "tables")
    with _master(job) as master:
        job.clock.start()
        for command in applications(job.how, world=job.world, out=job.out, master=master):
            with job.clock.phase(next(Path(part).stem for part in command if part.endswith(".py"))):
                _run(command, folder=job.out)
        job.clock.stop()
    return {} if job.how.startswith("start") else {"hashes": _hashes(job.out / "tables", world=job.world)}


def applications(how: str, *, world: Path, out: Path, master: str) -> list[list[str]]:
    """The spark-submit commands of one way, in their order."""
    jars = ["--jars", (world / "jars").read_text()] if how == "start_jars" else ["--packages", delta_package()]
    submit = [str(_SUBMIT), "--master", master, *jars, "--conf", f"spark.pyspark.python={sys.executable}"]
    submit += ["--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1"]
    if how.startswith("start"):
        return [[*submit, str(out / "start.py")]]
    given = ["--config", str(world / "night.yaml"), "--ds", str(_NIGHT), "--set", f"root={out}/tables"]
    if how != "seven":
        return [[*submit, str(_HOME / "jobs" / "nightly.py"), *given]]
    return [[*submit, str(_HOME / "jobs" / f"{s.name}.py"), *given, "--scope", "publish"] for s in STEPS]


@contextmanager
def _master(job: Job) -> Iterator[str]:
    if job.how != "cluster":
        yield "local[2]"
        return
    from tests.cluster import standalone  # needs the checkout

    with standalone(job.out / "cluster") as cluster:
        yield cluster.url


def _run(command: Sequence[str], *, folder: Path) -> None:
    with (folder / "log").open("a") as log:
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    if code:
        tail = "\n".join((folder / "log").read_text(errors="replace").splitlines()[-15:])
        raise InputError(" ".join(command), found=f"exit {code}\n{tail}", wanted="exit 0", remedy="read its log")


def _hashes(root: Path, *, world: Path) -> dict[str, dict[str, str]]:
    config = load_config(world / "night.yaml", settings=[f"root={root}"])
    return {name: made.outputs for (name, ds), made in sorted(latest_receipts(config).items()) if ds == _NIGHT}


def _prepare(job: Job) -> dict[str, object]:
    """A world of six days, its first day published, and where the jars lie."""
    size = json.loads((job.world / "size.json").read_text())
    made = job.out / "world"
    headrace = [str(Path(sys.executable).parent / "headrace")]
    days = ["--days", "6", "--first-day", str(_FIRST), "--impressions-per-day", str(size["impressions"])]
    _run([*headrace, "simulate", "--out", str(made), *days], folder=job.out)
    (job.out / "night.yaml").write_text(f"extends: local.yaml\nlanding: {made}/landing\nroot: {job.out}/tables\n")
    _run([*headrace, "run", "--config", str(job.out / "night.yaml"), "--ds", str(_FIRST)], folder=job.out)
    spark = bench_session(partitions=2)
    (job.out / "jars").write_text(spark.conf.get("spark.jars") or "")
    return {"impressions": size["impressions"]}


if __name__ == "__main__":
    contend(build, hows=HOWS)

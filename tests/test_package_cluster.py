"""A chain that is submitted from the bundle to a standalone cluster, which loses executors on the way."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from headrace.chain import run_step
from headrace.config import Config, load_config
from headrace.receipts import STARTED, Receipt, all_latest, latest_receipts
from headrace.steps import SIDE_STEPS, STEPS
from scripts.package import EXECUTOR_ROOTS
from tests import tiny
from tests.cluster import Cluster, hold_of, imported, kill_busy_executor, standalone, submit
from tests.conftest import FIRST, LAST
from tests.packaged import Package, packaged

DATA = Path(__file__).parent / "data"
pytestmark = pytest.mark.cluster
WORKING = [step.name for step in (*STEPS, *SIDE_STEPS) if step.spark]  # publish has no tasks
_FEW = """
spark:
  shuffle_partitions: 2
  measure: false
  conf:
    spark.default.parallelism: "2"
    spark.sql.adaptive.coalescePartitions.initialPartitionNum: "2"
    spark.driver.extraJavaOptions: "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
"""  # tiny data: compile fast, and few tasks
_MANY = "gates.rows=[{name: many rows, at_least: 1000000}]"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Built once."""
    return packaged(tmp_path_factory.mktemp("package"))


@dataclass(frozen=True)
class Site:
    """A cluster, the bundle, and a configuration in its conf/ over a tiny world."""

    cluster: Cluster
    package: Package
    place: Path

    def submit(self, job: str, *arguments: str, root: str, ds: str = str(LAST), **more) -> subprocess.CompletedProcess:
        """A job of the bundle with tables below `root`."""
        given = ("--config", "conf/my.yaml", "--ds", ds, "--set", f"root={self.place}/{root}", *arguments)
        script, drive, work = self.package.folder / "jobs" / f"{job}.py", self.package.drive, self.package.work
        return submit(self.cluster, script, *given, drive=drive, work=work, **more)

    def config(self, root: str) -> Config:
        """As the jobs read it."""
        return load_config(self.package.folder / "conf" / "my.yaml", settings=[f"root={self.place}/{root}"])

    def hashes(self, root: str) -> dict:
        """What every job wrote, day by day."""
        return {key: receipt.outputs for key, receipt in sorted(latest_receipts(self.config(root)).items())}


@pytest.fixture(scope="module")
def site(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Up for the tests of this module."""
    place = tmp_path_factory.mktemp("site")
    tiny.write_world(place / "landing", first=FIRST, days=6)
    for name in ("tiny.yaml", "tiny_features.yaml"):
        shutil.copy(DATA / name, package.folder / "conf")
    text = f"extends: tiny.yaml\nlanding: {place}/landing\n"
    (package.folder / "conf" / "my.yaml").write_text(text + _FEW, encoding="utf-8")
    with standalone(place / "cluster") as cluster:
        yield Site(cluster, package, place)


@pytest.fixture(scope="module")
def locally(spark, site: Site, world: tuple[Config, list[Receipt]]) -> dict:
    """Hashes of the same days of the same world, built in this process by the session of the run."""
    shutil.copytree(world[0].root, site.place / "local")
    for step in SIDE_STEPS:
        run_step(lambda: spark, site.config("local"), step, days=[LAST])
    return site.hashes("local")


def _killer(site: Site, root: str, killed: dict[str, Path]):
    """In each step with tasks, end one executor that is in the middle of one: tasks are held there until it has ended."""

    def watch(process: subprocess.Popen) -> None:
        config, waiting, hold = site.config(root), set(WORKING), hold_of(site.package.folder.parent / "work")
        while process.poll() is None and waiting:
            begun = {r.job for r in all_latest(config).values() if r.status == STARTED} & waiting
            hold.touch() if begun else hold.unlink(missing_ok=True)
            found = kill_busy_executor(site.cluster) if begun else None
            if found:
                killed.update(dict.fromkeys(begun, found))
                waiting -= begun
                hold.unlink()
            time.sleep(0.01)
        hold.unlink(missing_ok=True)

    return watch


def test_a_chain_on_a_cluster_that_loses_an_executor_in_every_step_gives_the_hashes_of_one_machine(site, locally):
    killed: dict[str, Path] = {}
    done = site.submit("nightly", "--side", root="submitted", meanwhile=_killer(site, "submitted", killed))
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(killed) == set(WORKING)
    assert len(set(killed.values())) == len(killed)  # another one each time
    found = site.hashes("submitted")
    assert found == {key: locally[key] for key in found}
    assert {job for job, _ in found} == {step.name for step in (*STEPS, *SIDE_STEPS)}
    used = packages_distributions()
    asked = {name for module in imported(site.package.folder.parent / "work") for name in used.get(module, ())}
    assert {canonicalize_name(name) for name in asked} >= set(EXECUTOR_ROOTS)  # enough, as shown; and none too many


def test_wrong_configuration_exits_2_and_a_day_that_did_not_land_4_through_the_cluster(site):
    wrong = site.submit("ingest", "--set", "sampling.rate=1", root="none")
    assert wrong.returncode == 2, wrong.stdout + wrong.stderr
    assert "unknown key 'rate'" in wrong.stdout  # spark-submit joins what Python says on stderr to stdout
    early = site.submit("nightly", root="none", ds="2024-06-01")
    assert early.returncode == 4, early.stdout + early.stderr


def test_a_gate_that_refuses_exits_3_through_the_cluster_and_nothing_to_do_exits_0(site, locally):
    refused = site.submit("publish", "--rebuild", "--set", _MANY, root="local")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    again = site.submit("nightly", "--side", root="local")
    assert again.returncode == 0, again.stdout + again.stderr

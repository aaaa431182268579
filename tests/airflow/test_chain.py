"""The real thing, by Airflow and spark-submit on a standalone cluster: three days in another order than time's are those of `headrace run`.

The first night meets a gate that cannot be met; it is mended, and the night is run again.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="needs Airflow: make test-airflow")

from headrace.steps import STEPS
from tests.airflow.conftest import ROOT
from tests.airflow.nights import Night, run_dag
from tests.airflow.worlds import BIN, hashes, headrace, make_world, write_config

pytestmark = [
    pytest.mark.chain,
    pytest.mark.skipif(not (BIN / "spark-submit").exists(), reason="needs .venv: make setup"),
]
FIRST, SECOND, THIRD = "2024-05-01", "2024-05-02", "2024-05-03"
_QUICK = f"""
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
spark.executor.memory 768m
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.pyspark.python {BIN / "python"}
spark.ui.enabled false
"""
_PATIENCE_S = 2400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("chain")
    make_world(made, days=4, first=FIRST)
    (made / "quick.conf").write_text(_QUICK)
    return made


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A master and two workers, by .venv, which has Spark."""
    command = [str(BIN / "python"), "-m", "tests.cluster", str(tmp_path_factory.mktemp("cluster"))]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdin is not None and cluster.stdout is not None
        yield cluster.stdout.readline().strip()
        cluster.stdin.close()


@pytest.fixture(scope="module")
def nights(folder: Path, database: Path, master: str) -> dict[str, Night]:
    """The runs of all nights: the third day refused, mended and run again, then the first, then the second."""

    def night(ds: str, config: Path) -> Night:
        variables = {
            "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": master}),
            "HEADRACE_CONFIG": str(config),
            "HEADRACE_REPORTS": str(folder / "reports"),
            "HEADRACE_REPORTS_URL": "http://reports.example.com",
            "HEADRACE_SPARK_MEMORY": "1g",
            "HEADRACE_SPARK_PROPERTIES": str(folder / "quick.conf"),
            "HEADRACE_POLL_S": "5",
        }
        return run_dag(database, "headrace_nightly", ds=ds, env=variables, patience=_PATIENCE_S)

    found = {"refused": night(THIRD, write_config(folder, "airflow", at_least=1_000_000))}
    mended = write_config(folder, "airflow")
    return found | {ds: night(ds, mended) for ds in (THIRD, FIRST, SECOND)}


def test_a_gate_that_cannot_be_met_fails_exactly_the_task_gates_and_its_log_says_which(nights):
    found = nights["refused"]
    assert (found.state, found.tasks("failed")) == ("failed", {"training_day.gates"}), found.log[-5000:]
    assert found.tasks("upstream_failed") == {"training_day.publish"}
    assert "the day has rows" in found.log


@pytest.mark.parametrize("ds", [THIRD, FIRST, SECOND])
def test_every_task_of_a_night_succeeds_and_the_page_is_there(nights, folder, ds):
    found = nights[ds]
    assert (found.state, set(found.states.values())) == ("success", {"success"}), found.log[-5000:]
    assert "<html" in (folder / "reports" / f"{ds}.html").read_text(encoding="utf-8")
    assert found.links["training_day.publish"] == f"http://reports.example.com/{ds}.html"


def test_three_days_in_another_order_have_the_hashes_of_one_run_in_a_fresh_root(nights, folder):
    assert nights[SECOND].state == "success"
    plain = write_config(folder, "plain")
    ran = headrace("run", "--config", str(plain), "--ds", THIRD, "--days", "3", patience=_PATIENCE_S)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ours, theirs = hashes(folder / "airflow.yaml"), hashes(plain)
    wanted = [f"{step.name} {ds}" for step in STEPS for ds in (FIRST, SECOND, THIRD)]
    assert {name: ours[name] for name in wanted} == {name: theirs[name] for name in wanted}

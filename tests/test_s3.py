"""The chain with landing and tables on an S3-compatible server gives the hashes of the local disk.

Skipped unless HEADRACE_TEST_MOTO names moto's `moto_server`, and HEADRACE_TEST_S3_JARS a folder with hadoop-aws and the AWS
SDK bundle that fit Spark's Hadoop client: docs/deploy.md says how to get both.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest
import yaml
from deltalake import DeltaTable, write_deltalake
from pyarrow import fs

from headrace.config import load_config
from headrace.delta import file_system
from headrace.receipts import latest_receipts
from headrace.steps import STEPS
from tests import tiny
from tests.conftest import FIRST, LAST

MOTO = os.environ.get("HEADRACE_TEST_MOTO", shutil.which("moto_server"))
JARS = sorted(map(str, Path(os.environ.get("HEADRACE_TEST_S3_JARS", "absent")).glob("*.jar")))
DATA = Path(__file__).parent / "data"
BUCKET = "headrace-test"

pytestmark = [
    pytest.mark.cluster,  # an own process: it starts JVMs, and changes what AWS clients read from the environment
    pytest.mark.skipif(not MOTO, reason="no S3 server: set HEADRACE_TEST_MOTO"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an S3 server with an empty bucket; AWS clients of this process and its children use it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("s3") / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([str(MOTO), "-H", "127.0.0.1", "-p", str(port)], stdout=stream, stderr=stream)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _client(address).items():
            patch.setenv(name, value)
        try:
            _wait(port, process)
            fs.S3FileSystem(endpoint_override=address, allow_bucket_creation=True).create_dir(BUCKET)
            yield address
        finally:
            process.terminate()
            process.wait(10)


def _client(address: str) -> dict[str, str]:
    """What docs/deploy.md tells to set for a server that is not Amazon's."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    return keys | {"AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true", "AWS_EC2_METADATA_DISABLED": "true"}


def _wait(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if socket.socket().connect_ex(("127.0.0.1", port)) == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"{MOTO} does not answer on port {port}")


def _run(folder: Path, name: str, place: str, conf: dict[str, str]) -> tuple[dict, float]:
    """`headrace run` over landing and tables at `place`: hashes of every job, and seconds."""
    path = folder / f"{name}.yaml"
    spark = {
        "spark.default.parallelism": "2",
        "spark.sql.adaptive.coalescePartitions.initialPartitionNum": "2",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m",
    }
    settings = {"master": "local[2]", "shuffle_partitions": 2, "measure": False, "conf": spark | conf}
    values = {"extends": "tiny.yaml", "landing": f"{place}/landing", "root": f"{place}/tables", "spark": settings}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    code = "from headrace.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "--config", str(path), "--ds", str(LAST)]
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=700, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    receipts = latest_receipts(load_config(path))
    return {key: receipt.outputs for key, receipt in sorted(receipts.items())}, time.monotonic() - started


@pytest.mark.skipif(not JARS, reason="no S3 client for Spark: set HEADRACE_TEST_S3_JARS")
def test_a_chain_on_s3_gives_the_hashes_of_the_local_disk(server, tmp_path, record_property):
    for name in ("tiny.yaml", "tiny_features.yaml"):
        shutil.copy(DATA / name, tmp_path)
    tiny.write_world(tmp_path / "landing", first=FIRST, days=6)
    system, base = file_system(f"s3a://{BUCKET}/world/landing")
    fs.copy_files(str(tmp_path / "landing"), base, destination_filesystem=system)
    conf = {
        "spark.driver.extraClassPath": ":".join(JARS),
        "spark.hadoop.fs.s3a.endpoint": server,
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.access.key": "env:AWS_ACCESS_KEY_ID",
        "spark.hadoop.fs.s3a.secret.key": "env:AWS_SECRET_ACCESS_KEY",
    }
    there, slow = _run(tmp_path, "bucket", f"s3a://{BUCKET}/world", conf)
    here, fast = _run(tmp_path, "disk", str(tmp_path), {})
    record_property("seconds on S3 and on disk", (round(slow, 1), round(fast, 1)))
    print(f"S3 {slow:.1f} s, disk {fast:.1f} s, ratio {slow / fast:.2f}")
    assert {job for job, _ in here} == {step.name for step in STEPS}
    assert there == here


def test_commits_of_writers_at_once_are_all_kept_on_s3(server):
    uri = f"s3a://{BUCKET}/contended"
    write_deltalake(uri, pa.table({"a": [0]}))

    def write(start: int) -> None:
        for number in range(start, start + 5):
            write_deltalake(uri, pa.table({"a": [number]}), mode="append")

    writers = [Thread(target=write, args=(start,)) for start in (1, 6, 11)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    table = DeltaTable(uri)
    assert table.version() == 15
    assert pa.table(table.get_add_actions(flatten=True)).column("num_records").to_pylist() == [1] * 16


def test_the_page_on_deployment_names_what_a_server_that_is_not_amazons_needs():
    text = (Path(__file__).parent.parent / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert all(re.search(rf"\b{name}\b", text) for name in _client("") if name != "AWS_EC2_METADATA_DISABLED")
    assert "fs.s3a.path.style.access" in text

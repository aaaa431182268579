"""The one place where a Spark session is made, for `local[*]` and under spark-submit alike."""

import atexit
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from pyspark.sql import SparkSession

from headrace.config.spark import SparkConfig
from headrace.errors import ConfigError
from headrace.jars import defaults_name_jars, jars_of, keep_jars
from headrace.secrets import revealed, secrets_in

__all__ = ["delta_package", "java_version", "spark_session"]

_SUPPORTED_JAVA = (17, 21)
_SUBMIT = "PYSPARK_SUBMIT_ARGS"
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t"})  # as Java reads properties
# One setting a line: what the promises need (UTC, ANSI, no deletion vectors for plain readers), then what speed needs.
_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    "spark.sql.execution.arrow.maxBytesPerBatch": "67108864",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.ui.showConsoleProgress": "false",
    # Spark's own list, and what Azure and Google call their secrets: hidden on the status page and in event logs.
    "spark.redaction.regex": "(?i)secret|passw|pwd|token|credential|connection[._-]?string|(access|account|private|sas|storage|encryption|api)[._-]?key",
    # One BLAS and Arrow thread a Python worker: Spark already runs one worker a core.
    "spark.executorEnv.OMP_NUM_THREADS": "1",
}
_LOCAL_SETTINGS = {"spark.ui.enabled": "false", "spark.sql.catalogImplementation": "in-memory"}
# What receipts say of a build's cost: memory of the Python workers, looked at twice a second.
_MEASURED = {
    "spark.executor.processTreeMetrics.enabled": "true",
    "spark.executor.metrics.pollingInterval": "500",
}
_LOCAL_PAGE = {"spark.ui.enabled": "true", "spark.ui.port": "0"}  # a free port, on loopback


def delta_package() -> str:
    """Maven coordinate of the Delta jar that fits the installed pyspark and delta-spark."""
    spark = ".".join(version("pyspark").split(".")[:2])
    return f"io.delta:delta-spark_{spark}_2.13:{version('delta-spark')}"


def java_version() -> int | None:
    """Major version of the Java that Spark would start, or None where there is none."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None:
        return None
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return None
    match = re.search(r'version "(\d+)', said)
    return int(match.group(1)) if match else None


def check_java() -> None:
    """Raise ConfigError unless Spark can start."""
    found = java_version()
    if found not in _SUPPORTED_JAVA:
        raise ConfigError(
            "Java",
            found="none on PATH or JAVA_HOME" if found is None else f"version {found}",
            wanted="Java 17 or 21",
            remedy="install a JDK (Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17) "
            "and set JAVA_HOME if several are installed",
        )


def spark_session(config: SparkConfig, *, app: str = "headrace") -> SparkSession:
    """Start or join the Spark session.

    Under spark-submit the master, the memory and the jars it was given stand; otherwise a local session is made
    with the Delta jar that fits the installed versions.

    Raises
    ------
    ConfigError
        Java is missing or of a version that Spark does not run on.
    """
    check_java()
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    builder = SparkSession.Builder().appName(app)
    if config.master or not submitted:
        builder = builder.master(config.master or "local[*]")
    settings = {**_SETTINGS, "spark.sql.shuffle.partitions": str(config.shuffle_partitions)}
    if not submitted:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers need the packages that this process has
        settings |= _LOCAL_SETTINGS | {
            "spark.driver.memory": config.driver_memory,
            "spark.driver.extraJavaOptions": "-Dlog4j2.level=error -XX:+IgnoreUnrecognizedVMOptions",
        }
        if config.measure:
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            settings |= _LOCAL_PAGE
    if config.measure:
        settings |= _MEASURED
    settings |= revealed(config.conf)
    coordinates = "" if submitted else _choose_jars(settings)
    hidden = {key: settings.pop(key) for key in secrets_in(config.conf)} if not submitted else {}
    for key, value in settings.items():
        builder = builder.config(key, value)
    logging.getLogger("py4j").setLevel(logging.ERROR)
    with _beside_command_line(hidden), _jvm_log(quiet=not submitted):
        session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    if coordinates:
        keep_jars(coordinates, str(session.conf.get("spark.jars", "")).split(","))
    return session


def _choose_jars(settings: dict[str, str]) -> str:
    """Name the jars of earlier starts in place of their coordinates; return the coordinates that are to be resolved.

    Where the configuration, or spark-defaults.conf, says more of jars than coordinates, all is left as it is, and nothing is kept.
    """
    coordinates = settings.setdefault("spark.jars.packages", delta_package())
    if defaults_name_jars() or any(key.startswith("spark.jars") for key in settings.keys() - {"spark.jars.packages"}):
        return ""
    jars = jars_of(coordinates)
    if jars is None:
        return coordinates
    del settings["spark.jars.packages"]
    settings["spark.jars"] = ",".join(jars)
    return ""


@contextmanager
def _beside_command_line(hidden: Mapping[str, str]) -> Iterator[None]:
    """Hand settings to a JVM that starts within by a file that nobody else may read: its command line is seen by all."""
    before = os.environ.get(_SUBMIT)
    if not hidden:
        yield
        return
    with tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8") as file:  # made with mode 0600
        for key, value in hidden.items():
            file.write(f"{key}={value.translate(_ESCAPED)}\n")
        file.flush()
        os.environ[_SUBMIT] = f"--properties-file {file.name} --load-spark-defaults {before or 'pyspark-shell'}"
        try:
            yield
        finally:
            os.environ.pop(_SUBMIT)
            if before is not None:
                os.environ[_SUBMIT] = before


@contextmanager
def _jvm_log(*, quiet: bool) -> Iterator[None]:
    """Send what a local JVM prints (jar resolution, start-up warnings) to a file; show its end if the start fails.

    The file goes with the process, unless the start failed.
    """
    if not quiet:
        yield
        return
    terminal = os.dup(2)
    with tempfile.NamedTemporaryFile(prefix="headrace-jvm-", suffix=".log", delete=False) as log:
        path = Path(log.name)
        os.dup2(log.fileno(), 2)
        try:
            yield
            atexit.register(path.unlink, missing_ok=True)
        except Exception as error:
            tail = path.read_text(errors="replace").strip().splitlines()[-8:]
            raise ConfigError(
                "Spark",
                found="no session: " + " | ".join(tail or [str(error)]),
                wanted="a JVM that starts and finds the Delta jars",
                remedy=f"read {path if tail else 'what Java said above this'}; "
                "on a machine without network run `make setup` once where there is one",
            ) from error
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)

"""Causes that end with exit code 2: configuration, arguments and the machine."""

import os

from pyspark.sql import SparkSession

from headrace.job import main as job
from headrace.config import load_config
from headrace.secrets import revealed
from headrace.session import spark_session
from tests.runbook.night import DAY, Night

SECRET = "spark.hadoop.fs.s3a.secret.key"


def _own(night: Night, text: str) -> None:
    """`headrace status` with a configuration of one's own."""
    file = night.write("own.yaml", f"extends: base.yaml\n{text}\n")
    night.plain("status", "--config", file)


def config_file_missing(night: Night) -> None:
    night.plain("run", "--config", night.folder / "nowhere.yaml", "--ds", DAY)


def config_not_yaml(night: Night) -> None:
    _own(night, "sampling: {negative_rate: 0.1")


def config_unknown_key(night: Night) -> None:
    _own(night, "samplng: {negative_rate: 0.1}")


def config_wrong_value(night: Night) -> None:
    _own(night, "sampling: {negative_rate: often}")


def features_file_missing(night: Night) -> None:
    _own(night, "features: ours.yaml")


def secret_written_out(night: Night) -> None:
    _own(night, f"spark: {{conf: {{{SECRET}: hunter2}}}}")


def secret_not_set(night: Night) -> None:
    night.patch.delenv("S3_SECRET", raising=False)
    revealed(load_config(settings=[f"spark.conf.{SECRET}=env:S3_SECRET"]).spark.conf)


def setting_without_value(night: Night) -> None:
    night.plain("status", "--set", "sampling.negative_rate")


def argument_wrong(night: Night) -> None:
    night.headrace("run", "--ds", "yesterday")


def argument_of_a_job_wrong(_night: Night) -> None:
    job("tiles", ["--config", "conf/local.yaml", "--ds", "yesterday"])


def accept_blank(night: Night) -> None:
    night.headrace("publish", "--ds", DAY, "--accept", " ")


def group_unknown(night: Night) -> None:
    night.headrace("tiles", "--ds", DAY, "--group", "users")


def java_missing(night: Night) -> None:
    night.patch.delenv("JAVA_HOME", raising=False)
    night.patch.setenv("PATH", str(night.folder))
    night.headrace("delays", "--ds", DAY)


def spark_does_not_start(night: Night) -> None:
    def refused(_builder: object) -> None:
        os.write(2, b"unresolved dependency: io.delta#delta-spark_4.1_2.13;4.4.0: not found\n")
        raise RuntimeError("Java gateway process exited")

    night.patch.setattr("headrace.session.check_java", lambda: None)
    night.patch.setattr(SparkSession, "getActiveSession", lambda: None)
    night.patch.setattr(SparkSession.Builder, "getOrCreate", refused)
    spark_session(night.config().spark)


def model_folder_taken(night: Night) -> None:
    from trainer.checkpoint import refuse_foreign_folder

    night.write("notes.txt", "mine")
    refuse_foreign_folder(night.folder)

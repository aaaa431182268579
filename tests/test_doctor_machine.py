"""What `headrace doctor` says of a machine and of what is installed there: every check well and not well."""

import sys
from collections import namedtuple

import pytest

from headrace.doctor import installed, machine
from headrace.doctor.check import guarded
from tests.conftest import config_of
from tests.doctoring import only, plain  # noqa: F401


def test_python_here_is_well():
    assert only(machine.check_python()).state == "ok"


def test_an_old_python_fails(monkeypatch):
    version = namedtuple("version", "major minor micro")
    monkeypatch.setattr(machine.sys, "version_info", version(3, 10, 2))
    assert only(machine.check_python()).state == "fail"


def test_workers_of_another_minor_version_fail(monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    assert only(machine.check_python()).state == "ok"
    monkeypatch.setattr(machine, "_minor_of", lambda program: "3.9")
    check = only(machine.check_python())
    assert check.state == "fail" and "is 3.9" in check.found


def test_a_program_that_is_no_python_fails(monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", "false")
    assert "no Python that starts" in only(machine.check_python()).found


def test_a_python_of_executors_alone_is_not_compared(monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", "./env/bin/python")
    check = only(machine.check_python())
    assert check.state == "ok" and "not compared" in check.found


@pytest.mark.parametrize(("java", "state"), [(17, "ok"), (21, "ok"), (11, "fail"), (None, "fail")])
def test_java_17_and_21_are_well(monkeypatch, java, state):
    monkeypatch.setattr("headrace.session.java_version", lambda: java)
    check = only(guarded("Java", machine.check_java))
    assert check.state == state
    assert ("install a JDK" in check.remedy) == (state == "fail")


def test_spark_here_is_well():
    assert only(installed.check_spark()).state == "ok"


def test_a_spark_home_without_jars_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    check = only(installed.check_spark())
    assert check.state == "fail" and "no spark-core" in check.found and "SPARK_HOME" in check.remedy


def test_a_spark_home_of_another_version_fails(monkeypatch, tmp_path):
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "spark-core_2.13-3.5.1.jar").touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    check = only(installed.check_spark())
    assert check.state == "fail" and "3.5.1" in check.found


def test_a_delta_for_another_spark_fails(monkeypatch):
    monkeypatch.setattr(installed, "requires", lambda name: ["pyspark<4.1,>=4.0"])
    check = only(installed.check_spark())
    assert check.state == "fail" and "wanted <4.1,>=4.0" in check.found


# packages and jars


def test_packages_here_are_within_their_ranges():
    assert only(installed.check_packages()).state == "ok"


def test_a_package_that_is_missing_or_too_old_fails(monkeypatch):
    declared = ["no-such-package>=1", "rich>=999", "pyyaml>=1", 'gone; extra == "dev"', 'gone; python_version < "3"']
    monkeypatch.setattr(installed, "requires", lambda name: declared)
    check = only(installed.check_packages())
    assert check.state == "fail"
    assert "no-such-package is not installed, wanted >=1; rich " in check.found and check.found.endswith(">=999")


def test_what_an_extra_brings_is_looked_at(monkeypatch):
    needs = {"headrace": ["rich[more]"], "rich": ["no-such-package>=2; extra == 'more'", "pyyaml>=1"]}
    monkeypatch.setattr(installed, "requires", needs.__getitem__)
    assert only(installed.check_packages()).found == "no-such-package is not installed, wanted >=2"


def test_headrace_from_an_archive_has_no_ranges(monkeypatch):
    def absent(name):
        raise installed.PackageNotFoundError(name)

    monkeypatch.setattr(installed, "requires", absent)
    assert only(installed.check_packages()).state == "warn"


@pytest.mark.parametrize(
    "place",
    ["jars/io.delta_delta-spark_4.1_2.13-4.4.0.jar",
     "cache/io.delta/delta-spark_4.1_2.13/jars/delta-spark_4.1_2.13-4.4.0.jar"],
)  # fmt: skip
def test_a_jar_that_was_fetched_before_is_found(monkeypatch, tmp_path, place):
    monkeypatch.setattr("headrace.session.delta_package", lambda: "io.delta:delta-spark_4.1_2.13:4.4.0")
    config = config_of(tmp_path, f"spark.conf={{spark.jars.ivy: {tmp_path}/ivy}}")
    missing = only(installed.check_jars(config))
    assert missing.state == "warn" and "will be fetched" in missing.found
    jar = tmp_path / "ivy" / place
    jar.parent.mkdir(parents=True)
    jar.touch()
    assert only(installed.check_jars(config)).state == "ok"


def test_jars_in_sparks_own_folder_are_found(monkeypatch, tmp_path):
    coordinate = installed.version("delta-spark")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    monkeypatch.setattr(installed, "_IVY", ())
    assert only(installed.check_jars(None)).state == "warn"
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / f"delta-spark_4.1_2.13-{coordinate}.jar").touch()
    assert only(installed.check_jars(None)).state == "ok"


def test_packages_without_delta_fail(monkeypatch, tmp_path):
    config = config_of(tmp_path, "spark.conf={spark.jars.packages: 'org.example:thing:1'}")
    check = only(installed.check_jars(config))
    assert check.state == "fail" and "add io.delta:delta-spark" in check.remedy


def test_s3_without_its_connector_is_a_warning(tmp_path):
    config = config_of(tmp_path, "root=s3a://bucket/tables")
    assert [check.name for check in installed.check_jars(config)] == ["jars", "jars of the storage"]
    packages = "io.delta:delta-spark_4.1_2.13:4.4.0,org.apache.hadoop:hadoop-aws:3.4.2"
    config = config_of(tmp_path, "root=s3a://bucket/tables", f"spark.conf={{spark.jars.packages: '{packages}'}}")
    assert [check.name for check in installed.check_jars(config)] == ["jars"]


# memory and disk


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("2g", 2 << 30), ("2G", 2 << 30), ("512m", 512 << 20), ("512", 512 << 20), ("1gb", 1 << 30), ("0g", None),
     ("lots", None), ("1.5g", None)],
)  # fmt: skip
def test_sizes_are_read_as_spark_reads_them(text, wanted):
    assert machine.heap_bytes(text) == wanted


@pytest.mark.parametrize(
    ("asked", "state"), [("2g", "ok"), ("5g", "ok"), ("6g", "warn"), ("15g", "warn"), ("17g", "fail"), ("x", "fail")]
)
def test_the_heap_is_held_against_memory(monkeypatch, tmp_path, asked, state):
    monkeypatch.setattr(machine, "memory_bytes", lambda: (16 << 30, 6 << 30))
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    check = only(machine.check_memory(config_of(tmp_path, f"spark.driver_memory={asked}")))
    assert check.state == state, check
    assert bool(check.remedy) == (state != "ok")


def test_a_heap_set_for_spark_itself_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "memory_bytes", lambda: (16 << 30, 6 << 30))
    config = config_of(tmp_path, "spark.conf={spark.driver.memory: 40g}")
    assert only(machine.check_memory(config)).state == "fail"


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    total, available = machine.memory_bytes()
    assert 0 < available <= total
    (tmp_path / "limit").write_text("1073741824\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(machine, "_LIMITS", (str(tmp_path / "limit"), str(tmp_path / "none"), str(tmp_path / "absent")))
    assert machine.memory_bytes() == (1 << 30, 1 << 30)


@pytest.mark.parametrize(("free", "state"), [(11e9, "ok"), (9e9, "warn"), (0.5e9, "fail")])
def test_disks_are_held_against_what_is_wanted(monkeypatch, tmp_path, free, state):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage(int(1e12), 0, int(free)))
    tables, shuffles = machine.check_disks(config_of(tmp_path))
    assert (tables.state, shuffles.state) == (state, state)
    assert "not there yet" in tables.found and bool(tables.remedy) == (state != "ok")


def test_a_disk_named_by_a_uri_is_a_disk(tmp_path):
    assert "GB free" in next(iter(machine.check_disks(config_of(tmp_path, f"root=file://{tmp_path}/tables")))).found


def test_every_folder_for_shuffles_is_looked_at(monkeypatch, tmp_path):
    config = config_of(tmp_path, "spark.conf={spark.local.dir: /c}", "root=s3a://bucket/tables")
    assert [check.found.split(" at ")[-1].split(",")[0] for check in list(machine.check_disks(config))[1:]] == ["/c"]
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/a, /b")
    assert len(list(machine.check_disks(config))) == 3

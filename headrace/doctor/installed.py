"""What is installed: Spark beside Delta, Python packages within their ranges, jars that a local session needs."""

import importlib.util
import os
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.doctor.check import Check, fail, ok, warn

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from headrace.config import Config

__all__ = ["check_jars", "check_packages", "check_spark", "jar_folders", "out_of_range", "spark_jars"]

_LOCKED = "install the tested versions: pip install --constraint requirements.lock (docs/deploy.md)"
_IVY = ("~/.ivy2.5.2", "~/.ivy2")  # where Spark 4 and older ones keep what --packages fetched
_CONNECTORS = {"s3a": "hadoop-aws", "abfs": "hadoop-azure", "abfss": "hadoop-azure", "gs": "gcs-connector"}


def check_spark() -> Iterator[Check]:
    """Spark's jars are there, of the version of the package pyspark, and delta-spark is made for it."""
    from headrace.session import delta_package

    pyspark, delta = version("pyspark"), version("delta-spark")
    found = f"pyspark {pyspark}, delta-spark {delta}"
    jars = sorted(path.name for path in spark_jars().glob("spark-core_*.jar"))
    misfit = out_of_range(requires("delta-spark") or [], only="pyspark")
    if not jars:
        yield fail("Spark", f"{found}; no spark-core in {spark_jars()}", "install pyspark again, or unset SPARK_HOME")
    elif f"-{pyspark}.jar" not in jars[0]:
        remedy = "let SPARK_HOME name a Spark of pyspark's version, or unset it"
        yield fail("Spark", f"{found}; {jars[0]} in {spark_jars()}", remedy)
    elif misfit:
        yield fail("Spark", f"{found}; {misfit[0]}", _LOCKED)
    else:
        yield ok("Spark", f"{found}: {delta_package()}")


def spark_jars() -> Path:
    """Folder of Spark's own jars: of SPARK_HOME where that is set, else of the package; nothing is imported."""
    home = os.environ.get("SPARK_HOME")
    found = importlib.util.find_spec("pyspark") if not home else None
    return Path(home or (Path(found.origin).parent if found and found.origin else "absent")) / "jars"


def check_packages() -> Iterator[Check]:
    """What Headrace declares that it needs is installed, within its ranges."""
    try:
        declared = requires("headrace") or []
    except PackageNotFoundError:
        remedy = "nothing, where spark-submit brings headrace.zip; else install the wheel"
        yield warn("packages", "headrace runs from files and is not installed, so its ranges are not known", remedy)
        return
    if importlib.util.find_spec("packaging") is None:
        yield fail("packages", "no package packaging, which Great Expectations needs", _LOCKED)
        return
    wrong = out_of_range(declared)
    if wrong:
        yield fail("packages", "; ".join(wrong), _LOCKED)
    else:
        yield ok("packages", f"{len(_needed(declared))} within their ranges")


def out_of_range(declared: list[str], *, only: str | None = None) -> list[str]:
    """Requirements that do not hold here, each with what was found and wanted."""
    wrong = []
    for need in _needed(declared):
        if only not in (None, need.name):
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is not installed, wanted {need.specifier or 'any version'}")
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} {found}, wanted {need.specifier}")
    return wrong


def _needed(declared: list[str], *, extras: frozenset[str] = frozenset()) -> "list[Requirement]":
    """Requirements that count on this machine, with those of the extras that they name (pyspark[connect])."""
    from packaging.requirements import Requirement

    found = []
    for need in map(Requirement, declared):
        asked = extras or {""}
        if need.marker is not None and not any(need.marker.evaluate({"extra": extra}) for extra in asked):
            continue
        found.append(need)
        if need.extras and importlib.util.find_spec(need.name) is not None:
            own = _needed(requires(need.name) or [], extras=frozenset(need.extras))
            found += [one for one in own if one.marker is not None]
    return found


def check_jars(config: "Config | None") -> Iterator[Check]:
    """The jars that a local session asks for are on this machine: Delta's, those of spark.jars.packages, and of the storage."""
    from headrace.session import delta_package

    conf = config.spark.conf if config is not None else {}
    asked = [one.strip() for one in conf.get("spark.jars.packages", delta_package()).split(",") if one.strip()]
    missing = [one for one in asked if not any(_holds(folder, one) for folder in jar_folders(conf))]
    if _nowhere("delta-spark", asked, conf):
        remedy = f"add {delta_package()} to spark.jars.packages"
        yield fail("jars", f"no delta-spark in spark.jars.packages: {', '.join(asked)}", remedy)
    elif missing:
        remedy = "let this machine reach a Maven repository then, or put the jars into Spark's own jars/"
        yield warn("jars", f"will be fetched when Spark first starts: {', '.join(missing)}", remedy)
    else:
        yield ok("jars", f"{', '.join(asked)}, here already")
    schemes = {uri.split("://")[0] for uri in (config.root, config.landing)} if config is not None else set()
    for name in sorted({_CONNECTORS[one] for one in schemes & set(_CONNECTORS)}):
        if _nowhere(name, asked, conf):
            remedy = "name it beside Delta's in spark.jars.packages, or in --packages of spark-submit (docs/deploy.md, Storage)"
            yield warn("jars of the storage", f"no {name}, which Spark needs for it", remedy)


def _nowhere(name: str, asked: list[str], conf: dict[str, str]) -> bool:
    """Whether nobody names this jar, and it does not lie in Spark's own folder."""
    named = [*asked, conf.get("spark.jars", ""), conf.get("spark.driver.extraClassPath", "")]
    return not any(name in one for one in named) and not any(spark_jars().glob(f"*{name}*.jar"))


def jar_folders(conf: dict[str, str]) -> list[Path]:
    """Spark's own jars, and the folders of what it fetched before."""
    ivy = [conf["spark.jars.ivy"]] if "spark.jars.ivy" in conf else _IVY
    return [spark_jars(), *(Path(one).expanduser() / part for one in ivy for part in ("jars", "cache"))]


def _holds(folder: Path, coordinate: str) -> bool:
    """Whether the jar of group:name:version lies there, as Spark keeps it (group_name-version.jar), bare, or in Ivy's cache."""
    group, name, number = (*coordinate.split(":"), "", "")[:3]
    escaped = re.sub(r"([][*?])", r"[\1]", f"{name}-{number}")
    patterns = (f"{escaped}.jar", f"{group}_{escaped}.jar", f"{group}/{name}/*/{escaped}.jar")
    return any(any(folder.glob(pattern)) for pattern in patterns)

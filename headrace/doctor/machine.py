"""What the machine has: Python, Java, disk and memory. Nothing here needs a configuration, all takes one into account."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.doctor.check import Check, fail, ok, unknown, warn

if TYPE_CHECKING:
    from headrace.config import Config

__all__ = ["check_disks", "check_java", "check_memory", "check_python", "heap_bytes", "memory_bytes"]

_GB = 1_000_000_000
_GIB = 1 << 30
_FEW_GB, _LEAST_GB = 10, 1
_WORKER_BYTES = _GIB // 2  # Python beside the JVM, a core, on days of a few million rows (docs/deploy.md has more)
_OLDEST = (3, 11)
_UNITS = {"b": 1, "k": 1 << 10, "": 1 << 20, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}  # Spark's
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container, v2 and v1


def check_python() -> Iterator[Check]:
    """Python here is recent enough, and that of the workers is of the same minor version."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = f"{own}.{sys.version_info.micro}, headrace {__version__}"
    workers = os.environ.get("PYSPARK_PYTHON", "")
    program = shutil.which(workers) if workers else sys.executable
    theirs = _minor_of(program) if workers and program else own
    if sys.version_info[:2] < _OLDEST:
        yield fail("Python", found, "install Python 3.11 or later")
    elif program is None:  # a path that exists on executors alone, as with --archives
        yield ok("Python", f"{found}; PYSPARK_PYTHON={workers} is not on this machine, so not compared")
    elif theirs != own:
        remedy = "let PYSPARK_PYTHON name a Python of the same minor version, or unset it"
        yield fail("Python", f"{found}; PYSPARK_PYTHON={workers} is {theirs or 'no Python that starts'}", remedy)
    else:
        yield ok("Python", found)


def _minor_of(program: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.run(
            [program, "-c", code], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def check_java() -> Iterator[Check]:
    """A Java that Spark runs on."""
    from headrace import session

    session.check_java()
    where = "by JAVA_HOME" if os.environ.get("JAVA_HOME") else "on PATH"
    yield ok("Java", f"version {session.java_version()} {where}")


def check_disks(config: "Config | None") -> Iterator[Check]:
    """Room for the tables, where they lie on a disk, and for what Spark shuffles and spills."""
    if config is None:
        yield unknown("disk of tables")
    elif "://" in (root := config.root.removeprefix("file://")):
        yield ok("disk of tables", f"{root} is no disk of this machine")
    else:
        yield _room("disk of tables", root, "free some (headrace prune), or let root lie elsewhere")
    for folder in _shuffle_folders(config):
        yield _room("disk of shuffles", folder, "free some, or let SPARK_LOCAL_DIRS name a larger disk")


def _shuffle_folders(config: "Config | None") -> list[str]:
    """Where Spark puts shuffles and spills, in its own order of precedence."""
    conf = config.spark.conf if config is not None else {}
    named = os.environ.get("SPARK_LOCAL_DIRS") or conf.get("spark.local.dir") or tempfile.gettempdir()
    return [folder.strip() for folder in named.split(",") if folder.strip()]


def _room(name: str, folder: str, remedy: str) -> Check:
    """Free space of the file system that the folder is on, or will be on once it is made."""
    there = next(p for p in (Path(folder).absolute(), *Path(folder).absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free / _GB
    found = f"{free:,.1f} GB free at {folder}" + (
        "" if there == Path(folder).absolute() else ", which is not there yet"
    )
    if free < _FEW_GB:
        return (fail if free < _LEAST_GB else warn)(name, found, f"{remedy}; wanted {_FEW_GB} GB or more")
    return ok(name, found)


def check_memory(config: "Config | None") -> Iterator[Check]:
    """Room for the JVM's heap and for the Python workers beside it, of a session on this machine."""
    total, available = memory_bytes()
    found = f"{available / _GIB:.1f} of {total / _GIB:.1f} GiB available"
    if config is None:
        yield warn("memory", found, "mend the configuration: what it asks for is not known")
        return
    asked = config.spark.conf.get("spark.driver.memory", config.spark.driver_memory)
    heap, cores = heap_bytes(asked), os.cpu_count() or 1
    if heap is None:
        yield fail("memory", f"spark.driver_memory: {asked}", "write a size that Spark knows, such as 2g")
    elif heap > total:
        yield fail("memory", f"{found}; the heap alone may take {asked}", "lower spark.driver_memory")
    elif heap + cores * _WORKER_BYTES > available:
        wanted = f"{(heap + cores * _WORKER_BYTES) / _GIB:.1f} GiB"
        remedy = f"lower spark.driver_memory, name fewer cores (spark.master: local[2]), or free some; wanted {wanted}"
        yield warn("memory", f"{found}; heap {asked}, and 0.5 GiB for each of {cores} Python workers", remedy)
    else:
        yield ok("memory", f"{found}; heap {asked}, {cores} Python workers")


def heap_bytes(text: str) -> int | None:
    """A size as Spark reads spark.driver.memory (a bare number is MiB), or None where it is none."""
    match = re.fullmatch(r"([1-9]\d*)([bkmgtp]?)b?", text.strip().lower())
    return int(match[1]) * _UNITS[match[2]] if match else None


def memory_bytes() -> tuple[int, int]:
    """Total and available memory of the machine, or of the container where that has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = Path("/proc/meminfo")
    match = re.search(r"MemAvailable: +(\d+) kB", told.read_text(encoding="ascii")) if told.is_file() else None
    limits = [total, *(int(text) for text in map(_first_line, _LIMITS) if text.isdigit())]
    return min(limits), min(*limits, int(match[1]) * 1024 if match else total)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""

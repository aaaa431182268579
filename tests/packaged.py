"""What `make package` makes, as a user has it: unpacked in an empty folder, beside Pythons that know no Headrace."""

import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from scripts.package import build
from tests.cluster import SPARK, python_with, python_without_headrace

__all__ = ["Package", "packaged"]


@dataclass(frozen=True)
class Package:
    """What was built, unpacked where nothing else lies, and two Pythons without Headrace."""

    built: list[Path]
    folder: Path
    drive: Path
    work: Path

    def python(self, code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
        """Python as the driver's spark-submit starts it."""
        return self._python(self.drive, code, *arguments, path=[self.folder / "headrace.zip"], cwd=cwd)

    def worker(self, code: str, *, cwd: Path) -> subprocess.CompletedProcess:
        """Python as an executor starts it, where Delta's jars are in Spark's own folder."""
        spark = sorted((SPARK / "python" / "lib").glob("*.zip"))
        return self._python(self.work, code, path=[self.folder / "headrace.zip", *spark], cwd=cwd)

    @staticmethod
    def _python(python: Path, code: str, *arguments: str, path: list[Path], cwd: Path) -> subprocess.CompletedProcess:
        env = {"PYTHONPATH": os.pathsep.join(map(str, path)), "PATH": "/usr/bin:/bin"}
        command = [str(python), "-c", code, *arguments]
        return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)


def packaged(place: Path) -> Package:
    """Build, unpack, and make both Pythons."""
    built = build(place / "dist")
    with tarfile.open(built[2]) as archive:
        archive.extractall(place, filter="data")
    work = python_with(place / "work", built[1].read_text(encoding="utf-8"))
    folder = place / built[2].name.removesuffix("-bundle.tar.gz")
    return Package(built, folder, python_without_headrace(place / "drive"), work)

"""`make package`: the wheel, what executors need, and the bundle that a cluster is handed, into dist/.

The same commit gives the same bytes: entries are sorted, times and modes are fixed. Nothing is fetched.
"""

import argparse
import gzip
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["EXECUTOR_ROOTS", "build", "closure", "locked"]

ROOT = Path(__file__).resolve().parent.parent
# What the code that runs in Spark's Python workers imports, as traced there; pyspark itself comes with the executors' Spark.
# tests/test_package_cluster.py runs a chain on executors that have these and what they need, and nothing else.
EXECUTOR_ROOTS = ("deltalake", "numpy", "pyarrow", "pydantic", "pyyaml")
_WITH_SPARK = ("pyspark", "py4j")
_EPOCH = 315_532_800  # 1980-01-01, the first moment that a zip archive can name
_BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def locked(text: str) -> dict[str, list[str]]:
    """Lines of a lock file by package; one package may have lines for several versions of Python."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            found.setdefault(canonicalize_name(Requirement(line).name), []).append(line.strip())
    return found


def closure(roots: Iterable[str], *, without: Iterable[str] = ()) -> set[str]:
    """Names of installed packages that `roots` need here, themselves included; extras are not followed."""
    left_out = {canonicalize_name(name) for name in without}
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in roots]
    while waiting:
        name = waiting.pop()
        if name in found or name in left_out:
            continue
        found.add(name)
        for text in requires(name) or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(need.name))
    return found


def executor_requirements(lock: str) -> str:
    """The lines of the lock that executors need."""
    lines = locked(lock)
    names = closure(EXECUTOR_ROOTS, without=_WITH_SPARK)
    missing = sorted(names - set(lines))
    if missing:
        raise SystemExit(f"package: requirements.lock has no line for {', '.join(missing)}: lock them")
    return "".join(f"{line}\n" for name in sorted(names) for line in lines[name])


def build(out: Path) -> list[Path]:
    """Make the three files in `out`, and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = _wheel(Path(scratch))
        content = _read_zip(made)
        wheel = out / made.name
        wheel.write_bytes(_zipped(content))
    version = wheel.name.split("-")[1]
    needed = out / "requirements-executors.txt"
    needed.write_text(executor_requirements((ROOT / "requirements.lock").read_text(encoding="utf-8")), encoding="utf-8")
    bundle = out / f"headrace-{version}-bundle.tar.gz"
    files = _bundled(content, version=version) | {needed.name: needed.read_bytes()}
    bundle.write_bytes(_tarred({f"headrace-{version}/{name}": data for name, data in files.items()}))
    return [wheel, needed, bundle]


def _sources() -> set[Path] | None:
    """Files that git knows: a private configuration or a scratch script beside them is not shipped. None without git."""
    if not (ROOT / ".git").exists():
        return None
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {ROOT / name for name in listed.split("\0") if name}


def _left_out(known: set[Path] | None) -> Callable[[str, list[str]], set[str]]:
    """For copytree: what is not a source."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        paths = {name: Path(folder) / name for name in names}
        unknown = {name for name, path in paths.items() if known is not None and path.is_file() and path not in known}
        return unknown | ({"__pycache__", "out"} & set(names))

    return ignore


def _wheel(scratch: Path) -> Path:
    """A wheel made from a copy of the sources, so that no build folder is left among them, nor an older one used."""
    source, known = scratch / "source", _sources()
    source.mkdir()
    for folder in sorted(ROOT.iterdir()):
        if (folder / "__init__.py").is_file() and folder.name != "tests":
            shutil.copytree(folder, source / folder.name, ignore=_left_out(known))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-W", "ignore", "-c", _BUILD, str(scratch)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"package: the wheel could not be built\n{done.stderr}")
    return scratch / done.stdout.splitlines()[-1]


def _bundled(wheel: Mapping[str, bytes], *, version: str) -> dict[str, bytes]:
    """Files of the bundle, without the list of what executors need."""
    packages = {name: data for name, data in wheel.items() if ".dist-info/" not in name}
    files, known = {"headrace.zip": _zipped(packages), "SUBMIT.md": _submit_page(version)}, _sources()
    for folder, pattern in (("jobs", "*.py"), ("conf", "*.yaml"), ("dags", "*.py")):
        for path in sorted((ROOT / folder).glob(pattern)):
            if path.name != "__init__.py" and (
                known is None or path in known
            ):  # scripts and files, no second copy of a package that headrace.zip holds
                files[f"{folder}/{path.name}"] = path.read_bytes()
    for name in ("requirements.lock", "LICENSE"):
        files[name] = (ROOT / name).read_bytes()
    return files


def _submit_page(version: str) -> bytes:
    """scripts/SUBMIT.md with the versions of this build."""
    lines = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    spark, delta = (lines[name][0].partition("==")[2].split()[0] for name in ("pyspark", "delta-spark"))
    coordinate = f"io.delta:delta-spark_{'.'.join(spark.split('.')[:2])}_2.13:{delta}"
    known = {"version": version, "spark": spark, "delta": coordinate}
    page = (ROOT / "scripts" / "SUBMIT.md").read_text(encoding="utf-8")
    return re.sub(r"\{(\w+)\}", lambda match: known[match[1]], page).encode()


def _read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive; a wheel's own description comes last, as its format asks."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files, key=lambda name: (".dist-info/" in name, name)):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.create_system = 0o644 << 16, 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return made.getvalue()


def _tarred(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=made, mtime=_EPOCH) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(files[name]), _EPOCH, 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return made.getvalue()


def main() -> None:
    """Build into dist/, or into the folder given."""
    parser = argparse.ArgumentParser(description="the wheel, requirements-executors.txt and the bundle")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the three files (default dist/)")
    try:
        made = build(parser.parse_args().out)
    except PackageNotFoundError as error:
        raise SystemExit(f"package: {error}: run make setup, what executors need is read from there") from None
    for path in made:
        print(f"{path.stat().st_size:>12,}  {path}")


if __name__ == "__main__":
    main()

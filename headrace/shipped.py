"""Files that ship inside packages, also where these are imported from a zip archive, as `--py-files` hands them over."""

import atexit
import shutil
import tempfile
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

__all__ = ["shipped_folder"]


@cache
def shipped_folder(package: str) -> Path:
    """Folder of a package's files; of a package in an archive, a copy of what is not code, for the life of the process."""
    inside = files(package)
    if isinstance(inside, Path):
        return inside
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _copy(inside, folder)
    return folder


def _copy(inside: Traversable, folder: Path) -> None:
    for entry in inside.iterdir():
        target = folder / entry.name
        if entry.is_dir():
            target.mkdir()
            _copy(entry, target)
        elif not entry.name.endswith((".py", ".pyc")):
            target.write_bytes(entry.read_bytes())

"""The folder that an adapter makes: whole or not at all; replacing one touches only what an adapter wrote."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.landing import Landing, Progress
from headrace.errors import ConfigError

__all__ = ["SUMMARY", "adapted_folder", "overlay_files"]

SUMMARY = "adapted.json"


@contextmanager
def adapted_folder(out: Path, *, overwrite: bool, progress: Progress | None = None) -> Iterator[Landing]:
    """A Landing in a temporary folder beside `out`, moved there when all went well.

    Raises
    ------
    ConfigError
        `out` has content and `overwrite` is not set, or the content is not an adapter's.
    """
    out = out.absolute()
    _check_free(out, overwrite=overwrite)
    building = out.with_name(f".{out.name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    landing = Landing(building, progress)
    try:
        yield landing
        landing.close()
        _move(building, out)
    finally:
        landing.close()
        shutil.rmtree(building, ignore_errors=True)


def overlay_files(name: str) -> tuple[str, str]:
    """Names of an adapter's configuration and of its feature groups."""
    return f"{name}.yaml", f"{name}_features.yaml"


def _check_free(out: Path, *, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise ConfigError(
            str(out),
            found="something is there",
            wanted="a new or empty folder",
            remedy="choose another, or --overwrite",
        )
    if _adapter_of(out) is None:
        raise ConfigError(
            str(out), found=f"content without a readable {SUMMARY}", wanted="a folder that `headrace adapt` made",
            remedy="choose another folder: this one is not ours to replace",
        )  # fmt: skip


def _adapter_of(out: Path) -> str | None:
    """Name of the adapter that made `out`, or None where none did."""
    try:
        return str(json.loads((out / SUMMARY).read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _move(building: Path, out: Path) -> None:
    """Rename into a free place; else swap the adapter's own files, the summary last: a killed swap can be repeated.

    Tables built beside the landing stay: their receipts notice that the landing changed.
    """
    before = _adapter_of(out)
    if before is None:
        building.rename(out)
        return
    replaced = building / ".replaced"
    replaced.mkdir()
    for name in ("landing", *overlay_files(before)):
        if (out / name).exists():
            (out / name).rename(replaced / name)
    for made in sorted(building.iterdir()):
        if made.name not in (SUMMARY, replaced.name):
            os.replace(made, out / made.name)
    os.replace(building / SUMMARY, out / SUMMARY)

"""Files that no reader needs any more: found, shown and deleted, while published days stay readable for ever.

What every table holds now and what published days pin is kept, and so is what is young or was replaced only lately: a
running job writes before it commits, and a running reader reads what the log said when it began. The log itself is never
touched, so a pinned version can always be looked up in it; of other old versions the log still tells, but not the rows.
"""

import json
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import unquote

from pyarrow import fs
from rich.console import Console
from rich.table import Table as Shown

from headrace.config import Config
from headrace.days import spans
from headrace.delta import file_system, is_table
from headrace.errors import HeadraceError, InputError
from headrace.published import pinned_days, pinned_files

__all__ = ["Prunable", "Pruned", "print_plan", "prune", "prune_plan"]

_DATA = re.compile(r"ds=[^/]+/[^/]+\.parquet(\.crc)?")  # Spark puts a checksum beside a local file
_COMMIT = re.compile(r"\d{20}\.json")
_Pins = dict[str, dict[int, list[date]]]


@dataclass(frozen=True)
class Prunable:
    """One data file, or checksum of one, that nobody needs; `path` is relative to the table."""

    table: str
    path: str
    bytes: int
    modified: datetime


@dataclass(frozen=True)
class Pruned:
    """What became of a plan: files deleted and their bytes, files already gone, and files needed again since."""

    deleted: int
    bytes: int
    gone: int
    kept: int


def prune_plan(config: Config, *, keep_hours: float = 24) -> list[Prunable]:
    """Files under the root that may go; nothing is deleted.

    Parameters
    ----------
    keep_hours : float, hours
        Files younger than this, and files that a commit younger than this replaced, stay. It must be longer than the
        longest job or read. With 0 nothing may run beside.

    Raises
    ------
    InputError
        The receipts, the log at a pinned version, or the log of a table cannot be read: nothing is known to be free.
    """
    cutoff = datetime.now(UTC) - timedelta(hours=keep_hours)
    pins, plan = _pins(config), []
    for name in sorted({*_tables(config), *pins}):
        lying = [file for file in _lying(config, name) if file.modified < cutoff]  # listed before the log is read
        if lying or name in pins:
            needed = _needed(config, name, pins) | _replaced_since(config, name, cutoff=cutoff)
            plan += [file for file in lying if _data_path(file.path) not in needed]
    return plan


def prune(config: Config, plan: Sequence[Prunable]) -> Pruned:
    """Delete the files of a plan, except those that were published or restored since it was made.

    Raises
    ------
    InputError
        As for the plan; nothing is deleted then.
    HeadraceError
        Some files could not be deleted; the others are.
    """
    pins = _pins(config)
    needed = {name: _needed(config, name, pins) for name in {*pins, *(file.table for file in plan)}}
    deleted, gone, kept, failed = [], 0, 0, []
    for file in plan:
        try:
            if _data_path(file.path) in needed[file.table] or not _delete(config, file):
                kept += 1
            else:
                deleted.append(file.bytes)
        except FileNotFoundError:
            gone += 1
        except OSError as error:
            failed.append(f"{file.table}/{file.path}: {error}")
    if failed:
        raise HeadraceError(
            f"prune {config.root}",
            found=f"{len(failed)} of {len(plan)} files could not be deleted, the first {failed[0]}",
            wanted=f"all deleted, as {len(deleted)} files of {sum(deleted):,} bytes were",
            remedy="see who may delete there, then prune again: what is gone stays gone",
        )
    return Pruned(len(deleted), sum(deleted), gone, kept)


def print_plan(config: Config, plan: Sequence[Prunable], *, console: Console) -> None:
    """What would go, table by table, and what of old versions stays for which published days."""
    shown = Shown(title="Files that may go", title_justify="left", header_style="bold", show_footer=bool(plan))
    shown.add_column("table", "total")
    shown.add_column("files", f"{len(plan):,}", justify="right")
    shown.add_column("bytes", f"{sum(file.bytes for file in plan):,}", justify="right")
    shown.add_column("oldest", _moment(min((file.modified for file in plan), default=None)))
    shown.add_column("newest", _moment(max((file.modified for file in plan), default=None)))
    for name in sorted({file.table for file in plan}):
        own = [file for file in plan if file.table == name]
        ages = [file.modified for file in own]
        counts = f"{len(own):,}", f"{sum(file.bytes for file in own):,}"
        shown.add_row(name, *counts, _moment(min(ages)), _moment(max(ages)))
    console.print(shown if plan else "No file may go.")
    console.print(_kept(config))


def _kept(config: Config) -> Shown | str:
    """Files that no latest version has, and the published days that they are kept for."""
    pins, rows = _pins(config), []
    for name, versions in sorted(pins.items()):
        latest = {file.path for file in pinned_files(config.root, name)}
        for version, days in sorted(versions.items()):
            old = [f for f in pinned_files(config.root, name, days=days, version=version) if f.path not in latest]
            if old:
                rows.append((name, str(version), f"{len(old):,}", spans(sorted({file.ds for file in old}))))
    published = len({day for versions in pins.values() for days in versions.values() for day in days})
    if not rows:
        return f"{published} published day(s) need no more than the latest versions."
    shown = Shown(
        title=f"Kept only for some of {published} published day(s)", title_justify="left", header_style="bold"
    )
    for column in ("table", "version", "files", "days"):
        shown.add_column(column, justify="right" if column in ("version", "files") else "left")
    for row in rows:
        shown.add_row(*row)
    return shown


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _pins(config: Config) -> _Pins:
    """Table -> Delta version -> published days that are read at it."""
    pins: _Pins = {}
    for ds, pinned in pinned_days(config.root).items():
        for name, version in pinned.versions.items():
            pins.setdefault(name, {}).setdefault(version, []).append(ds)
    return pins


def _needed(config: Config, name: str, pins: _Pins) -> set[str]:
    """Paths that the table's latest version, or a published day at its own version, is made of."""
    found = pinned_files(config.root, name)
    for version, days in pins.get(name, {}).items():
        found += pinned_files(config.root, name, days=days, version=version)
    return {file.path for file in found}


def _replaced_since(config: Config, name: str, *, cutoff: datetime) -> set[str]:
    """Paths that commits of `cutoff` or later took out of the table."""
    system, base = file_system(f"{config.root}/{name}")
    removed = set()
    for info in system.get_file_info(fs.FileSelector(f"{base}/_delta_log")):
        if not _COMMIT.fullmatch(info.base_name) or info.mtime < cutoff:
            continue
        try:
            with system.open_input_stream(info.path) as source:
                actions = [json.loads(line) for line in source.read().decode().split("\n") if line]
        except ValueError as error:
            raise InputError(
                info.path,
                found=str(error)[:200],
                wanted="a commit of a Delta table: one JSON object a line",
                remedy="restore the file; until then nothing is known to be free",
            ) from None
        removed |= {unquote(action["remove"]["path"]) for action in actions if "remove" in action}
    return removed


def _tables(config: Config) -> list[str]:
    """Folders right under the root that are Delta tables."""
    system, base = file_system(config.root)
    folders = [i for i in system.get_file_info(fs.FileSelector(base)) if i.type == fs.FileType.Directory]
    return [i.base_name for i in folders if is_table(f"{config.root}/{i.base_name}")]


def _lying(config: Config, name: str) -> Iterator[Prunable]:
    """Data files in the table's folders of days, committed or not; no link is followed, nor is a table that is one."""
    system, base = file_system(f"{config.root}/{name}")
    if _linked(system, base):
        return
    folders, local = [base], isinstance(system, fs.LocalFileSystem)
    if local:  # folder by folder, because a recursive listing goes through links; a store has none
        within = system.get_file_info(fs.FileSelector(base, allow_not_found=True))
        folders = [i.path for i in within if i.base_name.startswith("ds=") and not _linked(system, i.path)]
    for folder in folders:
        for info in system.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=not local)):
            path = posixpath.relpath(info.path, base)
            if info.type == fs.FileType.File and _DATA.fullmatch(path) and not _linked(system, info.path):
                yield Prunable(name, path, info.size, info.mtime)


def _delete(config: Config, file: Prunable) -> bool:
    """Whether the file was deleted; not where a link has come between."""
    system, base = file_system(f"{config.root}/{file.table}")
    whole = f"{base}/{file.path}"
    if not _DATA.fullmatch(file.path) or _linked(system, base, posixpath.dirname(whole), whole):
        return False
    system.delete_file(whole)
    return True


def _linked(system: fs.FileSystem, *paths: str) -> bool:
    return isinstance(system, fs.LocalFileSystem) and any(os.path.islink(path) for path in paths)


def _data_path(path: str) -> str:
    """The data file that a path is, or is the checksum of."""
    folder, name = posixpath.split(path)
    return f"{folder}/{name[1:-4]}" if name.startswith(".") and name.endswith(".crc") else path

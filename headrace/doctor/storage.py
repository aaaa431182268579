"""What the storage of the tables lets be done, tried in a folder that is gone afterwards; and whose clock is right.

A commit of Delta stands on one thing: that a file is made only where there is none, whoever else tries at that moment.
"""

import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyarrow import fs

from headrace.config import Config
from headrace.delta import file_system, is_table, read_days
from headrace.doctor.check import Check, fail, guarded, ok, said, warn
from headrace.errors import ConfigError

__all__ = ["Stamp", "check_storage", "exercise", "judged_clock", "temporary_folder"]

_WARN_S, _FAIL_S = 5, 300
_CONTENT = b"written by headrace doctor"
_DISK = "see who may write there, and that no file stands where a folder should; or let root lie elsewhere"
_STORE = "see address, credentials and rights of this store for pyarrow and deltalake (docs/deploy.md, Storage)"


@dataclass(frozen=True)
class Stamp:
    """When a file was written by this machine's clock (seconds since 1970), and when by the storage's."""

    before: float
    after: float
    written: float


def check_storage(config: Config) -> Iterator[Check]:
    """Storage and clock."""
    stamps: list[Stamp] = []
    yield from guarded("storage", lambda: [_storage(config.root, stamps)])
    if stamps:
        yield from guarded("clock", lambda: [judged_clock(stamps[0], _newest_end(config), now=time.time())])
    else:  # a store that does not answer would be waited for once more
        yield warn("clock", "skipped: no file could be written to tell the storage's time", "mend the storage first")


def _storage(root: str, stamps: list[Stamp]) -> Check:
    begun = time.monotonic()
    exercise(root, stamps)
    done = "wrote, read, listed, committed twice from one version, deleted"
    return ok("storage", f"{done} in {time.monotonic() - begun:.1f} s at {root}")


def exercise(root: str, stamps: list[Stamp]) -> None:
    """Do under the root what nights do, and leave nothing behind; `stamps` gets the times of a file.

    Raises
    ------
    ConfigError
        Something cannot be done; the message says what.
    """
    with _doing("make a folder", root), temporary_folder(root) as folder:
        system, base = file_system(folder)
        with _doing("write a file", root):
            stamps.append(_written(system, f"{base}/file"))
        with _doing("read it back", root), system.open_input_stream(f"{base}/file") as stream:
            _expect(stream.read(), _CONTENT)
        with _doing("list a folder", root):
            _expect([info.base_name for info in system.get_file_info(fs.FileSelector(base))], ["file"])
        if isinstance(system, fs.LocalFileSystem):
            with _doing("rename and link a file as commits do", root):
                _rename_and_link(Path(base))
        with _doing("commit twice from one version without losing one", root):
            _commit_twice(f"{folder}/table")
        with _doing("delete", root):
            system.delete_dir(base)
            _expect(system.get_file_info(base).type, fs.FileType.NotFound)


@contextmanager
def _doing(what: str, root: str) -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        found, remedy = f"cannot {what}: {said(error)}", _STORE if "://" in root else _DISK
        raise ConfigError(root, found=found, wanted="storage that lets Delta commit", remedy=remedy) from error


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise ValueError(f"found {found!r}, wanted {wanted!r}")


@contextmanager
def temporary_folder(root: str) -> Iterator[str]:
    """A new folder under the root, gone afterwards, and with it what was not there of the root before.

    On S3 an empty object that stands for the root may stay: pyarrow makes one for every folder that it empties.
    """
    system, base = file_system(root)
    name = f"_doctor-{uuid.uuid4().hex}"
    above: Sequence[Path] = ()
    try:
        if isinstance(system, fs.LocalFileSystem):  # elsewhere folders come with their files
            above = [folder for folder in (Path(base), *Path(base).parents) if not folder.exists()]
            system.create_dir(f"{base}/{name}", recursive=True)
        yield f"{root}/{name}"
    finally:
        with suppress(OSError):
            system.delete_dir(f"{base}/{name}")
        for folder in above:
            with suppress(OSError):  # others may have begun to use it
                folder.rmdir()


def _written(system: fs.FileSystem, path: str) -> Stamp:
    before = time.time()
    with system.open_output_stream(path) as stream:
        stream.write(_CONTENT)
    after = time.time()
    return Stamp(before, after, system.get_file_info(path).mtime.timestamp())


def _rename_and_link(folder: Path) -> None:
    """A rename takes the place of what was there, whole; a link is made only where nothing is."""
    (folder / "new").write_bytes(_CONTENT)
    (folder / "old").write_bytes(b"")
    os.rename(folder / "new", folder / "old")
    _expect(((folder / "old").read_bytes(), (folder / "new").exists()), (_CONTENT, False))
    os.link(folder / "old", folder / "linked")
    try:
        os.link(folder / "file", folder / "linked")
    except FileExistsError:
        return
    raise ValueError("a link took the place of a file that was there, wanted a refusal")


def _commit_twice(uri: str) -> None:
    """Two writers start from the same version, as two runs may: the second must see that its commit's file is there."""
    write_deltalake(uri, pa.table({"a": [0]}))
    writers = [DeltaTable(uri), DeltaTable(uri)]
    for number, writer in enumerate(writers, start=1):
        write_deltalake(writer, pa.table({"a": [number]}), mode="append")
    after = DeltaTable(uri)
    actions = pa.table(after.get_add_actions(flatten=True))
    _expect((after.version(), sum(actions.column("num_records").to_pylist())), (2, 3))


def _newest_end(config: Config) -> float | None:
    """When the newest receipt ended, in seconds since 1970; None without receipts."""
    uri = f"{config.root}/receipts"
    ends = read_days(uri, columns=["ended_at"])["ended_at"].to_pylist() if is_table(uri) else []
    return max(ends).timestamp() if ends else None


def judged_clock(stamp: Stamp, newest_end: float | None, *, now: float) -> Check:
    """This machine's clock beside the storage's, and beside the newest receipt, which cannot lie ahead of it."""
    apart = max(stamp.before - 1 - stamp.written, stamp.written - stamp.after, 0.0)  # stores cut to whole seconds
    ahead = max((newest_end or now) - now, 0.0)
    found = f"{apart:.0f} s from the storage's"
    if newest_end is not None:
        moment = datetime.fromtimestamp(newest_end, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        found += f"; the newest receipt ended {moment}" + (f", {ahead:.0f} s from now" if ahead else "")
    if max(apart, ahead) <= _WARN_S:
        return ok("clock", found)
    remedy = "set the clock by the network (chrony, systemd-timesyncd): ages of files and receipts are told by it"
    return (fail if max(apart, ahead) > _FAIL_S else warn)("clock", found, remedy)

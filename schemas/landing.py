"""What lies in a landing folder: days, files, their columns and rows, read from footers and first lines only.

Metadata is small (one entry a file) and is read by the driver; rows are read by Spark (schemas.reading).
"""

import csv
import gzip
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from headrace.delta import file_system
from headrace.errors import InputError

__all__ = ["INGESTED", "LandingFile", "is_whole", "landed_days", "landing_digest", "survey_day"]

INGESTED = ("impressions", "engagements", "user_profile", "item_profile")
"""Tables that land, each a folder of days."""

_FORMATS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}


@dataclass(frozen=True)
class LandingFile:
    """One file of one day.

    Attributes
    ----------
    path : str
        As Spark reads it.
    format : str
        parquet, csv or json.
    columns : tuple of (name, Arrow type)
        From the footer; of CSV from the header, all text; of JSON lines empty (the schema wanted is asked for).
    rows : int or None
        From the footer; None where only reading tells.
    """

    path: str
    format: str
    columns: tuple[tuple[str, str], ...]
    rows: int | None


def landed_days(landing: str, table: str) -> list[date]:
    """Days that have a folder ds=YYYY-MM-DD, sorted; other names are refused.

    Raises
    ------
    InputError
        A folder looks like a day but is not one.
    """
    system, base = file_system(f"{landing}/{table}")
    if system.get_file_info(base).type != fs.FileType.Directory:
        return []
    days = []
    for entry in system.get_file_info(fs.FileSelector(base)):
        if entry.type == fs.FileType.Directory and entry.base_name.startswith("ds="):
            day = _day_of(entry.base_name[3:])
            if day is None:
                raise InputError(
                    f"landing/{table}",
                    found=f"a folder {entry.base_name}",
                    wanted="ds=YYYY-MM-DD",
                    remedy="rename the folder, or move it out of landing",
                )
            days.append(day)
    return sorted(days)


def _day_of(text: str) -> date | None:
    """The day that YYYY-MM-DD names; no other spelling of it, for files are looked up by this one."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def _day_files(landing: str, table: str, day: date) -> tuple[fs.FileSystem, list[fs.FileInfo]] | None:
    system, base = file_system(f"{landing}/{table}/ds={day}")
    if system.get_file_info(base).type != fs.FileType.Directory:
        return None
    entries = system.get_file_info(fs.FileSelector(base, recursive=True))
    visible = [e for e in entries if e.type == fs.FileType.File and not e.base_name.startswith(("_", "."))]
    return system, sorted(visible, key=lambda e: e.path)


def is_whole(landing: str, table: str, day: date, *, marker: str | None) -> bool:
    """Whether the day's folder is there, with the marker of its deliverer where one is declared."""
    system, base = file_system(f"{landing}/{table}/ds={day}")
    folder = system.get_file_info(base).type == fs.FileType.Directory
    return folder and (marker is None or system.get_file_info(f"{base}/{marker}").type == fs.FileType.File)


def landing_digest(landing: str, table: str, day: date) -> str:
    """Fingerprint of a day's files by name, size and time of change; "absent" without a folder."""
    listed = _day_files(landing, table, day)
    if listed is None:
        return "absent"
    facts = [f"{PurePosixPath(e.path).name}:{e.size}:{e.mtime_ns}" for e in listed[1]]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def survey_day(landing: str, table: str, day: date) -> list[LandingFile] | None:
    """Files of one day with their columns, or None where the day has no folder.

    Raises
    ------
    InputError
        A file cannot be read (truncated, not what its name says) or is of an unknown format.
    """
    listed = _day_files(landing, table, day)
    if listed is None:
        return None
    system, entries = listed
    prefix = "" if "://" not in landing else landing.split("://")[0] + "://"
    return list(_survey(system, entries, prefix))


def _survey(system: fs.FileSystem, entries: list[fs.FileInfo], prefix: str) -> Iterator[LandingFile]:
    for entry in entries:
        if "=" in entry.path.split("/ds=", 1)[-1].partition("/")[2].rpartition("/")[0]:
            raise InputError(
                entry.path,
                found="a folder key=value below the day",
                wanted="files of a day in its folder ds=YYYY-MM-DD",
                remedy="move them up",
            )
        odd = sorted(set("*?[]{}\\") & set(PurePosixPath(entry.path).name))
        if odd:
            raise InputError(
                entry.path,
                found=f"{' '.join(odd)} in a file's name",
                wanted="names that are no patterns",
                remedy="rename the file",
            )
        name = entry.path.removesuffix(".gz")
        kind = _FORMATS.get(PurePosixPath(name).suffix.lower())
        if kind is None:
            raise InputError(
                entry.path,
                found="a file of unknown format",
                wanted=f"one of {', '.join(_FORMATS)} (text also .gz)",
                remedy="convert it, or move it out of landing",
            )
        try:
            columns, rows = _look_inside(system, entry.path, kind)
        except (pa.ArrowInvalid, OSError, EOFError, UnicodeDecodeError) as error:
            raise InputError(
                entry.path,
                found=f"an unreadable {kind} file: {' '.join(str(error).split())[:160]}",
                wanted="a whole file",
                remedy="land it again, or move it out of landing",
            ) from None
        yield LandingFile(prefix + entry.path, kind, columns, rows)


def _look_inside(system: fs.FileSystem, path: str, kind: str) -> tuple[tuple[tuple[str, str], ...], int | None]:
    if kind == "parquet":
        with system.open_input_file(path) as source:
            footer = pq.ParquetFile(source)
            columns = tuple((field.name, str(field.type)) for field in footer.schema_arrow)
            return columns, footer.metadata.num_rows
    with system.open_input_stream(path, compression=None) as stream:
        start = stream.read(1 << 20)
    if path.endswith(".gz"):
        start = gzip.GzipFile(fileobj=io.BytesIO(start)).readline(1 << 20)
    if kind == "json":
        return (), None
    header = next(csv.reader(io.StringIO(start.split(b"\n", 1)[0].decode("utf-8-sig"))), [])
    return tuple((name.strip(), "string") for name in header), None

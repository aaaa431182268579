"""`headrace verify`: read again, without Spark, what the receipts of a day speak of, and name every difference.

One line per job x table of a day: its rows and content hash as the Parquet files give them now, against the receipt.
A publish receipt is held against the Delta versions that it pins, every other against what its tables hold now.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from deltalake.exceptions import DeltaError
from rich.console import Console
from rich.table import Table as Shown

from headrace.config import Config
from headrace.delta import delta_files, is_table
from headrace.errors import GateError, HeadraceError, InputError
from headrace.receipts import REFUSED, STARTED, WITHDRAWN, Receipt, all_latest, check_accounting
from headrace.rowhash import content_hash_of, rows_of
from headrace.steps import SIDE_STEPS, STEPS
from schemas.coverage import UNHASHED

__all__ = ["verify_days"]

_ACCOUNT = "rows in = out + set aside"
_UNHASHED = {"coverage": UNHASHED}
_UNTRUSTED = (STARTED, REFUSED, WITHDRAWN)  # receipts that promise nothing of what the tables hold
_UNREADABLE = (DeltaError, OSError, KeyError, ValueError, OverflowError, InputError, pa.ArrowException)


@dataclass(frozen=True)
class _Line:
    """What one line says; `wrong` names the difference, and is empty where there is none."""

    job: str
    ds: date
    table: str
    verdict: str
    rows: int | None = None
    wrong: str = ""


def verify_days(config: Config, *, days: Sequence[date], console: Console) -> None:
    """Compare every table of `days` with the latest receipt of the job that wrote it, and print the verdicts.

    Raises
    ------
    InputError
        A day has no receipt.
    GateError
        Bytes differ from a receipt, cannot be read, or a receipt's rows do not add up.
    """
    latest = all_latest(config)
    _check_built(latest, days)
    contents: dict[tuple[str, ...], str] = {}
    receipts = [latest[step.name, day] for day in days for step in (*STEPS, *SIDE_STEPS) if (step.name, day) in latest]
    lines = [line for receipt in receipts for line in _lines(config, receipt, contents)]
    console.print(_shown(lines))
    wrong = [line for line in lines if line.wrong]
    if wrong:
        raise GateError(
            ", ".join(dict.fromkeys(f"{line.job} of {line.ds}" for line in wrong)),
            found="; ".join(line.wrong for line in wrong),
            wanted="the rows that the receipts speak of",
            remedy="bring the files back from a copy, or build again with the same --config: " + _builds(wrong),
        )


def _check_built(latest: Mapping[tuple[str, date], Receipt], days: Sequence[date]) -> None:
    built = {day for (_, day), receipt in latest.items() if receipt.status != STARTED}
    absent = [day for day in days if day not in built]
    if absent:
        raise InputError(
            f"verify {', '.join(map(str, absent))}",
            found="no receipt of it",
            wanted="a day that was built",
            remedy=f"headrace run --ds {absent[0]} with its configuration; headrace status shows what there is",
        )


def _builds(wrong: Iterable[_Line]) -> str:
    """Commands that build what is wrong, each once."""
    beside = {step.name for step in SIDE_STEPS}
    commands = {(line.job if line.job in beside else "run", line.ds) for line in wrong}
    return ", ".join(f"headrace {command} --ds {day} --rebuild" for command, day in sorted(commands))


def _lines(config: Config, receipt: Receipt, contents: dict[tuple[str, ...], str]) -> list[_Line]:
    """Verdicts on one receipt; `contents` keeps what was read, so that a pinned day is not read twice."""
    if receipt.status in _UNTRUSTED:
        return [_Line(receipt.job, receipt.ds, "", f"not looked at: {receipt.status}")]
    lines = [_table_line(config, receipt, name, contents) for name in receipt.outputs]
    return [*lines, _account_line(receipt, {line.table: line.rows for line in lines if line.rows is not None})]


def _table_line(config: Config, receipt: Receipt, name: str, contents: dict[tuple[str, ...], str]) -> _Line:
    where, wanted = f"{name} of {receipt.ds} ({receipt.job})", receipt.outputs[name]
    try:
        version = int(receipt.versions[name]) if receipt.status == "published" else None
        found = _content(f"{config.root}/{name}", name, day=receipt.ds, version=version, contents=contents)
    except _UNREADABLE as error:
        wrong = f"{where}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return _Line(receipt.job, receipt.ds, name, "unreadable", wrong=wrong)
    rows, promised = rows_of(found), rows_of(wanted)
    if found == wanted:
        return _Line(receipt.job, receipt.ds, name, "the same", rows)
    wrong = f"{where}: {rows} rows, not {promised}" if rows != promised else f"{where}: other content in {rows} rows"
    return _Line(receipt.job, receipt.ds, name, "differs", rows, wrong)


def _content(uri: str, name: str, *, day: date, version: int | None, contents: dict[tuple[str, ...], str]) -> str:
    """Content hash of the day; the same files are read once, whatever version lists them."""
    files = delta_files(uri, days=[day], version=version) if is_table(uri) else []
    key = (name, *(file.path for file in files))
    if key not in contents:
        contents[key] = content_hash_of(uri, day=day, version=version, unhashed=_UNHASHED.get(name, ()))
    return contents[key]


def _account_line(receipt: Receipt, rows: Mapping[str, int]) -> _Line:
    """S13, and that the receipt's numbers are those of its tables; a table that cannot be read has its own line."""
    wrong = []
    try:
        check_accounting(receipt)
    except HeadraceError as error:
        wrong.append(error.found)
    for name, number in rows.items():
        noted = receipt.notes.get(f"{name}.rows", receipt.notes.get(f"{name}.rows_out"))
        wrong += [f"{number} rows of {name}, noted {noted}"] if noted not in (None, str(number)) else []
    if rows.keys() == receipt.outputs.keys():
        made = list(rows.values())
        out = sum(made) if receipt.job == "ingest" else sum(made[:1])  # schemas/receipts.py: else the first table's
        wrong += [f"{out} rows out, not {receipt.rows_out}"] if out != receipt.rows_out else []
    verdict = "does not add up" if wrong else "adds up"
    told = f"{receipt.job} of {receipt.ds}: {', '.join(wrong)}" if wrong else ""
    return _Line(receipt.job, receipt.ds, _ACCOUNT, verdict, receipt.rows_in, told)


def _shown(lines: Sequence[_Line]) -> Shown:
    shown = Shown(title="Bytes against receipts", title_justify="left", header_style="bold")
    for name in ("day", "job", "table"):
        shown.add_column(name, overflow="fold")
    shown.add_column("rows", justify="right")
    shown.add_column("verdict")
    for line in lines:
        rows = "" if line.rows is None else f"{line.rows:,}"
        verdict = f"[bold red]{line.verdict}[/]" if line.wrong else line.verdict
        shown.add_row(str(line.ds), line.job, line.table, rows, verdict)
    return shown

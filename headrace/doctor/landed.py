"""What lies in landing: of each table its first and last day, gaps between, and folders that are no day."""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial

from pyarrow import fs

from headrace.config import Config
from headrace.days import day_range, spans
from headrace.delta import file_system
from headrace.doctor.check import Check, fail, guarded, ok, warn
from headrace.errors import InputError
from schemas.landing import INGESTED, landed_days

__all__ = ["check_landing"]

_SHOWN = 5  # spans of days, or names


def check_landing(config: Config) -> Iterator[Check]:
    """One line a table."""
    for name in INGESTED:
        yield from guarded(f"landing {name}", partial(_check_table, config, name))


def _check_table(config: Config, name: str) -> Iterator[Check]:
    title, optional = f"landing {name}", name in config.ingest.optional_tables
    try:
        days = landed_days(config.landing, name)
    except InputError as error:
        yield fail(title, error.found, f"{error.remedy}; wanted {error.wanted}")
        return
    odd = _odd(f"{config.landing}/{name}")
    if days:
        yield _judged(title, days, config, optional=optional, odd=odd)
    elif optional:
        yield warn(title, f"no day{_passed(odd)}", f"nothing, if there are none; else {_remedy(name)}")
    else:
        beside = ", ".join(_folders(config.landing)[:_SHOWN]) or "nothing"
        yield fail(title, f"no day{_passed(odd)}; {config.landing} holds {beside}", _remedy(name))


def _remedy(name: str) -> str:
    return f"land files as {name}/ds=YYYY-MM-DD/, or correct `landing` in the configuration"


def _passed(odd: Sequence[str]) -> str:
    return f"; no days, and passed over: {', '.join(odd[:_SHOWN])}" if odd else ""


def _judged(title: str, days: Sequence[date], config: Config, *, optional: bool, odd: Sequence[str]) -> Check:
    first = max(days[0], config.start_ds or days[0])
    gaps = sorted(set(day_range(first, days[-1])) - set(days))
    found = f"{len(days)} days, {days[0]} to {days[-1]}"
    found += f", none for {spans(gaps, most=_SHOWN)}" if gaps else ""
    found += _passed(odd)
    remedy = []
    if gaps and not optional:
        remedy.append("land the days that are missing, with an empty folder where nothing happened")
    if odd:
        remedy.append("name folders ds=YYYY-MM-DD, or move them out of landing")
    return warn(title, found, "; ".join(remedy)) if remedy else ok(title, found)


def _folders(uri: str) -> list[str]:
    """Names of the folders there, sorted; none where nothing is."""
    system, base = file_system(uri)
    if system.get_file_info(base).type != fs.FileType.Directory:
        return []
    return sorted(i.base_name for i in system.get_file_info(fs.FileSelector(base)) if i.type == fs.FileType.Directory)


def _odd(uri: str) -> list[str]:
    """Folders that no command reads, for their names do not begin with ds=."""
    return [name for name in _folders(uri) if not name.startswith(("ds=", "_", "."))]

"""`headrace landed`: whether a day lies in landing, whole, and whether its labels are mature: what a scheduler waits for."""

from collections.abc import Iterable
from datetime import date, timedelta

from headrace.checks import check_maturity
from headrace.config import Config
from headrace.days import day_range
from headrace.errors import InputError
from schemas.landing import INGESTED, is_whole, landed_days

__all__ = ["check_landed"]


def check_landed(config: Config, ds: date, *, mature: bool) -> str:
    """Say that the day has landed, each table that is not optional or that has a folder; with `mature`, that its labels are final.

    Raises
    ------
    InputError
        Not yet (exit 4); the message says which table and day it waits for.
    """
    _check_whole(config, [ds])
    if mature:
        check_maturity(config, ds=ds, landed=landed_days(config.landing, "impressions"))
        _check_whole(config, day_range(ds, ds + timedelta(days=config.labels.maturity_days)))
    return f"{ds} has landed" + (", its labels are mature" if mature else "")


def _check_whole(config: Config, days: Iterable[date]) -> None:
    needed = [name for name in INGESTED if name not in config.ingest.optional_tables]
    for day in days:
        begun = [n for n in INGESTED if n not in needed and is_whole(config.landing, n, day, marker=None)]
        waiting = [n for n in (*needed, *begun) if not is_whole(config.landing, n, day, marker=config.ingest.marker)]
        if waiting:
            what = f"a folder ds={day}" + (f" with {config.ingest.marker} in it" if config.ingest.marker else "")
            raise InputError(
                f"landing of {day}",
                found=f"{' and '.join(waiting)} not there yet",
                wanted=f"{what}, of {', '.join((*needed, *begun))}",
                remedy="wait for whoever delivers it, or look why it is late",
            )

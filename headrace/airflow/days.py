"""The business day of a run, and the asset that a published day is."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, Param
from airflow.sdk.exceptions import AirflowFailException

from headrace.airflow.settings import settings

__all__ = ["DAY", "TRAINED_DAY", "TRAINING_SET", "business_day", "day_param", "published_day"]

TRAINING_SET = Asset(name="headrace_training_set", uri="headrace://training_set")
"""Changes when a day is published; the event's `extra` holds `ds`."""

DAY = "{{ business_day(dag_run, params) }}"
"""Template of the nightly DAG's day, for its operators."""

TRAINED_DAY = "{{ published_day(triggering_asset_events, params) }}"
"""Template of the day whose publishing started a training."""


def day_param(otherwise: str) -> Param:
    """The parameter `ds` of a DAG; `otherwise` says what is built where a run leaves it empty."""
    return Param(None, type=["null", "string"], format="date", description=f"The day; empty: {otherwise}")


def business_day(dag_run: Any, params: Any) -> str:
    """The day that a run builds: the parameter `ds`, or the day on which its data interval starts, in HEADRACE_TIMEZONE.

    A run that was started by hand and has no interval builds the day before it started.
    """
    if params.get("ds"):
        return _day(params["ds"]).isoformat()
    zone = ZoneInfo(settings().text("TIMEZONE"))
    start: datetime | None = dag_run.data_interval_start
    if start is not None:
        return start.astimezone(zone).date().isoformat()
    return (dag_run.run_after.astimezone(zone).date() - timedelta(days=1)).isoformat()


def published_day(events: Any, params: Any) -> str:
    """The day to train on: the parameter `ds`, or the newest day among the asset events that started the run."""
    if params.get("ds"):
        return _day(params["ds"]).isoformat()
    days = [event.extra.get("ds", "") for event in events.get(TRAINING_SET, ())]
    if not any(days):
        raise AirflowFailException(
            "no day to train on\n  found:  no event of the training set, and no parameter ds\n"
            "  wanted: a day\n  do:     trigger the run with the parameter ds, YYYY-MM-DD"
        )
    return _day(max(days)).isoformat()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise AirflowFailException(
            f"parameter ds\n  found:  {text!r}\n  wanted: a day, YYYY-MM-DD\n  do:     trigger the run with such a day"
        ) from error

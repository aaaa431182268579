"""`headrace delays`: the label delay report, kept as a table and shown as one."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import SparkSession
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as Shown

from headrace import tables, writing
from headrace.chain import up_to_date
from headrace.config import Config
from headrace.delta import read_days
from headrace.errors import InputError
from sampling.delays import LIMITS, label_delays
from schemas.tables import table

__all__ = ["report_delays"]


def report_delays(spark: SparkSession, config: Config, *, days: Sequence[date], console: Console) -> None:
    """Write `label_delays` of the days, and print the shares over all of them.

    Raises
    ------
    InputError
        A day has not been ingested.
    """
    absent = [day for day in days if day not in up_to_date(config, "ingest")]
    if absent:
        raise InputError(
            f"delays of {absent[0]}",
            found="a day that is not ingested, or not as it landed",
            wanted="conformed impressions and engagements",
            remedy=f"headrace ingest --ds {absent[0]} with this configuration",
        )
    made = table(config, "label_delays")
    writing.write_frame(label_delays(spark, config, days=days), config, made, days=days)
    console.print(_shown(read_days(tables.table_uri(config, made.name), days=days).to_pylist(), days))


def _shown(rows: list[dict], days: Sequence[date]) -> Shown:
    span = str(days[0]) if len(days) == 1 else f"{min(days)} .. {max(days)}"
    shown = Shown(title=f"Label delays, {span}", title_justify="left", header_style="bold", box=SIMPLE)
    columns = [f"{clock}_{name}" for clock in ("happened", "landed") for name in LIMITS]
    for name in ("action", "impressions", *(c.replace("_", " < ") for c in columns)):
        shown.add_column(name, justify="left" if name == "action" else "right", no_wrap="<" not in name)
    for action in sorted({row["action"] for row in rows}):
        own = [row for row in rows if row["action"] == action]
        whole = sum(row["impressions"] for row in own)
        shares = [f"{sum(row[c] for row in own) / whole:.2%}" for c in columns]
        shown.add_row(action, f"{whole:,}", *shares)
    hours = min((row["watched_h"] for row in rows), default=0)
    shown.caption = (
        f"Shares of the impressions whose action came within 7 d; happened: by event_ts, landed: logged by then. "
        f"The youngest day has been watched for {hours} h after its end."
    )
    return shown

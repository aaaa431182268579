"""`headrace verify`: compute again, from other bytes, what a table holds, and name every difference."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import SparkSession
from rich.console import Console
from rich.table import Table as Shown

from features.nightly import next_state
from features.reading import met, state_files, state_moment
from headrace import tables
from headrace.chain import up_to_date
from headrace.config import Config
from headrace.errors import GateError, InputError
from schemas.tables import table

__all__ = ["verify_state"]


def verify_state(spark: SparkSession, config: Config, *, days: Sequence[date], console: Console) -> None:
    """Compare each day's states with those that all tiles give, by content hash.

    Raises
    ------
    InputError
        A day has no state that a night may start from.
    GateError
        A state differs from what the tiles say.
    """
    _check_current(config, days)
    shown = Shown(title="States against a recompute from all tiles", title_justify="left", header_style="bold")
    for name in ("day", "group", "rows", "verdict"):
        shown.add_column(name)
    wrong = []
    for day in days:
        groups = state_files(config, day=day, states=[])
        with met(spark, config, groups, priors=False) as together:
            for plan in (group.plan for group in groups):
                made = table(config, f"state_{plan.name}")
                moment, sink = state_moment(config, plan.name, day), (iter, made.schema)
                again = next_state(together, plan, ds=day, moment=moment, schema=made.schema, sink=sink)
                stored = tables.committed_hashes(spark, config, made.name, days=[day])
                same = tables.content_hashes(again, days=[day]) == stored
                rows = tables.row_counts(config, made.name, days=[day])[day]
                shown.add_row(str(day), plan.name, f"{rows:,}", "the same" if same else "[bold red]differs[/]")
                wrong += [] if same else [f"{made.name} of {day}"]
    console.print(shown)
    if wrong:
        raise GateError(
            ", ".join(wrong),
            found="other rows than all tiles give",
            wanted="the same content",
            remedy=f"headrace state --ds {max(days)} --days {(max(days) - min(days)).days + 1} --rebuild with this configuration builds them again",
        )


def _check_current(config: Config, days: Sequence[date]) -> None:
    current = up_to_date(config, "state")
    stale = [day for day in days if day not in current]
    if stale:
        raise InputError(
            f"state of {stale[0]}",
            found="none, or one of another configuration or version, or of tiles that changed since",
            wanted="states that a night may start from; others are never used",
            remedy=f"headrace state --ds {stale[0]} with this configuration builds it",
        )

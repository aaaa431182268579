"""From one day's state to the next, and which files a day needs when it starts from a state instead of all history.

A window's sum at a later moment is its sum in the state plus what entered and minus what left since (features/windows.py).
What enters became visible since; what leaves window w happened around w before: files of tiles say in the Delta log which
hours they hold, so that a night opens the new files and, for each window, those of the days that leave it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from features.groupstats import Columns
from features.plan import GroupPlan, state_tag
from features.state import united
from features.statistics import ints
from headrace.days import epoch_micros
from headrace.delta import DeltaFile
from headrace.exchange import unpack
from headrace.workers import map_in_arrow

__all__ = ["Start", "needed_files", "next_state", "started"]

_BATCH_ROWS = 1 << 16
_Sink = tuple[Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]], str | StructType]


@dataclass(frozen=True)
class Start:
    """Where a group starts from: the day of a state and the moment it speaks of."""

    ds: date
    moment: datetime


def started(plan: GroupPlan, start: Start) -> GroupPlan:
    """The plan as it is when rows start from that state."""
    return replace(plan, since=epoch_micros(start.moment) // plan.tick)


def needed_files(plan: GroupPlan, files: Sequence[DeltaFile], *, first: datetime, last: datetime) -> list[DeltaFile]:
    """Files of tiles that answers between two moments need, of a plan that starts from a state.

    Parameters
    ----------
    first, last : earliest and latest as_of asked for; none is before the state
    """
    assert plan.since is not None
    since = plan.since * plan.tick
    low, high = epoch_micros(first), epoch_micros(last)
    spans = [(w, plan.spans[number]) for w, number in plan.windows.items()]
    leaving = [
        (since - (s.ends + s.length) * plan.tick, high - (s.ends + s.length) * plan.tick)
        for w, s in spans
        if s.length is not None and any(window == w for _, window in plan.state.sums)
    ]
    entering_late = [(since - s.ends * plan.tick, high - s.ends * plan.tick) for _, s in spans if s.ends]
    whole = [
        (low - (s.ends + s.length) * plan.tick if s.length is not None else None, high)
        for w, s in spans
        if w in plan.state.whole
    ]
    return [file for file in files if _needed(file, [*leaving, *entering_late, *whole], since=since)]


def _needed(file: DeltaFile, ranges: Sequence[tuple[int | None, int]], *, since: int) -> bool:
    if file.bounds is None:
        return True
    (event_low, event_high), (_, visible_high) = file.bounds["event_hour"], file.bounds["visible_hour"]
    if visible_high >= since:
        return True
    return any((low is None or event_high >= low) and event_low < high for low, high in ranges)


def next_state(
    met: DataFrame, plan: GroupPlan, *, ds: date, moment: datetime, schema: StructType, sink: _Sink
) -> DataFrame:
    """Rows of `state_<group>` of one day, handed to `sink` in each task.

    Parameters
    ----------
    met : packed tiles of groups, and the states that their plans start from, in the partitions they name
    moment : what the new state speaks of
    """
    arrow, (end, ends_as) = to_arrow_schema(schema), sink

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tables = unpack(batches)
        made = _advanced(plan, tables.get(plan.name), tables.get(state_tag(plan)), moment=epoch_micros(moment))
        if made is not None:
            count = made.num_rows
            made = made.append_column("ds", pa.array([ds] * count, pa.date32()))
            made = made.append_column("as_of", pa.array([moment] * count, pa.timestamp("us", "UTC")))
            whole = pa.table([made.column(f.name).cast(f.type) for f in arrow], schema=arrow)
            yield from end(whole.to_batches(max_chunksize=_BATCH_ROWS))

    return map_in_arrow(met.where(F.col("tag").isin(plan.name, state_tag(plan))), run, ends_as)


def _advanced(plan: GroupPlan, tiles: pa.Table | None, state: pa.Table | None, *, moment: int) -> pa.Table | None:
    """The state of these keys at `moment`, from tiles and an earlier state; times as int64 microseconds."""
    by = ["key", *(["segment"] if plan.segment else [])]
    parts = [] if state is None else [state]
    if tiles is not None:
        visible = ints(tiles["visible_hour"])
        since = -(2**62) if plan.since is None else plan.since * plan.tick
        parts.append(tiles.filter(pa.array((visible >= since) & (visible < moment))))
    if not any(part.num_rows for part in parts):
        return None
    rows = united(parts, plan.state.lasting, by=by)
    asking = {plan.key: rows["key"], plan.as_of: np.full(rows.num_rows, moment)}
    if plan.segment:
        asking[plan.segment] = rows["segment"]
    sums = Columns(plan, pa.table(asking), tiles, None, state, None).sums()
    for name, values in sums.items():
        rows = rows.append_column(name, pa.array(values))
    return rows

"""The spine enriched: every declared feature of every row, with its state, in one chain of exchanges.

The rows travel once per entity: they meet their user's tiles in one partition, gain the columns of all user groups,
travel on to their item's tiles, and so on. There is no join, and every column of the row comes along unread.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from features.clock import as_of_micros
from features.finish import Finish, finisher
from features.groupstats import group_columns
from features.plan import GroupPlan, make_plan, population_state_tag, population_tag, state_tag
from headrace.config import Feature, FeaturesConfig, Group
from headrace.durations import micros
from headrace.exchange import PACKED_SCHEMA, Hot, exchange, narrowed, packer, unpack
from headrace.workers import map_in_arrow

__all__ = ["Sink", "build_features", "by_entity", "group_plans"]

_ENTITIES = ("user", "item", "author")
_Batches = Iterable[pa.RecordBatch]
Sink = Callable[[_Batches], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class _Stage:
    """One entity: the groups that share its pass over the rows."""

    entity: str
    plans: tuple[GroupPlan, ...]
    hot: Hot

    def sender(self, *, partitions: int) -> Sink:
        """Packs rows for this stage."""
        return packer(key=f"{self.entity}_id", tag="rows", partitions=partitions, hot=self.hot)


def group_plans(features: FeaturesConfig, *, types: dict[str, str] | None = None) -> list[GroupPlan]:
    """One plan per group; groups with the same delay and refresh share an as_of column. `types`: value_types."""
    plans = []
    for name, group in features.groups.items():
        tick = group.tile_micros(features.tile)
        plans.append(make_plan(name, group, tile_micros=tick, as_of=_as_of_column(group), types=types or {}))
    return plans


def _as_of_column(group: Group) -> str:
    return f"_as_of_{micros(group.delay)}_{micros(group.refresh)}"


def by_entity(plans: Sequence[GroupPlan]) -> dict[str, list[GroupPlan]]:
    """Plans of each entity that has groups, in the order in which the rows visit them."""
    found = {entity: [plan for plan in plans if plan.entity == entity] for entity in _ENTITIES}
    return {entity: own for entity, own in found.items() if own}


def build_features(
    rows: DataFrame,
    tiles: Mapping[str, Sequence[DataFrame]],
    *,
    features: FeaturesConfig,
    columns: list[Feature],
    profiles: dict[str, timedelta],
    timezone: str,
    partitions: int,
    schema: StructType,
    types: dict[str, str] | None = None,
    hot: Mapping[str, Hot] | None = None,
    plans: Sequence[GroupPlan] | None = None,
    stored: Sequence[str] = (),
    sink: tuple[Sink, str] | None = None,
) -> DataFrame:
    """Add the features of every group, find all states, fill the defaults.

    Parameters
    ----------
    rows : frame
        The spine with profile and context columns, `user_landed_us` and `item_landed_us` where profiles are declared.
        One row per impression.
    tiles : entity -> packed tiles and populations of its groups, for as many partitions (features.tilefiles); a frame may
        hold those of later entities too
    columns : every feature, in the order of `feature_states`
    profiles : entity -> tolerance of its profile
    partitions : tasks per exchange; the result does not depend on it
    schema : of the result; its columns are taken by name
    types : headrace.config.value_types, needed where a column keeps values of a profile
    hot : entity -> hot keys (features.skew), the same with which `tiles` were packed
    plans : `group_plans`, where some start from a state (features.nightly)
    stored : features whose cells and states `rows` bring along from a training set, in the order of their states
    sink : what the last step of a task does with its rows, and the schema of what it returns; None returns the rows

    Returns
    -------
    frame of `schema`, one row per row of `rows`, in no particular order; or what the sink returns
    """
    plans = list(plans) if plans is not None else group_plans(features, types=types)
    moments: dict[str, Column] = {
        _as_of_column(g): as_of_micros(F.col("request_ts"), delay=g.delay, refresh=g.refresh, timezone=timezone)
        for g in features.groups.values()
    }
    rows = rows.withColumns(moments) if moments else rows
    finish = finisher(plans, columns=columns, profiles=profiles, schema=to_arrow_schema(schema), stored=stored)
    end, ends_as = sink or (iter, schema)
    stages = [_Stage(entity, tuple(own), (hot or {}).get(entity, {})) for entity, own in by_entity(plans).items()]
    if not stages:
        return map_in_arrow(rows, _finish_only(finish, end), ends_as)
    travelling = map_in_arrow(rows, stages[0].sender(partitions=partitions), PACKED_SCHEMA)
    for number, stage in enumerate(stages):
        here = exchange([travelling, *tiles[stage.entity]], partitions=partitions)
        if number + 1 < len(stages):
            onward = stages[number + 1].sender(partitions=partitions)
            travelling = map_in_arrow(here, _passer(stage, onward), PACKED_SCHEMA)
        else:
            travelling = map_in_arrow(here, _laster(stage, finish, end), ends_as)
    return travelling


def _enrich(stage: _Stage, tables: dict[str, pa.Table]) -> pa.Table | None:
    """The rows of this partition with the columns of the stage's groups, and `_known_<group>`."""
    rows = tables.get("rows")
    if rows is None:
        return None
    for plan in stage.plans:
        arrays, known = group_columns(
            plan,
            rows,
            tiles=tables.get(plan.name),
            population=tables.get(population_tag(plan)),
            state=tables.get(state_tag(plan)),
            population_state=tables.get(population_state_tag(plan)),
        )
        for position, array in enumerate(arrays):
            rows = rows.append_column(f"_{plan.name}_{position}", narrowed(array))
        rows = rows.append_column(f"_known_{plan.name}", pa.array(known))
    return rows


def _name(plan: GroupPlan) -> str:
    return plan.name


def _passer(stage: _Stage, send: Sink) -> Sink:
    """Enrich the rows and send them on; what belongs to a later entity goes on to its partition unopened."""
    tags = (f(plan) for plan in stage.plans for f in (_name, population_tag, state_tag, population_state_tag))
    own = pa.array(["rows", *tags])

    def run(batches: _Batches) -> Iterator[pa.RecordBatch]:
        mine = []
        for batch in batches:
            here = pc.is_in(batch.column("tag"), own)
            mine.append(batch.filter(here))
            yield batch.filter(pc.invert(here))
        rows = _enrich(stage, unpack(mine))
        if rows is not None:
            yield from send(rows.to_batches())

    return run


def _laster(stage: _Stage, finish: Finish, end: Sink) -> Sink:
    def run(batches: _Batches) -> Iterator[pa.RecordBatch]:
        rows = _enrich(stage, unpack(batches))
        if rows is not None:
            yield from end(finish(rows))

    return run


def _finish_only(finish: Finish, end: Sink) -> Sink:
    def run(batches: _Batches) -> Iterator[pa.RecordBatch]:
        yield from end(done for batch in batches for done in finish(pa.Table.from_batches([batch])))

    return run

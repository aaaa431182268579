"""Coverage: one row per ds x feature x slice x value (S31 to S34, S41), in two scans of the training set.

The first, of the columns that traffic is cut by, finds the values with most of it; the second reads every feature once,
column by column, and counts it in all slices (reports.count). What tasks counted meets by feature, with the reference days.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from headrace import tables
from headrace.arrowfiles import OpenPart, file_tasks, open_parts
from headrace.config import Config, Feature, feature_columns, slices_of
from headrace.errors import InputError
from headrace.exchange import PACKED_SCHEMA, exchange, one_array, pack, unpack
from headrace.workers import map_in_arrow
from reports.count import Chunk, count_chunk
from reports.history import Seen, history_columns
from reports.parts import merge
from reports.rows import KEPT_TEXTS, PART_COLUMNS, codes_of, coverage_rows, group_of, parts_of_rows
from reports.slices import Cut, cuts_of
from schemas.coverage import COVERAGE

__all__ = ["build_coverage"]

_CELLS_PER_CHUNK = 1 << 28
_MOST_ROWS = 1 << 20
_BYTES_PER_PART, _BYTES_PER_TASK = 500, 64 << 20
_EPOCH = date(1970, 1, 1)
_Batches = Iterable[pa.RecordBatch]
_Step = Callable[[_Batches], Iterator[pa.RecordBatch]]


def build_coverage(spark: SparkSession, config: Config, *, days: Sequence[date]) -> DataFrame:
    """The coverage table of `days`, from the training set and the coverage of the days before."""
    features = feature_columns(config)
    files = tables.files(config, "training_set", days=days)
    kept = _largest(spark, config, days=days)
    cuts = {(day - _EPOCH).days: _cuts(config, features, kept.get(day, {})) for day in days}
    partitions = _partitions(spark, config, rows=sum(file.rows for file in files), cuts=cuts)
    tasks = file_tasks(spark, {"training_set": files})
    counted = map_in_arrow(tasks.frame, _counter(tasks.pieces, features, cuts, partitions), PACKED_SCHEMA)
    first, last = min(days) - timedelta(days=config.coverage.reference_days), max(days)
    earlier = [file for file in tables.files(config, "coverage") if first <= file.ds < last and file.ds not in days]
    sources = [counted]
    if earlier:
        known = file_tasks(spark, {"coverage": earlier})
        sources.append(map_in_arrow(known.frame, _reader(known.pieces, features, partitions), PACKED_SCHEMA))
    finish = _finisher(features, days=days, reference_days=config.coverage.reference_days)
    return map_in_arrow(exchange(sources, partitions=partitions), finish, COVERAGE.schema)


def _largest(spark: SparkSession, config: Config, *, days: Sequence[date]) -> dict[date, dict[str, list[str]]]:
    """Values of each slice that counts values, with the most weight on each day, greatest first: one narrow scan."""
    own = {s.name: s for s in slices_of(config) if s.column and not s.edges}
    most = {name: s.top or config.coverage.max_slice_values for name, s in own.items()}
    training = tables.read(spark, config, "training_set", days=days)
    found: dict[date, dict[str, list[str]]] = {}
    if not own:
        return found
    pairs = F.array(
        *[F.struct(F.lit(n).alias("slice"), F.col(str(s.column)).cast("string").alias("value")) for n, s in own.items()]
    )
    units = F.sum(F.round(F.col("sample_weight") * 1e6).cast("bigint")).alias("units")
    weights = (
        training.select("ds", "sample_weight", F.explode(pairs).alias("at"))
        .groupBy("ds", "at.slice", "at.value")
        .agg(units)
    )
    rank = F.row_number().over(Window.partitionBy("ds", "slice").orderBy(F.desc("units"), "value"))
    ranked = weights.where("value IS NOT NULL").withColumn("rank", rank).where(F.col("rank") <= max(most.values()))
    for row in ranked.orderBy("rank").collect():  # at most slices x values a day
        if row["rank"] <= most[row["slice"]]:
            found.setdefault(row["ds"], {}).setdefault(row["slice"], []).append(row["value"])
    return found


def _cuts(config: Config, features: Sequence[Feature], kept: Mapping[str, Sequence[str]]) -> list[Cut]:
    entities = {name: group.entity for name, group in config.features.groups.items() if group.segment is None}
    return cuts_of(slices_of(config), features, entities=entities, kept=kept)


def _partitions(spark: SparkSession, config: Config, *, rows: int, cuts: Mapping[int, Sequence[Cut]]) -> int:
    """Tasks that put counts together, so that one holds about 64 MB of them; a feature is never split."""
    features = len(feature_columns(config))
    chunks = rows // _chunk_rows(features) + len(cuts) * (1 + config.coverage.reference_days)
    values = max((sum(len(cut.values) for cut in own) for own in cuts.values()), default=0) + 1
    wanted = features * chunks * values * _BYTES_PER_PART // _BYTES_PER_TASK
    return int(max(1, min(features, max(wanted, spark.sparkContext.defaultParallelism))))


def _chunk_rows(features: int) -> int:
    return max(min(_CELLS_PER_CHUNK // max(features, 1), _MOST_ROWS), 1)


@dataclass
class _Columns:
    """Columns of some row groups of a file, each read when it is asked for."""

    part: OpenPart
    groups: list[int]

    def __call__(self, name: str) -> pa.Array:
        """One column as one array.

        Raises
        ------
        InputError
            The file lacks it.
        """
        if name not in self.part.file.schema_arrow.names:
            raise InputError(
                f"training_set, day {_EPOCH + timedelta(days=self.part.ds_number)}",
                found=f"files without the column {name}",
                wanted="every feature that the configuration declares",
                remedy="the configuration changed since: headrace features --ds DAY --rebuild",
            )
        table = self.part.file.read_row_groups(self.groups, columns=[name], use_threads=False)
        return one_array(table.unify_dictionaries().column(name))


def _counter(
    pieces: Sequence, features: Sequence[Feature], cuts: Mapping[int, Sequence[Cut]], partitions: int
) -> _Step:
    texts = [feature.name for feature in features if feature.type == "string"]

    def run(batches: _Batches) -> Iterator[pa.RecordBatch]:
        for part in open_parts(batches, pieces, dictionaries=texts):
            for groups in _chunks(part, most=_chunk_rows(len(features))):
                chunk = _chunk(part, _Columns(part, groups), len(features))
                for table in count_chunk(chunk, features, cuts[part.ds_number]):
                    yield from pack(table, key="feature", tag="counted", partitions=partitions)

    return run


def _chunks(part: OpenPart, *, most: int) -> Iterator[list[int]]:
    """Row groups that are read together."""
    held, rows = list[int](), 0
    for group in part.groups:
        size = part.file.metadata.row_group(group).num_rows
        if held and rows + size > most:
            yield held
            held, rows = [], 0
        held.append(group)
        rows += size
    if rows:
        yield held


def _chunk(part: OpenPart, read: _Columns, features: int) -> Chunk:
    weights = np.asarray(read("sample_weight").to_numpy())
    marks = read("feature_states")
    if pc.any(pc.not_equal(pc.binary_length(marks), features)).as_py():
        raise InputError(
            f"training_set, day {_EPOCH + timedelta(days=part.ds_number)}",
            found="states of another number of features",
            wanted=f"{features}, as the configuration declares",
            remedy="the configuration changed since: headrace features --ds DAY --rebuild",
        )
    flat = np.frombuffer(marks.buffers()[2], np.uint8, count=len(marks) * features, offset=_first_byte(marks))
    return Chunk(part.ds_number, np.ascontiguousarray(flat.reshape(-1, features).T), weights, read)


def _first_byte(marks: pa.Array) -> int:
    """Where the first value lies; the values stand one after the other."""
    offsets = np.frombuffer(marks.buffers()[1], np.int32)
    return int(offsets[marks.offset])


def _reader(pieces: Sequence, features: Sequence[Feature], partitions: int) -> _Step:
    """Coverage of earlier days, to where their features are put together; what changed its type is left out."""
    number = {(feature.name, feature.type): i for i, feature in enumerate(features)}

    def run(batches: _Batches) -> Iterator[pa.RecordBatch]:
        for part in open_parts(batches, pieces):
            if not {*PART_COLUMNS} - {"ds"} <= {*part.file.schema_arrow.names}:
                continue  # counted by a version that kept less
            for table in part.tables([name for name in PART_COLUMNS if name != "ds"]):
                kinds = zip(table.column("feature").to_pylist(), table.column("type").to_pylist(), strict=True)
                index = np.array([number.get(kind, -1) for kind in kinds], dtype=np.int64)
                day = pa.repeat(pa.scalar(_EPOCH + timedelta(days=part.ds_number), pa.date32()), table.num_rows)
                parts = parts_of_rows(table.append_column("ds", day), feature=index)
                parts = parts.append_column("first_ds", table.column("first_ds"))
                yield from pack(parts.filter(pa.array(index >= 0)), key="feature", tag="known", partitions=partitions)

    return run


def _finisher(features: Sequence[Feature], *, days: Sequence[date], reference_days: int) -> _Step:
    columns = to_arrow_schema(COVERAGE.schema)
    kinds = [(feature.name, feature.type) for feature in features]

    def run(batches: _Batches) -> Iterator[pa.RecordBatch]:
        found = unpack(batches)
        counted, known = found.get("counted"), found.get("known")
        for index in np.unique(counted.column("feature").to_numpy()) if counted is not None else ():
            seen = _seen(_of(counted, index), _of(known, index) if known is not None else None)
            for day in sorted(set(days) & set(seen.parts)):
                rows = coverage_rows(seen.parts[day], features=kinds)
                back = history_columns(seen, day, reference_days=reference_days)
                for name in back.column_names:
                    rows = rows.append_column(name, back.column(name))
                yield from rows.select(columns.names).cast(columns).to_batches()

    return run


def _of(parts: pa.Table, feature: int) -> pa.Table:
    return parts.filter(pc.equal(parts.column("feature"), feature))


def _seen(counted: pa.Table, known: pa.Table | None) -> Seen:
    """Days of one feature, counts of tasks put together."""
    keys = [codes_of(counted.column(name).combine_chunks()) for name in ("slice", "value")]
    group = group_of([counted.column("day").to_numpy().astype(np.int64), *keys])
    merged = merge(counted, group, most_texts=KEPT_TEXTS)
    parts = {} if known is None else _by_day(known.drop_columns(["first_ds"]))
    first: dict[tuple[str, str | None], date] = {}
    for row in () if known is None else known.select(["slice", "value", "first_ds"]).to_pylist():
        key, day = (row["slice"], row["value"]), row["first_ds"]
        if day is not None and day < first.get(key, date.max):
            first[key] = day
    return Seen({**parts, **_by_day(merged)}, first)


def _by_day(parts: pa.Table) -> dict[date, pa.Table]:
    days = parts.column("day")
    return {_EPOCH + timedelta(days=d): parts.filter(pc.equal(days, d)) for d in pc.unique(days).to_pylist()}

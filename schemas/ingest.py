"""Landing files of some days to conformed tables: typed, checked, without repeats, every row accounted for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headrace import tables, writing
from headrace.config import Config
from headrace.errors import InputError
from headrace.frames import no_rows
from schemas.aside import as_duplicates, as_quarantine, keep_id_map, write_aside
from schemas.conform import COUNTED, REASON, check_columns, conform, landing_columns
from schemas.duplicates import content_hash, sort_out, sort_out_profiles, suspect_hash
from schemas.firstpass import first_pass, flag_counts, flags_of, hash_partitions, suspects
from schemas.landing import LandingFile, is_whole, survey_day
from schemas.reading import DAY, SOURCE, alike, read_raw
from schemas.tables import table

__all__ = ["Landed", "TableDay", "ingest_table", "survey"]

_BROADCAST_ROWS = 2_000_000


@dataclass
class TableDay:
    """What became of one table's rows on one day."""

    rows_in: int = 0
    rows_out: int = 0
    quarantined: int = 0
    duplicate: int = 0
    notes: dict[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Landed:
    """Files of one table on the days at hand; a day maps to None where it has no folder."""

    name: str
    days: dict[date, list[LandingFile] | None]
    absent_columns: list[str]

    @property
    def files(self) -> list[LandingFile]:
        return [file for files in self.days.values() for file in files or []]


def survey(config: Config, name: str, *, days: Sequence[date]) -> Landed:
    """Look at every file of `days` before anything is read.

    Raises
    ------
    InputError
        A required table has no folder for a day, a file is unreadable, or a required column is missing.
    """
    found = {day: survey_day(config.landing, name, day) for day in days}
    lacking = [day for day, files in found.items() if files is None]
    if lacking and name not in config.ingest.optional_tables:
        raise InputError(
            f"{config.landing}/{name}/ds={lacking[0]}",
            found="no folder" + (f" (nor for {len(lacking) - 1} other days)" if len(lacking) > 1 else ""),
            wanted="a folder for every day, empty where nothing happened",
            remedy="land the day; an empty folder says that the day had no rows",
        )
    _check_whole(config, name, [day for day, files in found.items() if files is not None])
    files = [file for listed in found.values() for file in listed or []]
    return Landed(name, found, check_columns(config, name, files))


def _check_whole(config: Config, name: str, days: Sequence[date]) -> None:
    """A folder without the marker that is declared is still being delivered."""
    marker = config.ingest.marker
    half = [day for day in days if marker and not is_whole(config.landing, name, day, marker=marker)]
    if half:
        raise InputError(
            f"{config.landing}/{name}/ds={half[0]}",
            found=f"no {marker} in it" + (f" (nor in {len(half) - 1} other days)" if len(half) > 1 else ""),
            wanted="the marker that says the day was delivered whole (ingest.marker)",
            remedy="wait for whoever delivers it; headrace landed says when it is there",
        )


def ingest_table(spark: SparkSession, config: Config, landed: Landed) -> dict[date, TableDay]:
    """Conform one table for the days surveyed: writes the table, `duplicates`, `quarantine` and `id_map`."""
    name, days = landed.name, list(landed.days)
    if not landed.files and not _written_before(config, name, days=days):
        tables.ensure(config, table(config, name))
        return _checked(landed, {})
    rows = _conformed(spark, config, landed)
    text = any(file.format != "parquet" for file in landed.files)
    if text:  # parse once: these formats are read several times below
        rows = rows.persist(StorageLevel.DISK_ONLY)
    good = rows.where(F.col(REASON).isNull())
    earlier = _earlier(spark, config, name=name, days=days)
    found = _first_pass(rows, earlier, landed).persist(StorageLevel.MEMORY_AND_DISK)
    result = _checked(landed, _counts(found, flags_of(rows)))
    if earlier is None:
        sorted_out = _profiles_without_repeats(spark, config, good, name=name, days=days)
    else:
        sorted_out = _without_repeats(config, good, earlier, suspects(found), name=name)
    made = table(config, name)
    by_day = earlier is not None  # as landing lies; profiles lie by their key since repeats were looked for
    kept = writing.write_frame(sorted_out[0], config, made, days=days, gathered=not by_day)
    repeats = as_duplicates(sorted_out[1], name)
    repeated = write_aside(spark, repeats, config, "duplicates", name=name, days=days, summed=["conflicting"])
    refused = any(day.quarantined for day in result.values())
    write_aside(spark, as_quarantine(rows, name) if refused else None, config, "quarantine", name=name, days=days)
    _count_written(result, kept, repeated)
    if refused:
        _count_refused(spark, config, result, name=name, days=days)
    if keep_id_map(spark, config, good, name=name, days=days):
        _count_collisions(spark, config, result, name=name)
    for frame in [rows] * text + [found, *sorted_out[2]]:
        frame.unpersist()
    return result


def _written_before(config: Config, name: str, *, days: list[date]) -> bool:
    """Whether an earlier run left anything of these days, which a run without files then has to clear."""
    return any(any(tables.row_counts(config, n, days=days).values()) for n in (name, "duplicates", "quarantine"))


def _conformed(spark: SparkSession, config: Config, landed: Landed) -> DataFrame:
    wanted = landing_columns(config, landed.name)
    frames = [
        conform(read_raw(spark, files, wanted=wanted), config, name=landed.name, parsed=files[0].format != "parquet")
        for files in alike(landed.files)
    ]
    if not frames:
        schema = table(config, landed.name).schema
        nothing = no_rows(spark, schema)
        blank = {REASON: "string", "_raw": "string", SOURCE: "string"}
        return nothing.withColumns({c: F.lit(None).cast(k) for c, k in blank.items()}).withColumn(DAY, F.col("ds"))
    together = frames[0]
    for frame in frames[1:]:
        together = together.unionByName(frame, allowMissingColumns=True)
    return together


def _first_pass(rows: DataFrame, earlier: DataFrame | None, landed: Landed) -> DataFrame:
    least = int(str(rows.sparkSession.conf.get("spark.sql.shuffle.partitions")))
    partitions = hash_partitions(sum(file.rows or 0 for file in landed.files), least=least)
    hashes = None if earlier is None else earlier.select("_hash")
    key_hash = None if earlier is None else suspect_hash(landed.name)
    return first_pass(rows, hashes, key_hash=key_hash, partitions=partitions)


def _counts(found: DataFrame, flags: Sequence[str]) -> dict[date, Counter[str]]:
    """Rows read, refused and remarkable per day."""
    counts: dict[date, Counter[str]] = {}
    for day, bits, rows in flag_counts(found).collect():  # a handful of rows a day
        of_day = counts.setdefault(day, Counter())
        of_day.update({name: rows for place, name in enumerate(flags) if bits >> place & 1}, rows=rows)
    return counts


def _checked(landed: Landed, counts: dict[date, Counter[str]]) -> dict[date, TableDay]:
    """What was read of each day; footers say what should have been."""
    result = {}
    for day, files in landed.days.items():
        seen = counts.get(day, Counter())
        made = TableDay(rows_in=seen.pop("rows", 0), quarantined=seen.pop("refused", 0))
        if files is None:
            made.notes["folder"] = "none"
        made.notes |= {name.removeprefix(COUNTED): rows for name, rows in sorted(seen.items())}
        footers = [file.rows for file in files or []]
        if all(n is not None for n in footers) and sum(n or 0 for n in footers) != made.rows_in:
            raise InputError(
                f"landing/{landed.name}/ds={day}",
                found=f"{made.rows_in} rows read",
                wanted=f"{sum(n or 0 for n in footers)} rows that the files' footers name",
                remedy="the files changed while they were read: run the day again",
            )
        if landed.absent_columns:
            made.notes["absent_columns"] = " ".join(landed.absent_columns)
        result[day] = made
    return result


def _without_repeats(
    config: Config, good: DataFrame, earlier: DataFrame, suspected: DataFrame, *, name: str
) -> tuple[DataFrame, DataFrame | None, list[DataFrame]]:
    """Rows that stand, repeats, and the cached frames behind both (to be released)."""
    columns, kept = landing_columns(config, name), table(config, name).schema.names
    horizon = config.ingest.duplicate_horizon_days
    number = suspected.count()
    if number == 0:
        return _marked_first(good, name).select(*kept), None, []
    good = good.withColumn("_hash", suspect_hash(name))
    looked_up = F.broadcast(suspected) if number <= _BROADCAST_ROWS else suspected
    plain = _marked_first(good.join(looked_up, on="_hash", how="left_anti"), name)
    flagged = good.join(looked_up, on="_hash", how="left_semi")
    earlier = earlier.join(looked_up, on="_hash", how="left_semi")
    decided = sort_out(flagged, earlier, name=name, columns=columns, horizon=horizon).persist(StorageLevel.DISK_ONLY)
    standing = decided.where("_stands").select(*kept)
    return plain.select(*kept).unionByName(standing), decided.where("NOT _stands"), [decided]


def _marked_first(rows: DataFrame, name: str) -> DataFrame:
    return rows.withColumn("is_first", F.lit(True)) if name == "engagements" else rows


def _profiles_without_repeats(
    spark: SparkSession, config: Config, good: DataFrame, *, name: str, days: list[date]
) -> tuple[DataFrame, DataFrame | None, list[DataFrame]]:
    schema = table(config, name)
    earlier = tables.read(spark, config, name, last=max(days)).where(~F.col("ds").isin(days))
    decided = sort_out_profiles(good, earlier, key=schema.key[0], columns=landing_columns(config, name))
    decided = decided.persist(StorageLevel.DISK_ONLY)
    return decided.where("_stands").select(*schema.schema.names), decided.where("NOT _stands"), [decided]


def _earlier(spark: SparkSession, config: Config, *, name: str, days: list[date]) -> DataFrame | None:
    """Good rows of the horizon before the days at hand, kept or not, with their `_hash` and that of the row that stands.

    None for profiles, whose repeats are looked up in all their history.
    """
    if name.endswith("_profile"):
        return None
    first = min(days) - timedelta(days=config.ingest.duplicate_horizon_days)
    key = ["impression_id", "user_id", "item_id", "event_ts", "ds"] + (["action"] if name == "engagements" else [])
    kept = tables.read(spark, config, name, first=first, last=max(days)).where(~F.col("ds").isin(days))
    dropped = tables.read(spark, config, "duplicates", first=first, last=max(days)).where(~F.col("ds").isin(days))
    dropped = dropped.where(F.col("table_name") == name).select(*key, F.col("standing_hash").alias("_standing"))
    standing = content_hash(landing_columns(config, name)).alias("_standing")
    both = kept.select(*key, standing).unionByName(dropped)
    return both.withColumn("_hash", suspect_hash(name))


def _count_written(result: dict[date, TableDay], kept: writing.Written, repeated: writing.Written | None) -> None:
    """Rows out, repeats and conflicts, from the files that were committed."""
    for day, made in result.items():
        made.rows_out = kept.rows[day]
        if repeated is not None and repeated.rows[day]:
            made.duplicate = repeated.rows[day]
            if conflicting := repeated.sums[day]["conflicting"]:
                made.notes["conflicting_duplicates"] = conflicting


def _count_refused(
    spark: SparkSession, config: Config, result: dict[date, TableDay], *, name: str, days: list[date]
) -> None:
    """Reasons from the committed quarantine."""
    for made in result.values():
        made.quarantined = 0
    refused = tables.read(spark, config, "quarantine", days=days).where(F.col("table_name") == name)
    for row in refused.groupBy("ds", "reason").count().collect():
        result[row["ds"]].quarantined += row["count"]
        result[row["ds"]].notes[f"quarantined_{row['reason']}"] = row["count"]


def _count_collisions(spark: SparkSession, config: Config, result: dict[date, TableDay], *, name: str) -> None:
    """Texts that share an id, on the day of the later one."""
    mapped = tables.read(spark, config, "id_map").where(F.col("kind").startswith(f"{name}."))
    clashing = mapped.groupBy("kind", "id").agg(F.count("*").alias("n"), F.max("ds").alias("ds")).where("n > 1")
    for row in clashing.groupBy("ds").count().collect():
        if row["ds"] in result:
            result[row["ds"]].notes["id_collisions"] = row["count"]

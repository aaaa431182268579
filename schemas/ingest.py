"""Landing files of some days to conformed tables: typed, checked, without repeats, every row accounted for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headrace import tables
from headrace.config import Config
from headrace.errors import InputError
from schemas.conform import COUNTED, REASON, check_columns, conform, landing_columns
from schemas.duplicates import content_hash, sort_out, sort_out_profiles, suspect_hash
from schemas.landing import LandingFile, survey_day
from schemas.reading import DAY, SOURCE, alike, read_raw
from schemas.tables import TABLES, table

__all__ = ["INGESTED", "Landed", "TableDay", "ingest_table", "survey"]

INGESTED = ("impressions", "engagements", "user_profile", "item_profile")
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
    files = [file for listed in found.values() for file in listed or []]
    return Landed(name, found, check_columns(config, name, files))


def ingest_table(spark: SparkSession, config: Config, landed: Landed) -> dict[date, TableDay]:
    """Conform one table for the days surveyed: writes the table, `duplicates`, `quarantine` and `id_map`."""
    name, days = landed.name, list(landed.days)
    rows = _conformed(spark, config, landed)
    text = any(file.format != "parquet" for file in landed.files)
    if text:  # parse once: these formats are read several times below
        rows = rows.persist(StorageLevel.DISK_ONLY)
    good = rows.where(F.col(REASON).isNull())
    result = _count(rows, landed)
    sorted_out = _without_repeats(spark, config, good, name=name, days=days)
    tables.write_days(sorted_out[0], config, table(config, name), days=days)
    _write_aside(_as_duplicates(sorted_out[1], name), config, "duplicates", name=name, days=days)
    refused = sum(day.quarantined for day in result.values())
    quarantine = _as_quarantine(rows, name) if refused else None
    _write_aside(quarantine, config, "quarantine", name=name, days=days)
    _keep_id_map(spark, config, good, name=name, days=days)
    _count_committed(spark, config, result, name=name, days=days)
    for frame in [rows] * text + sorted_out[2]:
        frame.unpersist()
    return result


def _conformed(spark: SparkSession, config: Config, landed: Landed) -> DataFrame:
    wanted = landing_columns(config, landed.name)
    frames = [
        conform(read_raw(spark, files, wanted=wanted), config, name=landed.name, parsed=files[0].format != "parquet")
        for files in alike(landed.files)
    ]
    if not frames:
        schema = table(config, landed.name).schema
        nothing = spark.createDataFrame([], schema)
        blank = {REASON: "string", "_raw": "string", SOURCE: "string"}
        return nothing.withColumns({c: F.lit(None).cast(k) for c, k in blank.items()}).withColumn(DAY, F.col("ds"))
    together = frames[0]
    for frame in frames[1:]:
        together = together.unionByName(frame, allowMissingColumns=True)
    return together


def _count(rows: DataFrame, landed: Landed) -> dict[date, TableDay]:
    """Rows read, refused and remarkable per day, in one scan; footers say what should have been read."""
    counted = [c for c in rows.columns if c.startswith(COUNTED)]
    sums = [F.count_if(F.col(REASON).isNull() & F.col(c)).alias(c) for c in counted]
    per_day = rows.groupBy(DAY).agg(F.count("*").alias("n"), F.count_if(F.col(REASON).isNotNull()).alias("bad"), *sums)
    found = {row[DAY]: row for row in per_day.collect()}  # one row a day
    result = {}
    for day, files in landed.days.items():
        made = TableDay()
        if files is None:
            made.notes["folder"] = "none"
        row = found.get(day)
        if row is not None:
            made.rows_in, made.quarantined = row["n"], row["bad"]
            made.notes |= {c.removeprefix(COUNTED): row[c] for c in counted if row[c]}
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
    spark: SparkSession, config: Config, good: DataFrame, *, name: str, days: list[date]
) -> tuple[DataFrame, DataFrame | None, list[DataFrame]]:
    """Rows that stand, repeats, and the cached frames behind both (to be released)."""
    columns = landing_columns(config, name)
    kept = table(config, name).schema.names
    if name.endswith("_profile"):
        return _profiles_without_repeats(spark, config, good, name=name, days=days)
    horizon = config.ingest.duplicate_horizon_days
    earlier = _earlier(spark, config, name=name, days=days, columns=columns)
    keyed = good.select(suspect_hash(name).alias("_hash")).unionByName(
        earlier.select(suspect_hash(name).alias("_hash"))
    )
    suspects = keyed.groupBy("_hash").count().where("count > 1").select("_hash").persist(StorageLevel.MEMORY_AND_DISK)
    number = suspects.count()
    good = good.withColumn("_hash", suspect_hash(name))
    if number == 0:
        suspects.unpersist()
        return _marked_first(good, name).select(*kept), None, []
    looked_up = F.broadcast(suspects) if number <= _BROADCAST_ROWS else suspects
    plain = _marked_first(good.join(looked_up, on="_hash", how="left_anti"), name)
    flagged = good.join(looked_up, on="_hash", how="left_semi")
    earlier = earlier.withColumn("_hash", suspect_hash(name)).join(looked_up, on="_hash", how="left_semi")
    decided = sort_out(flagged, earlier, name=name, columns=columns, horizon=horizon).persist(StorageLevel.DISK_ONLY)
    standing = decided.where("_stands").select(*kept)
    return plain.select(*kept).unionByName(standing), decided.where("NOT _stands"), [suspects, decided]


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


def _earlier(spark: SparkSession, config: Config, *, name: str, days: list[date], columns: list[str]) -> DataFrame:
    """Good rows of the horizon before the days at hand, kept or not, with the hash of the row that stands."""
    first = min(days) - timedelta(days=config.ingest.duplicate_horizon_days)
    key = ["impression_id", "user_id", "item_id", "event_ts", "ds"] + (["action"] if name == "engagements" else [])
    kept = tables.read(spark, config, name, first=first, last=max(days)).where(~F.col("ds").isin(days))
    dropped = tables.read(spark, config, "duplicates", first=first, last=max(days)).where(~F.col("ds").isin(days))
    dropped = dropped.where(F.col("table_name") == name).select(*key, F.col("standing_hash").alias("_standing"))
    return kept.select(*key, content_hash(columns).alias("_standing")).unionByName(dropped)


def _as_duplicates(repeats: DataFrame | None, name: str) -> DataFrame | None:
    if repeats is None:
        return None
    moment = "valid_from" if name.endswith("_profile") else "event_ts"
    blank = {"impression_id": "bigint", "user_id": "bigint", "item_id": "bigint", "action": "string"}
    have = set(repeats.columns)
    keys = [F.col(c) if c in have else F.lit(None).cast(k).alias(c) for c, k in blank.items()]
    return repeats.select(
        F.lit(name).alias("table_name"),
        *keys,
        F.col(moment).alias("event_ts"),
        F.col("_standing").alias("standing_hash"),
        F.col("_conflicting").alias("conflicting"),
        F.col("_raw").alias("row_json"),
        F.col(SOURCE).alias("source_file"),
        "ds",
    )


def _as_quarantine(rows: DataFrame, name: str) -> DataFrame:
    return rows.where(F.col(REASON).isNotNull()).select(
        F.lit(name).alias("table_name"),
        F.col(REASON).alias("reason"),
        F.col("_raw").alias("row_json"),
        F.col(SOURCE).alias("source_file"),
        F.col(DAY).alias("ds"),
    )


def _write_aside(frame: DataFrame | None, config: Config, aside: str, *, name: str, days: list[date]) -> None:
    """Write what did not stand; nothing to write still clears what an earlier run of these days left."""
    if frame is None:
        if not any(tables.row_counts(config, aside, days=days).values()):
            return
        spark = SparkSession.getActiveSession()
        assert spark is not None
        frame = spark.createDataFrame([], TABLES[aside].schema)
    tables.write_days(frame, config, TABLES[aside], days=days, extra=f"table_name = '{name}'")


def _keep_id_map(spark: SparkSession, config: Config, good: DataFrame, *, name: str, days: list[date]) -> None:
    """Texts behind hashed ids, on the day they were first seen (S11)."""
    texts = [c.removeprefix("_text_") for c in good.columns if c.startswith("_text_")]
    if not texts:
        return
    seen = None
    for column in texts:
        one = good.select(
            F.lit(f"{name}.{column}").alias("kind"),
            F.col(column).alias("id"),
            F.col(f"_text_{column}").alias("text"),
            "ds",
        ).dropna()
        seen = one if seen is None else seen.unionByName(one)
    assert seen is not None
    first = seen.groupBy("kind", "id", "text").agg(F.min("ds").alias("ds"))
    before = (
        tables.read(spark, config, "id_map").where(~F.col("ds").isin(days)).where(F.col("kind").startswith(f"{name}."))
    )
    fresh = first.join(before.select("kind", "id", "text"), on=["kind", "id", "text"], how="left_anti")
    tables.write_days(fresh, config, TABLES["id_map"], days=days, extra=f"kind LIKE '{name}.%'")


def _count_committed(
    spark: SparkSession, config: Config, result: dict[date, TableDay], *, name: str, days: list[date]
) -> None:
    """Rows out from the Delta log; repeats, conflicts and collisions from the committed side tables."""
    for day, rows in tables.row_counts(config, name, days=days).items():
        result[day].rows_out = rows
    if tables.exists(config, "duplicates"):
        repeats = tables.read(spark, config, "duplicates", days=days).where(F.col("table_name") == name)
        for row in repeats.groupBy("ds").agg(F.count("*").alias("n"), F.count_if("conflicting").alias("c")).collect():
            result[row["ds"]].duplicate = row["n"]
            if row["c"]:
                result[row["ds"]].notes["conflicting_duplicates"] = row["c"]
    if tables.exists(config, "quarantine") and any(day.quarantined for day in result.values()):
        refused = tables.read(spark, config, "quarantine", days=days).where(F.col("table_name") == name)
        for made in result.values():
            made.quarantined = 0
        for row in refused.groupBy("ds", "reason").count().collect():
            result[row["ds"]].quarantined += row["count"]
            result[row["ds"]].notes[f"quarantined_{row['reason']}"] = row["count"]
    if tables.exists(config, "id_map"):
        mapped = tables.read(spark, config, "id_map").where(F.col("kind").startswith(f"{name}."))
        clashing = mapped.groupBy("kind", "id").agg(F.count("*").alias("n"), F.max("ds").alias("ds")).where("n > 1")
        for row in clashing.groupBy("ds").count().collect():
            if row["ds"] in result:
                result[row["ds"]].notes["id_collisions"] = row["count"]

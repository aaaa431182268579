"""Raw landing rows to typed rows with a reason to refuse, or none (S7, S10, S11).

`conform` never drops a row: good rows have a null `_reason`, and facts worth counting stand in boolean `_counted_*`
columns. Reasons are the names in REASONS.
"""

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as t

from headrace.config import Config
from headrace.errors import InputError
from schemas.days import ds_start
from schemas.landing import LandingFile
from schemas.reading import CORRUPT, DAY, SOURCE
from schemas.tables import table

__all__ = [
    "COUNTED",
    "ID_COLUMNS",
    "REASON",
    "REASONS",
    "check_columns",
    "conform",
    "landing_columns",
    "required_columns",
]

REASON, COUNTED, TEXT = "_reason", "_counted_", "_text_"
ID_COLUMNS = ("impression_id", "request_id", "user_id", "item_id", "author_id")
REASONS = {
    "malformed_row": "the line could not be split into columns",
    "bad_type_<column>": "the value is not of the column's type",
    "null_<column>": "a required value is missing",
    "event_ts_out_of_range": "outside [2000-01-01 UTC, min(effective arrival, end of ds) + 1 day] (S7)",
    "unknown_action": "not in ingest.actions (S10)",
    "bad_watch_value": "null, NaN, infinite or negative (S10)",
    "value_too_large": "above 2^53 microunits (S22)",
    "valid_to_not_after_valid_from": "an empty version (S10)",
}
_NO_SCALARS = (
    "list",
    "large_list",
    "struct",
    "map",
    "binary",
    "large_binary",
    "fixed_size_binary",
    "dictionary<values=binary",
)
_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_EARLIEST = "2000-01-01 00:00:00"
_ADDED = {"ds", "effective_arrival_ts", "is_first", "sets_valid_to"}
_LARGEST_MICROUNITS = 2**53


def landing_columns(config: Config, name: str) -> list[str]:
    """Columns that a landing file of table `name` may hold."""
    return [c for c in table(config, name).schema.names if c not in _ADDED]


def required_columns(config: Config, name: str) -> list[str]:
    """Columns without which a file cannot be read at all."""
    if name == "impressions":
        return ["impression_id", "user_id", "item_id", "event_ts"]
    if name == "engagements":
        return ["user_id", "item_id", "action", "event_ts"]
    return [c for c in landing_columns(config, name) if c != "valid_to"]


def check_columns(config: Config, name: str, files: Iterable[LandingFile]) -> list[str]:
    """Optional columns that some file lacks.

    Raises
    ------
    InputError
        A file lacks a required column.
    """
    absent: set[str] = set()
    for file in files:
        if file.format == "json":
            continue
        have = {column for column, _ in file.columns}
        _check_shape(file, landing_columns(config, name))
        missing = [c for c in required_columns(config, name) if c not in have]
        if missing:
            raise InputError(
                file.path,
                found=f"columns {sorted(have)}",
                wanted=f"also {missing}",
                remedy="land the file again with these columns (null where unknown), or change the declared profile columns",
            )
        absent |= {c for c in landing_columns(config, name) if c not in have}
    return sorted(absent)


def _check_shape(file: LandingFile, wanted: list[str]) -> None:
    """Refuse names that repeat (Spark does not tell case) and columns that hold no single values."""
    names = [column.lower() for column, _ in file.columns]
    twice = sorted({n for n in names if names.count(n) > 1})
    odd = [f"{c}: {kind}" for c, kind in file.columns if c in wanted and kind.startswith(_NO_SCALARS)]
    if twice or odd:
        raise InputError(
            file.path,
            found=f"columns {twice} more than once" if twice else f"columns {odd}",
            wanted="each column once" if twice else "one number, text or time a cell",
            remedy="land the file again with other names"
            if twice
            else "land the file again with those columns converted",
        )


def conform(raw: DataFrame, config: Config, *, name: str, parsed: bool = False) -> DataFrame:
    """Typed columns of table `name`, `_reason`, `_counted_*`, `_text_<id>`, `_raw` (the row as JSON), `_ds`, `_source_file`."""
    schema = table(config, name).schema
    columns = landing_columns(config, name)
    texts = [c for c in columns if c in ID_COLUMNS and _is_text_id(raw, c, config, parsed=parsed)]
    typed = {c: _typed(raw, schema[c], config, texts=texts) for c in columns}
    own = [F.col(f"`{c}`") for c in raw.columns if c not in (CORRUPT, DAY, SOURCE)]
    whole = F.coalesce(CORRUPT, F.to_json(F.struct(*own), {"ignoreNullFields": "false"}))
    given = {c: _is_given(raw, c).alias(f"_given_{c}") for c in columns if _can_fail(raw, c, schema[c])}
    converted = raw.select(
        *[typed[c].alias(c) for c in columns],
        *[F.col(f"`{c}`").cast("string").alias(f"{TEXT}{c}") for c in texts],
        *given.values(),
        whole.alias("_raw"),
        CORRUPT,
        DAY,
        SOURCE,
    )
    wrong = [F.when(F.col(f"_given_{c}") & F.col(c).isNull(), F.lit(f"bad_type_{c}")) for c in given]
    malformed = F.when(F.col(CORRUPT).isNotNull(), F.lit("malformed_row"))
    staged = converted.withColumn("_wrong", F.coalesce(malformed, *wrong, F.lit(None).cast("string")))
    staged = staged.drop(CORRUPT, *[f"_given_{c}" for c in given])
    return _profile_rules(staged, config, name) if name.endswith("_profile") else _event_rules(staged, config, name)


def _is_given(raw: DataFrame, column: str) -> Column:
    """Whether there is a value; NaN is none."""
    value = F.col(f"`{column}`")
    floating = isinstance(raw.schema[column].dataType, t.FloatType | t.DoubleType)
    return value.isNotNull() & ~F.isnan(value) if floating else value.isNotNull()


def _can_fail(raw: DataFrame, column: str, field: t.StructField) -> bool:
    """Whether a value that is there may not convert; one of the right type already cannot."""
    return column in raw.columns and raw.schema[column].dataType != field.dataType


def _is_text_id(raw: DataFrame, column: str, config: Config, *, parsed: bool) -> bool:
    """Text in Parquet is a text id; in CSV and JSON lines (`parsed`) everything is text and the config says which are."""
    if column not in raw.columns or not isinstance(raw.schema[column].dataType, t.StringType):
        return False
    return not parsed or column in config.ingest.text_ids


def _typed(raw: DataFrame, field: t.StructField, config: Config, *, texts: list[str]) -> Column:
    """The column in the table's type; null where it is absent or cannot be converted."""
    name, want = field.name, field.dataType
    if name not in raw.columns:
        return F.lit(None).cast(want)
    value, have = F.col(f"`{name}`"), raw.schema[name].dataType
    if name in texts:
        return F.when(value.isNotNull(), F.xxhash64(value))
    if have == want:
        return value
    if isinstance(want, t.TimestampType):
        return _timestamp(value, have, unit=config.ingest.timestamp_units.get(name))
    if isinstance(want, t.IntegerType | t.LongType):
        return _whole(value, have, want)
    return value.try_cast(want)


def _whole(value: Column, have: t.DataType, want: t.DataType) -> Column:
    """Whole numbers only: 12.0 is 12, 12.5 is not an integer, and a float above 2^53 has lost digits already."""
    if isinstance(have, t.FloatType | t.DoubleType):
        return F.when((value == F.floor(value)) & (F.abs(value) <= float(2**53)), value.try_cast(want))
    if isinstance(have, t.DecimalType):
        return F.when(value == F.floor(value), value.try_cast(want))
    if isinstance(have, t.StringType):
        whole = F.when(value.rlike(r"^[+-]?\d+\.0*$"), F.regexp_extract(value, r"^([+-]?\d+)\.", 1).try_cast(want))
        return F.coalesce(value.try_cast(want), whole)
    return value.try_cast(want)


def _timestamp(value: Column, have: t.DataType, *, unit: str | None) -> Column:
    """S7: naive is UTC, offsets are converted, finer than a microsecond is cut, bare numbers need a unit."""
    if isinstance(have, t.TimestampType | t.TimestampNTZType | t.DateType):
        return value.cast("timestamp")
    if isinstance(have, t.StringType):
        if unit is None:
            return F.when(~value.rlike(r"^[+-]?\d+(\.\d*)?$"), value.try_cast("timestamp"))
        value = value.try_cast("decimal(28,6)")
    if unit is None:
        return F.lit(None).cast("timestamp")
    if unit == "ns":
        micros = F.floor(value.cast("decimal(28,6)") / F.lit(1000))
    else:
        micros = F.floor(value.cast("decimal(28,6)") * F.lit(_UNITS[unit]))
    return F.timestamp_micros(micros.try_cast("bigint"))


def _first_reason(*rules: tuple[str, Column]) -> Column:
    return reduce(lambda found, rule: F.coalesce(found, F.when(rule[1], F.lit(rule[0]))), rules, F.col("_wrong"))


def _event_rules(staged: DataFrame, config: Config, name: str) -> DataFrame:
    start = ds_start(F.col(DAY), config.timezone)
    end = ds_start(F.date_add(F.col(DAY), 1), config.timezone)
    arrival = F.greatest(F.coalesce("arrival_ts", "event_ts"), start)
    latest = F.least(arrival, end) + F.expr("INTERVAL 1 DAY")
    rules = [(f"null_{c}", F.col(c).isNull()) for c in required_columns(config, name)]
    early = F.col("event_ts") < F.lit(_EARLIEST).cast("timestamp")
    rules.append(("event_ts_out_of_range", early | (F.col("event_ts") > latest)))
    counted = {
        "arrival_before_event": F.col("arrival_ts") < F.col("event_ts"),
        "arrival_raised_to_ds": F.coalesce("arrival_ts", "event_ts") < start,
        "late": F.col("event_ts") < start,
    }
    if name == "impressions":
        counted["request_after_event"] = F.col("request_ts") > F.col("event_ts")
        changed = {"request_ts": F.least(F.coalesce("request_ts", "event_ts"), F.col("event_ts"))}
    else:
        carries = F.col("action").isin(config.ingest.value_actions)
        bad = F.col("value").isNull() | F.isnan("value") | (F.abs("value") == float("inf")) | (F.col("value") < 0)
        rules.append(("unknown_action", ~F.col("action").isin(config.ingest.actions)))
        rules.append(("bad_watch_value", carries & bad))
        rules.append(("value_too_large", carries & (F.col("value") * 1e6 > float(_LARGEST_MICROUNITS))))
        counted["value_ignored"] = ~carries & F.col("value").isNotNull()
        changed = {"value": F.when(carries, F.col("value"))}
    flags = {f"{COUNTED}{k}": F.coalesce(v, F.lit(False)) for k, v in counted.items()}
    checked = staged.withColumns({REASON: _first_reason(*rules), "effective_arrival_ts": arrival, **flags})
    return checked.withColumns(changed).withColumn("ds", F.col(DAY)).drop("_wrong")


def _profile_rules(staged: DataFrame, config: Config, name: str) -> DataFrame:
    key = f"{name.removesuffix('_profile')}_id"
    rules = [(f"null_{c}", F.col(c).isNull()) for c in (key, "valid_from")]
    rules.append(("valid_to_not_after_valid_from", F.col("valid_to") <= F.col("valid_from")))
    doubles = [f.name for f in table(config, name).schema if isinstance(f.dataType, t.DoubleType)]
    hollow = reduce(lambda a, b: a | b, [F.coalesce(F.isnan(c), F.lit(False)) for c in doubles], F.lit(False))
    checked = staged.withColumns({REASON: _first_reason(*rules), f"{COUNTED}nan_to_null": hollow})
    cleaned = {c: F.when(~F.isnan(c), F.col(c) + F.lit(0.0)) for c in doubles}  # -0.0 + 0.0 is 0.0: one value, not two
    return checked.withColumns(cleaned).withColumn("ds", F.col(DAY)).drop("_wrong")

"""Tables of docs/design.md section 3: grain first, then columns with type, nullability and meaning."""

from dataclasses import dataclass, replace

from pyspark.sql import types as t

from headrace.config import Config, Group, feature_columns, group_cells, measures_of, value_types
from headrace.config.measures import lasting_measures, summed_columns

__all__ = ["TABLES", "Table", "priors_schema", "stats_schema", "table", "tiles_schema"]

_TYPES: dict[str, t.DataType] = {
    "bigint": t.LongType(),
    "int": t.IntegerType(),
    "double": t.DoubleType(),
    "string": t.StringType(),
    "boolean": t.BooleanType(),
    "timestamp": t.TimestampType(),
    "date": t.DateType(),
    "binary": t.BinaryType(),
    "tinyint": t.ByteType(),
    "map": t.MapType(t.StringType(), t.StringType(), valueContainsNull=False),
}
_TYPES |= {f"array<{kind}>": t.ArrayType(_TYPES[kind]) for kind in ("bigint", "int", "string", "timestamp")}


@dataclass(frozen=True)
class Table:
    """One Delta table.

    Attributes
    ----------
    name, grain : str
        `grain` completes the sentence "one row per ...".
    schema : StructType
        Columns with nullability; the meaning stands in each field's `comment`.
    key : tuple of str
        Columns that are unique together.
    bounded : tuple of str
        Timestamps whose least and greatest values per file the Delta log holds.
    """

    name: str
    grain: str
    schema: t.StructType
    key: tuple[str, ...]
    bounded: tuple[str, ...] = ()


def _fields(text: str) -> list[t.StructField]:
    """Parse lines "name type[!]  meaning"; `!` forbids null."""
    fields = []
    for line in filter(None, map(str.strip, text.strip().splitlines())):
        name, kind, *meaning = line.split(None, 2)
        required = kind.endswith("!")
        comment = {"comment": meaning[0]} if meaning else {}
        fields.append(t.StructField(name, _TYPES[kind.rstrip("!")], not required, comment))
    return fields


def _table(name: str, grain: str, key: str, columns: str) -> Table:
    return Table(name, grain, t.StructType(_fields(columns)), tuple(key.split()))


TABLES: dict[str, Table] = {
    made.name: made
    for made in (
        _table(
            "impressions",
            "impression_id (first landed within the duplicate horizon)",
            "impression_id",
            """
            impression_id bigint!   the shown item's id; hashed when it lands as text
            request_id    bigint    the request that showed it
            request_ts    timestamp! when features are read; event_ts where absent or later than event_ts
            user_id       bigint!   who saw it
            item_id       bigint!   what was shown
            event_ts      timestamp! when it was shown, UTC
            arrival_ts    timestamp when the log arrived, as claimed; null = event_ts
            effective_arrival_ts timestamp! max(arrival_ts, start of ds)
            position      int       rank on the page, 0 = top
            scene         string    surface, e.g. feed
            device        string    device class
            os            string    operating system
            network       string    connection
            city          string    city
            ds            date!     landing day
            """,
        ),
        _table(
            "engagements",
            "impression_id x action x event_ts (user_id x item_id where impression_id is null)",
            "impression_id user_id item_id action event_ts",
            """
            impression_id bigint    the impression it answers; null: counts in statistics, labels nothing
            user_id       bigint!   who did it
            item_id       bigint!   to what
            action        string!   click, like, collect, share, follow, comment, hide, watch
            value         double    seconds for watch, else null
            event_ts      timestamp! when it happened, UTC
            arrival_ts    timestamp when the log arrived, as claimed; null = event_ts
            effective_arrival_ts timestamp! max(arrival_ts, start of ds)
            is_first      boolean!  first of its impression and action within the horizon (counts where once: true)
            ds            date!     landing day
            """,
        ),
        _table(
            "duplicates",
            "row recognised as a repeat and dropped",
            "",
            """
            table_name    string!   table it was meant for
            impression_id bigint    of its key
            user_id       bigint    of its key
            item_id       bigint    of its key
            action        string    of its key
            event_ts      timestamp of its key; valid_from of a profile
            standing_hash bigint!   xxhash64 of the other columns of the row that stands
            conflicting   boolean!  its columns differ from those of the row that stands
            row_json      string!   the row
            source_file   string    landing file
            ds            date!     landing day
            """,
        ),
        _table(
            "quarantine",
            "refused row",
            "",
            """
            table_name    string!   table it was meant for
            reason        string!   why it was refused, see docs/semantics.md S7 to S13
            row_json      string!   the row as it landed
            source_file   string    landing file
            ds            date!     landing day
            """,
        ),
        _table(
            "id_map",
            "kind x id x text, on the day it was first seen",
            "kind id text",
            """
            kind          string!   column the text stood in
            id            bigint!   xxhash64 of the text, seed 42
            text          string!   the id as it landed
            ds            date!     landing day
            """,
        ),
        _table(
            "sampling_rates",
            "ds x stratum x label ('all' counts rows)",
            "ds stratum label",
            """
            stratum       string!   what rows were drawn by
            label         string!   'all', or a label column: rows where it is 1
            seen          bigint!   mature rows
            kept          bigint!   rows drawn
            nominal_rate  double!   probability of keeping a row
            realised_rate double    kept / seen; null where nothing was seen
            p_value       double    exact binomial, twice the smaller tail (S29)
            ds            date!     day of the impressions
            """,
        ),
        _table(
            "coverage",
            "ds x feature x slice x value",
            "ds feature slice value",
            """
            feature       string!   feature column
            slice         string!   column the traffic is cut by; 'all' is the whole
            value         string    value of the slice; null is its own slice
            rows          bigint!   sampled rows
            weight        double!   estimated mature impressions
            rows_real     bigint!   cells with a real value
            rows_true_zero bigint!  measured zeros of a known key
            rows_default_filled bigint! nulls filled with the declared default
            rows_null     bigint!   nulls without default
            rows_stale    bigint!   older than the tolerance
            rows_no_entity bigint!  key never seen, or no profile
            weight_real   double!   weight of those cells
            weight_true_zero double! .
            weight_default_filled double! .
            weight_null   double!   .
            weight_stale  double!   .
            weight_no_entity double! .
            coverage      double    (weight_real + weight_true_zero) / weight; null where weight is 0
            mean          double    weighted mean over real and true_zero cells of a number
            std           double    weighted standard deviation of the same
            min           double    smallest of the same
            max           double    largest of the same
            ds            date!     day of the impressions
            """,
        ),
        _table(
            "receipts",
            "job x ds x revision",
            "job ds revision",
            """
            job           string!   step of the chain
            revision      int!      1, 2, ... of this job and day
            status        string!   done, published, refused
            fingerprint   string!   hash of inputs, the config the job uses, and code version
            inputs        map!      input -> content hash
            outputs       map!      table -> content hash of this day
            versions      map!      table -> Delta version that holds this day
            config_hash   string!   of the part of the config that the job uses
            code_version  string!   headrace version
            rows_in       bigint!   rows = out + quarantined + duplicate + sampled_out + immature
            rows_out      bigint!   .
            rows_quarantined bigint! .
            rows_duplicate bigint!  .
            rows_sampled_out bigint! .
            rows_immature bigint!   .
            notes         map!      counts and facts worth knowing, by name
            started_at    timestamp! UTC
            ended_at      timestamp! UTC
            ds            date!     day
            """,
        ),
    )
}


def table(config: Config, name: str) -> Table:
    """Any table by name, with the columns that `config` declares.

    Raises
    ------
    KeyError
        No such table.
    """
    if name in TABLES:
        return TABLES[name]
    if name in ("user_profile", "item_profile"):
        return _profile_table(config, name.removesuffix("_profile"))
    if name == "labels":
        return _labels_table(config)
    if name == "spine":
        return _spine_table(config)
    if name == "training_set":
        return _training_table(config)
    kind, _, group = name.partition("_")
    if kind == "tiles":
        return tiles_schema(config, group)
    if kind == "stats":
        return stats_schema(config, group)
    if kind == "state":
        return state_schema(config, group)
    if kind == "priors":
        return priors_schema(config, group)
    raise KeyError(name)


def _profile_table(config: Config, entity: str) -> Table:
    declared = getattr(config.profiles, entity).columns
    lines = "\n".join(f"{name} {kind} declared in profiles.{entity}" for name, kind in declared.items())
    return _table(
        f"{entity}_profile",
        f"{entity}_id x valid_from x ds: a version, or a later landing that sets its valid_to",
        f"{entity}_id valid_from ds",
        f"""
        {entity}_id bigint! key
        valid_from timestamp! first moment the version holds, inclusive
        valid_to   timestamp  first moment it no longer holds; null = open
        {lines}
        sets_valid_to boolean! a repeat of (key, valid_from): only its valid_to counts, from the start of its ds
        ds date! landing day
        """,
    )


def segment_type(config: Config, group: Group) -> str | None:
    """Spark type of the group's segment column, or None without a segment."""
    if group.segment is None:
        return None
    source, column = group.segment.split(".")
    if source == "impression":
        return "int" if column == "position" else "string"
    return str(getattr(config.profiles, source).columns[column])


def tiles_schema(config: Config, name: str) -> Table:
    """`tiles_<group>`: one row per key (x segment) x event_hour x visible_hour, appended per landing day."""
    group = config.features.groups[name]
    kind, measures = segment_type(config, group), measures_of(group_cells(group), types=value_types(config))
    lines = [f"key bigint! {group.entity}_id"]
    lines += [f"segment {kind} {group.segment}; null counts in no segment"] if kind else []
    lines += [
        "event_hour timestamp! start of the tile of event_ts (the exact moment with refresh 0)",
        "visible_hour timestamp! start of the tile of visible_ts (the exact moment with refresh 0)",
        "known_ts timestamp! earliest visible_ts of any event of the entity in this row, segment aside",
    ]
    lines += [" ".join(c) for measure in measures for c in measure.columns]
    lines += ["ds date! landing day"]
    grain = f"{group.entity}_id{' x segment' if kind else ''} x event_hour x visible_hour x ds"
    key = f"key{' segment' if kind else ''} event_hour visible_hour ds"
    return replace(_table(f"tiles_{name}", grain, key, "\n".join(lines)), bounded=("event_hour", "visible_hour"))


def state_schema(config: Config, name: str) -> Table:
    """`state_<group>`: one row per key (x segment) x ds: what the next day starts from (features/state.py)."""
    group = config.features.groups[name]
    kind, cells = segment_type(config, group), group_cells(group)
    measures = measures_of(cells, types=value_types(config))
    lines = [f"key bigint! {group.entity}_id"] + ([f"segment {kind} {group.segment}"] if kind else [])
    lines += [
        "as_of timestamp! moment that the row speaks of",
        "known_ts timestamp! earliest visible_ts of the key here",
    ]
    lines += [" ".join(c) for measure in lasting_measures(measures) for c in measure.columns]
    lines += [f"{n} bigint {c} in {w.name}" for (c, w), n in summed_columns(cells, measures).items()] + ["ds date! day"]
    grain = f"{group.entity}_id{' x segment' if kind else ''} x ds"
    return _table(f"state_{name}", grain, f"key{' segment' if kind else ''} ds", "\n".join(lines))


def stats_schema(config: Config, name: str) -> Table:
    """`stats_<group>`: one row per key (x segment) x ds with news, as an impression at the end of ds would see it (S23)."""
    group = config.features.groups[name]
    kind = segment_type(config, group)
    lines = [f"key bigint! {group.entity}_id"] + ([f"segment {kind} {group.segment}"] if kind else [])
    features = [f for f in feature_columns(config) if f.source == f"group:{name}"]
    lines += ["as_of timestamp! moment that the cells speak of: floor(end of ds - delay, refresh)"]
    lines += [
        "touched_ts timestamp tile in which the newest event of the row became visible; null: no event, a key alone"
    ]
    lines += [f"{f.name} {f.type} {f.definition}" for f in features] + ["ds date! day"]
    grain = f"{group.entity}_id{' x segment' if kind else ''} x ds on which a cell changed since the day before"
    return _table(f"stats_{name}", grain, f"key{' segment' if kind else ''} ds", "\n".join(lines))


def priors_schema(config: Config, name: str) -> Table:
    """`priors_<group>`: the population's rates of one moment, for segments that a key has not met (S23)."""
    group = config.features.groups[name]
    kind = segment_type(config, group)
    smoothed = [c for c in group_cells(group) if c.aggregate == "rate_smoothed"]
    lines = [f"segment {kind} {group.segment}"] if kind else []
    lines += ["as_of timestamp! moment that the rates speak of"]
    lines += [f"{c.name} double {c.metric} per {c.over} of all keys" for c in smoothed] + ["ds date! day"]
    return _table(
        f"priors_{name}", f"{'segment x ' if kind else ''}ds", f"{'segment ' if kind else ''}ds", "\n".join(lines)
    )


_IMPRESSION_PART = """
    impression_id bigint!   the impression
    request_id    bigint    its request
    request_ts    timestamp! when features are read
    user_id       bigint!   who saw it
    item_id       bigint!   what was shown
    event_ts      timestamp! when it was shown
    position      int       rank on the page
    scene         string    surface
    device        string    device class
    os            string    operating system
    network       string    connection
    city          string    city
"""


def label_columns(config: Config) -> str:
    """Label columns as schema lines, in the order of labels.windows."""
    lines = [f"label_{action} int 1 where a {action} followed in its label window" for action in config.labels.windows]
    lines += ["label_watch_s double seconds watched, 0 for a video not watched; null where there is nothing to watch"]
    lines += ["label_completion double label_watch_s / duration_s; null without a duration"]
    return "\n".join(lines)


def _labels_table(config: Config) -> Table:
    return _table(
        "labels",
        "impression_id of mature impressions",
        "impression_id",
        f"{_IMPRESSION_PART}\n{label_columns(config)}\n"
        "preceding_engagements int! engagements stamped before the impression: they label nothing (S12)\n"
        "implied_labels int! labels set because another implies them (S27)\n"
        "ds date! day of the impression",
    )


_SAMPLING_PART = """
    sampling_stratum string! what the row was drawn by
    sampling_rate double!   probability with which it was kept
    sample_weight double!   1 / sampling_rate
"""


def _spine_table(config: Config) -> Table:
    return _table(
        "spine",
        "impression_id of sampled impressions",
        "impression_id",
        f"{_IMPRESSION_PART}\n{label_columns(config)}\n{_SAMPLING_PART}\nds date! day of the impression",
    )


def _training_table(config: Config) -> Table:
    context = set(config.context.columns)
    features = [f for f in feature_columns(config) if f.name not in context]
    lines = "\n".join(f"{f.name} {f.type} {f.definition}" for f in features)
    author = "author_id bigint author of the item at request_ts" if "author_id" in config.profiles.item.columns else ""
    return _table(
        "training_set",
        "impression_id: the spine and every declared feature",
        "impression_id",
        f"{_IMPRESSION_PART}\n{author}\n{label_columns(config)}\n{_SAMPLING_PART}\n{lines}\n"
        "feature_states binary! one byte a feature, in the order of the receipt's note `features`: "
        "0 real, 1 true_zero, 2 default_filled, 3 null, 4 stale, 5 no_entity, found before filling\n"
        "ds date! day of the impression",
    )

"""Tables of docs/design.md section 3: grain first, then columns with type, nullability and meaning."""

from headrace.config import Config, feature_columns, label_facts
from schemas.columns import Table, make_table
from schemas.coverage import COVERAGE, GATE_RESULTS
from schemas.grouptables import priors_schema, state_schema, stats_schema, tiles_schema

__all__ = ["TABLES", "label_columns", "table"]


TABLES: dict[str, Table] = {
    made.name: made
    for made in (
        make_table(
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
        make_table(
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
        make_table(
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
        make_table(
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
        make_table(
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
        make_table(
            "sampling_plan",
            "ds x stratum: written before rows are drawn",
            "ds stratum",
            """
            stratum       string!   what rows are drawn by
            rule          string!   what the configuration asks for, e.g. 'rate 0.1', '4 per positive', '100000 rows'
            seen          bigint!   mature rows
            positives     bigint!   of them with a positive label
            nominal_rate  double!   probability of keeping a row
            ds            date!     day of the impressions
            """,
        ),
        make_table(
            "sampling_rates",
            "ds x stratum x label ('all' counts rows)",
            "ds stratum label",
            """
            stratum       string!   what rows were drawn by
            label         string!   'all', 'positive' (any positive label), or a 0/1 label column: rows where it is 1
            seen          bigint!   mature rows
            kept          bigint!   rows drawn
            nominal_rate  double!   probability of keeping a row
            realised_rate double    kept / seen; null where nothing was seen
            rate_low      double    exact 95 % interval (Clopper and Pearson) of the probability that kept of seen speaks for
            rate_high     double    .
            p_value       double    exact binomial, twice the smaller tail (S29)
            ds            date!     day of the impressions
            """,
        ),
        make_table(
            "label_delays",
            "ds x action",
            "ds action",
            """
            action        string!   engagement, watch too
            impressions   bigint!   impressions of the day that met it within 7 d, as far as has landed
            happened_1h   bigint!   of them, the first within 1 h of the impression, by event_ts
            happened_6h   bigint!   .
            happened_24h  bigint!   .
            happened_7d   bigint!   .
            landed_1h     bigint!   of them, the first to land within 1 h of the impression, by effective_arrival_ts
            landed_6h     bigint!   .
            landed_24h    bigint!   .
            landed_7d     bigint!   .
            watched_h     int!      hours of engagements ingested after the end of the day
            ds            date!     day of the impressions
            """,
        ),
        COVERAGE,
        GATE_RESULTS,
        make_table(
            "receipts",
            "job x ds x revision",
            "job ds revision",
            """
            job           string!   step of the chain
            revision      int!      1, 2, ... of this job and day
            status        string!   started, done, refused, published, unpublished, lost (docs/days.md)
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
    return make_table(
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
    """Label columns as schema lines."""
    return "\n".join(" ".join(facts) for facts in label_facts(config.labels))


def _labels_table(config: Config) -> Table:
    return make_table(
        "labels",
        "impression_id of mature impressions",
        "impression_id",
        f"{_IMPRESSION_PART}\n{label_columns(config)}\n"
        "preceding_engagements int! engagements stamped before the impression: they label nothing (S12)\n"
        "implied_labels int! labels that another implies and that no engagement set (S27)\n"
        "watch_cut_s double! seconds that labels.watch_cap took off label_watch_s\n"
        "ds date! day of the impression",
    )


_SAMPLING_PART = """
    sampling_stratum string! what the row was drawn by
    sampling_rate double!   probability with which it was kept
    sample_weight double!   1 / sampling_rate
    split         string    train, validation or test; null in no split, or where none is declared
"""


def _spine_table(config: Config) -> Table:
    return make_table(
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
    return make_table(
        "training_set",
        "impression_id: the spine and every declared feature",
        "impression_id",
        f"{_IMPRESSION_PART}\n{author}\n{label_columns(config)}\n{_SAMPLING_PART}\n{lines}\n"
        "feature_states binary! one byte a feature, in the order of the receipt's note `features`: "
        "0 real, 1 true_zero, 2 default_filled, 3 null, 4 stale, 5 no_entity, found before filling\n"
        "ds date! day of the impression",
    )

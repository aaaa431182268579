"""Delta tables before their first row, and before the first row with a new column: made through deltalake, without a job."""

from collections.abc import Sequence

from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from pyspark.sql import types as t

from headrace.byname import stored_schema
from headrace.delta import is_table
from headrace.errors import ConfigError
from schemas.columns import Table

__all__ = ["KEPT", "ensure_table"]

# Published days are read at their own version for as long as anyone wants them; `headrace prune` deletes what none needs.
KEPT = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}

_ATTEMPTS = 20  # each loses only to a change of others


def ensure_table(uri: str, made: Table) -> None:
    """Create the table with its comments and NOT NULLs, or add columns that a new feature brought.

    Raises
    ------
    ConfigError
        A column stands there with another type.
    """
    if not is_table(uri):
        _create(uri, made)
    for attempt in range(_ATTEMPTS):
        try:
            _change(uri, made)
            return
        except CommitFailedError:  # another run changed it at the same moment: look again
            if attempt + 1 == _ATTEMPTS:
                raise


def _change(uri: str, made: Table) -> None:
    standing = DeltaTable(uri)
    if any(standing.metadata().configuration.get(key) != value for key, value in KEPT.items()):
        standing.alter.set_table_properties(KEPT)
    have = stored_schema(standing)
    _check_types(uri, made, have)
    # A column can only be added as nullable; the rows of older days have no value for it.
    added = [t.StructField(f.name, f.dataType, True, f.metadata) for f in made.schema if f.name not in have.names]
    if added:
        standing.alter.add_columns(_delta_schema(added).fields)


def _create(uri: str, made: Table) -> None:
    try:
        DeltaTable.create(
            uri,
            _delta_schema(made.schema.fields),
            mode="ignore",
            partition_by=["ds"],
            description=f"One row per {made.grain}",
            configuration=KEPT,
            commit_properties=CommitProperties(max_commit_retries=0),  # tried again it would replace what others made
        )
    except DeltaError:
        if not is_table(uri):  # else another run made it at the same moment
            raise


def _delta_schema(fields: Sequence[t.StructField]) -> Schema:
    """Spark's JSON of a schema is Delta's."""
    return Schema.from_json(t.StructType(list(fields)).json())


def _check_types(uri: str, made: Table, have: t.StructType) -> None:
    """Columns may come and go with the configuration; a column that changes its type would break every older day."""
    for field in made.schema:
        if field.name in have.names and have[field.name].dataType != field.dataType:
            raise ConfigError(
                f"{uri}: column {field.name}",
                found=f"{have[field.name].dataType.simpleString()} in the table",
                wanted=f"{field.dataType.simpleString()}, as the configuration now says",
                remedy="give the group or column another name, or write to another root",
            )

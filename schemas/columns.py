"""How a table is written down: grain, key, and one line a column."""

from dataclasses import dataclass

from pyspark.sql import types as t

__all__ = ["Table", "make_table", "parse_fields"]

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
_TYPES |= {f"array<{kind}>": t.ArrayType(_TYPES[kind]) for kind in ("bigint", "int", "double", "string", "timestamp")}


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


def parse_fields(text: str) -> list[t.StructField]:
    """Parse lines "name type[!]  meaning"; `!` forbids null."""
    fields = []
    for line in filter(None, map(str.strip, text.strip().splitlines())):
        name, kind, *meaning = line.split(None, 2)
        required = kind.endswith("!")
        comment = {"comment": meaning[0]} if meaning else {}
        fields.append(t.StructField(name, _TYPES[kind.rstrip("!")], not required, comment))
    return fields


def make_table(name: str, grain: str, key: str, columns: str) -> Table:
    """A table from its key (names apart by blanks) and its columns (`parse_fields`)."""
    return Table(name, grain, t.StructType(parse_fields(columns)), tuple(key.split()))

"""Every table's StructType with its grain and column meanings, and what makes a row good."""

from schemas.tables import TABLES, Table, stats_schema, table, tiles_schema

__all__ = ["TABLES", "Table", "stats_schema", "table", "tiles_schema"]

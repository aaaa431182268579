"""Compare two contenders' outputs cell by cell: same rows, same columns, same values, same nulls.

`python -m benchmarks.compare LEFT RIGHT` prints the counts; exit 1 where anything differs.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from benchmarks.names import feature_names
from headrace.errors import InputError

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """What differs between two outputs.

    Attributes
    ----------
    rows : (int, int)
        Rows of the left and of the right.
    repeated : (int, int)
        Rows beyond the first of their impression_id.
    missing : (int, int)
        Rows of the left without partner on the right, and the other way round.
    mismatches : column -> cells that differ, only where any does
    nulls : int
        Null cells on the left: a comparison of all-zero columns would show nothing.
    """

    rows: tuple[int, int]
    repeated: tuple[int, int]
    missing: tuple[int, int]
    mismatches: dict[str, int] = field(default_factory=dict)
    nulls: int = 0

    @property
    def equal(self) -> bool:
        """Not a row and not a cell differs, and there is something to compare."""
        differs = any(self.repeated) or any(self.missing) or bool(self.mismatches)
        return not differs and self.rows[0] == self.rows[1] > 0


def compare(left: Path, right: Path, *, columns: list[str] | None = None, where: str = "true") -> Comparison:
    """Join two outputs on impression_id and count cells that differ (IS DISTINCT FROM; a null equals a null).

    Parameters
    ----------
    left, right : folders of Parquet files, one row per impression_id; nested folders and other files are ignored
    columns : what to compare; default the 48 features
    where : only rows for which this SQL condition holds

    Raises
    ------
    InputError
        A folder holds no Parquet, or lacks a column.
    """
    columns = feature_names() if columns is None else columns
    with duckdb.connect(config={"threads": 2, "memory_limit": "8GB", "preserve_insertion_order": False}) as base:
        for name, folder in (("l", left), ("r", right)):
            _view(base, name, folder, columns=columns, where=where)
        rows_l, ids_l = _one(base, "SELECT count(*), count(DISTINCT impression_id) FROM l")
        rows_r, ids_r = _one(base, "SELECT count(*), count(DISTINCT impression_id) FROM r")
        counts = ["count(*) FILTER (r.impression_id IS NULL)", "count(*) FILTER (l.impression_id IS NULL)"]
        both = "l.impression_id IS NOT NULL AND r.impression_id IS NOT NULL"
        counts += [f'count(*) FILTER ({both} AND l."{c}" IS DISTINCT FROM r."{c}")' for c in columns]
        counts += [f'count(*) FILTER (l.impression_id IS NOT NULL AND l."{c}" IS NULL)' for c in columns]
        found = _one(base, f"SELECT {', '.join(counts)} FROM l FULL JOIN r ON l.impression_id = r.impression_id")
    differs = dict(zip(columns, found[2 : 2 + len(columns)], strict=True))
    return Comparison(
        rows=(rows_l, rows_r),
        repeated=(rows_l - ids_l, rows_r - ids_r),
        missing=(found[0], found[1]),
        mismatches={name: count for name, count in differs.items() if count},
        nulls=sum(found[2 + len(columns) :]),
    )


def _one(base: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = base.execute(query).fetchone()
    assert row is not None
    return tuple(row)


def _view(base: duckdb.DuckDBPyConnection, name: str, folder: Path, *, columns: list[str], where: str) -> None:
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise InputError(str(folder), found="no Parquet file", wanted="a contender's output", remedy="run it first")
    listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    base.execute(
        f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}], hive_partitioning = false) WHERE {where}"
    )
    present = {row[0] for row in base.execute(f"DESCRIBE {name}").fetchall()}
    absent = [column for column in ("impression_id", *columns) if column not in present]
    if absent:
        raise InputError(
            str(folder), found=f"no column {', '.join(absent)}", wanted="every feature", remedy="mend the contender"
        )


if __name__ == "__main__":
    outcome = compare(Path(sys.argv[1]), Path(sys.argv[2]))
    print(outcome)
    sys.exit(0 if outcome.equal else 1)

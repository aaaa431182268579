"""Ingest of one landing day beside a plain Spark read and write of the same files to Delta: what conforming costs.

Full: 10 million impressions in one day, after three days of a hundredth each.
"""

import json
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

from benchmarks.harness import Asked, alone, arguments, available, main, output_folder, run_rounds
from benchmarks.record import Target, finish, ratios, record
from benchmarks.worlds import LANDING_ROWS, landing_world

__all__ = ["bench", "contenders_of", "rows_of_day"]

_KNOWN = ("headrace_ingest", "ingest_plain")
_TARGETS = (Target("headrace_ingest / ingest_plain", limit=2.5),)


def contenders_of(scale: str) -> list[str]:
    """Those that run by default: headrace_ingest once its module is there."""
    return [name for name in _KNOWN if available(name)]


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where every contender's table holds the day's rows.

    Raises
    ------
    InputError
        A contender failed.
    """
    asked = arguments("ingest", contenders=contenders_of, known=_KNOWN, argv=argv)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    rows = LANDING_ROWS[asked.scale]
    world = landing_world(asked.work, rows=rows)
    out = asked.work / f"ingest-{asked.scale}-out"
    contenders = run_rounds(asked.contenders, rounds=asked.rounds, world=world, out=out)
    ds = json.loads((world / "day.json").read_text())["ds"]
    checks = {f"{c}: {rows} rows": rows_of_day(output_folder(out, c), ds=ds) == rows for c in asked.contenders}
    result = record(
        "ingest",
        asked,
        contenders=contenders,
        ratios=ratios(contenders, [("headrace_ingest", "ingest_plain")]),
        targets=_TARGETS,
        checks=checks,
        work={"rows": rows, "rows_of_each_day_before": max(rows // 100, 1)},
    )
    finish(result, asked.out)
    return all(checks.values())


def rows_of_day(root: Path, *, ds: str) -> int:
    """Rows of one day in the Delta table `root/impressions`, as its log states them."""
    table = DeltaTable(str(root / "impressions"))
    actions = pa.table(table.get_add_actions(flatten=True)).to_pydict()
    days = (str(day) for day in actions["partition.ds"])
    return sum(rows for day, rows in zip(days, actions["num_records"], strict=True) if day == ds)


if __name__ == "__main__":
    main(bench)

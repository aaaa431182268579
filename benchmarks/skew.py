"""One user and one item with a fifth, or three fifths, of all events and rows: what a hot key costs Headrace.

The features contender looks for hot keys first, on worlds of the same size with and without them.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.compare import compare
from benchmarks.harness import Asked, alone, arguments, main, output_folder, run_once, take_turns
from benchmarks.names import ENTITIES
from benchmarks.record import Target, finish, ratios, record
from benchmarks.worlds import FEATURE_WORLDS, feature_world
from features.skew import shares_of
from headrace.exchange import Hot, pack, unpack

__all__ = ["HOT_PERCENTS", "bench", "largest_part"]

HOT_PERCENTS = (0, 20, 60)
_OURS = "headrace:hot"
_KNOWN = ("headrace", "duckdb")
_PARTITIONS = 200


def bench(argv: list[str] | None = None) -> bool:
    """Run every contender on every world; True where all outputs equal DuckDB's.

    Raises
    ------
    InputError
        A contender failed.
    """
    asked = arguments("skew", contenders=lambda scale: [_OURS, "headrace", "duckdb"], known=_KNOWN, argv=argv)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    worlds = {percent: feature_world(asked.work, asked.scale, hot_percent=percent) for percent in HOT_PERCENTS}
    out = asked.work / f"skew-{asked.scale}-out"
    once = {
        _name(contender, percent): partial(run_once, contender, world=world, out=out / str(percent))
        for contender in asked.contenders
        for percent, world in worlds.items()
    }
    contenders = take_turns(once, rounds=asked.rounds)
    parts = {percent: _parts(world) for percent, world in worlds.items()}
    result = record(
        "skew",
        asked,
        contenders=contenders,
        ratios=_slowdowns(contenders, asked.contenders) | {k: v for found in parts.values() for k, v in found.items()},
        targets=_targets(asked.scale, parts),
        checks=_equality(asked.contenders, out),
        work=FEATURE_WORLDS[asked.scale].facts() | {"hot_percents": list(HOT_PERCENTS)},
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _name(contender: str, percent: int) -> str:
    return f"{contender}, {percent} %"


def _slowdowns(contenders: dict[str, dict[str, Any]], names: list[str]) -> dict[str, float]:
    pairs = [(_name(c, percent), _name(c, 0)) for c in names for percent in HOT_PERCENTS[1:]]
    return ratios(contenders, pairs)


def _targets(scale: str, parts: Mapping[int, dict[str, float]]) -> list[Target]:
    """Times at full scale only; how rows spread does not depend on the machine, but needs rows to spread."""
    if scale == "tiny":
        return []
    balance = [Target(name, limit=2.0) for found in parts.values() for name in found if "unshared" not in name]
    times = [Target(f"{_name(_OURS, percent)} / {_name(_OURS, 0)}", limit=1.3) for percent in HOT_PERCENTS[1:]]
    return balance + (times if scale == "full" else [])


def _parts(world: Path) -> dict[str, float]:
    """The largest of 200 partitions over the mean, by entity, with hot keys shared and unshared."""
    percent = world.name.split("-")[1].removeprefix("hot")
    found = {}
    for entity in ENTITIES:
        keys = pq.read_table(world / "spine", columns=[f"{entity}_id"])
        for how, sharing in (("", True), (", unshared", False)):
            name = f"largest / mean of {_PARTITIONS} parts by {entity}, {percent} %{how}"
            found[name] = largest_part(keys, partitions=_PARTITIONS, sharing=sharing)
    return found


def largest_part(keys: pa.Table, *, partitions: int, sharing: bool = True) -> float:
    """Rows of the largest partition over those of the mean one, as `pack` sends them.

    Parameters
    ----------
    keys : one column, the key of every row
    sharing : whether hot keys' rows are shared among partitions
    """
    (name,) = keys.column_names
    counted = pc.value_counts(keys.column(name)).flatten()
    counts = dict(zip(*(part.to_pylist() for part in counted), strict=True))
    hot: Hot = shares_of(counts, rows=keys.num_rows, partitions=partitions) if sharing else {}
    loads = [0] * partitions
    for batch in pack(keys, key=name, tag="rows", partitions=partitions, hot=hot):
        loads[batch["pid"][0].as_py()] += unpack([batch])["rows"].num_rows
    assert sum(loads) == keys.num_rows
    return round(max(loads) * partitions / keys.num_rows, 3)


def _equality(names: list[str], out: Path) -> dict[str, bool]:
    """Every output against DuckDB's of the same world, else against the first contender's."""
    reference = "duckdb" if "duckdb" in names else names[0]
    checks = {}
    for percent in HOT_PERCENTS:
        for name in (other for other in names if other != reference):
            folders = [output_folder(out / str(percent), one) for one in (reference, name)]
            found = compare(folders[0], folders[1])
            checks[f"{name} = {reference}, {percent} %"] = found.equal
            if not found.equal:
                print(f"{name} differs from {reference} at {percent} %: {found}")
    return checks


if __name__ == "__main__":
    main(bench)

"""600 features in 12 groups beside 60 in 2 and 60 in 12, on one log and one spine: seconds per feature.

Full: 3 million events over 38 days, a spine of 375,000 rows; user and item, five windows a group.
"""

from pathlib import Path
from typing import Any

from benchmarks.compare import compare
from benchmarks.harness import Asked, alone, arguments, main, output_folder, run_rounds
from benchmarks.record import Target, finish, ratios, record
from benchmarks.streams import stream_world
from benchmarks.wideness import SETS, wide_names

__all__ = ["EVENTS", "bench"]

EVENTS = {"tiny": 2_000, "small": 100_000, "full": 3_000_000}
_KNOWN = ("headrace_wide", "duckdb_wide")
_EVERY = [f"{engine}:{which}" for engine in _KNOWN for which in SETS]
_PAIRS = [(f"{engine}:600", f"{engine}:{which}") for engine in _KNOWN for which in SETS[1:]]
_PAIRS += [(f"headrace_wide:{which}", f"duckdb_wide:{which}") for which in SETS]
_TARGETS = tuple(Target(f"headrace_wide:600 / headrace_wide:{which}", limit=10.0) for which in SETS[1:])


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where Headrace's outputs equal DuckDB's.

    Raises
    ------
    InputError
        A contender failed.
    """
    asked = arguments("wide", contenders=lambda scale: _EVERY, known=_KNOWN, argv=argv)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    world, out = stream_world(asked.work, events=EVENTS[asked.scale]), asked.work / f"wide-{asked.scale}-out"
    contenders = run_rounds(asked.contenders, rounds=asked.rounds, world=world, out=out)
    result = record(
        "wide",
        asked,
        contenders=contenders,
        ratios=ratios(contenders, _PAIRS) | _per_feature(contenders),
        targets=_TARGETS if asked.scale == "full" else (),
        checks=_equality(asked.contenders, out),
        work={"events": EVENTS[asked.scale], "sets": ", ".join(SETS)},
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _per_feature(contenders: dict[str, dict[str, Any]]) -> dict[str, float]:
    names = {name: len(wide_names(name.partition(":")[2] or SETS[0])) for name in contenders}
    return {f"{c} ms per feature": round(contenders[c]["median"] / count * 1000, 2) for c, count in names.items()}


def _equality(names: list[str], out: Path) -> dict[str, bool]:
    """Cell by cell, for the sets that both engines made."""
    checks = {}
    for which in SETS:
        ours, theirs = (f"{engine}:{which}" for engine in _KNOWN)
        if {ours, theirs} <= set(names):
            found = compare(output_folder(out, theirs), output_folder(out, ours), columns=wide_names(which))
            checks[f"{ours} = {theirs}"] = found.equal
            if not found.equal:
                print(f"{ours} differs from {theirs}: {found}")
    return checks


if __name__ == "__main__":
    main(bench)

"""48 windowed, point-in-time features joined to a spine: Headrace beside DuckDB, Polars and native Spark, cell for cell
equal; and the floor, a shuffle through Python that computes nothing.

Full: 10 million events over 38 days, 200,000 users, 50,000 items (Zipf 1.2), a spine of 2 million impressions.
"""

from pathlib import Path

from benchmarks.compare import compare
from benchmarks.harness import Asked, alone, arguments, available, main, output_folder, run_rounds
from benchmarks.record import Target, finish, ratios, record
from benchmarks.worlds import FEATURE_WORLDS, feature_world

__all__ = ["bench", "contenders_of"]

_TARGETS = (
    Target("headrace / duckdb", limit=0.7),
    Target("headrace / polars", limit=1.7),
    Target("headrace / spark_tiles", limit=0.286),
    Target("headrace / spark_raw:range", limit=0.04),
    Target("headrace / spark_floor", limit=2.0),
)

_KNOWN = ("headrace", "duckdb", "polars", "spark_tiles", "spark_floor", "spark_raw")
_NOTHING_WRITTEN = ("spark_floor",)
_PAIRS = (
    ("headrace", "duckdb"),
    ("headrace", "polars"),
    ("headrace", "spark_tiles"),
    ("headrace", "spark_floor"),
    ("headrace", "spark_raw"),
    ("headrace", "spark_raw:range"),
    ("spark_tiles", "duckdb"),
    ("polars", "duckdb"),
    ("spark_raw", "spark_tiles"),
)


def contenders_of(scale: str) -> list[str]:
    """Those that run by default: spark_raw takes minutes at full scale; headrace runs once its module is there."""
    return [name for name in _KNOWN if available(name) and (name != "spark_raw" or scale != "full")]


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where every pair of outputs is equal.

    Raises
    ------
    InputError
        A contender failed.
    """
    asked = arguments("features", contenders=contenders_of, known=_KNOWN, argv=argv)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    world = feature_world(asked.work, asked.scale)
    out = asked.work / f"features-{asked.scale}-out"
    contenders = run_rounds(asked.contenders, rounds=asked.rounds, world=world, out=out)
    result = record(
        "features",
        asked,
        contenders=contenders,
        ratios=ratios(contenders, _PAIRS),
        targets=_TARGETS if asked.scale == "full" else (),
        checks=_equality(asked.contenders, out),
        work=FEATURE_WORLDS[asked.scale].facts(),
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _equality(names: list[str], out: Path) -> dict[str, bool]:
    """Every other output against the reference's: DuckDB's where it ran, else the first one's."""
    names = [name for name in names if name not in _NOTHING_WRITTEN]
    reference = "duckdb" if "duckdb" in names else (names or [""])[0]
    checks = {}
    for name in (other for other in names if other != reference):
        found = compare(output_folder(out, reference), output_folder(out, name))
        checks[f"{name} = {reference}"] = found.equal
        if not found.equal:
            print(f"{name} differs from {reference}: {found}")
    return checks


if __name__ == "__main__":
    main(bench)

"""Does memory stay put while the day grows: each contender with a driver heap of 1 GiB, at two sizes.

Full: landing days of 1 and 10 million impressions. Kept: success, peak heap in use, peak resident memory.
"""

import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import Asked, alone, arguments, available, contender_command, main, spread
from benchmarks.measure import last_json_line, measured
from benchmarks.record import finish, record
from benchmarks.worlds import landing_world

__all__ = ["SIZES", "bench", "contenders_of", "measure"]

SIZES = {"tiny": (500, 2_000), "small": (100_000, 300_000), "full": (1_000_000, 10_000_000)}
_KNOWN = ("headrace_run", "ingest_plain")
_HEAP = "1g"
_TIMEOUT_S = 7200.0


def contenders_of(scale: str) -> list[str]:
    """The chain (`headrace_run`) once its module is there, beside the plain copy that shows what Spark alone needs."""
    return [name for name in _KNOWN if available(name)]


def bench(argv: list[str] | None = None) -> bool:
    """Run every contender at both sizes, `rounds` times; True where all succeed."""
    asked = arguments("memory", contenders=contenders_of, known=_KNOWN, argv=argv, rounds=1)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    contenders: dict[str, dict[str, Any]] = {}
    for rows in SIZES[asked.scale]:
        world = landing_world(asked.work, rows=rows)
        for name in asked.contenders:
            out = asked.work / f"memory-{asked.scale}-out"
            runs = [measure(name, world=world, out=out) for _ in range(asked.rounds)]
            contenders[f"{name} at {rows} rows"] = _summary(runs)
    checks = {f"{name} within a heap of {_HEAP}": c["succeeded"] for name, c in contenders.items()}
    work = {"rows": list(SIZES[asked.scale]), "heap": _HEAP}
    ratios = _growth(contenders, asked.contenders, sizes=SIZES[asked.scale])
    finish(record("memory", asked, contenders=contenders, ratios=ratios, checks=checks, work=work), asked.out)
    return all(checks.values())


def measure(contender: str, *, world: Path, out: Path) -> dict[str, Any]:
    """Run a contender once with the small heap.

    Returns
    -------
    seconds (inner; the whole process where it failed), wall_s, peak_rss_mb, peak_java_rss_mb, peak_heap_mb (the most
    in use before a collection; None without one), succeeded
    """
    command = [*contender_command(contender, world=world, out=out), "--memory", _HEAP]
    run = measured(command, timeout_s=_TIMEOUT_S, heap=True)
    said = last_json_line(run.stdout) or {}
    succeeded = run.code == 0 and "inner_s" in said
    if not succeeded:
        print(f"{contender}: exit {run.code}", *run.stderr.splitlines()[-15:], sep="\n", file=sys.stderr)
    return {
        "seconds": said["inner_s"] if succeeded else run.wall_s,
        "wall_s": run.wall_s,
        "peak_rss_mb": run.peak_rss_mb,
        "peak_java_rss_mb": run.peak_java_rss_mb,
        "peak_heap_mb": run.peak_heap_mb,
        "succeeded": succeeded,
    }


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Spreads of the times, the largest of the peaks; succeeded only if every run did."""
    peaks = ("peak_rss_mb", "peak_java_rss_mb", "peak_heap_mb")
    return {
        **spread([run["seconds"] for run in runs]),
        "wall": spread([run["wall_s"] for run in runs]),
        **{name: max((run[name] for run in runs if run[name] is not None), default=None) for name in peaks},
        "succeeded": all(run["succeeded"] for run in runs),
    }


def _growth(contenders: dict[str, dict[str, Any]], names: list[str], *, sizes: tuple[int, int]) -> dict[str, float]:
    """Peaks at the larger size over those at the smaller one: 1 is memory that does not grow with the day."""
    found = {}
    for name in names:
        small, large = (contenders[f"{name} at {rows} rows"] for rows in sizes)
        for peak in ("peak_heap_mb", "peak_java_rss_mb", "peak_rss_mb"):
            if small[peak] and large[peak]:
                found[f"{name} {peak}, {sizes[1]} / {sizes[0]} rows"] = round(large[peak] / small[peak], 3)
    return found


if __name__ == "__main__":
    main(bench)

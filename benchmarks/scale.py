"""Seconds per event and memory of Headrace's features while the log grows, with as many rows a partition at every size.

Full: 1, 10 and 100 million events (the last where the disk has room), 38 days, an eighth as many spine rows.
"""

import shutil
from functools import partial
from itertools import pairwise
from typing import Any

from benchmarks.harness import Asked, alone, arguments, main, run_once, take_turns
from benchmarks.record import Target, finish, record
from benchmarks.streams import STREAM_DAYS, stream_world

__all__ = ["SIZES", "bench", "sizes_of"]

SIZES = {"tiny": (2_000, 4_000), "small": (100_000, 300_000, 1_000_000), "full": (1_000_000, 10_000_000, 100_000_000)}
_OURS = "headrace:sized"
_BYTES_PER_EVENT = 300  # of disk: the world, what is shuffled, the result
_WITHIN = 0.2
_TIMEOUT_S = 4 * 3600.0


def bench(argv: list[str] | None = None) -> bool:
    """Run the contender on every size; True where every run wrote its rows.

    Raises
    ------
    InputError
        A run failed.
    """
    asked = arguments("scale", contenders=lambda scale: [_OURS], known=("headrace",), argv=argv)
    with alone(asked.work):
        return _run(asked)


def sizes_of(scale: str, *, free_bytes: int) -> list[int]:
    """Sizes for which the disk has room; the smallest always."""
    return [size for n, size in enumerate(SIZES[scale]) if n == 0 or size * _BYTES_PER_EVENT <= free_bytes]


def _run(asked: Asked) -> bool:
    sizes = sizes_of(asked.scale, free_bytes=shutil.disk_usage(asked.work).free)
    left_out = [size for size in SIZES[asked.scale] if size not in sizes]
    out = asked.work / f"scale-{asked.scale}-out"
    worlds = {size: stream_world(asked.work, events=size) for size in sizes}
    once = {
        _name(contender, size): partial(run_once, contender, world=worlds[size], out=out, timeout_s=_TIMEOUT_S)
        for contender in asked.contenders
        for size in sizes
    }
    contenders = take_turns(once, rounds=asked.rounds)
    result = record(
        "scale",
        asked,
        contenders=contenders,
        ratios={k: v for c in asked.contenders for k, v in _ratios(contenders, c, sizes=sizes).items()},
        targets=_targets(sizes) if asked.scale == "full" else (),
        checks={f"{name} wrote every row": c["facts"]["rows"] == c["facts"]["spine"] for name, c in contenders.items()},
        work={"events": sizes, "left_out_for_want_of_disk": left_out, "days": STREAM_DAYS},
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _name(contender: str, size: int) -> str:
    return f"{contender} at {size} events"


def _per_event(contender: str, large: int, small: int) -> str:
    return f"{contender} seconds per event, {large} / {small}"


def _ratios(contenders: dict[str, dict[str, Any]], contender: str, *, sizes: list[int]) -> dict[str, float]:
    """Microseconds per event, each size over the one before, workers' memory, and bytes spilled per event."""
    found: dict[str, float] = {}
    per_event = {size: contenders[_name(contender, size)]["median"] / size for size in sizes}
    for size in sizes:
        made = contenders[_name(contender, size)]
        found[f"{contender} microseconds per event, {size}"] = round(per_event[size] * 1e6, 2)
        found[f"{contender} workers' peak RSS MB, {size}"] = made["peak_workers_rss_mb"]
        found[f"{contender} bytes spilled to disk per event, {size}"] = round(
            made["facts"]["spilled_disk_bytes"] / size, 2
        )
    for small, large in pairwise(sizes):
        found[_per_event(contender, large, small)] = round(per_event[large] / per_event[small], 3)
        found[_per_event(contender, small, large)] = round(per_event[small] / per_event[large], 3)
    return found


def _targets(sizes: list[int]) -> list[Target]:
    """Within a fifth either way, from the second size on: the first is mostly start-up."""
    pairs = list(pairwise(sizes[1:]))
    slower = [Target(_per_event(_OURS, large, small), limit=1 + _WITHIN) for small, large in pairs]
    faster = [Target(_per_event(_OURS, small, large), limit=1 / (1 - _WITHIN)) for small, large in pairs]
    return slower + faster


if __name__ == "__main__":
    main(bench)

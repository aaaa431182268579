"""A night from the state of the night before, beside a recompute from all tiles: seconds, rows of tiles, equality.

Full: 90 days of 60,000 events, 40,000 users, 10,000 items; groups user and item with windows of 1d, 7d and 90d.
"""

from dataclasses import asdict
from typing import Any

from benchmarks.harness import Asked, alone, arguments, main, output_folder, run_once, run_rounds
from benchmarks.nightworlds import NIGHT_WORLDS, night_world
from benchmarks.record import Target, finish, record

__all__ = ["bench"]

_MEASURED = ("night", "scratch", "short", "early", "middle", "day", "late_day")
_CHECKED = ("early_scratch", "middle_scratch", "short_scratch", "late_scratch")  # for what they find; run once
_PAIRS = {  # the same night, two ways
    "night": "scratch",
    "early": "early_scratch",
    "middle": "middle_scratch",
    "short": "short_scratch",
    "day": "night",
    "late_day": "late_scratch",
}
_SECONDS = {
    "night / recompute": ("night", "scratch"),
    "night with the longest window / with 7d": ("night", "short"),
    "middle night / early night": ("middle", "early"),
    "tiles and state, 5 % late / in time": ("late_day", "day"),
}
_ROWS = "tile rows, recompute / night"
_TARGETS = (
    Target(_ROWS, limit=20, at_least=True),
    Target("night with the longest window / with 7d", limit=1.2),
    Target("middle night / early night", limit=1.2),
    Target("tiles and state, 5 % late / in time", limit=1.05),
)
_TIMEOUT_S = 7200.0


def bench(argv: list[str] | None = None) -> bool:
    """Prepare the roots, run every night; True where each state is what all tiles give.

    Raises
    ------
    InputError
        A night failed.
    """
    every = [_contender(how) for how in _MEASURED]
    asked = arguments("nightly", contenders=lambda scale: every, known=("headrace_night",), argv=argv)
    with alone(asked.work):
        return _run(asked)


def _contender(how: str) -> str:
    return f"headrace_night:{how}"


def _run(asked: Asked) -> bool:
    world, out = night_world(asked.work, asked.scale), asked.work / f"nightly-{asked.scale}-out"
    prepared = run_once(_contender("prepare"), world=world, out=out, timeout_s=_TIMEOUT_S)
    roots = output_folder(out, _contender("prepare"))
    found = run_rounds(asked.contenders, rounds=asked.rounds, world=roots, out=out)
    once = run_rounds([_contender(how) for how in _CHECKED], rounds=1, world=roots, out=out)
    nights = {name.partition(":")[2]: result for name, result in (once | found).items()}
    size = NIGHT_WORLDS[asked.scale]
    result = record(
        "nightly",
        asked,
        contenders=found,
        ratios=_ratios(nights, delayed=prepared["facts"]["tile_rows_delayed"]),
        targets=_TARGETS if asked.scale == "full" else (),
        checks=_checks(nights),
        work=asdict(size) | {name: seconds for name, seconds in prepared["phases"].items()},
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _ratios(nights: dict[str, dict[str, Any]], *, delayed: int) -> dict[str, float]:
    """Of seconds, and of rows of tiles in the files that are opened."""
    both = {name: pair for name, pair in _SECONDS.items() if set(pair) <= set(nights)}
    found = {name: round(nights[a]["median"] / nights[b]["median"], 3) for name, (a, b) in both.items()}
    rows = {how: night["facts"]["tile_rows"] for how, night in nights.items()}
    if {"night", "scratch"} <= set(rows):
        found[_ROWS] = round(rows["scratch"] / rows["night"], 1)
        found[f"{_ROWS}, delay 1h"] = round(rows["scratch"] / delayed, 1)
    if "late_day" in rows:
        found[f"{_ROWS}, 5 % late"] = round(rows["late_scratch"] / rows["late_day"], 1)
    return found


def _checks(nights: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Content hashes of the states of both groups."""
    both = {f"state of {a} = {b}": (a, b) for a, b in _PAIRS.items() if {a, b} <= set(nights)}
    return {name: nights[a]["facts"]["state"] == nights[b]["facts"]["state"] for name, (a, b) in both.items()}


if __name__ == "__main__":
    main(bench)

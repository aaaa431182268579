"""A night by spark-submit: one application beside seven, a cluster beside local mode, and what starting costs.

Small: 500 impressions a day, so that what is fixed shows. Full: 50,000.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import Asked, alone, arguments, main, output_folder, run_once, run_rounds
from benchmarks.record import finish, ratios, record
from headrace.steps import STEPS

__all__ = ["bench"]

_IMPRESSIONS = {"tiny": 100, "small": 500, "full": 50_000}
_WAYS = ("one", "seven", "cluster", "start", "start_jars")
_NIGHTS = ("one", "seven", "cluster")


def bench(argv: list[str] | None = None) -> bool:
    """Prepare the world, run every way; True where all nights have the same content hashes.

    Raises
    ------
    InputError
        An application failed.
    """
    every = [_contender(how) for how in _WAYS]
    asked = arguments("nights", contenders=lambda scale: every, known=("headrace_submit",), argv=argv)
    with alone(asked.work):
        return _run(asked)


def _contender(how: str) -> str:
    return f"headrace_submit:{how}"


def _run(asked: Asked) -> bool:
    world, out = asked.work / f"nights-{asked.scale}", asked.work / f"nights-{asked.scale}-out"
    world.mkdir(parents=True, exist_ok=True)
    (world / "size.json").write_text(json.dumps({"impressions": _IMPRESSIONS[asked.scale]}))
    prepared = run_once(_contender("prepare"), world=world, out=out)
    found = run_rounds(asked.contenders, rounds=asked.rounds, world=_prepared(out), out=out)
    result = record(
        "nights", asked, contenders=found, ratios=_ratios(found), checks=_checks(found), work=prepared["facts"]
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _prepared(out: Path) -> Path:
    return output_folder(out, _contender("prepare"))


def _ratios(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    pairs = [("seven", "one"), ("cluster", "one"), ("start_jars", "start")]
    values = ratios(found, [(_contender(a), _contender(b)) for a, b in pairs])
    if {_contender("seven"), _contender("start")} <= set(found):
        start, seven = (found[_contender(how)]["median"] for how in ("start", "seven"))
        values["starts / seven applications"] = round(len(STEPS) * start / seven, 3)
    return values


def _checks(found: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Content hashes of the night, every step's, against those of one application."""
    hashes = {how: found[_contender(how)]["facts"]["hashes"] for how in _NIGHTS if _contender(how) in found}
    return {f"{how} = one": made == hashes["one"] for how, made in hashes.items() if how != "one" and "one" in hashes}


if __name__ == "__main__":
    main(bench)

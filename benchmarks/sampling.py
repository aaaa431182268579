"""Labels and samples of one day beside DuckDB doing the same join, labels and hash filter by hand.

Full: 7 million impressions, 3 million engagements, 50,000 items; negatives kept at a tenth. And what it saves to sample
first: the features of all rows beside those of a twentieth.
"""

from pathlib import Path

from benchmarks.compare import compare
from benchmarks.harness import Asked, alone, arguments, main, output_folder, run_once, run_rounds
from benchmarks.labelworlds import LABEL_WORLDS, label_world
from benchmarks.record import Target, finish, ratios, record

__all__ = ["bench"]

_OURS, _PEER = "headrace_labels:steps", "duckdb_labels"
_ALL, _SOME = "headrace_labels:all", "headrace_labels:twentieth"
_SAVED = "features of all rows / of a twentieth"
_TARGETS = (Target(f"{_OURS} / {_PEER}", limit=1.5), Target(_SAVED, limit=5, at_least=True))
_PREPARE = "headrace_labels:prepare"
_COMPARED = ["label_click", "label_like", "label_collect", "label_watch_s", "label_completion", "sampling_rate"]


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where both keep the same positives with the same labels, and as many negatives as chance has it.

    Raises
    ------
    InputError
        A contender failed.
    """
    every = [_OURS, _PEER, _ALL, _SOME]
    asked = arguments("sampling", contenders=lambda scale: every, known=("headrace_labels", _PEER), argv=argv)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    world = label_world(asked.work, asked.scale)
    out = asked.work / f"sampling-{asked.scale}-out"
    after = [name for name in asked.contenders if name in (_ALL, _SOME)]
    contenders = run_rounds([n for n in asked.contenders if n not in after], rounds=asked.rounds, world=world, out=out)
    if after:
        run_once(_PREPARE, world=world, out=out)
        contenders |= run_rounds(after, rounds=asked.rounds, world=output_folder(out, _PREPARE), out=out)
    found = ratios(contenders, [(_OURS, _PEER), (_ALL, _SOME)])
    named = {f"{_ALL} / {_SOME}": _SAVED}
    result = record(
        "sampling",
        asked,
        contenders=contenders,
        ratios={named.get(pair, pair): value for pair, value in found.items()},
        targets=_TARGETS if asked.scale == "full" else (),
        checks=_checks(out) if {_OURS, _PEER} <= set(contenders) else {},
        work=vars(LABEL_WORLDS[asked.scale]),
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _checks(out: Path) -> dict[str, bool]:
    """Positives are kept by both, so they can be compared; which negatives are kept is for each engine's own hash."""
    ours, theirs = output_folder(out, _OURS) / "root" / "spine", output_folder(out, _PEER)
    found = compare(ours, theirs, columns=_COMPARED, where="label_click = 1")
    negatives = compare(ours, theirs, columns=["sampling_rate"], where="label_click = 0").rows
    return {
        "positives, cell by cell": found.equal,
        "negatives kept, within 6 standard errors": abs(negatives[0] - negatives[1]) <= 6 * sum(negatives) ** 0.5,
    }


if __name__ == "__main__":
    main(bench)

"""One harness for every benchmark: contenders in turn, each in a process of its own, one JSON file and one table.

`python -m benchmarks.<name> --scale small|full --out FILE [--rounds N] [--contenders A,B] [--work DIR]`
"""

import argparse
import fcntl
import importlib.util
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import last_json_line, measured
from benchmarks.worldfiles import work_folder
from headrace.errors import ConfigError, HeadraceError, InputError

__all__ = [
    "Asked",
    "alone",
    "arguments",
    "available",
    "contender_command",
    "main",
    "output_folder",
    "run_once",
    "run_rounds",
    "spread",
    "take_turns",
]

_MIN_ROUNDS = {"tiny": 1, "small": 1, "full": 3}
_TIMEOUT_S = 3600.0  # a contender that hangs is killed and named


@dataclass(frozen=True)
class Asked:
    """The command line: scale, result file (or None), rounds, work folder, contenders."""

    scale: str
    out: Path | None
    rounds: int
    work: Path
    contenders: list[str]


def main(bench: Callable[[], bool]) -> None:
    """Run a benchmark as a script: exit 1 where a check fails; expected failures become a message and their code."""
    # SIGTERM must leave by the way of `finally`, or the contender that runs would outlive its benchmark.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        sys.exit(0 if bench() else 1)
    except HeadraceError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def arguments(
    name: str,
    *,
    contenders: Callable[[str], Sequence[str]],
    known: Sequence[str],
    argv: Sequence[str] | None = None,
    rounds: int = 3,
) -> Asked:
    """Parse a benchmark's command line.

    Parameters
    ----------
    contenders : from a scale to those that run unless --contenders names others ("name:how" is a formulation)
    known : modules of benchmarks.contenders that may be asked for
    rounds : how often each runs unless --rounds says otherwise

    Raises
    ------
    ConfigError
        A contender is not known, or fewer rounds are asked than the scale needs (full: 3, for a median).
    """
    given = _parser(name, rounds).parse_args(argv)
    chosen = [text for text in given.contenders.split(",") if text] or list(contenders(given.scale))
    unknown = [c for c in chosen if c.partition(":")[0] not in known]
    if unknown or len(set(chosen)) < len(chosen):
        wanted = f"some of {', '.join(known)}, each once"
        raise ConfigError("--contenders", found=", ".join(unknown or chosen), wanted=wanted, remedy="name these")
    least = min(rounds, _MIN_ROUNDS[given.scale])
    if given.rounds < least:
        found = str(given.rounds)
        raise ConfigError("--rounds", found=found, wanted=f"at least {least}", remedy="ask for more rounds")
    return Asked(given.scale, given.out, given.rounds, work_folder(given.work), chosen)


def _parser(name: str, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--scale", choices=tuple(_MIN_ROUNDS), default="small")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"times each contender runs ({rounds})")
    parser.add_argument("--work", type=Path, help="folder for made worlds and outputs; default under the temp folder")
    parser.add_argument("--contenders", default="", help="comma-separated; name:how for a formulation of one")
    return parser


def available(contender: str) -> bool:
    """Whether the contender's module is there."""
    return importlib.util.find_spec(f"benchmarks.contenders.{contender.partition(':')[0]}") is not None


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Hold the work folder: two benchmarks at once would overwrite each other's outputs and disturb their times.

    Raises
    ------
    InputError
        Another benchmark holds it.
    """
    with (work / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            found, remedy = "another benchmark is running there", "wait for it, or give another --work"
            raise InputError(str(work), found=found, wanted="a folder of one's own", remedy=remedy) from error
        yield


def output_folder(out: Path, contender: str) -> Path:
    """Where a contender's result lies."""
    return out / contender.replace(":", "-")


def contender_command(contender: str, *, world: Path, out: Path) -> list[str]:
    """The process that runs a contender on a world."""
    module, _, how = contender.partition(":")
    command = [sys.executable, "-m", f"benchmarks.contenders.{module}", "--in", str(world)]
    return command + ["--out", str(output_folder(out, contender))] + (["--how", how] if how else [])


def run_rounds(
    contenders: Sequence[str], *, rounds: int, world: Path, out: Path, timeout_s: float = _TIMEOUT_S
) -> dict[str, dict[str, Any]]:
    """Run the contenders in turn, `rounds` times over, so that a machine that slows down slows all of them.

    Parameters
    ----------
    contenders : names, each a module of benchmarks.contenders, perhaps with ":how"
    out : folder; each contender's result is left in `output_folder(out, name)`, the last round's

    Returns
    -------
    name -> seconds (inner), median, min, max, wall {same}, peak_rss_mb and peak_workers_rss_mb (largest), phases (of the median round), facts

    Raises
    ------
    InputError
        A contender failed or said nothing; with the end of what it said.
    """
    once = {name: partial(run_once, name, world=world, out=out, timeout_s=timeout_s) for name in contenders}
    return take_turns(once, rounds=rounds)


def take_turns(once: Mapping[str, Callable[[], dict[str, Any]]], *, rounds: int) -> dict[str, dict[str, Any]]:
    """What `run_rounds` returns, of runs by name: contenders, or one contender on several worlds."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in once}
    for number in range(rounds):
        # Every other round runs backwards: no contender always finds the page cache as the same neighbour left it.
        for name in once if number % 2 == 0 else reversed(list(once)):
            runs[name].append(once[name]())
    return {name: _summary(made) for name, made in runs.items()}


def run_once(contender: str, *, world: Path, out: Path, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
    """Run one contender in a process of its own: what it says, wall_s, peak_rss_mb, peak_workers_rss_mb.

    Raises
    ------
    InputError
        It failed or said nothing; with the end of what it said.
    """
    command = contender_command(contender, world=world, out=out)
    run = measured(command, timeout_s=timeout_s)
    said = last_json_line(run.stdout)
    if run.code != 0 or said is None or "inner_s" not in said:
        tail = "\n".join((run.stderr or run.stdout).splitlines()[-15:])
        found = f"exit {run.code} after {run.wall_s:.0f} s\n{tail}"
        raise InputError(f"contender {contender}", found=found, wanted="one JSON line", remedy=" ".join(command))
    peaks = {"peak_rss_mb": run.peak_rss_mb, "peak_workers_rss_mb": run.peak_workers_rss_mb}
    return said | {"wall_s": run.wall_s} | peaks


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    inner = [run["inner_s"] for run in runs]
    middle = sorted(range(len(runs)), key=inner.__getitem__)[(len(runs) - 1) // 2]
    return {
        **spread(inner),
        "wall": spread([run["wall_s"] for run in runs]),
        **{name: max(run[name] for run in runs) for name in ("peak_rss_mb", "peak_workers_rss_mb")},
        "phases": runs[middle].get("phases", {}),
        "facts": runs[middle].get("facts", {}),
    }


def spread(seconds: list[float]) -> dict[str, Any]:
    """Seconds, median, min, max."""
    middle = round(statistics.median(seconds), 3)
    return {"seconds": seconds, "median": middle, "min": min(seconds), "max": max(seconds)}

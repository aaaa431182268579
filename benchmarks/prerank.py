"""Cost per candidate of the full ranker and of towers with cached items' vectors, in one process and one thread.

The inputs are those of the shipped configuration, the models as conf/model.yaml sets them, with random weights: what a
candidate costs does not depend on what was learnt. Seconds are of CPU, so that others may use the machine meanwhile.
A contender is a model and where its clock starts:
network-N  from encoded inputs of N candidates of one request to logits; towers look items up by id and run the user's once
rows-N     the same from Arrow columns, encoding included; towers neither need nor encode the item's columns
"""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from benchmarks.harness import Asked, alone, arguments, main, take_turns
from benchmarks.prerankworld import FULL, SCALES, TOWERS, PrerankWorld, Scale, bench_model
from benchmarks.record import finish, record
from benchmarks.worldfiles import known
from trainer.checkpoint import Checkpoint

__all__ = ["bench"]

_STARTS = ("network", "rows")


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where vectors give what the whole model gives, to 1e-6."""
    asked = arguments("prerank", contenders=_contenders, known=(FULL, *TOWERS), argv=argv, rounds=5)
    with alone(asked.work), _one_thread():
        return _run(asked)


def _contenders(scale: str) -> list[str]:
    return [f"{kind}:{start}-{size}" for start in _STARTS for size in SCALES[scale].sizes for kind in (FULL, *TOWERS)]


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _run(asked: Asked) -> bool:
    scale = known(SCALES, asked.scale)
    models = {kind: bench_model(kind, buckets=scale.buckets) for kind in (FULL, *TOWERS)}
    world = PrerankWorld(models, scale)
    once = {name: partial(_timed, world, name, seconds=scale.seconds) for name in asked.contenders}
    contenders = take_turns(once, rounds=asked.rounds)
    checks = {f"{kind}: vectors = the whole model, to 1e-6": world.agrees(kind) for kind in TOWERS}
    values = _per_candidate(contenders) | _multiply_adds(world, models)
    values["from logits to calibrated heads and fused score, ns per candidate"] = round(world.outputs_ns(), 1)
    result = record("prerank", asked, contenders=contenders, ratios=values, checks=checks, work=_work(models, scale))
    result["ratio_of"] = "median CPU seconds of a million candidates"
    finish(result, asked.out)
    return all(checks.values())


def _timed(world: PrerankWorld, name: str, *, seconds: float) -> dict[str, Any]:
    """Requests of one contender, one after another; inner_s is CPU seconds of a million candidates."""
    requests = world.asked(name)
    candidates = sum(len(request()) for request in requests)  # warm
    wall, begin, done = time.perf_counter(), time.process_time(), 0
    while not done or time.process_time() - begin < seconds:
        for request in requests:
            request()
        done += candidates
    spent = time.process_time() - begin
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    found = {"inner_s": spent / done * 1e6, "wall_s": round((time.perf_counter() - wall) / done * 1e6, 3)}
    return found | {"peak_rss_mb": peak, "peak_workers_rss_mb": 0.0}


def _per_candidate(contenders: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Nanoseconds of each contender, and the full ranker's beside the towers' of the same start and size."""
    values = {f"{name}, ns per candidate": round(1e3 * found["median"], 1) for name, found in contenders.items()}
    for name, found in contenders.items():
        kind, _, how = name.partition(":")
        full = contenders.get(f"{FULL}:{how}")
        if kind != FULL and full is not None:
            values[f"{FULL} / {kind}, {how}"] = round(full["median"] / found["median"], 1)
    return values


def _multiply_adds(world: PrerankWorld, models: dict[str, Checkpoint]) -> dict[str, float]:
    counts = {kind: world.multiply_adds(kind) for kind in models}
    values: dict[str, float] = {f"{kind}, multiply-adds per candidate": each for kind, (each, _) in counts.items()}
    values |= {f"{kind}, multiply-adds per request": once for kind, (_, once) in counts.items()}
    return values | {f"{FULL} / {kind}, multiply-adds": round(counts[FULL][0] / counts[kind][0], 1) for kind in TOWERS}


def _work(models: dict[str, Checkpoint], scale: Scale) -> dict[str, Any]:
    encoder = models[FULL].encoder
    work: dict[str, Any] = {"items": scale.items, "heads": len(models[FULL].plan.heads), "threads": 1}
    for side in ("user", "item", "cross"):
        looked, numbers = (sum(encoder.sides[n] == side for n in names) for names in (encoder.fields, encoder.dense))
        work[side] = f"{looked} looked up and {numbers} numbers"
    return work | {"seconds": "of CPU, of a million candidates", "torch": torch.__version__}


if __name__ == "__main__":
    main(bench)

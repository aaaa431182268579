"""Training on a GPU, end to end from a published Delta table: rows a second, what of the time it waits for data, memory.

Not one of the benchmarks that run everywhere: it needs a GPU, and nothing of Spark. The share of waiting is 1 - (seconds
of the steps alone, on batches that are on the GPU already) / (seconds from Delta), both over the same number of steps.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
import yaml

from benchmarks.publishedworld import published_world
from headrace.config.training import TrainConfig
from trainer.checkpoint import fresh_model
from trainer.evaluate import evaluate
from trainer.fitting import fit_days, training_pieces
from trainer.inputs import Inputs, orders_of, training_loader
from trainer.learning import Learner, learner_for, start_at_base_rates
from trainer.loader import Loader, Tensors
from trainer.published import find_days
from trainer.tasks import plan_heads
from trainer.train import train

__all__ = ["main"]

_RULES = [{"features": ["user_id"], "as": "hash", "buckets": 1_000_001}, {"features": ["item_id"], "as": "hash", "buckets": 100_001}]  # fmt: skip
_SETTINGS = (
    {"batch_size": 2048, "precision": "float32"},
    {"batch_size": 8192, "precision": "float32"},
    {"batch_size": 32768, "precision": "float32"},
    {"batch_size": 32768, "precision": "bfloat16"},
    {"batch_size": 2048, "precision": "float32", "compile": True},
    {"batch_size": 32768, "precision": "bfloat16", "compile": True},
)


def main(argv: list[str] | None = None) -> None:
    """Run all settings and print one line of JSON each; the last has the model's metrics on both devices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(argv)
    pa.set_cpu_count(1)
    began = time.monotonic()
    days = published_world(asked.work, rows=asked.rows)
    found: list[dict[str, Any]] = [{"device": torch.cuda.get_device_name(), "torch": torch.__version__}]
    found.append({"world": asked.rows, "seconds": round(time.monotonic() - began, 1)})
    for setting in _SETTINGS:
        config = _config(workers=asked.workers, **setting)
        found.append(setting | _measured(str(asked.work), days, config=config))
        print(json.dumps(found[-1]), flush=True)
    found.append({"quality": _quality(asked.work, days, workers=asked.workers)})
    print(json.dumps(found))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _config(**changes: Any) -> TrainConfig:
    import conf

    shipped = yaml.safe_load((Path(next(iter(conf.__path__))) / "model.yaml").read_text(encoding="utf-8"))
    return TrainConfig.model_validate(shipped | {"encoders": _RULES, "segments": []} | changes)


def _ready(root: str, days: list[date], *, config: TrainConfig, device: str) -> tuple[Learner, Loader]:
    chosen = find_days(root, days)
    pieces = training_pieces(root, chosen)
    fitted = fit_days(root, chosen, pieces=pieces, config=config, progress=lambda rows: None)
    rates = fitted.facts.lowest_rates(weighted=False)
    plan = plan_heads(chosen[0].labels, config=config.heads, found=fitted.facts, rates=rates, weighted=False)
    model = fresh_model(fitted.encoder, plan, config=config)
    start_at_base_rates(model, plan, facts=fitted.facts)
    model.to(device)
    steps = 10 * sum(piece.rows for piece in pieces) // config.batch_size
    learner = learner_for(model, plan, facts=fitted.facts, config=config, device=device, total_steps=steps)
    inputs = Inputs(root, orders_of(chosen), fitted.encoder, plan)
    return learner, training_loader(inputs, pieces, config=config, device=device)


def _measured(root: str, days: list[date], *, config: TrainConfig) -> dict[str, Any]:
    """Seconds of an epoch from Delta, of as many steps alone, and of reading alone."""
    learner, loader = _ready(root, days, config=config, device="cuda")
    with closing(loader):
        return _compared(learner, loader)


def _compared(learner: Learner, loader: Loader) -> dict[str, Any]:
    learner.model.train()
    held = [rows for _, rows in islice(loader.epoch(9), 8)]
    for rows in held * 3:  # warm: kernels are chosen, and compiled where that is asked for
        learner.step(rows)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    whole, rows_done = _timed(learner, (rows for _, rows in loader.epoch(0)))
    steps = loader.order(0).batches
    alone, _ = _timed(learner, (held[k % len(held)] for k in range(steps)))
    reading = time.monotonic()
    for _batch in loader.epoch(1):
        torch.cuda.synchronize()
    reading = time.monotonic() - reading
    return {
        "rows_per_s": round(rows_done / whole),
        "rows_per_s_of_steps": round(rows_done / alone),
        "rows_per_s_of_reading": round(rows_done / reading),
        "share_waiting": round(max(0.0, 1 - alone / whole), 4),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 1024**3, 3),
    }


def _timed(learner: Learner, batches: Iterator[Tensors]) -> tuple[float, int]:
    torch.cuda.synchronize()
    began, done = time.monotonic(), 0
    for rows in batches:
        learner.step(rows)
        done += len(rows["weight"])
    torch.cuda.synchronize()
    return time.monotonic() - began, done


def _quality(work: Path, days: list[date], *, workers: int) -> dict[str, Any]:
    """AUC and predicted / actual of the same run on GPU and CPU: first day learnt, second judged."""
    found = {}
    for device, precision in (("cuda", "float32"), ("cuda", "bfloat16"), ("cpu", "float32")):
        config = _config(workers=workers, device=device, precision=precision, epochs=1, batch_size=8192)
        out = work / f"model-{device}-{precision}"
        train(str(work), days=days[:1], valid_day=None, config=config, out=out)
        judged = evaluate(out, root=str(work), days=days[1:])
        metrics = {t.task: (t.calibrated_traffic.auc, t.calibrated_traffic.pcoc) for t in judged.tasks}
        found[f"{device} {precision}"] = {name: [round(x, 4) for x in pair] for name, pair in metrics.items()}
    return found


if __name__ == "__main__":
    main()

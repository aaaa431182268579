"""MMoE on the same rows: Headrace's trainer beside torch-rechub, FuxiCTR and DeepCTR-Torch, one epoch, one core.

Rounds are seeds: each trains anew. A peer is fed by Headrace's loader in all of them, which gives its AUC, and by its own
loaders once, since a loader changes the seconds and not the network.
"""

import importlib.util
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contenders.loader_common import BATCH, rows_files, versions_of
from benchmarks.contenders.trainer_common import EMBEDDING, EXPERT_LAYERS, EXPERTS, SEEDS, TOWER_LAYERS
from benchmarks.harness import Asked, alone, arguments, main, run_once, take_turns
from benchmarks.record import Target, finish, record
from benchmarks.trainworlds import LABELS, TRAIN_WORLDS, TRUTHS, VOCABULARIES, TrainWorld, train_world
from headrace.errors import ConfigError
from trainer.metrics import auc

__all__ = ["bench", "compared", "contenders_of"]

_OURS, _LIKE_PEERS = "trainer_headrace:defaults", "trainer_headrace:adam"
_FED = "fed"
_PEERS = {
    "trainer_rechub": (_FED, "own"),  # its Parquet stream does not shuffle: only if asked for
    "trainer_fuxictr": (_FED, "npz"),  # its Parquet loader, Ray Data, is slower: only if asked for
    "trainer_deepctr": (_FED, "own"),
}
_PACKAGES = {"trainer_rechub": "torch_rechub", "trainer_fuxictr": "fuxictr", "trainer_deepctr": "deepctr_torch"}
_KNOWN = ("trainer_headrace", *_PEERS)
_FASTER = "rows/s, ours / the fastest peer"
_TARGETS = (
    Target(_FASTER, limit=4, at_least=True),
    *(Target(f"AUC of {label}, ours - the best peer", limit=-0.001, at_least=True) for label in LABELS),
)


def contenders_of(scale: str) -> list[str]:
    """Those that run by default: peers whose package is there."""
    ways = [f"{peer}:{way}" for peer, ways in _PEERS.items() for way in ways if _installed(peer)]
    return [_OURS, _LIKE_PEERS, *ways]


def _installed(peer: str) -> bool:
    return importlib.util.find_spec(_PACKAGES[peer]) is not None


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where all contenders learnt from and were judged by all rows.

    Raises
    ------
    InputError
        A contender failed.
    ConfigError
        More rounds are asked for than there are seeds.
    """
    asked = arguments("trainer", contenders=contenders_of, known=_KNOWN, argv=argv)
    if asked.rounds > len(SEEDS):
        found, wanted = str(asked.rounds), f"at most {len(SEEDS)}: a round is a seed"
        raise ConfigError("--rounds", found=found, wanted=wanted, remedy="ask for fewer rounds")
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    world, out = train_world(asked.work, asked.scale), asked.work / f"trainer-{asked.scale}-out"
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in asked.contenders}
    once = {name: _seed_after_seed(name, asked, world=world, out=out, said=said[name]) for name in asked.contenders}
    turns = {name: once[name] for name in once if not _is_once(name)}
    contenders = take_turns(turns, rounds=asked.rounds)
    contenders |= take_turns({name: once[name] for name in once if _is_once(name)}, rounds=1)
    for name, found in contenders.items():
        found["facts"]["auc_by_seed"] = [facts["auc"] for facts in said[name]]
        found["facts"]["auc"] = [
            round(statistics.mean(each), 5) for each in zip(*found["facts"]["auc_by_seed"], strict=True)
        ]
        found["facts"]["rows_per_s"] = round(found["facts"]["rows"] / found["median"])
    size = TRAIN_WORLDS[asked.scale]
    result = record(
        "trainer",
        asked,
        contenders=contenders,
        ratios=compared({name: c["facts"] for name, c in contenders.items()}),
        targets=_TARGETS if asked.scale == "full" else (),
        checks={f"{n}: all rows": _all_rows(c["facts"], size=size) for n, c in contenders.items()},
        work=_work(asked, world),
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _seed_after_seed(
    name: str, asked: Asked, *, world: Path, out: Path, said: list[dict[str, Any]]
) -> Callable[[], dict[str, Any]]:
    """Each call runs the contender with the next seed; facts of all are kept."""

    def runs() -> Iterator[dict[str, Any]]:
        for seed in SEEDS:
            run = run_once(f"{name}-{seed}", world=world, out=out)
            said.append(dict(run["facts"]))
            yield run

    return partial(next, runs())


def _is_once(name: str) -> bool:
    peer, _, way = name.partition(":")
    return peer in _PEERS and way != _FED


def _all_rows(facts: dict[str, Any], *, size: TrainWorld) -> bool:
    return bool(facts["rows"] == size.train and facts["test_rows"] == size.test)


def compared(facts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Speeds, and AUCs beside the best peer's, label by label; a contender's facts are rows_per_s and auc (T,).

    The fastest peer is that of any way; the best of a label is one of those with as many seeds as ours.
    """
    peers = {name: f for name, f in facts.items() if name.partition(":")[0] in _PEERS}
    values = {f"rows/s of {name}": f["rows_per_s"] for name, f in facts.items()}
    seeded = {name: f for name, f in facts.items() if not _is_once(name)}
    values |= {f"AUC of {label}, {name}": f["auc"][t] for name, f in seeded.items() for t, label in enumerate(LABELS)}
    judged = {name: f for name, f in seeded.items() if name in peers}
    if not judged or _OURS not in facts:
        return values
    ours, fastest = facts[_OURS], max(f["rows_per_s"] for f in peers.values())
    values[_FASTER] = round(ours["rows_per_s"] / fastest, 2)
    for t, label in enumerate(LABELS):
        best = max(f["auc"][t] for f in judged.values())
        values[f"AUC of {label}, ours - the best peer"] = round(ours["auc"][t] - best, 5)
    return values


def _work(asked: Asked, world: Path) -> dict[str, Any]:
    size = TRAIN_WORLDS[asked.scale]
    work: dict[str, Any] = {"rows to learn from": size.train, "rows to be judged by": size.test, "batch": BATCH}
    work |= {"vocabularies": " + ".join(f"{count:,}" for count in VOCABULARIES[:2]) + " + 18 x 1,000"}
    work |= {"embedding": EMBEDDING, "experts": f"{EXPERTS} of {EXPERT_LAYERS}", "towers": str(TOWER_LAYERS)}
    work |= {"AUC of the true probabilities": ", ".join(f"{found:.4f}" for found in _bounds(world))}
    work |= {"run once": ", ".join(name for name in asked.contenders if _is_once(name)) or "none"}
    missing = [package for peer, package in _PACKAGES.items() if not _installed(peer)]
    work |= {"left out, not installed": ", ".join(missing)} if missing else {}
    return work | versions_of("torch", "torch-rechub", "fuxictr", "deepctr-torch")


def _bounds(world: Path) -> list[float]:
    """AUC of the true logits on the test rows, label by label: what no model can be expected to exceed."""
    test = pa.concat_tables([pq.read_table(f, columns=[*LABELS, *TRUTHS]) for f in rows_files(world, "test")])
    pairs = zip(LABELS, TRUTHS, strict=True)
    return [auc(test[label].to_numpy(), test[truth].to_numpy().astype(np.float64)) for label, truth in pairs]


if __name__ == "__main__":
    main(bench)

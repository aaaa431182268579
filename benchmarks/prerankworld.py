"""The pre-ranking benchmark's models, items and requests: random, in the shape of the shipped configuration."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np
import pyarrow as pa
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.worldfiles import SEED
from headrace.config import load_config
from headrace.config.columns import feature_columns
from trainer.after import After, corrected, fused_score
from trainer.checkpoint import Checkpoint, fresh_model
from trainer.encode import Encoder, choose_fields, encode
from trainer.encode.fields import Side
from trainer.facts import Facts
from trainer.heads import Head
from trainer.models import TwoTower
from trainer.prerank import ItemVectors, prerank_rows
from trainer.prerank.sides import encode_part, part_of
from trainer.prerank.towers import item_vectors, tower_logits, towers_of
from trainer.published import FeatureSpec
from trainer.scoring import score_batch
from trainer.tasks import ANY, WATCHED, Plan

__all__ = ["FULL", "SCALES", "TOWERS", "PrerankWorld", "Scale", "bench_model"]

FULL, TOWERS = "mmoe", ("two_tower", "three_tower")
_IDS = ("item_id", "user_id", "author_id")
_REQUESTS = 4  # of a size: a contender that meets one request again and again would find its rows in the cache
_BATCH = 16384
_BLOCK = 1024  # rows that the full ranker takes at once, as the towers do: faster than all of 10,000
Encoded = tuple[np.ndarray, np.ndarray, np.ndarray]  # ids (B, F), dense (B, N), item_id (B,)


@dataclass(frozen=True)
class Scale:
    """Items in the table, hash buckets of an id, sizes of requests, and seconds that a contender runs in a round."""

    items: int
    buckets: int
    sizes: tuple[int, ...]
    seconds: float


SCALES = {
    "tiny": Scale(items=500, buckets=1_000, sizes=(10, 50), seconds=0.0),
    "small": Scale(items=50_000, buckets=200_000, sizes=(100, 1_000, 10_000), seconds=0.2),
    "full": Scale(items=300_000, buckets=200_000, sizes=(100, 1_000, 10_000), seconds=1.0),
}


def bench_model(kind: str, *, buckets: int) -> Checkpoint:
    """A model of the shipped configuration that has learnt nothing."""
    config = load_config().train.model_copy(update={"model": kind, "device": "cpu", "hash_buckets": buckets})
    encoder = Encoder(*choose_fields(_features(), present=_IDS, hash_buckets=config.hash_buckets), ())
    tasks = config.heads.tasks
    heads = [Head(name, "binary", f"label_{name}", False) for name in (*tasks, ANY)]
    heads += [
        Head("completed", "binary", WATCHED["completed"], True),
        Head("completion", "ratio", WATCHED["completion"], True),
    ]
    heads += [Head("watch", "watch", WATCHED["watch"], True)]
    plan = Plan(tasks, tuple(heads), ANY, 0.1, 1.0, tasks, {})
    torch.manual_seed(SEED)
    model = fresh_model(encoder, plan, config=config).eval()
    return Checkpoint(model, encoder, plan, config, {}, Facts(), [], After(fusion=config.fusion))


def _features() -> list[FeatureSpec]:
    return [FeatureSpec(f.name, f.type, f.unit, f.source) for f in feature_columns(load_config())]


class PrerankWorld:
    """Requests of every size as rows and encoded, items' vectors, and the models that are asked."""

    def __init__(self, models: dict[str, Checkpoint], scale: Scale) -> None:
        self.models, self.rng = models, np.random.default_rng(SEED)
        self.order = [feature.name for feature in _features()]
        self.towers = {kind: towers_of(models[kind], version=kind) for kind in TOWERS}
        self.ids = self.rng.permutation(np.unique(self.rng.integers(0, 2**62, scale.items)))
        encoder = models[FULL].encoder
        self.columns = {side: part_of(encoder, side).encoder.columns[:-1] for side in get_args(Side)}
        self.catalogue = self._made("item", len(self.ids)).set_column(0, "item_id", pa.array(self.ids))
        self.vectors = {kind: ItemVectors(kind, self.ids, self._exported(kind)) for kind in TOWERS}
        for vectors in self.vectors.values():
            vectors.places(self.ids[:1])  # the index is made at the first look
        self.rows = {size: [self._request(size) for _ in range(_REQUESTS)] for size in scale.sizes}
        self.encoded = {size: [self._encoded(rows) for rows in made] for size, made in self.rows.items()}

    def _made(self, side: str, rows: int) -> pa.Table:
        kinds = {feature.name: feature.type for feature in _features()} | dict.fromkeys(_IDS, "id")
        names = sorted(self.columns[side], key=lambda name: name != "item_id")
        return pa.table({name: _cells(self.rng, kinds[name], rows=rows) for name in names})

    def _request(self, size: int) -> pa.Table:
        """One user, `size` different items of the catalogue, and cross columns of each pair."""
        user = self._made("user", 1).take(pa.array(np.zeros(size, dtype=np.int64)))
        chosen = self.rng.choice(len(self.ids), size, replace=size > len(self.ids))
        items = self.catalogue.take(pa.array(chosen))
        columns = {name: part[name] for part in (user, items, self._made("cross", size)) for name in part.column_names}
        return pa.table(columns | {"feature_states": _states(size, len(self.order))}).combine_chunks()

    def _encoded(self, rows: pa.Table) -> Encoded:
        ids, dense = encode(self.models[FULL].encoder, rows, state_order=self.order)
        return ids, dense, rows["item_id"].to_numpy()

    def _exported(self, kind: str) -> np.ndarray:
        towers, made = self.towers[kind], []
        for start in range(0, len(self.ids), _BATCH):
            rows = self.catalogue.slice(start, _BATCH)
            rows = rows.append_column("feature_states", _states(len(rows), len(self.order)))
            made.append(item_vectors(towers, encode_part(towers.item, rows, state_order=self.order)))
        return np.concatenate(made)

    def network(self, kind: str, encoded: Encoded) -> np.ndarray:
        """Logits of one encoded request."""
        ids, dense, items = encoded
        if kind == FULL:
            blocks = [slice(start, start + _BLOCK) for start in range(0, len(ids), _BLOCK)]
            return np.concatenate([score_batch(self.models[kind], {"ids": ids[b], "dense": dense[b]}) for b in blocks])
        vectors = self.vectors[kind]
        one, of = np.zeros(1, dtype=np.int64), np.zeros(len(ids), dtype=np.int64)
        places = vectors.places(items)
        return tower_logits(
            self.towers[kind], (ids, dense), items=lambda part: vectors.take(places[part]), first=one, user_of=of
        )

    def from_rows(self, kind: str, rows: pa.Table) -> np.ndarray:
        """Logits of one request from its columns."""
        if kind == FULL:
            return self.network(kind, self._encoded(rows))
        return prerank_rows(self.towers[kind], self.vectors[kind], rows=rows, state_order=self.order)

    def asked(self, name: str) -> list[Callable[[], np.ndarray]]:
        """The requests of a contender, ready to be run."""
        kind, _, how = name.partition(":")
        start, _, size = how.partition("-")
        if start == "network":
            return [partial(self.network, kind, encoded) for encoded in self.encoded[int(size)]]
        rows = self.rows[int(size)]
        if kind != FULL:
            rows = [made.select(["item_id", *self.towers[kind].request.encoder.columns]) for made in rows]
        return [partial(self.from_rows, kind, made) for made in rows]

    def agrees(self, kind: str) -> bool:
        """Whether vectors and the user's one run give what the whole model gives."""
        encoded = next(iter(self.encoded.values()))[0]
        whole = score_batch(self.models[kind], {"ids": encoded[0], "dense": encoded[1]})
        return bool(np.allclose(self.network(kind, encoded), whole, rtol=1e-6, atol=1e-6))

    def multiply_adds(self, kind: str) -> tuple[int, int]:
        """Multiplications with an addition: of each candidate, and of each request whatever its candidates."""
        encoded = self._encoded(self._request(200))
        counts = [multiply_adds(partial(self.network, kind, tuple(part[:n] for part in encoded))) for n in (100, 200)]  # type: ignore[arg-type]
        each = (counts[1] - counts[0]) // 100
        model = self.models[kind].model
        # A dot product for each head is no matrix product where it is written as a sum.
        dots = self.vectors[kind].values.shape[1] * model.heads if isinstance(model, TwoTower) else 0
        return max(each, dots), counts[0] - 100 * each

    def outputs_ns(self) -> float:
        """Nanoseconds a candidate from logits to calibrated heads and the fused score; the same for every model."""
        checkpoint = self.models[FULL]
        logits = self.rng.normal(size=(1000, len(checkpoint.plan.heads)))
        seconds = []
        for _ in range(20):
            begin = time.process_time()
            _, final = corrected(checkpoint.plan, checkpoint.after, logits=logits)
            fused_score(checkpoint.after, final, columns={}, requests=None, weights=None)
            seconds.append(time.process_time() - begin)
        return float(np.median(seconds)) * 1e6


def _cells(rng: np.random.Generator, kind: str, *, rows: int) -> pa.Array:
    if kind == "id":
        return pa.array(rng.integers(0, 2**62, rows))
    if kind == "string":
        return pa.array([f"word {n}" for n in range(20)]).take(pa.array(rng.integers(0, 20, rows)))
    if kind == "boolean":
        return pa.array(rng.random(rows) < 0.5)
    if kind == "double":
        return pa.array(rng.exponential(100.0, rows))
    return pa.array(rng.integers(0, 24, rows))


def _states(rows: int, features: int) -> pa.Array:
    return pa.array([bytes(features)] * rows, type=pa.binary())


def multiply_adds(run: Callable[[], object]) -> int:
    """Multiplications with an addition in the matrix products of a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2

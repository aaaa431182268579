"""Tower models of the small world with random weights, and rows for them."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tests.trainer.world import make_day
from trainer.checkpoint import fresh_model, load_checkpoint, write_checkpoint
from trainer.encode import encode
from trainer.scoring import score_batch

__all__ = ["MODELS", "day_rows", "random_towers", "spliced", "whole_model", "with_latest_items"]

MODELS = ("two_tower", "three_tower")
_ITEM_COLUMNS = ("item_id", "author_id", "item_click_count_7d", "item_quality", "item_recency_s", "item_duration_s")
_ITEM_STATES = (4, 5, 6, 7)  # places of the item's features among world.FEATURES


def random_towers(trained: Path, folder: Path) -> dict[str, Path]:
    """A checkpoint of each kind for the world of a trained one; its weights are large enough that every input tells."""
    loaded = load_checkpoint(trained)
    for seed, kind in enumerate(MODELS):
        config = loaded.config.model_copy(update={"model": kind})
        torch.manual_seed(seed)
        model = fresh_model(loaded.encoder, loaded.plan, config=config).eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name == "embedding.weight":
                    weight.normal_(std=0.5)
        write_checkpoint(replace(loaded, model=model, config=config), folder / kind)
    return {kind: folder / kind for kind in MODELS}


def day_rows(ds: date, rows: int = 700) -> pa.Table:
    """Rows of a day as a table has them."""
    return make_day(ds, rows=rows).drop_columns(["p_click", "p_like"])


def with_latest_items(rows: pa.Table) -> pa.Table:
    """Every row with the item's columns, and their states, of the item's row with the largest impression_id."""
    latest: dict[int, int] = {}
    for place, (item, shown) in enumerate(
        zip(rows["item_id"].to_pylist(), rows["impression_id"].to_pylist(), strict=True)
    ):
        if item not in latest or shown > rows["impression_id"][latest[item]].as_py():
            latest[item] = place
    return spliced(rows, rows.take(pa.array([latest[item] for item in rows["item_id"].to_pylist()])))


def spliced(rows: pa.Table, items: pa.Table) -> pa.Table:
    """The rows with the columns of the side "item", and their states, of other rows."""
    states = []
    for own, other in zip(rows["feature_states"].to_pylist(), items["feature_states"].to_pylist(), strict=True):
        states.append(bytes(other[i] if i in _ITEM_STATES else own[i] for i in range(len(own))))
    for name in _ITEM_COLUMNS:
        rows = rows.set_column(rows.column_names.index(name), name, items[name])
    place = rows.column_names.index("feature_states")
    return rows.set_column(place, "feature_states", pa.array(states, pa.binary()))


def whole_model(path: Path, rows: pa.Table) -> np.ndarray:
    """Logits (B, T) of a checkpoint's one pass over all inputs."""
    loaded = load_checkpoint(path)
    ids, dense = encode(loaded.encoder, rows, state_order=loaded.history["state_order"])
    return score_batch(loaded, {"ids": ids, "dense": dense})

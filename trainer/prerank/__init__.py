"""Pre-ranking with towers: items' vectors in a table, requests scored from them, and what of a ranker's top is kept.

    export_items(model, root=root, days=[d], out="items")               # a vector for each item
    prerank(model, items="items", source="candidates", out="scores")    # the user's tower once a request
    recall_in_pools(ranker, model, root=root, ds=d, top=10, keep=[50])  # beside the full ranker

sides, towers: parts of a model. streams, latest: rows that are read twice. docs/preranking.md has the figures.
"""

from trainer.prerank.items import Exported, ItemVectors, export_items, load_items
from trainer.prerank.pools import recall_in_pools, recall_shown
from trainer.prerank.recall import Kept, Recall, recall_of
from trainer.prerank.scoring import Counts, Preranked, prerank, prerank_rows
from trainer.prerank.towers import Towers, open_towers

__all__ = [
    "Counts",
    "Exported",
    "ItemVectors",
    "Kept",
    "Preranked",
    "Recall",
    "Towers",
    "export_items",
    "load_items",
    "open_towers",
    "prerank",
    "prerank_rows",
    "recall_in_pools",
    "recall_of",
    "recall_shown",
]

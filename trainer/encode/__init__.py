"""Columns of the training set to numbers a network takes: looked-up ids, and dense numbers with their missing bits.

    fitter = Fitter(features, present=columns, rules=config.encoders, hash_buckets=config.hash_buckets)
    fitter.add(batch, state_order)      # every batch of the training days
    encoder = fitter.finish()
    ids, dense = encode(encoder, batch, state_order=state_order)

fields: what there is to know of each column, as plain data. choose: which column becomes what. fit: one pass over the
training days. apply: rows to arrays.
"""

from trainer.encode.apply import encode
from trainer.encode.choose import choose_fields
from trainer.encode.fields import (
    Buckets,
    Category,
    Encoder,
    Hash,
    Number,
    Vocabulary,
    encoder_from_dict,
    encoder_to_dict,
)
from trainer.encode.fit import Fitter
from trainer.encode.schema import schema_changes

__all__ = [
    "Buckets",
    "Category",
    "Encoder",
    "Fitter",
    "Hash",
    "Number",
    "Vocabulary",
    "choose_fields",
    "encode",
    "encoder_from_dict",
    "encoder_to_dict",
    "schema_changes",
]

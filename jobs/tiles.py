"""tiles: conformed events and profiles -> tiles_<group>, one partition per landing day."""

import json
from datetime import date
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from headrace.job import main
from features.logs import packed_day_tiles
from features.tiles import merged_tiles, tile_spec
from headrace import tables, writing
from headrace.config import Config, value_types
from headrace.parallel import first_then_rest
from headrace.receipts import Receipt
from headrace.reuse import MADE_OF, kept_tiles, made_of_tiles
from schemas.columns import Table
from schemas.receipts import table_receipts, with_metrics, with_notes
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read the days' events, aggregate per group that does not stand already, write."""
    made = {name: table(config, f"tiles_{name}") for name in config.features.groups}
    for one in made.values():  # all of them before the first is written
        tables.ensure(config, one)
    names = sorted(set(made) - kept_tiles(config, days)) or list(made)
    with packed_day_tiles(spark, config, names=names, days=days) as packed:
        write = partial(_write, config, packed, days=days)
        sums = first_then_rest([partial(write, made[name], name) for name in names])
    written = dict(zip(names, sums, strict=True))
    receipts = table_receipts(spark, config, "tiles", names=[one.name for one in made.values()], days=days)
    return with_metrics(with_notes(receipts, {MADE_OF: json.dumps(made_of_tiles(config))}), config, written)


def _write(config: Config, packed: DataFrame, one: Table, name: str, *, days: list[date]) -> writing.Written:
    spec = tile_spec(config.features, name, types=value_types(config))
    tiles = partial(merged_tiles, packed, spec, schema=one.schema)
    return writing.write_files(config, one, tiles, days=days, summed=spec.counts)


if __name__ == "__main__":
    main("tiles")

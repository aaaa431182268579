"""Our engine on the cases of one world, by the real path: landing files, ingest, tiles, labels, sample, features."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import SparkSession

from features.states import STATES
from headrace.chain import run_step
from headrace.config import Config, feature_columns, load_config
from headrace.delta import is_table, read_days
from headrace.steps import STEPS
from tests.conformance.case import TABLES, Case, Cell, catalogue, load_cases
from tests.conformance.landing import IDS, landed_days, write_landing
from tests.conformance.names import column_names, world_features

__all__ = ["Built", "build_world", "world_cases"]

_STEPS = ("ingest", "tiles", "labels", "sample", "features")


def world_cases(world: str) -> list[Case]:
    """The cases that stand in one world."""
    return [case for case in load_cases() if case.world == world]


def tile_of(world: str) -> str:
    """Tile of a world's configuration."""
    return str(catalogue()["worlds"][world].get("tile", "1h"))


@dataclass(frozen=True)
class Built:
    """A world after its chain: configuration, conformed rows, and the training set by impression_id."""

    config: Config
    cases: list[Case]
    tables: dict[str, list[dict[str, Any]]]
    training: dict[int, dict[str, Any]]
    texts: dict[str, int]
    receipts: list[Any]

    def id_of(self, case: Case, value: int | str) -> int:
        """An id of the case as it stands in the tables."""
        return self.texts[value] if isinstance(value, str) else int(case.moved(value))

    def columns(self, case: Case) -> dict[str, tuple[str, str]]:
        """Natural feature name -> (group, column) of this world."""
        return column_names(case, self.cases, tile=tile_of(case.world))

    def cell(self, case: Case, impression: int | str, feature: str) -> tuple[Cell, str]:
        """Value and state of one cell."""
        row = self.training[self.id_of(case, impression)]
        names = self.columns(case)
        column = names[feature][1] if feature in names else feature
        position = [f.name for f in feature_columns(self.config)].index(column)
        return row[column], STATES[row["feature_states"][position]]

    def rows_of(self, case: Case, table: str) -> list[dict[str, Any]]:
        """Conformed rows of one table that belong to the case: one of their keys is one of its own."""
        return [row for row in self.tables[table] if self.owns(case, row)]

    def owns(self, case: Case, row: dict[str, Any]) -> bool:
        """Whether a row with ids is of the case."""
        ids = {
            (column, self.id_of(case, row[column]))
            for rows in case.rows.values()
            for row in rows
            for column in IDS
            if row.get(column) is not None and (not isinstance(row[column], str) or row[column] in self.texts)
        }
        return any((c, row.get(c)) in ids for c in IDS)


def write_config(cases: Sequence[Case], folder: Path, *, world: str) -> Config:
    """The configuration of one world, in `folder`."""
    facts = dict(catalogue()["worlds"][world])
    tile = facts.pop("tile", "1h")
    ingest = {"duplicate_horizon_days": facts.pop("horizon"), "actions": catalogue()["actions"]}
    ingest["timestamp_units"] = facts.pop("timestamp_units", {})
    values = {
        "extends": "base.yaml",
        "landing": str(folder / "landing"),
        "root": str(folder / "tables"),
        "features": "features.yaml",
        "ingest": ingest,
        "sampling": {"negative_rate": 1.0, "positive_rate": 1.0},
        **facts,
    }
    for name, content in (("world", values), ("features", world_features(cases, tile=tile))):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_config(folder / "world.yaml")


def build_world(spark: Callable[[], SparkSession], folder: Path, *, world: str) -> Built:
    """Land the cases, run the chain, read what it made."""
    cases = world_cases(world)
    folder.mkdir(parents=True, exist_ok=True)
    config = write_config(cases, folder, world=world)
    days = write_landing(cases, folder / "landing", timezone=config.timezone)
    per_step = {"ingest": landed_days(days), "tiles": landed_days(days)}
    receipts = []
    for step in STEPS:
        if step.name in _STEPS:
            receipts += run_step(spark, config, step, days=per_step.get(step.name, days)).receipts
    return _read(config, cases, days, receipts)


def _read(config: Config, cases: list[Case], days: list[date], receipts: list[Any]) -> Built:
    def rows(name: str) -> list[dict[str, Any]]:
        where = f"{config.root}/{name}"
        return read_days(where).to_pylist() if is_table(where) else []

    tables = {name: rows(name) for name in (*TABLES, "duplicates")}
    tables["quarantine"] = [{**row, **json.loads(row["row_json"])} for row in rows("quarantine")]
    training = {row["impression_id"]: row for row in rows("training_set")}
    texts = {row["text"]: row["id"] for row in rows("id_map")}
    return Built(config, cases, tables, training, texts, receipts)

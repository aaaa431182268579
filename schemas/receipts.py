"""What a build reports of each day: rows accounted for, hashes and versions of what was written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial

from pyspark.sql import Column, SparkSession

from headrace import tables, writing
from headrace.config import Config
from headrace.parallel import at_once
from headrace.receipts import Receipt
from schemas.ingest import TableDay

__all__ = ["ingest_receipts", "table_receipts", "with_metrics", "with_notes"]


def ingest_receipts(
    spark: SparkSession, config: Config, results: Mapping[str, Mapping[date, TableDay]], *, days: Sequence[date]
) -> dict[date, Receipt]:
    """One receipt a day over all ingested tables; notes keep the tables apart."""
    hashes = _hashes(spark, config, list(results), days=days)
    versions = {name: str(tables.version_of(config, name)) for name in results}
    receipts = {}
    for day in days:
        counted = {name: per_day[day] for name, per_day in results.items()}
        notes = {f"{name}.rows_in": str(c.rows_in) for name, c in counted.items()}
        notes |= {f"{name}.rows_out": str(c.rows_out) for name, c in counted.items()}
        notes |= {f"{name}.{k}": str(v) for name, c in counted.items() for k, v in c.notes.items()}
        receipts[day] = Receipt(
            "ingest",
            day,
            rows_in=sum(c.rows_in for c in counted.values()),
            rows_out=sum(c.rows_out for c in counted.values()),
            rows_quarantined=sum(c.quarantined for c in counted.values()),
            rows_duplicate=sum(c.duplicate for c in counted.values()),
            outputs={name: hashes[name][day] for name in results},
            versions=versions,
            notes=notes,
        )
    return receipts


def table_receipts(
    spark: SparkSession,
    config: Config,
    job: str,
    *,
    names: Sequence[str],
    days: Sequence[date],
    unhashed: Sequence[str] = (),
    noted: Sequence[Column] = (),
) -> dict[date, Receipt]:
    """Receipts with the hashes, versions and committed rows of the tables that `job` wrote; rows_out is the first's.

    `noted` are aggregates of the first table, put down in the notes by their alias.
    """
    first = tables.committed_facts(spark, config, names[0], noted, days=days, unhashed=unhashed)
    hashes = _hashes(spark, config, names[1:], days=days, unhashed=unhashed)
    hashes[names[0]] = {day: text for day, (text, _) in first.items()}
    versions = {n: str(tables.version_of(config, n)) for n in names}
    rows = {n: tables.row_counts(config, n, days=days) for n in names}
    return {
        day: Receipt(
            job,
            day,
            rows_in=rows[names[0]][day],
            rows_out=rows[names[0]][day],
            outputs={n: hashes[n][day] for n in names},
            versions=versions,
            notes={f"{n}.rows": str(rows[n][day]) for n in names} | {k: str(v) for k, v in first[day][1].items()},
        )
        for day in days
    }


def _hashes(
    spark: SparkSession, config: Config, names: Sequence[str], *, days: Sequence[date], unhashed: Sequence[str] = ()
) -> dict[str, dict[date, str]]:
    one = partial(tables.committed_hashes, spark, config, days=days, unhashed=unhashed)
    return dict(zip(names, at_once([partial(one, name) for name in names]), strict=True))


def with_notes(receipts: Mapping[date, Receipt], notes: Mapping[str, str]) -> dict[date, Receipt]:
    """The same notes on every receipt of one build."""
    return {day: replace(receipt, notes={**receipt.notes, **notes}) for day, receipt in receipts.items()}


def with_metrics(
    receipts: Mapping[date, Receipt], config: Config, written: Mapping[str, writing.Written]
) -> dict[date, Receipt]:
    """Name the metrics of the groups written that met no event on a day: a `where` on a column that is null, say."""
    counted: dict[date, Counter[str]] = {day: Counter() for day in receipts}
    used = {m for name in written for m in config.features.groups[name].metric_names}
    for one in written.values():
        for day, sums in one.sums.items():
            counted[day].update({column.removesuffix("_count"): n for column, n in sums.items()})
    named = {c.removesuffix("_count") for one in written.values() for sums in one.sums.values() for c in sums}
    absent = {day: sorted((used & named) - {m for m, n in counts.items() if n}) for day, counts in counted.items()}
    return {
        day: replace(r, notes={**r.notes, "metrics_without_events": " ".join(absent[day])}) if absent[day] else r
        for day, r in receipts.items()
    }

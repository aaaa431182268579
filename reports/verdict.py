"""The verdict on a day: which cells fail which rule, by how much and since when; kept as Delta and as GE's JSON. No Spark."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from pyspark.sql.pandas.types import to_arrow_schema

from headrace.config import Config
from headrace.delta import file_system, is_table, open_dataset
from reports.gates import Limit, day_frame, limits
from schemas.coverage import GATE_RESULTS

__all__ = ["Failure", "Verdict", "judge", "store_verdict"]

_LOOK_BACK = 60  # days: how far `since` reaches
_Key = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True)
class Failure:
    """One cell that is not as a rule wants it."""

    rule: str
    severity: str
    metric: str
    feature: str | None
    slice: str
    value: str | None
    observed: float | None
    wanted_low: float | None
    wanted_high: float | None
    median: float | None
    since: date

    @property
    def key(self) -> _Key:
        """What is the same failure on another day."""
        return self.rule, self.feature, self.slice, self.value

    @property
    def distance(self) -> float:
        """How far outside of what is wanted, relative to it: what failures are sorted by."""
        bound = self.wanted_low if self.wanted_low is not None else self.wanted_high
        if self.observed is None or not bound:
            return 0.0
        return abs(self.observed - bound) / abs(bound)


@dataclass(frozen=True)
class Verdict:
    """What the gates made of a day.

    Attributes
    ----------
    rules : one dict a rule: its `limit` (reports.gates), cells `checked` and `failed`
    failures : critical before warnings, the farthest out first
    result : ExpectationSuiteValidationResult of Great Expectations, as JSON
    """

    ds: date
    rules: list[dict[str, Any]]
    failures: list[Failure]
    result: dict[str, Any]

    @property
    def critical(self) -> list[Failure]:
        """Failures that keep the day unpublished."""
        return [failure for failure in self.failures if failure.severity == "critical"]

    @property
    def warnings(self) -> list[Failure]:
        """Failures that are only said."""
        return [failure for failure in self.failures if failure.severity != "critical"]


def judge(config: Config, ds: date, *, docs: Path | None = None) -> Verdict:
    """Hold the coverage of `ds` against the gates of the configuration; nothing is written but `docs`.

    Parameters
    ----------
    docs : folder for Great Expectations' Data Docs
    """
    frame = day_frame(config, ds)
    wanted = list(limits(config, frame))
    if not wanted:
        return Verdict(ds, [], [], {})
    from reports.suite import run_suite

    result = run_suite(frame, wanted, ds=ds, docs=docs)
    rules, failures = [], []
    for limit, found in zip(wanted, result["results"], strict=True):
        _check_ran(limit, found)
        own = [
            _failure(limit, frame.iloc[int(cell["cell"])], ds)
            for cell in found["result"].get("unexpected_index_list") or []
        ]
        judged = int(frame.loc[limit.rows, limit.metric].notna().sum())
        rules.append({"limit": limit, "checked": judged, "failed": len(own)})
        failures += own
    failures = _dated(config, ds, failures)
    failures.sort(key=lambda f: (f.severity != "critical", -f.distance, f.feature or "", f.slice, f.value or ""))
    return Verdict(ds, rules, failures, result)


def _check_ran(limit: Limit, found: Mapping[str, Any]) -> None:
    """An expectation that crashed is no verdict."""
    raised = found.get("exception_info") or {}
    if raised.get("raised_exception"):
        raise RuntimeError(f"gate {limit.rule!r}: Great Expectations failed: {raised.get('exception_message')}")


def _failure(limit: Limit, row: Mapping[str, Any], ds: date) -> Failure:
    feature, value = (None if _absent(row[name]) else row[name] for name in ("feature", "value"))
    median = _number(row[limit.median]) if limit.median else None
    low, high = limit.low, limit.high
    if median is not None:  # what is wanted of the number that is shown
        scale = (lambda bound: median * bound) if limit.metric == "rows_of_median" else (lambda bound: median + bound)
        low, high = (None if bound is None else scale(bound) for bound in (low, high))
    shown = _number(row[limit.shown])
    return Failure(
        limit.rule, limit.severity, limit.shown, feature, str(row["slice"]), value, shown, low, high, median, ds
    )


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _number(value: Any) -> float | None:
    return None if _absent(value) else float(value)


def _dated(config: Config, ds: date, failures: Sequence[Failure]) -> list[Failure]:
    """`since` of each: the first of the days in a row, up to this one, on which the same cell failed the same rule."""
    earlier = _earlier(config, ds)
    found = []
    for failure in failures:
        since = ds
        while failure.key in earlier.get(since - timedelta(days=1), ()):
            since -= timedelta(days=1)
        found.append(replace(failure, since=since))
    return found


def _earlier(config: Config, ds: date) -> dict[date, set[_Key]]:
    """Failures of the days before, as the latest revision of each judged them."""
    import pyarrow.compute as pc

    uri = f"{config.root}/gate_results"
    if not is_table(uri):
        return {}
    wanted = (pc.field("ds") >= pc.scalar(ds - timedelta(days=_LOOK_BACK))) & (pc.field("ds") < pc.scalar(ds))
    names = ["ds", "revision", "rule", "feature", "slice", "value"]
    rows = open_dataset(uri).to_table(columns=names, filter=wanted).to_pylist()
    latest: dict[date, int] = {}
    for row in rows:
        latest[row["ds"]] = max(latest.get(row["ds"], 0), row["revision"])
    found: dict[date, set[_Key]] = {}
    for row in rows:
        if row["revision"] == latest[row["ds"]] and row["slice"] is not None:
            found.setdefault(row["ds"], set()).add((row["rule"], row["feature"], row["slice"], row["value"]))
    return found


def store_verdict(config: Config, verdict: Verdict, *, revision: int, accepted: str | None) -> None:
    """Append to `gate_results`, and keep GE's JSON under <root>/gates; nothing without rules."""
    if not verdict.rules:
        return
    shared = {"revision": revision, "accepted": accepted, "ds": verdict.ds}
    rows = [{**shared, **_rule_row(rule)} for rule in verdict.rules]
    rows += [{**shared, **asdict(failure), "checked": 1, "failed": 1} for failure in verdict.failures]
    table = pa.Table.from_pylist(rows, schema=to_arrow_schema(GATE_RESULTS.schema))
    write_deltalake(f"{config.root}/gate_results", table, mode="append", partition_by=["ds"])
    system, base = file_system(config.root)
    folder = f"{base}/gates/ds={verdict.ds}"
    system.create_dir(folder, recursive=True)
    with system.open_output_stream(f"{folder}/revision-{revision}.json") as out:
        out.write(json.dumps(verdict.result, default=str, indent=1).encode())


def _rule_row(rule: Mapping[str, Any]) -> dict[str, Any]:
    limit: Limit = rule["limit"]
    return {
        "rule": limit.rule,
        "severity": limit.severity,
        "metric": limit.metric,
        "wanted_low": limit.low,
        "wanted_high": limit.high,
        "checked": rule["checked"],
        "failed": rule["failed"],
    }

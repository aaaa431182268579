"""Coverage of 200 features in ten slices: Headrace beside Great Expectations, popmon, and Evidently on a sample.

Full: a day of 2 million sampled rows. Great Expectations and popmon see the whole of the traffic only.
"""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.coverageworlds import COVERAGE_WORLDS, coverage_config, coverage_world
from benchmarks.harness import Asked, alone, arguments, main, output_folder, run_once, run_rounds
from benchmarks.record import Target, finish, ratios, record
from features.states import STATES
from headrace.config import Feature, feature_columns
from headrace.delta import read_days

__all__ = ["bench", "contenders_of", "equality"]

_OURS, _SCANS = "headrace_coverage:step", "headrace_coverage:scans"
_GE = ("ge_spark:boolean", "ge_spark:basic", "ge_spark:each")
_POPMON, _SAMPLE = "popmon_pandas:features", "evidently_sample"
_PACKAGES = {"ge_spark": "great_expectations", "popmon_pandas": "popmon", "evidently_sample": "evidently"}
_KNOWN = ("headrace_coverage", *_PACKAGES)
_ONCE = (*_GE, "popmon_pandas:slices", _SAMPLE)  # minutes each
_PEERS = (*_GE, _POPMON, "popmon_pandas:slices", _SAMPLE)
_SCANNED = "scans of the training set"
_TARGETS = (
    Target(_SCANNED, limit=2),
    Target(f"{_GE[0]} / {_OURS}", limit=20, at_least=True),
    Target(f"{_POPMON} / {_OURS}", limit=3, at_least=True),
)


def contenders_of(scale: str) -> list[str]:
    """Those that run by default: peers whose package is there; the slow formulations at full scale."""
    peers = [*(_GE if scale == "full" else _GE[:1]), _POPMON, _SAMPLE]
    return [_OURS, *(name for name in peers if importlib.util.find_spec(_PACKAGES[name.partition(":")[0]]))]


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where Headrace's counts equal those made of the files with pyarrow.

    Raises
    ------
    InputError
        A contender failed.
    """
    asked = arguments("coverage", contenders=contenders_of, known=_KNOWN, argv=argv)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    world, out = coverage_world(asked.work, asked.scale), asked.work / f"coverage-{asked.scale}-out"
    once = [name for name in asked.contenders if name in _ONCE]
    rounds = [name for name in asked.contenders if name not in _ONCE]
    contenders = run_rounds(rounds, rounds=asked.rounds, world=world, out=out)
    contenders |= run_rounds(once, rounds=1, world=world, out=out)
    values = ratios(contenders, [(peer, _OURS) for peer in _PEERS if peer != _SAMPLE])
    if _OURS in contenders:
        facts = run_once(_SCANS, world=world, out=out)["facts"]
        values[_SCANNED] = round(facts["scans_by_spark"] + facts["scans_by_tasks"], 2)
    result = record(
        "coverage",
        asked,
        contenders=contenders,
        ratios=values,
        targets=_TARGETS if asked.scale == "full" else (),
        checks=equality(world, output_folder(out, _OURS) / "root") if _OURS in contenders else {},
        work=_work(asked, contenders) | ({"run once": ", ".join(once)} if once else {}),
    )
    finish(result, asked.out)
    return all(result["checks"].values())


def _work(asked: Asked, contenders: dict[str, dict[str, Any]]) -> dict[str, Any]:
    work: dict[str, Any] = {"rows": COVERAGE_WORLDS[asked.scale].rows, "features": 200, "slices": 10}
    if _OURS in contenders:
        work |= {name: contenders[_OURS]["facts"].get(name) for name in ("slice_values", "rows_out")}
    if _SAMPLE in contenders:
        work["rows of Evidently's sample"] = contenders[_SAMPLE]["facts"].get("rows")
    return work


def equality(world: Path, root: Path) -> dict[str, bool]:
    """Headrace's slice "all" beside what pyarrow and numpy find in the same files, for every feature."""
    columns = ["feature", "slice", "rows", "min", "max", *(f"rows_{state}" for state in STATES)]
    ours = [row for row in read_days(str(root / "coverage"), columns=columns).to_pylist() if row["slice"] == "all"]
    features = feature_columns(coverage_config(root))
    found = _found(world / "training_set", features)
    if sorted(row["feature"] for row in ours) != sorted(found):
        return {"one row of the whole for every feature": False}
    pairs = [(row, found[row["feature"]]) for row in ours]
    return {
        "one row of the whole for every feature": True,
        "rows are those of the files": all(row["rows"] == one.states.sum() for row, one in pairs),
        "states": all([row[f"rows_{state}"] for state in STATES] == one.states.tolist() for row, one in pairs),
        "nulls": all(_nulls(row, one) == one.nulls for row, one in pairs),
        "least and greatest": all((row["min"], row["max"]) == one.range for row, one in pairs),
    }


def _nulls(row: dict[str, Any], one: "_Counted") -> int:
    """Cells that are null, but for stale ones, which may be either."""
    return 0 if one.feature.default is not None else int(row["rows_null"] + row["rows_no_entity"])


@dataclass
class _Counted:
    """One feature: rows by state, nulls that are not stale, least and greatest of the real values and measured zeros."""

    feature: Feature
    states: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(STATES), np.int64))
    nulls: int = 0
    range: tuple[float | None, float | None] = (None, None)

    def add(self, column: pa.Array, states: NDArray[np.uint8]) -> None:
        """Count some rows more."""
        self.states += np.bincount(states, minlength=len(STATES))
        self.nulls += column.filter(pa.array(states != STATES.index("stale"))).null_count
        if self.feature.type in ("int", "bigint", "double"):
            seen = pc.min_max(column.filter(pa.array(states <= STATES.index("true_zero"))).cast(pa.float64()))
            low, high = (
                [v for v in (a, b.as_py()) if v is not None] for a, b in zip(self.range, seen.values(), strict=True)
            )
            self.range = (min(low, default=None), max(high, default=None))


def _found(folder: Path, features: list[Feature]) -> dict[str, _Counted]:
    found = {feature.name: _Counted(feature) for feature in features}
    for file in sorted(folder.rglob("*.parquet")):
        opened = pq.ParquetFile(file)
        for group in range(opened.num_row_groups):
            rows = opened.read_row_group(group, columns=[*found, "feature_states"])
            marks = b"".join(rows.column("feature_states").to_pylist())
            states = np.frombuffer(marks, np.uint8).reshape(-1, len(features))
            for position, one in enumerate(found.values()):
                one.add(rows.column(one.feature.name).combine_chunks(), states[:, position])
    return found


if __name__ == "__main__":
    main(bench)

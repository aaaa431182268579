"""Great Expectations on Spark: for every feature not null, and for every number between two bounds, on the same Parquet files.

What is found is counted, not judged.

boolean  one suite in one validation, so that it can put metrics together; only whether each expectation holds
basic    the same, with counts and examples of what was unexpected
each     one validation an expectation, as where every column is checked by itself; only whether it holds
"""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.coverageworlds import coverage_config
from headrace.config import Feature, feature_columns

__all__ = ["HOWS", "build"]

HOWS = ("boolean", "basic", "each")
_FORMATS = {"boolean": "BOOLEAN_ONLY", "basic": "BASIC", "each": "BOOLEAN_ONLY"}
_PARTITIONS = 8
_WIDE = 1e12


def build(job: Job) -> dict[str, Any]:
    """Validate the day; the outcome of each expectation as JSON."""
    features = feature_columns(coverage_config(job.out))
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    with _context() as context:
        import great_expectations as gx

        suite = context.suites.add(gx.ExpectationSuite(name="features", expectations=list(_expectations(gx, features))))
        job.clock.start()
        frame = spark.read.parquet(str(job.world / "training_set"))
        asset = context.data_sources.add_spark("bench").add_dataframe_asset("training_set")
        batch = asset.add_batch_definition_whole_dataframe("day").get_batch(batch_parameters={"dataframe": frame})
        asked = list(_expectations(gx, features)) if job.how == "each" else [suite]
        said = [batch.validate(one, result_format=_FORMATS[job.how]).to_json_dict() for one in asked]
    results = said if job.how == "each" else said[0]["results"]
    held = [bool(result["success"]) for result in results]
    raised = sum(bool(result["exception_info"].get("raised_exception")) for result in results)
    (job.out / "results.json").write_text(json.dumps(results))
    return {"expectations": len(held), "held": sum(held), "raised": raised}


def _expectations(gx: Any, features: list[Feature]) -> Iterator[Any]:
    for feature in features:
        yield gx.expectations.ExpectColumnValuesToNotBeNull(column=feature.name, mostly=0.5)
        if feature.type in ("bigint", "int", "double"):
            yield gx.expectations.ExpectColumnValuesToBeBetween(column=feature.name, min_value=0, max_value=_WIDE)


@contextmanager
def _context() -> Iterator[Any]:
    """A context in memory, silent and without usage statistics."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings(action="ignore"):
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
        context = gx.get_context(
            project_config=DataContextConfig(store_backend_defaults=stores, analytics_enabled=False)
        )
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        yield context


if __name__ == "__main__":
    contend(build, hows=HOWS)

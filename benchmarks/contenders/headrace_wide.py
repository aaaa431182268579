"""Headrace on the wide benchmark: 600 or 60 features of one spine."""

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.contenders.headrace import feature_columns, write_features
from benchmarks.wideness import SETS, WideGroup, wide_groups, wide_names
from headrace.config import FeaturesConfig

__all__ = ["build", "wide_config"]

_PARTITIONS = 4


def build(job: Job) -> dict[str, int]:
    """Write impression_id and the features of every spine row to Parquet files in `out`."""
    features = wide_config(job.how)
    assert sorted(f.name for f in feature_columns(features)) == sorted(wide_names(job.how))
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    job.clock.start()
    write_features(spark, job, features, partitions=_PARTITIONS)
    return {"features": len(wide_names(job.how)), "groups": len(features.groups)}


def wide_config(which: str) -> FeaturesConfig:
    """The features as a user would declare them."""
    groups = wide_groups(which)
    metrics = {
        m.name: {"action": m.action} | ({} if m.above is None else {"value": True, "where": [f"value > {m.above}"]})
        for group in groups
        for m in group.metrics
    }
    declared = {group.name: _declared(group) for group in groups}
    return FeaturesConfig.model_validate({"tile": "1h", "metrics": metrics, "groups": declared})


def _declared(group: WideGroup) -> dict[str, object]:
    kept = {a: [m.name for m in group.metrics if m.aggregate == a] for a in ("count", "sum")}
    times = {"delay": "0", "refresh": "1h", "tolerance": "1d"}
    return {"entity": group.entity, "windows": list(group.windows), **times, **kept}


if __name__ == "__main__":
    contend(build, hows=SETS)

"""Publishing: what a published day promises its readers, as one receipt."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from headrace.config import Config, feature_columns
from headrace.errors import InputError
from headrace.manifest import manifest_of, store_manifest
from headrace.receipts import REFUSED, Receipt, latest_receipts

__all__ = ["publish_receipts"]

_NEEDED = ("labels", "sample", "features", "coverage")


def publish_receipts(config: Config, *, days: Sequence[date]) -> dict[date, Receipt]:
    """One receipt a day with status `published`: versions, hashes, and what the trainer must know.

    Raises
    ------
    InputError
        A step before it has no receipt for the day, or the day's labels are provisional.
    """
    latest = latest_receipts(config)
    features = [{k: v for k, v in asdict(f).items() if k != "definition"} for f in feature_columns(config)]
    labels = {
        "positive": config.labels.positive,
        "implies": config.labels.implies,
        "actions": list(config.labels.windows),
    }
    receipts = {}
    for day in days:
        standing = {job: latest.get((job, day)) for job in _NEEDED}
        missing = [job for job, receipt in standing.items() if receipt is None or receipt.status == REFUSED]
        if missing:
            raise InputError(
                f"publish {day}",
                found=f"no receipt of {', '.join(missing)}",
                wanted="every step done",
                remedy=f"headrace run --ds {day}",
            )
        if "provisional" in latest["labels", day].notes:
            raise InputError(
                f"publish {day}",
                found=f"provisional labels: {latest['labels', day].notes['provisional']}",
                wanted="labels of a mature day",
                remedy=f"headrace run --ds {day} without --provisional once that day has landed",
            )
        built = latest["features", day]
        rows = built.rows_out
        outputs = {**built.outputs, **latest["coverage", day].outputs, **latest["sample", day].outputs}
        versions = {**built.versions, **latest["coverage", day].versions, **latest["sample", day].versions}
        receipts[day] = Receipt(
            "publish",
            day,
            status="published",
            rows_in=rows,
            rows_out=rows,
            outputs=outputs,
            versions=versions,
            notes={
                "features": json.dumps(features),
                "labels": json.dumps(labels),
                "sampling": json.dumps(config.sampling.model_dump(mode="json")),
                "manifest": store_manifest(config, manifest_of(config, day, receipts=latest)),
                "split": json.dumps(config.split and config.split.model_dump(mode="json")),
            },
        )
    return receipts

"""Publishing: what a published day promises its readers, as one receipt."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from headrace.config import Config, feature_columns
from headrace.errors import InputError
from headrace.receipts import Receipt, latest_receipts

__all__ = ["publish_receipts"]

_NEEDED = ("labels", "sample", "features", "coverage")


def publish_receipts(config: Config, *, days: Sequence[date]) -> dict[date, Receipt]:
    """One receipt a day with status `published`: versions, hashes, and what the trainer must know.

    Raises
    ------
    InputError
        A step before it has no receipt for the day.
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
        missing = [job for job in _NEEDED if (job, day) not in latest]
        if missing:
            raise InputError(
                f"publish {day}",
                found=f"no receipt of {', '.join(missing)}",
                wanted="every step done",
                remedy=f"headrace run --ds {day}",
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
                "sampling": json.dumps(config.sampling.model_dump()),
            },
        )
    return receipts

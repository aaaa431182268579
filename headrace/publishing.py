"""Publishing: what a published day promises its readers, as one receipt."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date

from headrace.config import Config, feature_columns
from headrace.errors import GateError, InputError
from headrace.freshness import asked_receipt, why_not_done
from headrace.gating import explain, gate_day, gate_notes
from headrace.inputs import Known
from headrace.manifest import manifest_of, store_manifest
from headrace.receipts import Receipt, latest_receipts

__all__ = ["publish_receipts"]

_NEEDED = ("labels", "sample", "features", "coverage")


def publish_receipts(config: Config, *, days: Sequence[date], accept: str | None = None) -> dict[date, Receipt]:
    """One receipt a day with status `published`: versions, hashes, and what the trainer must know.

    Parameters
    ----------
    accept : reason for which days are published although a critical gate refuses them

    Raises
    ------
    InputError
        A step before it has no receipt for the day or is stale, or the day's labels are provisional.
    GateError
        A critical gate refuses a day and nobody accepted it; days that pass are in its `made`.
    """
    latest = latest_receipts(config)
    known = Known(config, latest)
    for day in days:
        _check_final(known, day)
        _check_fresh(known, day)
    refused: dict[date, GateError] = {}
    receipts = {}
    for day in days:
        verdict = gate_day(config, day, accept=accept)
        if verdict.critical and accept is None:
            refused[day] = explain(config, verdict, standing=latest.get(("publish", day)))
        else:
            receipts[day] = _published(config, latest, day, gates=gate_notes(verdict, accept=accept))
    if refused:
        raise _refusal(refused, receipts)
    return receipts


def _published(
    config: Config, latest: Mapping[tuple[str, date], Receipt], day: date, *, gates: dict[str, str]
) -> Receipt:
    """The receipt of a day that passed, or was accepted."""
    features = [{k: v for k, v in asdict(f).items() if k != "definition"} for f in feature_columns(config)]
    labels = {
        "positive": config.labels.positive,
        "implies": config.labels.implies,
        "actions": list(config.labels.windows),
    }
    built, made = latest["features", day], [latest[job, day] for job in ("features", "coverage", "sample")]
    return Receipt(
        "publish",
        day,
        status="published",
        rows_in=built.rows_out,
        rows_out=built.rows_out,
        outputs={name: text for receipt in made for name, text in receipt.outputs.items()},
        versions={name: text for receipt in made for name, text in receipt.versions.items()},
        notes={
            "features": json.dumps(features),
            "labels": json.dumps(labels),
            "sampling": json.dumps(config.sampling.model_dump(mode="json")),
            "manifest": store_manifest(config, manifest_of(config, day, receipts=latest)),
            "split": json.dumps(config.split and config.split.model_dump(mode="json")),
            **gates,
        },
    )


def _refusal(refused: Mapping[date, GateError], receipts: dict[date, Receipt]) -> GateError:
    """The first day's refusal, with what became of the other days."""
    first, *others = refused
    error = refused[first]
    if others:
        found = f"{error.found}\n          refused as well: {', '.join(map(str, others))}"
        error = GateError(error.what, found=found, wanted=error.wanted, remedy=error.remedy)
    error.made = dict(receipts)
    error.notes = {day: {"refused": own.found} for day, own in refused.items()}
    return error


def _check_final(known: Known, day: date) -> None:
    """Raise InputError where the labels are provisional, or asked to be."""
    labels = known.receipts.get(("labels", day))
    note = labels.notes.get("provisional") if labels else None
    if known.config.labels.provisional or note:
        raise InputError(
            f"publish {day}",
            found=f"provisional labels: {note or '--provisional, or labels.provisional: true'}",
            wanted="labels of a mature day",
            remedy=f"headrace run --ds {day} without --provisional, with the same --config, once the day is mature",
        )


def _check_fresh(known: Known, day: date) -> None:
    """Raise InputError where a step before publish is not built, or not of what stands before it now."""
    reasons = {job: why_not_done(known, asked_receipt(known, job, day)) for job in _NEEDED}
    found = "; ".join(f"{job}: {reason}" for job, reason in reasons.items() if reason)
    if found:
        raise InputError(
            f"publish {day}",
            found=found,
            wanted="every step made of what the steps before it hold now",
            remedy=f"headrace run --ds {day} with this configuration builds what is stale and publishes",
        )

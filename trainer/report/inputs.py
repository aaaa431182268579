"""What a model reads and what it was told to do: encoders, heads, dropped ones, broken cells, configuration and days."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from headrace import __version__
from trainer.checkpoint import Checkpoint
from trainer.encode import Buckets, Category, Hash, Number, Vocabulary
from trainer.evaluate import Evaluation

__all__ = ["config_rows", "days_rows", "encoder_rows", "heads_rows", "inputs_view", "versions"]


def inputs_view(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that the templates place of a model's inputs and orders."""
    encoder, facts = checkpoint.encoder, checkpoint.facts
    read = {name for name, _, _ in encoder.features}
    order = checkpoint.history.get("state_order", [])
    return {
        "encoders": encoder_rows(checkpoint),
        "unread": [name for name in order if name not in read],
        "planned": heads_rows(checkpoint),
        "dropped": list(checkpoint.plan.dropped.items()),
        "broken": sorted(((n, c) for n, c in facts.broken.items() if c), key=lambda pair: (-pair[1], pair[0])),
        "config": config_rows(checkpoint.config.model_dump(mode="json")),
        "versions": versions(checkpoint),
    }


def encoder_rows(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """One row per column that the encoder reads: type, unit, side, what it becomes, rows of the table, mean and std."""
    encoder = checkpoint.encoder
    declared = {name: (kind, unit) for name, kind, unit in encoder.features}
    rows = []
    for field in (*encoder.categories, *encoder.numbers):
        kind, unit = declared.get(field.name, ("id", ""))
        known = _number(field) if isinstance(field, Number) else _category(field)
        rows.append({"name": field.name, "type": kind, "unit": unit, "side": field.side} | known)
    return rows


def _category(field: Category) -> dict[str, Any]:
    match field:
        case Hash():
            said = f"{field.buckets - 1} buckets"
        case Vocabulary():
            said = f"{len(field.values)} values met {field.min_count} times or more"
        case Buckets():
            said = f"{len(field.edges)} edges of {field.buckets} quantiles, " + (
                "exact" if field.exact else f"within {field.error:.2%}"
            )
    return {"kind": type(field).__name__.lower(), "rows": field.rows, "mean": None, "std": None, "said": said}


def _number(field: Number) -> dict[str, Any]:
    said = [
        *["log(1 + |x|)"] * field.log,
        *["standardised"] * field.standardise,
        *([f"cut at {field.clip:g}"] if field.clip is not None else []),
        *["missing bit"] * field.missing,
    ]
    mean, std = (field.mean, field.std) if field.standardise else (None, None)
    return {"kind": "number", "rows": None, "mean": mean, "std": std, "said": ", ".join(said)}


def heads_rows(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """One row per head: kind, label, whether its loss is weighted, and what the training rows hold of the label."""
    facts, plan = checkpoint.facts, checkpoint.plan
    learnt = getattr(checkpoint.model, "log_variances", None)
    variances = learnt.detach().tolist() if isinstance(learnt, torch.Tensor) else [None] * len(plan.heads)
    rows = []
    for head, variance in zip(plan.heads, variances, strict=True):
        watched = facts.watched.get(head.name)
        found = {
            "name": head.name,
            "kind": head.kind,
            "label": head.label,
            "weighted": head.weighted,
            "weight": checkpoint.config.heads.weights.get(head.name, 1.0),
            "log_variance": variance,
            "rows": watched.rows if watched else facts.rows,
            "positives": None if watched else facts.positives.get(head.name),
            "mean": watched.mean if watched else _rate(checkpoint, head.name),
        }
        rows.append(found)
    return rows


def _rate(checkpoint: Checkpoint, head: str) -> float | None:
    facts = checkpoint.facts
    weight = facts.positive_weights.get(head)
    return None if weight is None or not facts.weight else weight / facts.weight


def config_rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Keys with dots and values as JSON text, in the order of the configuration."""
    return list(_flat(values, ""))


def _flat(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def days_rows(checkpoint: Checkpoint, evaluations: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """One row per day, version and content that was learnt from or judged on, with what it was used for."""
    used: dict[tuple[Any, ...], list[str]] = {}
    parts = {"trained on": checkpoint.days, "validation": checkpoint.history.get("valid_days", [])}
    named = [*parts.items(), *((name, one.days) for name, one in evaluations.items())]
    for role, days in named:
        for day in days:
            roles = used.setdefault(tuple(day.get(k) for k in ("ds", "version", "content_hash", "manifest")), [])
            roles += [role] if role not in roles else []
    return [
        {"ds": key[0], "version": key[1], "hash": key[2], "manifest": key[3] or "", "roles": roles}
        for key, roles in sorted(used.items(), key=lambda pair: (str(pair[0][0]), str(pair[0][1])))
    ]


def versions(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Programs that trained the model, where it says so, and those that wrote this page."""
    trained = [(f"{name}, training", str(v)) for name, v in checkpoint.history.get("versions", {}).items()]
    return [*trained, ("headrace, this page", __version__), ("torch, this page", str(torch.__version__))]

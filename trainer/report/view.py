"""From a checkpoint and its evaluations to what the page says: plain values, still without a tag."""

from collections.abc import Mapping, Sequence
from typing import Any

from reports.page_text import number
from trainer.checkpoint import Checkpoint
from trainer.evaluate import Evaluation
from trainer.importance import Importance
from trainer.report.curves import gates_view, losses_view
from trainer.report.fusing import durations_view, fusion_view
from trainer.report.inputs import days_rows, inputs_view
from trainer.report.judged import evaluation_view
from trainer.report.leaning import importance_view
from trainer.report.words import WITHIN, WITHIN_WATCH, slug

__all__ = ["model_view"]


def model_view(
    checkpoint: Checkpoint,
    evaluations: Mapping[str, Evaluation],
    *,
    importance: Sequence[Importance] | None,
) -> dict[str, Any]:
    """Everything that the templates place. The last evaluation is the one that the verdict speaks of."""
    judged = [evaluation_view(name, one, checkpoint=checkpoint) for name, one in evaluations.items()]
    days = [str(day["ds"]) for day in checkpoint.days]
    return {
        "model": checkpoint.config.model,
        "trained": (days[0], days[-1]) if days else None,
        "file": "-".join(["model", slug(checkpoint.config.model), *days[-1:]]),
        "verdict": _verdict(judged),
        "facts": _facts(checkpoint),
        "days": days_rows(checkpoint, evaluations),
        "judged": judged[::-1],
        "losses": losses_view(checkpoint),
        "gates": gates_view(checkpoint),
        "durations": durations_view(checkpoint.after.durations),
        "fusion": fusion_view(checkpoint),
        "importance": importance_view(importance or []),
        **inputs_view(checkpoint),
    }


def _verdict(judged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A word for the whole and a sentence: how many heads are off, and by what measure."""
    if not judged:
        said = "No evaluation was given: there was no day to judge it on."
        return {"state": "wait", "word": "not judged", "said": said, "on": "", "days": []}
    last = judged[-1]
    heads = [*last["heads"], *([last["watch"] | {"name": "watch"}] if last["watch"] else [])]
    off = [head["name"] for head in heads if head["off"]]
    measure = (
        f"predicted / actual within {WITHIN:.0%} ({WITHIN_WATCH:.0%} for seconds watched) or within chance, and a log loss "
        "below that of always saying the base rate"
    )
    if not off:
        state, word, said = "published", "calibrated", f"All {len(heads)} heads: {measure}."
    else:
        bad = any(head["state"] == "bad" for head in heads)
        state, word = "refused" if bad else "wait", f"{len(off)} of {len(heads)} heads off"
        said = f"Wanted of each head: {measure}. Off: {', '.join(off)}."
    return {"state": state, "word": word, "said": said, "on": last["name"], "days": last["days"]}


def _facts(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """The model at a glance."""
    config, encoder, facts, plan = checkpoint.config, checkpoint.encoder, checkpoint.facts, checkpoint.plan
    size = sum(cells.numel() for cells in checkpoint.model.parameters())
    table = encoder.rows * config.embedding_dim
    history = checkpoint.history
    epochs = len(history.get("epochs", []))
    kept = history.get("kept_epoch")
    on_top = checkpoint.after.on_top
    return [
        ("Architecture", _architecture(checkpoint)),
        (
            "Parameters",
            f"{size:,}, of them {table:,} in an embedding table of {encoder.rows:,} rows of {config.embedding_dim}",
        ),
        ("Inputs", f"{len(encoder.fields)} looked-up columns, {len(encoder.dense)} dense"),
        ("Training rows", f"{facts.rows:,}, for {facts.weight:,.0f} impressions"),
        ("Epochs", f"{kept} kept of {epochs} run, {config.epochs} asked for" if epochs else "not recorded"),
        ("Sampling", f"negatives at {number(plan.negative_rate)}, positives at {number(plan.positive_rate)}"),
        ("Calibration", _calibration(checkpoint)),
        ("On top", f"{config.on_top}: {', '.join(on_top)}" if on_top else "nothing"),
        ("Seed", str(config.seed)),
    ]


def _architecture(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    layers, own = ("-".join(map(str, found)) or "none" for found in (config.expert_layers, config.tower_layers))
    if config.model in ("mmoe", "ple"):
        return f"{config.model}, {config.experts} experts of {layers}, heads of {own}, gate dropout {config.gate_dropout:g}"
    return f"{config.model}, {layers}, heads of {own}"


def _calibration(checkpoint: Checkpoint) -> str:
    denominator = checkpoint.plan.denominator
    if denominator is None:
        return "trained with sample weights: nothing to undo"
    return f"closed form of the rates; the sampling looked at {denominator}"

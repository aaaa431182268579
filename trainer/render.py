"""Results of the trainer as rich renderables; printing them is the caller's."""

import math

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainer.evaluate import Evaluation
from trainer.metrics import Gauc
from trainer.scoring import Scores, TaskReport
from trainer.tasks import Plan
from trainer.train import TrainResult

__all__ = ["render_evaluation", "render_training"]


def render_training(result: TrainResult) -> Group:
    """Training days, tasks, losses by epoch, what was dropped or broken, and the kept epoch's validation."""
    rows = Table(title="Training days", title_justify="left")
    for heading in ("day", "version", "content hash"):
        rows.add_column(heading)
    for day in result.days:
        rows.add_row(day["ds"], str(day["version"]), day["content_hash"])
    parts: list[Table | Text] = [rows, _losses(result), Text(_calibration(result.plan))]
    parts += [Text(f"no {task}: {reason}") for task, reason in result.plan.dropped.items()]
    broken = {name: cells for name, cells in result.facts.broken.items() if cells}
    if broken:
        named = ", ".join(f"{name} {cells}" for name, cells in sorted(broken.items(), key=lambda kv: -kv[1])[:5])
        parts.append(Text(f"{sum(broken.values())} NaN or infinite cells were treated as missing: {named}"))
    for head, shares in result.gates.items():
        parts.append(Text(f"gate of {head}: " + "  ".join(f"{share:.2f}" for share in shares)))
    parts.append(Text(f"{result.facts.rows} rows; weights of epoch {result.kept_epoch} kept in {result.out}"))
    kept = next((e.valid for e in result.epochs if e.epoch == result.kept_epoch), None)
    return Group(*parts, *([render_evaluation(kept)] if kept else []))


def _losses(result: TrainResult) -> Table:
    table = Table(title="Training loss by epoch (log loss, nats)", title_justify="left")
    table.add_column("epoch")
    for head in result.plan.heads:
        table.add_column(head, justify="right")
    for epoch in result.epochs:
        table.add_row(str(epoch.epoch), *(f"{epoch.losses[head]:.4f}" for head in result.plan.heads))
    return table


def render_evaluation(evaluation: Evaluation) -> Group:
    """Each task's raw scores against sample and traffic, calibrated against the traffic, and beside the truth."""
    days = ", ".join(day["ds"] for day in evaluation.days)
    table = Table(title=f"Evaluation on {days}", title_justify="left")
    for heading in ("task", "scores", "against"):
        table.add_column(heading)
    for heading in ("rows", "actual rate", "AUC", "GAUC by user", "log loss", "predicted / actual"):
        table.add_column(heading, justify="right")
    for task in evaluation.tasks:
        sampled = task.positives / task.rows
        _add(table, task, names=("raw", "sampled rows"), rate=sampled, scores=task.raw_sample)
        _add(table, task, names=("raw", "traffic"), rate=task.traffic_rate, scores=task.raw_traffic)
        _add(table, task, names=("calibrated", "traffic"), rate=task.traffic_rate, scores=task.calibrated_traffic)
        table.add_section()
    parts: list[Table | Text] = [table]
    parts += [Text(_groups(task.task, task.raw_traffic.gauc)) for task in evaluation.tasks]
    if any(task.truth for task in evaluation.tasks):
        parts.append(_truth(evaluation.tasks))
    parts.append(Text(_calibration(evaluation.plan)))
    if evaluation.seen_in_training:
        parts.append(Text(f"trained on {', '.join(evaluation.seen_in_training)}: the metrics there flatter the model"))
    return Group(*parts)


def _add(table: Table, task: TaskReport, *, names: tuple[str, str], rate: float, scores: Scores) -> None:
    values = (scores.auc, scores.gauc.value, scores.log_loss, scores.pcoc)
    table.add_row(task.task, *names, str(task.rows), f"{rate:.5f}", *map(_number, values))


def _groups(task: str, found: Gauc) -> str:
    return f"GAUC of {task}: {found.groups} users, weighted by their rows; {found.skipped} of one class skipped"


def _truth(tasks: list[TaskReport]) -> Table:
    table = Table(title="Calibrated scores beside the true probabilities, on the traffic", title_justify="left")
    table.add_column("task")
    for heading in ("rows", "correlation", "log loss above truth", "AUC", "AUC of the truth", "mean / true mean"):
        table.add_column(heading, justify="right")
    for task in tasks:
        if (t := task.truth) is not None:
            values = (t.correlation, t.log_loss_gap, t.auc_model, t.auc_bound, t.mean_ratio)
            table.add_row(task.task, str(t.rows), *map(_number, values))
    return table


def _calibration(plan: Plan) -> str:
    rates = f"negatives at {plan.negative_rate:g}, positives at {plan.positive_rate:g}"
    if plan.denominator is None:
        return f"Trained with sample weights ({rates}): scores are calibrated already, nothing was corrected."
    return f"Calibrated for {rates}; the sampling looked at {plan.denominator}."


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"

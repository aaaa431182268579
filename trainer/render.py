"""Results of the trainer as rich renderables; printing them is the caller's."""

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trainer.evaluate import Evaluation
from trainer.metrics import BinaryMetrics, Gauc
from trainer.predict import Predicted
from trainer.reporting import FusedReport, TaskReport, WatchReport
from trainer.tasks import Plan
from trainer.train import TrainResult

__all__ = ["render_evaluation", "render_prediction", "render_training"]


def render_training(result: TrainResult) -> Group:
    """Training days, tasks, losses by epoch, what was dropped or broken, and the kept weights on the validation day."""
    rows = Table(title="Training days", title_justify="left")
    for heading in ("day", "version", "content hash"):
        rows.add_column(heading)
    for day in result.checkpoint.days:
        rows.add_row(day["ds"], str(day["version"]), day["content_hash"])
    parts: list[RenderableType] = [rows, _losses(result), Text(_calibration(result.plan))]
    parts += [Text(f"no {head}: {reason}") for head, reason in result.plan.dropped.items()]
    history = result.checkpoint.history
    parts += [Text(history[name]) for name in ("fusion", "tune", "on_top") if name in history]
    broken = {name: cells for name, cells in result.facts.broken.items() if cells}
    if broken:
        named = ", ".join(f"{name} {cells}" for name, cells in sorted(broken.items(), key=lambda kv: -kv[1])[:5])
        parts.append(Text(f"{sum(broken.values())} NaN or infinite cells were treated as missing: {named}"))
    parts += [_gates(history["gates"])] if history.get("gates") else []
    parts.append(Text(f"{result.facts.rows} rows; weights of epoch {result.kept_epoch} kept in {result.out}"))
    return Group(*parts, *([render_evaluation(result.valid)] if result.valid else []))


def _losses(result: TrainResult) -> Table:
    table = Table(title="Training loss by epoch (nats; watch in its own)", title_justify="left")
    table.add_column("epoch")
    for name in result.plan.names:
        table.add_column(name, justify="right")
    table.add_column("validation", justify="right")
    table.add_column("rows/s", justify="right")
    for epoch in result.epochs:
        losses = (f"{epoch['losses'][name]:.4f}" for name in result.plan.names)
        valid = "-" if epoch["valid_loss"] is None else f"{epoch['valid_loss']:.4f}"
        table.add_row(str(epoch["epoch"]), *losses, valid, f"{epoch['rows_per_s']:,}")
    return table


def _gates(gates: dict) -> Table:
    table = Table(title="Gates: mean weight of each expert", title_justify="left")
    table.add_column("head")
    experts = len(next(iter(gates["heads"].values()))["weights"])
    for k in range(experts):
        table.add_column(f"expert {k + 1}", justify="right")
    table.add_column("entropy", justify="right")
    table.add_column("rows above 0.95", justify="right")
    for head, found in gates["heads"].items():
        shares = (f"{share:.2f}" for share in found["weights"])
        table.add_row(head, *shares, f"{found['entropy']:.2f}", f"{found['polarised']:.1%}")
    return table


def render_evaluation(evaluation: Evaluation) -> Group:
    """Each task's raw scores against sample and traffic, calibrated against the traffic, and beside the truth."""
    days = ", ".join(day["ds"] for day in evaluation.days)
    table = Table(title=f"Evaluation on {days}", title_justify="left")
    for heading in ("head", "scores", "against"):
        table.add_column(heading)
    for heading in ("rows", "actual", "AUC", "GAUC by user", "by request", "log loss", "NE", "predicted / actual"):
        table.add_column(heading, justify="right")
    for task in evaluation.tasks:
        _add(table, task, names=("raw", "sampled rows"), scores=task.raw_sample)
        _add(table, task, names=("raw", "traffic"), scores=task.raw_traffic)
        _add(table, task, names=("calibrated", "traffic"), scores=task.calibrated_traffic)
        table.add_section()
    parts: list[RenderableType] = [table]
    parts += [Text(_groups(task)) for task in evaluation.tasks]
    parts += [_watch(evaluation.watch)] if evaluation.watch else []
    parts += [_fused(evaluation.fused)] if evaluation.fused else []
    if any(task.truth for task in evaluation.tasks):
        parts.append(_truth(evaluation.tasks))
    parts.append(Text(_calibration(evaluation.plan)))
    if evaluation.seen_in_training:
        parts.append(Text(f"trained on {', '.join(evaluation.seen_in_training)}: the metrics there flatter the model"))
    return Group(*parts)


def _add(table: Table, task: TaskReport, *, names: tuple[str, str], scores: BinaryMetrics) -> None:
    values = (scores.auc, _value(scores.gauc_user), _value(scores.gauc_request), scores.log_loss)
    more = (scores.normalised_entropy, scores.pcoc)
    table.add_row(task.task, *names, str(scores.rows), f"{scores.rate:.5f}", *map(_number, (*values, *more)))


def _value(found: Gauc | None) -> float:
    return found.value if found else math.nan


def _groups(task: TaskReport) -> str:
    said = []
    for name, found in (("users", task.raw_traffic.gauc_user), ("requests", task.raw_traffic.gauc_request)):
        if found:
            said.append(f"{found.groups} {name} weighted by their rows, {found.skipped} of one class skipped")
    return f"GAUC of {task.task}: {'; '.join(said)}"


def _watch(found: WatchReport) -> Text:
    m = found.traffic
    return Text(
        f"Watch time: {m.rows} rows, {m.mean:.1f} s on average; predicted / actual {_number(m.mean_ratio)}, "
        f"mean absolute error {m.mae:.1f} s, XAUC {_number(m.xauc)}; {m.missing} rows have nothing to watch"
    )


def _fused(found: FusedReport) -> Table:
    title = f"NDCG@{found.top} within requests, a row worth {found.gain}; fused = {found.formula}"
    table = Table(title=title, title_justify="left")
    for heading in ("order by", "NDCG", "requests", "without any gain"):
        table.add_column(heading, justify="right")
    for name, ndcg in found.ndcg.items():
        table.add_row(name, _number(ndcg.value), str(ndcg.requests), str(ndcg.skipped))
    return table


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


def render_prediction(found: Predicted) -> Group:
    """What was written, and where."""
    said = "" if found.states else "The input has no feature_states: nulls are missing cells, all others measured."
    lines = [f"{found.rows} rows scored into {found.out}", f"columns: {', '.join(found.columns)}", said]
    return Group(*(Text(line) for line in lines if line))


def _calibration(plan: Plan) -> str:
    rates = f"negatives at {plan.negative_rate:g}, positives at {plan.positive_rate:g}"
    if plan.denominator is None:
        return f"Trained with sample weights (lowest rates: {rates}): scores are calibrated already, nothing was corrected."
    return f"Calibrated for {rates}; the sampling looked at {plan.denominator}."


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"

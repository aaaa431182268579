"""After the last epoch: what is fitted on the validation day on top of the kept weights, and what the model is like there."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from headrace.config.fusion import Fusion, TuneConfig
from headrace.errors import ConfigError, InputError
from trainer.after import After, corrected, fusion_inputs, usable_fusion
from trainer.checkpoint import Checkpoint
from trainer.evaluate import Evaluation, judged
from trainer.fusion import Tuning, check_fusion, check_tune, tune, tuning_to_dict
from trainer.inputs import Inputs, orders_of
from trainer.material import Material
from trainer.models.gates import GateStatistics
from trainer.ontop import OnTop, fit_on_top, fit_scale
from trainer.published import PublishedDay
from trainer.scoring import Progress, Scored, score_days
from trainer.tasks import WATCHED

__all__ = ["finished", "with_fusion"]

_NUMBERS = ("float", "double", "boolean", "tinyint", "smallint", "int", "bigint")
_GATE_ROWS = 100_000  # looked at for what the gates do


def with_fusion(checkpoint: Checkpoint, *, days: Sequence[PublishedDay]) -> Checkpoint:
    """The checkpoint with the declared fusion, cut to the heads that there are.

    Raises
    ------
    ConfigError
        An input is neither a head nor a feature that is a number.
    """
    declared, plan = checkpoint.config.fusion, checkpoint.plan
    heads = [*plan.outputs, *plan.dropped, *checkpoint.labels["actions"], *WATCHED]
    numbers = [f.name for f in days[-1].features if f.type in _NUMBERS or f.type.startswith("decimal")]
    if declared is not None:
        check_fusion(declared, heads=heads, columns=numbers)
    fusion, said = usable_fusion(plan, declared, heads=heads)
    if checkpoint.config.tune is not None and declared is not None:
        check_tune(checkpoint.config.tune, declared, labels=heads)
    history = checkpoint.history | ({"fusion": said} if said else {})
    return replace(checkpoint, after=replace(checkpoint.after, fusion=fusion), history=history)


def _usable_tune(checkpoint: Checkpoint, fusion: Fusion | None) -> tuple[TuneConfig | None, str]:
    """The search without the labels that these days lack; None, with the reason, where nothing is left to search."""
    declared = checkpoint.config.tune
    if declared is None or fusion is None:
        return None, ""
    utility = {name: worth for name, worth in declared.utility.items() if name in checkpoint.plan.outputs}
    if not any(utility.values()):
        return None, f"no search: the days teach none of {', '.join(declared.utility)}"
    usable = declared.model_copy(update={"utility": utility})
    try:
        check_tune(usable, fusion, labels=checkpoint.plan.outputs)
    except ConfigError as error:
        return None, f"no search: {error.found}"
    return usable, ""


def finished(
    checkpoint: Checkpoint, *, root: str, material: Material, progress: Progress | None
) -> tuple[Checkpoint, Evaluation | None]:
    """The checkpoint with what follows its network, and how it does on the validation days; None without any.

    The corrections and the fusion's numbers are found on the same days that they are then judged on, so that these
    metrics flatter them a little.
    """
    valid, pieces = material.valid_days, material.valid_pieces
    checkpoint = _with_gates(checkpoint, root=root, material=material)
    if not pieces:
        lacking = {"on_top": "nothing to validate on, so nothing is fitted on top"} if checkpoint.config.on_top else {}
        return replace(checkpoint, history=checkpoint.history | lacking), None
    scored = score_days(checkpoint, root=root, days=valid, pieces=pieces, progress=progress, stage="finish")
    on_top, left_out = _on_top(checkpoint, scored)
    after = replace(checkpoint.after, on_top=on_top)
    search, said = _usable_tune(checkpoint, after.fusion)
    if search is not None:
        tuning = _tuned(checkpoint, after, search=search, scored=scored)
        after, said = replace(after, fusion=tuning.chosen, tuning=tuning_to_dict(tuning)), tuning.warning or ""
    final = replace(checkpoint, after=after, history=checkpoint.history | ({"tune": said} if said else {}) | left_out)
    return final, judged(final, scored, days=valid, held_out=True)


def _with_gates(checkpoint: Checkpoint, *, root: str, material: Material) -> Checkpoint:
    """The checkpoint with what its gates do on some rows, where the model has gates."""
    model = checkpoint.model
    if not hasattr(model, "gate_weights"):
        return checkpoint
    model.eval()
    statistics = GateStatistics()
    days, pieces = (material.valid_days or material.days), (material.valid_pieces or material.pieces)
    inputs = Inputs(root, orders_of(days), checkpoint.encoder, checkpoint.plan)
    device = next(model.parameters()).device
    with torch.inference_mode():
        for _, rows in inputs.stream(pieces):
            ids, dense = (torch.from_numpy(rows[name]).to(device) for name in ("ids", "dense"))
            statistics.add(model.gate_weights(ids, dense))  # type: ignore[operator]
            if statistics.rows >= _GATE_ROWS:
                break
    history = checkpoint.history | {"gates": statistics.to_dict(checkpoint.plan.names)}
    return replace(checkpoint, history=history)


def _on_top(checkpoint: Checkpoint, scored: Scored) -> tuple[dict[str, OnTop], dict[str, str]]:
    """A correction of each head that is a probability; and, for the history, which could have none."""
    kind, plan = checkpoint.config.on_top, checkpoint.plan
    if kind is None:
        return {}, {}
    _, final = corrected(plan, checkpoint.after, logits=scored.logits)
    fitted: dict[str, OnTop] = {}
    left_out: list[str] = []
    for i, head in enumerate(plan.heads):
        if head.name in final and not (
            head.kind == "watch" and plan.watch == "unweighted"
        ):  # that one is biased by design
            known = ~np.isnan(scored.labels[:, i])
            labels, scores, weights = scored.labels[known, i], final[head.name][known], scored.weight[known]
            try:
                if head.kind == "watch":
                    fitted[head.name] = fit_scale(labels, estimates=scores, weights=weights)
                else:  # a ratio is cut as its loss cuts it
                    fitted[head.name] = fit_on_top(kind, np.clip(labels, 0.0, 1.0), scores=scores, weights=weights)
            except InputError:  # one class: there is nothing to fit
                left_out.append(head.name)
    return fitted, {"on_top": f"one class on the days that validate: {', '.join(left_out)}"} if left_out else {}


def _tuned(checkpoint: Checkpoint, after: After, *, search: TuneConfig, scored: Scored) -> Tuning:
    assert after.fusion is not None
    _, final = corrected(checkpoint.plan, after, logits=scored.logits)
    labels = {head.name: scored.labels[:, i] for i, head in enumerate(checkpoint.plan.heads)}
    return tune(
        after.fusion,
        search,
        inputs=fusion_inputs(after, final, columns=scored.columns),
        labels=labels,
        requests=scored.requests,
        weights=scored.weight,
        seed=checkpoint.config.seed % 2**63,
    )

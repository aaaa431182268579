"""After the last epoch: what is fitted on the validation day on top of the kept weights, and what the model is like there."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from headrace.config.fusion import Fusion, TuneConfig
from headrace.errors import ConfigError
from trainer.after import After, corrected, fusion_inputs, usable_fusion
from trainer.checkpoint import Checkpoint
from trainer.evaluate import Evaluation, judged
from trainer.fusion import Tuning, check_fusion, check_tune, tune, tuning_to_dict
from trainer.inputs import Inputs, orders_of
from trainer.material import Material
from trainer.models.gates import GateStatistics
from trainer.ontop import OnTop, fit_on_top
from trainer.published import PublishedDay
from trainer.rows import day_columns
from trainer.scoring import Progress, Scored, score_days

__all__ = ["finished", "with_fusion"]

_GATE_ROWS = 100_000  # looked at for what the gates do


def with_fusion(checkpoint: Checkpoint, *, root: str, days: Sequence[PublishedDay]) -> Checkpoint:
    """The checkpoint with the declared fusion, cut to the heads that there are.

    Raises
    ------
    ConfigError
        An input is neither a head nor a column of the days.
    """
    declared, plan = checkpoint.config.fusion, checkpoint.plan
    present = set.intersection(*(day_columns(root, ds=day.ds, version=day.version) for day in days))
    if declared is not None:
        check_fusion(declared, heads=[*plan.outputs, *plan.dropped], columns=present)
    fusion, said = usable_fusion(plan, declared)
    if checkpoint.config.tune is not None and declared is not None:
        check_tune(checkpoint.config.tune, declared, labels=[*plan.outputs, *plan.dropped])
    history = checkpoint.history | ({"fusion": said} if said else {})
    return replace(checkpoint, after=replace(checkpoint.after, fusion=fusion), history=history)


def _usable_tune(checkpoint: Checkpoint, fusion: Fusion | None) -> tuple[TuneConfig | None, str]:
    """The search without the labels that these days lack; None, with the reason, where nothing is left to search."""
    declared = checkpoint.config.tune
    if declared is None or fusion is None:
        return None, ""
    utility = {name: worth for name, worth in declared.utility.items() if name not in checkpoint.plan.dropped}
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
        return checkpoint, None
    scored = score_days(checkpoint, root=root, days=valid, pieces=pieces, progress=progress, stage="finish")
    after = replace(checkpoint.after, on_top=_on_top(checkpoint, scored))
    search, said = _usable_tune(checkpoint, after.fusion)
    if search is not None:
        tuning = _tuned(checkpoint, after, search=search, scored=scored)
        after, said = replace(after, fusion=tuning.chosen, tuning=tuning_to_dict(tuning)), tuning.warning or ""
    final = replace(checkpoint, after=after, history=checkpoint.history | ({"tune": said} if said else {}))
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


def _on_top(checkpoint: Checkpoint, scored: Scored) -> dict[str, OnTop]:
    kind, plan = checkpoint.config.on_top, checkpoint.plan
    if kind is None:
        return {}
    _, final = corrected(plan, checkpoint.after, logits=scored.logits)
    fitted = {}
    for i, head in enumerate(plan.heads):
        if head.kind == "binary" and head.name in final:
            known = ~np.isnan(scored.labels[:, i])
            labels, scores, weights = scored.labels[known, i], final[head.name][known], scored.weight[known]
            fitted[head.name] = fit_on_top(kind, labels, scores=scores, weights=weights)
    return fitted


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
        seed=checkpoint.config.seed,
    )

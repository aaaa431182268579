"""Train on published days: fit the encoder, choose the tasks, learn, and leave a checkpoint."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headrace.config.model import TrainConfig
from headrace.errors import ConfigError
from trainer.batches import Rows, encoded_rows, shuffled_batches
from trainer.checkpoint import (
    Checkpoint,
    build_model,
    day_facts,
    refuse_foreign_folder,
    write_checkpoint,
)
from trainer.encoders import Encoder
from trainer.evaluate import Evaluation, check_schema, judge
from trainer.fitting import Facts, check_same_schema, fit_encoder, training_pieces
from trainer.learning import optimisers, run_epoch
from trainer.published import PublishedDay, find_days
from trainer.rows import Piece
from trainer.scoring import Progress
from trainer.tasks import Plan, plan_heads

__all__ = ["EpochReport", "TrainResult", "train"]

_WINDOW = 65536  # rows that are shuffled among each other; some 1 kB each with a hundred features


@dataclass(frozen=True)
class EpochReport:
    """One pass: mean training loss of each head (nats, before each step), and log losses on the validation day."""

    epoch: int
    losses: dict[str, float]
    valid: Evaluation | None


@dataclass(frozen=True)
class TrainResult:
    """What was trained and where it is.

    Attributes
    ----------
    out : Path
        The checkpoint's folder.
    plan : Plan
        Tasks, heads, rates and dropped tasks.
    facts : Facts
        Rows, positives and broken cells of the training days.
    days : list of dict
        Training days with version and content hash.
    epochs : list of EpochReport
    kept_epoch : int
        The epoch whose weights were kept: the best on the validation day, the last without one.
    gates : dict of str to list of float
        Mean weight that each head gives each expert on the last batch.
    """

    out: Path
    plan: Plan
    facts: Facts
    days: list[dict[str, Any]]
    epochs: list[EpochReport]
    kept_epoch: int
    gates: dict[str, list[float]]


def train(
    root: str,
    *,
    days: Sequence[date],
    valid_day: date | None,
    config: TrainConfig,
    out: Path,
    weighted: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Train an MMoE on published days and write its checkpoint.

    Parameters
    ----------
    root : str
        Path or URI of the tables.
    days : dates
        Published days to learn from; the encoder is fitted on them only.
    valid_day : date or None
        Published day that is judged after each epoch; the best epoch's weights are kept (mean log loss of the tasks,
        calibrated, against the traffic).
    config : TrainConfig
    out : Path
        Folder to write; an older checkpoint there is replaced.
    weighted : bool
        Weigh the loss by sample_weight. The model is then calibrated as it stands, and nothing is corrected later.
    progress : callable (stage, rows done, rows in all, text), optional

    Returns
    -------
    TrainResult. The same inputs, seed and number of threads give the same weights on a CPU.

    Raises
    ------
    InputError
        A day is not published, empty or of another schema; no task has both classes; rates differ between rows.
    ConfigError
        The validation day is a training day, a day is named twice, or `out` is something else.
    """
    _check_days(days, valid_day)
    refuse_foreign_folder(Path(out))
    chosen = find_days(root, [*days, *([valid_day] if valid_day else [])])
    valid = chosen[len(days) :]
    chosen = chosen[: len(days)]
    check_same_schema(chosen)
    pieces = training_pieces(root, chosen)
    encoder, facts = _fitted(root, chosen, pieces=pieces, config=config, progress=progress)
    rates = facts.single_rates(weighted=weighted)
    plan = plan_heads(chosen[0].labels, positives=facts.positives, rows=facts.rows, rates=rates, weighted=weighted)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(encoder, plan, config=config)
        model.start_at(torch.tensor([_base_rate(facts, head, weighted=weighted) for head in plan.heads]))
        bundle = Checkpoint(model, encoder, plan, config, chosen[0].labels, asdict(facts), day_facts(chosen))
        for day in valid:
            check_schema(bundle, day, root=root)
        epochs, kept, gates = _learn(bundle, root, days=chosen, pieces=pieces, valid=valid, progress=progress)
    write_checkpoint(bundle, Path(out))
    return TrainResult(Path(out), plan, facts, bundle.days, epochs, kept, gates)


def _check_days(days: Sequence[date], valid_day: date | None) -> None:
    named = [*days, *([valid_day] if valid_day else [])]
    repeated = sorted({str(d) for d in named if named.count(d) > 1})
    if repeated:
        raise ConfigError(
            "days to train on",
            found=f"{', '.join(repeated)} named twice, or also the validation day",
            wanted="each day once, and a validation day that is not learnt from",
            remedy="name other days",
        )


def _fitted(
    root: str, days: Sequence[PublishedDay], *, pieces: Sequence[Piece], config: TrainConfig, progress: Progress | None
) -> tuple[Encoder, Facts]:
    total = sum(piece.rows for piece in pieces)
    fitted: list[tuple[Encoder, Facts]] = []
    for done, encoder, facts in fit_encoder(root, days, pieces=pieces, hash_buckets=config.hash_buckets):
        fitted = [(encoder, facts)]
        if progress:
            progress("fit", done, total, f"{len(days)} days")
    return fitted[0]


def _base_rate(facts: Facts, head: str, *, weighted: bool) -> float:
    """Share of positives that the loss will see, strictly between 0 and 1: both classes are there."""
    if not weighted:
        return facts.positives[head] / facts.rows
    return facts.positive_weights[head] / facts.weight


def _learn(
    bundle: Checkpoint,
    root: str,
    *,
    days: Sequence[PublishedDay],
    pieces: Sequence[Piece],
    valid: Sequence[PublishedDay],
    progress: Progress | None,
) -> tuple[list[EpochReport], int, dict[str, list[float]]]:
    """Run the epochs; leaves the kept epoch's weights in the bundle's model."""
    config, model = bundle.config, bundle.model
    rng = np.random.default_rng(config.seed)
    steps = optimisers(bundle)
    mean_weight = bundle.facts["weight"] / bundle.facts["rows"]
    epochs: list[EpochReport] = []
    best, kept, weights = float("inf"), config.epochs, None
    for epoch in range(1, config.epochs + 1):
        batches = _batches(bundle, root, days=days, pieces=[pieces[i] for i in rng.permutation(len(pieces))], rng=rng)
        stage = f"train {epoch}/{config.epochs}"
        losses, gates = run_epoch(bundle, batches, steps=steps, mean_weight=mean_weight, report=(progress, stage))
        judged = judge(bundle, valid, root=root, progress=progress) if valid else None
        epochs.append(EpochReport(epoch, losses, judged))
        score = np.mean([t.calibrated_traffic.log_loss for t in judged.tasks]) if judged else None
        if score is not None and score < best:
            best, kept, weights = float(score), epoch, deepcopy(model.state_dict())
    if weights is not None:
        model.load_state_dict(weights)
    return epochs, kept, gates


def _batches(
    bundle: Checkpoint, root: str, *, days: Sequence[PublishedDay], pieces: Sequence[Piece], rng: np.random.Generator
) -> Iterator[Rows]:
    by_day = {day.ds: day for day in days}
    stream = encoded_rows(root, pieces, days=by_day, encoder=bundle.encoder, plan=bundle.plan)
    return shuffled_batches(stream, batch_size=bundle.config.batch_size, window=_WINDOW, rng=rng)

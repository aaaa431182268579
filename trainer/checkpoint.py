"""A trained model as a folder: weights.pt (a state_dict, read with weights_only) and checkpoint.json (all else).

Written beside its place and renamed into it, so that a reader sees the old one, the new one, or none, but never half.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from headrace import __version__
from headrace.config.model import TrainConfig
from headrace.errors import ConfigError, InputError
from trainer.encoders import Encoder, encoder_from_dict, encoder_to_dict
from trainer.models.mmoe import Mmoe
from trainer.published import PublishedDay
from trainer.tasks import Plan

__all__ = ["Checkpoint", "build_model", "day_facts", "load_checkpoint", "refuse_foreign_folder", "write_checkpoint"]

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A model and what is needed to use it honestly.

    Attributes
    ----------
    model : Mmoe
    encoder : Encoder
        With the declared features it was fitted on.
    plan : Plan
        Heads, rates, and which head undoes the sampling, if any does.
    config : TrainConfig
    labels, facts : dict
        The receipts' labels; rows, positives, weights and broken cells of the training days.
    days : list of dict
        Training days with Delta version and content hash.
    """

    model: Mmoe
    encoder: Encoder
    plan: Plan
    config: TrainConfig
    labels: dict[str, Any]
    facts: dict[str, Any]
    days: list[dict[str, Any]]


def build_model(encoder: Encoder, plan: Plan, *, config: TrainConfig) -> Mmoe:
    """The network that fits the encoder's inputs and the plan's heads, freshly initialised."""
    return Mmoe(
        rows=encoder.rows,
        fields=len(encoder.categories),
        dense=2 * len(encoder.numbers),
        heads=len(plan.heads),
        embedding_dim=config.embedding_dim,
        experts=config.experts,
        gate_dropout=config.gate_dropout,
    )


def day_facts(days: Sequence[PublishedDay]) -> list[dict[str, Any]]:
    """Which bytes a model saw: day, version, content hash, and hash of the manifest."""
    return [
        {"ds": str(d.ds), "version": d.version, "content_hash": d.content_hash, "manifest": d.manifest} for d in days
    ]


def refuse_foreign_folder(out: Path) -> None:
    """Raise ConfigError where `out` holds something that is not a checkpoint, before hours are spent on training."""
    if out.exists() and not ((out / "checkpoint.json").is_file() or (out.is_dir() and not any(out.iterdir()))):
        raise ConfigError(
            str(out),
            found="something that is not a checkpoint",
            wanted="a new folder, or an older checkpoint to replace",
            remedy="name another folder, or move this one away",
        )


def write_checkpoint(checkpoint: Checkpoint, out: Path) -> None:
    """Write the folder `out`, replacing an older checkpoint; raises ConfigError where `out` is something else."""
    refuse_foreign_folder(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    weights = io.BytesIO()
    torch.save(checkpoint.model.state_dict(), weights)
    content = weights.getvalue()
    text = json.dumps(_described(checkpoint, hashlib.sha256(content).hexdigest()), indent=1, allow_nan=False)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    fresh.chmod(0o755)  # mkdtemp's own mode would keep other readers out
    try:
        _write(fresh / "weights.pt", content)
        _write(fresh / "checkpoint.json", text.encode())
        _swap(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _swap(fresh: Path, out: Path) -> None:
    """Put `fresh` in place of `out`; what stood there goes only once the new one stands."""
    old = fresh.with_name(fresh.name + "-old")
    if out.exists():
        out.rename(old)
    try:
        fresh.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _described(checkpoint: Checkpoint, digest: str) -> dict[str, Any]:
    plan = checkpoint.plan
    return {
        "format": FORMAT,
        "headrace": __version__,
        "torch": str(torch.__version__),
        "weights_sha256": digest,
        "calibration": "none: trained with sample weights" if plan.denominator is None else "closed form of the rates",
        "plan": asdict(plan),
        "encoder": encoder_to_dict(checkpoint.encoder),
        "config": checkpoint.config.model_dump(mode="json"),
        "labels": checkpoint.labels,
        "facts": checkpoint.facts,
        "days": checkpoint.days,
    }


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote; the model is on the CPU, in evaluation mode.

    Raises
    ------
    InputError
        Files are missing or damaged, of another format, or do not belong together.
    """
    try:
        described = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
        content = (path / "weights.pt").read_bytes()
        if described["format"] != FORMAT:
            raise ValueError(f"format {described['format']}, this headrace {__version__} reads {FORMAT}")
        if hashlib.sha256(content).hexdigest() != described["weights_sha256"]:
            raise ValueError("weights.pt is not the file that checkpoint.json describes")
        return _rebuilt(described, torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"checkpoint {path}",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            wanted="a folder written by headrace train",
            remedy="check the path, or train again",
        ) from None


def _rebuilt(described: Mapping[str, Any], weights: Mapping[str, Any]) -> Checkpoint:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in described["plan"].items()}
    plan = Plan(**values)
    encoder = encoder_from_dict(described["encoder"])
    config = TrainConfig(**described["config"])
    model = build_model(encoder, plan, config=config)
    model.load_state_dict(weights)
    model.eval()
    return Checkpoint(model, encoder, plan, config, described["labels"], described["facts"], described["days"])

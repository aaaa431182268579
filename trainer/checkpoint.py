"""A trained model as a folder: weights.pt (a state_dict, read with weights_only) and checkpoint.json (all else).

A run that was cut off leaves the same two files, and state.pt with what it needs to go on (trainer.resume).

Written beside its place and renamed into it, so that a reader sees the old one, the new one, or none, but never half.
"""

import glob
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what torch raises for a file that is none of its own; nothing is unpickled
from typing import Any

import torch
from torch import nn

from headrace import __version__
from headrace.config.training import TrainConfig
from headrace.errors import ConfigError, InputError
from trainer.after import After, after_from_dict, after_to_dict
from trainer.encode import Encoder, encoder_from_dict, encoder_to_dict
from trainer.facts import Facts, facts_from_dict, facts_to_dict
from trainer.heads import Head
from trainer.models import Shape, build_model
from trainer.published import PublishedDay
from trainer.tasks import Plan

__all__ = [
    "Checkpoint",
    "day_facts",
    "fresh_model",
    "load_checkpoint",
    "packed",
    "recover_folder",
    "refuse_foreign_folder",
    "write_checkpoint",
]

FORMAT = 2
_FILES = {"weights.pt", "checkpoint.json", "state.pt"}


@dataclass(frozen=True)
class Checkpoint:
    """A model and what is needed to use it honestly.

    Attributes
    ----------
    model : nn.Module
        (ids, dense) -> logits (B, T); see trainer.models.
    encoder : Encoder
        With the declared features it was fitted on.
    plan : Plan
        Heads, rates, and which head undoes the sampling, if any does.
    config : TrainConfig
    labels : dict
        The receipts' labels.
    facts : Facts
        Rows, positives, weights and broken cells of the training days.
    days : list of dict
        Training days with Delta version and content hash.
    after : After
        What is done with the outputs: f(duration), what was fitted on top, fusion.
    history : dict
        How it was trained: epochs, the one that was kept, gates, validation days.
    """

    model: nn.Module
    encoder: Encoder
    plan: Plan
    config: TrainConfig
    labels: dict[str, Any]
    facts: Facts
    days: list[dict[str, Any]]
    after: After = field(default_factory=After)
    history: dict[str, Any] = field(default_factory=dict)


def fresh_model(encoder: Encoder, plan: Plan, *, config: TrainConfig) -> nn.Module:
    """The network that fits the encoder's inputs and the plan's heads, freshly initialised."""
    shape = Shape(
        rows=encoder.rows,
        fields=len(encoder.fields),
        dense=len(encoder.dense),
        field_sides=tuple(encoder.sides[name] for name in encoder.fields),
        dense_sides=tuple(encoder.sides[name] for name in encoder.dense),
    )
    model = build_model(shape, heads=len(plan.heads), config=config)
    if config.heads.uncertainty:
        model.log_variances = nn.Parameter(torch.zeros(len(plan.heads)))  # (T,)
    return model


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
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise ConfigError(
            str(out),
            found=f"a place that cannot be written ({error.strerror})",
            wanted="a folder",
            remedy="name another",
        ) from None


def write_checkpoint(checkpoint: Checkpoint, out: Path, *, beside: Mapping[str, bytes] | None = None) -> None:
    """Write the folder `out`, replacing an older checkpoint; raises ConfigError where `out` is something else.

    `beside` names more files and their content.
    """
    refuse_foreign_folder(out)
    recover_folder(out)
    content = packed(checkpoint.model.state_dict())
    text = json.dumps(_described(checkpoint, hashlib.sha256(content).hexdigest()), indent=1, allow_nan=False)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    fresh.chmod(0o755)  # mkdtemp's own mode would keep other readers out
    try:
        _write(fresh / "weights.pt", content)
        _write(fresh / "checkpoint.json", text.encode())
        for name, more in (beside or {}).items():
            _write(fresh / name, more)
        _swap(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def recover_folder(out: Path) -> None:
    """Put right what a killed process left of `out`: bring back one that was moved aside, remove half-written ones."""
    for old in sorted(out.parent.glob(f".{glob.escape(out.name)}-????????*")):
        if not {path.name for path in old.iterdir()} <= _FILES:
            continue  # somebody else's
        if old.name.endswith("-old") and not out.exists():
            old.rename(out)
        else:
            shutil.rmtree(old, ignore_errors=True)


def packed(values: Mapping[str, Any]) -> bytes:
    """Tensors and plain values as torch.save writes them."""
    torch.save(dict(values), buffer := io.BytesIO())
    return buffer.getvalue()


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
        "facts": facts_to_dict(checkpoint.facts),
        "days": checkpoint.days,
        "after": after_to_dict(checkpoint.after),
        "history": checkpoint.history,
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
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, EOFError, UnpicklingError) as error:
        raise InputError(
            f"checkpoint {path}",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            wanted="a folder written by headrace train",
            remedy="check the path, or train again",
        ) from None


def _rebuilt(described: Mapping[str, Any], weights: Mapping[str, Any]) -> Checkpoint:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in described["plan"].items()}
    plan = Plan(**(values | {"heads": tuple(Head(**head) for head in values["heads"])}))
    encoder = encoder_from_dict(described["encoder"])
    config = TrainConfig(**described["config"])
    model = fresh_model(encoder, plan, config=config)
    model.load_state_dict(weights)
    model.eval()
    return Checkpoint(
        model,
        encoder,
        plan,
        config,
        described["labels"],
        facts_from_dict(described["facts"]),
        described["days"],
        after_from_dict(described["after"]),
        described["history"],
    )

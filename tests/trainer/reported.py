"""A model and what was found of it, made by hand for the report's tests: nothing is trained, labels are drawn."""

from datetime import date, timedelta
from typing import Any

import numpy as np

from headrace.config.fusion import Fusion, TuneConfig
from tests.trainer.world import CONFIG
from trainer.after import After
from trainer.checkpoint import Checkpoint, day_facts, fresh_model
from trainer.duration import DurationFitter
from trainer.encode import Buckets, Encoder, Hash, Number, Vocabulary
from trainer.evaluate import Evaluation, judged
from trainer.facts import Facts, Watched
from trainer.fusion import tune, tuning_to_dict
from trainer.heads import Head
from trainer.importance import Importance, Loss
from trainer.published import PublishedDay
from trainer.scoring import Scored
from trainer.tasks import Plan

__all__ = ["HOSTILE", "checkpoint_of", "evaluation_of", "importances", "scored_rows"]

HOSTILE = "</script><script>alert(1)</script> \"' \u202eevil \u05d0\u05d1\u05d2 \U0001f600"
FIRST = date(2024, 5, 1)
HEADS = (
    Head("click", "binary", "label_click"),
    Head("like", "binary", "label_like"),
    Head("completion", "ratio", "label_completion", True),
    Head("watch", "watch", "label_watch_s", True),
)
NAMES = ("item_click_count_7d", HOSTILE)


def day(number: int) -> PublishedDay:
    """A published day, with nothing but its name and hashes."""
    ds = FIRST + timedelta(days=number)
    return PublishedDay(ds, 3 + number, f"{number}f" * 32, (), {}, {}, f"{number}e" * 32)


def _encoder() -> Encoder:
    categories = (
        Hash("user_id", 500, side="user"),
        Vocabulary("scene", ("feed", "search"), min_count=2),
        Buckets("user_age", 16, (18.0, 25.0, 40.0), error=0.01, side="user"),
    )
    numbers = tuple(Number(name, log=True, mean=1.5, std=0.5, side="item") for name in NAMES)
    declared = (("scene", "string", ""), ("user_age", "int", ""), *((name, "bigint", "events") for name in NAMES))
    return Encoder(categories, numbers, declared)


def checkpoint_of(
    *, model: str = "mmoe", gates: bool = True, tuned: bool = True, watch: str = "weighted", epochs: int = 3
) -> Checkpoint:
    """A model of four heads on two days, validated on a third; its weights are as they were made."""
    config = CONFIG.model_copy(update={"model": model, "segments": ("scene",)})
    plan = Plan(
        ("click", "like"), HEADS, "click", 0.1, 1.0, ("click",), {"share": f"one class only {HOSTILE}"}, watch  # type: ignore[arg-type]
    )  # fmt: skip
    history: dict[str, Any] = {
        "state_order": ["scene", "user_age", *NAMES, "item_tags"],
        "epochs": [_epoch(i + 1) for i in range(epochs)],
        "kept_epoch": min(2, epochs),
        "valid_days": day_facts([day(2)]),
    }
    if gates:
        gate = {"weights": [0.7, 0.295, 0.005], "entropy": 0.63, "polarised": 0.125}
        history["gates"] = {"rows": 900, "heads": {head.name: gate for head in HEADS}, "dead": [2]}
    facts = Facts(
        rows=8000,
        positives={"click": 700, "like": 200},
        positive_weights={"click": 700.0, "like": 200.0},
        weight=70000.0,
        watched={
            "watch": Watched(4000, 40000.0, 480000.0, 9e6),
            "completion": Watched(4000, 40000.0, 24000.0, 18000.0),
        },
        broken={"user_age": 4, HOSTILE: 7, "scene": 0},
    )
    encoder = _encoder()
    made = Checkpoint(
        fresh_model(encoder, plan, config=config),
        encoder,
        plan,
        config,
        {},
        facts,
        day_facts([day(0), day(1)]),
        _after(tuned=tuned),
        history,
    )
    return made


def _epoch(number: int) -> dict[str, Any]:
    losses = {head.name: 0.3 + 0.1 * i + 0.05 / number for i, head in enumerate(HEADS)}
    valid = [0.21, 0.19, 0.2][(number - 1) % 3]
    return {"epoch": number, "losses": losses, "rows": 8000, "rows_per_s": 100_000, "valid_loss": valid}


def _after(*, tuned: bool) -> After:
    rng = np.random.default_rng(1)
    seconds = np.exp(rng.normal(3, 1, 4000))
    fitter = DurationFitter()
    fitter.add(seconds, np.clip(rng.beta(2, 2, 4000) * 1.5 / np.log1p(seconds), 0, 1))
    fusion = Fusion(form="click_times", inputs={"click": {}, "like": {"weight": 2.0}, "completion": {"weight": 0.5}})  # type: ignore[dict-item]
    return After({"completion": fitter.finish()}, {}, fusion, _tuned(fusion) if tuned else None)


def _tuned(fusion: Fusion) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    click, like, completion = rng.random((3, 2000))
    labels = {"click": (rng.random(2000) < click * 0.3).astype(float), "like": (rng.random(2000) < like * 0.2) * 1.0}
    config = TuneConfig(utility={"click": 1.0, "like": 5.0}, top=3, trials=60)
    inputs = {"click": click, "like": like, "completion": completion}
    found = tune(fusion, config, inputs=inputs, labels=labels, requests=np.arange(2000) // 10, weights=None, seed=3)
    return tuning_to_dict(found)


def scored_rows(*, rows: int = 6000, tilt: float = 0.0, seed: int = 4) -> Scored:
    """Rows whose labels are drawn from what the logits say of the traffic, times exp(tilt) in the odds of like."""
    rng = np.random.default_rng(seed)
    click = rng.normal(-3, 1.2, rows)  # of the traffic
    like = click - 1.0 - rng.exponential(0.5, rows)  # less than click: like implies it
    done, watch = rng.normal(0, 1, rows), rng.normal(2, 1, rows)
    clicked = rng.random(rows) < _sigmoid(click)
    liked = clicked & (rng.random(rows) < _sigmoid(like + tilt) / _sigmoid(click))
    rate = np.where(clicked, 1.0, 0.1)
    kept = rng.random(rows) < rate
    video = rng.random(rows) < 0.7
    labels = np.stack(
        [
            clicked,
            liked,
            np.where(video, np.clip(_sigmoid(done) + rng.normal(0, 0.1, rows), 0, 1), np.nan),
            np.where(video, rng.exponential(np.exp(watch)), np.nan),
        ],
        axis=1,
    )
    # what a network says of the sample: both odds are relative to the sampled rows, of which the clicked are all there
    sampled = _sigmoid(click) / (_sigmoid(click) + 0.1 * (1 - _sigmoid(click)))
    logits = np.stack([_logit(sampled), _logit(sampled * _sigmoid(like) / _sigmoid(click)), done, watch], axis=1)
    scene = rng.integers(-1, 3, rows).astype(np.int32)
    columns: dict[str, Any] = {"item_duration_s": np.exp(rng.normal(3, 1, rows))}
    return Scored(
        logits[kept].astype(np.float32),
        labels[kept].astype(np.float32),
        1 / rate[kept],
        rng.integers(0, 50, rows)[kept],
        (np.arange(rows) // 20)[kept],
        {name: cells[kept] for name, cells in columns.items()},
        {"scene": (scene[kept], ["feed", "search", HOSTILE])},
    )


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def _logit(p: Any) -> Any:
    return np.log(p) - np.log1p(-p)


def evaluation_of(checkpoint: Checkpoint, *, number: int = 3, **options: Any) -> Evaluation:
    """What is found on drawn rows of a day."""
    return judged(checkpoint, scored_rows(**options), days=[day(number)])


def importances() -> list[Importance]:
    """Three groups, the middle one the most important."""
    return [
        Importance(
            group,
            ("user_age", HOSTILE),
            {head: Loss(lost / 10, 0.0001) for head in ("click", "like", "completion")},
            {head: Loss(lost, 0.001) for head in ("click", "like", "completion")},
            5000,
            3,
        )
        for group, lost in (("context", 0.004), ("profile:user", 0.09), (HOSTILE, -0.0002))
    ]

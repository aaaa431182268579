"""`headrace demo`: from nothing to a published training set, a calibrated model and a coverage page."""

import json
import time
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console

from headrace.config import Config, load_config
from headrace.modelling import evaluate_model, train_model
from headrace.pages import report_page
from headrace.receipts import latest_receipts
from headrace.run import run_chain
from headrace.worlds import make_world

__all__ = ["run_demo"]

_FIRST, _WORLD_DAYS, _BUILD_DAYS, _PER_DAY = date(2024, 5, 1), 21, 6, 40_000
_SEED, _ZONE = 7, "Europe/Berlin"


def run_demo(out: Path, *, scale: float, console: Console) -> None:
    """Five stages; each says what it skips because it is done already."""
    started = time.monotonic()
    out = out.resolve()
    config = _config(out)
    last = _FIRST + timedelta(days=_WORLD_DAYS - 2)  # the last day whose labels are mature
    console.rule("1/5 a simulated world")
    _world(out, scale=scale, console=console)
    console.rule(f"2/5 the chain: {_BUILD_DAYS} days, ingest to publish")
    run_chain(config, ds=last, days=_BUILD_DAYS, rebuild=False, console=console)
    console.rule("3/5 a model: MMoE on click, like, collect, share")
    _model(out, config, last=last, console=console)
    console.rule(f"4/5 its predictions for {last}, against the simulated truth")
    judged, truth = out / "model-judged.html", out / "world" / "truth"
    evaluate_model(config, out / "model", ds=last, days=1, truth=truth, page=judged, console=console)
    console.rule("5/5 coverage")
    page = report_page(config, ds=last, days=_BUILD_DAYS, out=out / "report.html", console=console)
    console.rule(f"done in {time.monotonic() - started:.0f} s")
    _what_next(out, page, last, console)


def _config(out: Path) -> Config:
    """Write the demo's configuration, so that every command below can be tried on it, and read it back."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "demo.yaml"
    path.write_text(
        "# Made by `headrace demo`; paths are relative to this file.\n"
        f"extends: local.yaml\nlanding: world/landing\nroot: tables\ntimezone: {_ZONE}\ncountry: DE\n"
        f"train: {{days: {_BUILD_DAYS - 1}}}\n",
        encoding="utf-8",
    )
    return load_config(path)


def _world(out: Path, *, scale: float, console: Console) -> None:
    asked = {
        "days": _WORLD_DAYS,
        "impressions_per_day": int(_PER_DAY * scale),
        "first_day": str(_FIRST),
        "seed": _SEED,
        "timezone": _ZONE,
    }
    made = out / "world" / "world.json"
    if made.is_file():
        spec = json.loads(made.read_text(encoding="utf-8")).get("spec", {})
        if all(str(spec.get(key)) == str(value) for key, value in asked.items()):
            console.print("skipped: the world is there already, same seed, same bytes")
            return
    make_world(
        out / "world",
        days=_WORLD_DAYS,
        impressions_per_day=int(_PER_DAY * scale),
        first_day=_FIRST,
        seed=_SEED,
        timezone=_ZONE,
        format="parquet",
        overwrite=True,
        console=console,
    )


def _model(out: Path, config: Config, *, last: date, console: Console) -> None:
    """Train on the days before the last, unless the checkpoint is of the same published days and settings."""
    train_last = last - timedelta(days=1)
    basis = out / "model.basis.json"
    published = latest_receipts(config)
    days = [train_last - timedelta(days=n) for n in range(config.train.days)]
    facts = {
        "days": {str(d): published["publish", d].outputs["training_set"] for d in days},
        "train": config.train.model_dump(mode="json"),
    }
    if basis.is_file() and (out / "model").is_dir() and json.loads(basis.read_text(encoding="utf-8")) == facts:
        console.print("skipped: a checkpoint of the same published days and settings is there")
        return
    train_model(config, ds=train_last, days=config.train.days, out=out / "model", console=console)
    basis.write_text(json.dumps(facts), encoding="utf-8")


def _what_next(out: Path, page: Path, last: date, console: Console) -> None:
    config = out / "demo.yaml"
    console.print(f"look at   {page} and {out / 'model-judged.html'} (open them in a browser)", soft_wrap=True)
    console.print(f"tables    {out / 'tables'} (Delta: training_set, coverage, receipts, quarantine, ...)")
    console.print("try next  [default](after: source .venv/bin/activate)[/]", style="bold")
    console.print("  headrace features list, headrace features show")
    console.print(f"  headrace status --config {config}", soft_wrap=True)
    console.print(f"  headrace verify --config {config} --ds {last}", soft_wrap=True)
    console.print(f"  headrace run --config {config} --ds {last} --set sampling.negative_rate=0.2", soft_wrap=True)
    console.print(f"  headrace evaluate {out / 'model'} --config {config} --ds {last}", soft_wrap=True)
    console.print(
        f"  headrace predict {out / 'model'} --in {out / 'tables' / 'training_set'} --out scores", soft_wrap=True
    )
    console.print("  headrace adapt mind --source <folder with MIND's behaviors.tsv and news.tsv> --out mind")
    console.print("  headrace run --config mind/mind.yaml --ds 2019-11-13   (real impressions; see docs/real-data.md)")

"""`adapt`: pick an adapter, write its landing files, its configuration, and what the source lacks."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import yaml

from adapters.globo import adapt_globo
from adapters.kuairand import adapt_kuairand
from adapters.landing import Landing, landing_folder
from adapters.mind import adapt_mind
from adapters.said import Said
from headrace.errors import ConfigError

__all__ = ["ADAPTERS", "AdaptSummary", "adapt"]

ADAPTERS: dict[str, Callable[[Path, Landing], Said]] = {
    "mind": adapt_mind,
    "globo": adapt_globo,
    "kuairand": adapt_kuairand,
}


@dataclass(frozen=True)
class AdaptSummary:
    """What was written, dropped, and what the source lacks, as sentences."""

    name: str
    rows: dict[str, int]
    days: list[date]
    dropped: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def adapt(name: str, *, source: Path, out: Path, overwrite: bool = False) -> AdaptSummary:
    """Turn the public log in `source` into `out`/landing with a configuration `out`/<name>.yaml.

    Raises
    ------
    ConfigError
        No such adapter, or `out` is taken.
    InputError
        Files or columns of the source are missing.
    """
    if name not in ADAPTERS:
        raise ConfigError(
            f"adapter {name!r}", found="no such adapter", wanted=f"one of {', '.join(sorted(ADAPTERS))}",
            remedy="see docs/adapters.md",
        )
    with landing_folder(out, overwrite=overwrite) as landing:
        said = ADAPTERS[name](source, landing)
        summary = AdaptSummary(name, dict(sorted(landing.rows.items())), sorted(landing.days), said.dropped, said.missing)
        text = json.dumps(asdict(summary), indent=2, default=str, ensure_ascii=False)
        (landing.folder / "adapted.json").write_text(text + "\n", encoding="utf-8")
        (landing.folder / f"{name}_features.yaml").write_text(yaml.safe_dump(said.features, sort_keys=False), encoding="utf-8")
        config = {"extends": "base.yaml", "landing": "landing", "root": "tables", "features": f"{name}_features.yaml", **said.config}
        (landing.folder / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return summary

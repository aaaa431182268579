"""`adapt`: pick an adapter, write its landing files, its configuration, and what the source lacks."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import yaml

from adapters.folder import SUMMARY, adapted_folder, overlay_files
from adapters.globo import adapt_globo
from adapters.kuairand import adapt_kuairand
from adapters.landing import Landing, Progress
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
    """What was written, what was dropped, and what the source lacks.

    Attributes
    ----------
    rows : dict of table to rows written
    days : list of date
        Days of impressions and engagements; empty where the source has profiles only.
    dropped : dict of reason to rows of the source
    missing : list of str
        Sentences about what the source lacks or what had to be declared for it.
    """

    name: str
    rows: dict[str, int]
    days: list[date]
    dropped: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def adapt(
    name: str, *, source: Path, out: Path, overwrite: bool = False, progress: Progress | None = None
) -> AdaptSummary:
    """Turn the public log in `source` into `out`/landing with a configuration `out`/<name>.yaml.

    The same source gives the same bytes (on one build of pyarrow); memory does not grow with its length.

    Parameters
    ----------
    source, out : Path
        Folder of the published files, and a folder that is absent or empty.
    overwrite : bool, default False
        Replace what an adapter wrote to `out` before; tables built from it stay.
    progress : callable(table, rows), optional
        Called after each batch with the rows that the table has so far.

    Raises
    ------
    ConfigError
        No such adapter, or `out` is taken.
    InputError
        Files or columns of the source are missing, cannot be read, or hold no usable row.
    """
    _check_name(name)
    with adapted_folder(Path(out), overwrite=overwrite, progress=progress) as landing:
        said = ADAPTERS[name](Path(source), landing)
        rows, dropped = dict(sorted(landing.rows.items())), dict(sorted(said.dropped.items()))
        summary = AdaptSummary(name, rows, landing.days, dropped, said.missing)
        text = json.dumps(asdict(summary), indent=2, default=str, ensure_ascii=False)
        (landing.folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
        _write_overlay(landing.folder, name, said)
    return summary


def _check_name(name: str) -> None:
    if name not in ADAPTERS:
        raise ConfigError(
            f"adapter {name!r}", found="no such adapter", wanted=f"one of {', '.join(sorted(ADAPTERS))}",
            remedy="see docs/adapters.md",
        )  # fmt: skip


def _write_overlay(folder: Path, name: str, said: Said) -> None:
    """The configuration that fits the source, and its feature groups in a file: a path replaces, a mapping merges."""
    config_file, features_file = overlay_files(name)
    config = {"extends": "base.yaml", "landing": "landing", "root": "tables", "features": features_file, **said.config}
    for file, content in ((config_file, config), (features_file, said.features)):
        (folder / file).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

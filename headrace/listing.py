"""Tables about the configuration, for the terminal."""

from rich.table import Table

from headrace.config import Config, feature_columns
from headrace.errors import ConfigError

__all__ = ["features_table"]


def features_table(config: Config, *, source: str | None = None) -> Table:
    """Every feature column, or those of one source (`user`, `group:user`, `profile:item`, `context`)."""
    wanted = None if source is None else {source, f"group:{source}"}
    found = [f for f in feature_columns(config) if wanted is None or f.source in wanted]
    if not found:
        known = sorted({f.source for f in feature_columns(config)})
        raise ConfigError(
            f"--group {source}",
            found="no such source",
            wanted=f"one of {', '.join(known)}",
            remedy="or leave --group out",
        )
    table = Table(title=f"{len(found)} features", title_justify="left", header_style="bold")
    for name in ("column", "type", "unit", "source", "default", "definition"):
        table.add_column(name, no_wrap=name == "column", overflow="fold")
    for f in found:
        table.add_row(f.name, f.type, f.unit, f.source, "" if f.default is None else str(f.default), f.definition)
    return table

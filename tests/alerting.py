"""What tests of alerts share: a configuration, a failure, and a call whose output is caught."""

from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from headrace.alerts import send_alerts
from headrace.config import Config, load_config

__all__ = ["DS", "config_of", "failure", "sent"]

DS = date(2026, 3, 14)
_TINY = Path(__file__).parent / "data" / "tiny.yaml"


def config_of(tmp_path: Path, *settings: str) -> Config:
    """The tests' configuration over `tmp_path`."""
    where = [f"landing={tmp_path}/landing", f"root={tmp_path}/tables"]
    return load_config(_TINY, settings=[*where, *settings])


def failure(**over: Any) -> dict[str, Any]:
    """A row of gate_results: a critical floor that a feature is below."""
    made: dict[str, Any] = {
        "rule": "coverage fell",
        "severity": "critical",
        "metric": "coverage",
        "feature": "user_click_rate_7d",
    }
    made |= {"slice": "all", "value": "all", "observed": 0.41, "wanted_low": 0.9, "wanted_high": None}
    return made | {"median": None, "since": date(2026, 3, 12)} | over


def sent(config: Config, *failures: dict[str, Any]) -> tuple[list[str], str]:
    """Messages, and what was printed; of one failure where none is given."""
    output = StringIO()
    console = Console(file=output, width=400)
    messages = send_alerts(config, ds=DS, verdict="refused", failures=failures or (failure(),), console=console)
    return messages, output.getvalue()

"""What an adapter says beside the rows it writes, and feature groups that real logs share."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Said", "feature_groups"]


@dataclass
class Said:
    """Rows dropped by reason, sentences about what the source lacks, and a configuration that fits it."""

    dropped: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)


def feature_groups(groups: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A features file over impressions and clicks; every group has 1 h tiles, refresh and delay."""
    shared = {"delay": "1h", "refresh": "1h", "tolerance": "1d"}
    return {
        "tile": "1h",
        "metrics": {"impression": {"action": "impression"}, "click": {"action": "click", "once": True}},
        "defaults": {"count": 0, "rate_smoothed": 0},
        "groups": {name: {**shared, **group} for name, group in groups.items()},
    }

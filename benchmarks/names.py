"""The 48 feature columns of the features benchmark: 2 entities x 6 metrics x 4 windows, named as Headrace names them."""

__all__ = ["COUNTED", "ENTITIES", "METRICS", "SUMMED", "WINDOWS", "feature", "feature_names"]

ENTITIES = ("user", "item")
WINDOWS = {"1h": 1, "1d": 24, "7d": 168, "30d": 720}  # name -> hours
COUNTED = ("impression", "click", "like", "collect", "watch_seconds")  # events; watch_seconds counts watch events
SUMMED = "watch_seconds"  # its value is summed, in microunits (docs/semantics.md S22)
METRICS = (*(f"{metric}_count" for metric in COUNTED), f"{SUMMED}_sum")


def feature(entity: str, metric: str, window: str) -> str:
    """Column name, e.g. `user_click_count_7d`."""
    return f"{entity}_{metric}_{window}"


def feature_names() -> list[str]:
    """All 48, entity outermost, window innermost."""
    return [feature(e, m, w) for e in ENTITIES for m in METRICS for w in WINDOWS]

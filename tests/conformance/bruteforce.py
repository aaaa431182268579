"""The cases by brute force (tests/oracle.py): a second opinion on the values worked out by hand."""

from datetime import timedelta
from typing import Any

from tests.conformance.case import Case, Cell
from tests.conformance.engine import Built
from tests.oracle import Oracle, profile_at

__all__ = ["brute_force_cells"]


def brute_force_cells(built: Built, case: Case) -> dict[int | str, dict[str, Cell]]:
    """Every expected cell of a case from the case's own conformed rows, nobody else's."""
    impressions, engagements, users, items = (
        built.rows_of(case, t) for t in ("impressions", "engagements", "user_profile", "item_profile")
    )
    oracle = Oracle(built.config, impressions, engagements, users, items)
    names = built.columns(case)
    found: dict[int | str, dict[str, Cell]] = {}
    for asked, cells in case.expect.items():
        row = built.training[built.id_of(case, asked)]
        groups = {names[f][0] for f in cells if f in names}
        values: dict[str, Any] = {c: v for group in groups for c, v in oracle.group_cells(group, row).items()}
        found[asked] = {
            f: values[names[f][1]] if f in names else _profile_cell(oracle, row, f, built.config.timezone)
            for f in cells
        }
    return found


def _profile_cell(oracle: Oracle, row: dict, feature: str, timezone: str) -> Cell:
    entity, column = feature.split("_", 1)
    versions = oracle.users if entity == "user" else oracle.items
    found = profile_at(versions, f"{entity}_id", row[f"{entity}_id"], row["request_ts"], timezone)
    value = found and found[0][column]
    assert not isinstance(value, timedelta)
    return value

"""What a step is said to depend on, from the configuration alone."""

from datetime import date

import pytest

from headrace.config import load_config
from headrace.inputs import INPUTS, Known

DAY = date(2024, 5, 2)


@pytest.mark.parametrize(
    ("settings", "all_days"),
    [
        ([], False),
        (["features.groups.item_by_age_band.segment=impression.scene"], True),
        (["features.metrics.click.where=[impression.scene = feed]"], True),
        (["features.metrics.click.where=[item.format = video]"], False),
    ],
)
def test_tiles_depend_on_all_days_before_where_a_group_looks_at_impressions(settings, all_days):
    found = INPUTS["tiles"](Known(load_config(settings=settings), {}), DAY)
    assert (f"impressions/ds<={DAY}" in found) == all_days
    assert (f"engagements/ds<={DAY}" in found) == all_days


def test_the_configuration_is_hashed_once_however_long_history_is(monkeypatch):
    config = load_config()
    digest, hashed = type(config).digest_of, []

    def counted(self, *parts):
        hashed.append(parts)
        return digest(self, *parts)

    monkeypatch.setattr(type(config), "digest_of", counted)
    known = Known(config, {})
    for number in range(1, 29):
        INPUTS["features"](known, date(2024, 2, number))
    assert len(hashed) == len(known.hashes)

"""`features explain` counts a cell again from the rows and agrees with the engine; `features show` draws every window."""

import io

import pytest
from rich.console import Console

from headrace.config import group_cells, load_config
from headrace.delta import read_days
from headrace.errors import ConfigError, InputError
from headrace.explain import explain_cell
from headrace.windowline import show_windows
from tests.conftest import LAST

CHECKED = ("count", "sum", "mean", "min", "max", "rate")


def said(config, **asked) -> str:
    text = io.StringIO()
    explain_cell(config, console=Console(file=text, width=200, highlight=False), ds=None, **asked)
    return text.getvalue()


def test_every_cell_that_can_be_counted_by_hand_is_as_stored(world):
    config, _ = world
    rows = read_days(f"{config.root}/training_set", days=[LAST]).to_pylist()[:4]
    agreed = 0
    for group in config.features.groups.values():
        for cell in [c for c in group_cells(group) if c.aggregate in CHECKED]:
            for row in rows:
                text = said(config, impression=row["impression_id"], feature=cell.name)
                assert "NOT as stored" not in text, text
                agreed += "as stored" in text
    assert agreed > 100


def test_it_names_what_was_left_out_and_why(world):
    config, _ = world
    reasons = set()
    for row in read_days(f"{config.root}/training_set").to_pylist()[::3]:
        for feature in ("user_click_count_1h", "user_by_category_click_count_2h", "item_feed_click_count_2d"):
            text = said(config, impression=row["impression_id"], feature=feature)
            known = (
                "before the window",
                "not yet visible",
                "at or after",
                "other segment",
                "once",
                "impression.scene is",
            )
            reasons |= {reason for reason in known if reason in text}
    assert len(reasons) == 6


def test_an_unknown_feature_and_an_unknown_impression_are_told_apart(world):
    config, _ = world
    with pytest.raises(ConfigError, match="no statistic of that name"):
        said(config, impression=1, feature="user_clicks")
    with pytest.raises(InputError, match="no training row"):
        said(config, impression=-99, feature="user_click_count_1h")


def test_show_draws_every_window_of_every_group():
    config = load_config()
    written = io.StringIO()
    console = Console(file=written, width=132, highlight=False)
    show_windows(config, name=None, console=console)
    text = written.getvalue()
    for name, group in config.features.groups.items():
        assert f"{name}: " in text
        assert all(w.name in text for w in group.windows)
    with pytest.raises(ConfigError, match="no such group"):
        show_windows(config, name="nobody", console=console)

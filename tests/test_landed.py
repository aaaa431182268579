"""What a scheduler waits for: a day that lies in landing, whole, with its labels mature."""

from datetime import date
from pathlib import Path

import pytest

from headrace.config import Config
from headrace.errors import InputError
from headrace.landed import check_landed
from schemas.ingest import survey
from tests.conftest import config_of

DAY, NEXT = date(2024, 5, 1), date(2024, 5, 2)


def landing(folder: Path, *days: date, marker: str | None = None, only: str | None = None) -> Config:
    for table in ("impressions", "engagements"):
        for day in days if only in (None, table) else ():
            made = folder / "landing" / table / f"ds={day}"
            made.mkdir(parents=True, exist_ok=True)
            if marker:
                (made / marker).touch()
    return config_of(folder)


def marked(config: Config) -> Config:
    return config.model_copy(update={"ingest": config.ingest.model_copy(update={"marker": "_SUCCESS"})})


def test_a_day_with_its_folders_has_landed(tmp_path):
    assert check_landed(landing(tmp_path, DAY), DAY, mature=False) == "2024-05-01 has landed"


def test_a_day_without_engagements_has_not(tmp_path):
    with pytest.raises(InputError, match="engagements not there yet"):
        check_landed(landing(tmp_path, DAY, only="impressions"), DAY, mature=False)


def test_nothing_at_all_has_landed(tmp_path):
    with pytest.raises(InputError, match="impressions and engagements not there yet"):
        check_landed(config_of(tmp_path), DAY, mature=False)


def test_labels_are_mature_when_the_next_day_has_landed(tmp_path):
    with pytest.raises(InputError, match="landing until 2024-05-01"):
        check_landed(landing(tmp_path, DAY), DAY, mature=True)
    assert check_landed(landing(tmp_path, NEXT), DAY, mature=True).endswith("its labels are mature")


def test_a_later_day_does_not_stand_for_one_that_is_missing(tmp_path):
    config = landing(tmp_path, DAY, date(2024, 5, 3))
    with pytest.raises(InputError, match="landing of 2024-05-02"):
        check_landed(config, DAY, mature=True)


def test_a_folder_without_its_marker_is_still_being_delivered(tmp_path):
    with pytest.raises(InputError, match="with _SUCCESS in it"):
        check_landed(marked(landing(tmp_path, DAY)), DAY, mature=False)
    assert check_landed(marked(landing(tmp_path, DAY, marker="_SUCCESS")), DAY, mature=False)


def test_ingest_refuses_a_day_whose_marker_is_missing(tmp_path):
    with pytest.raises(InputError, match="no _SUCCESS in it") as caught:
        survey(marked(landing(tmp_path, DAY)), "impressions", days=[DAY])
    assert caught.value.exit_code == 4


def test_a_table_that_may_be_absent_is_waited_for_once_its_folder_is_there(tmp_path):
    config = marked(landing(tmp_path, DAY, marker="_SUCCESS"))
    (tmp_path / "landing" / "user_profile" / f"ds={DAY}").mkdir(parents=True)
    with pytest.raises(InputError, match="user_profile not there yet"):
        check_landed(config, DAY, mature=False)

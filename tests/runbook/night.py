"""A night that goes wrong: a folder with landing and tables, the command line over it, and receipts without Spark."""

import sys
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.cli import main
from headrace.config import Config
from headrace.freshness import asked_receipt
from headrace.inputs import Known
from headrace.joblog import refusing
from headrace.receipts import Receipt, latest_receipts, write_receipts
from tests.conftest import config_of
from tests.tiny import ENGAGEMENT, IMPRESSION, frame_of, write_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

__all__ = ["DAY", "NEXT", "Night", "built", "ended"]

DAY, NEXT = date(2024, 5, 1), date(2024, 5, 2)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SHOWN = {"impression_id": 1, "user_id": 2, "item_id": 3, "event_ts": NOON}
_TINY = Path(__file__).parent.parent / "data" / "tiny.yaml"


@dataclass
class Night:
    """One folder of a test; `spark` and `finished`, a root that has been through the chain, where a cause needs them."""

    folder: Path
    patch: pytest.MonkeyPatch
    spark: "SparkSession | None" = None
    finished: Config | None = None

    def config(self, *settings: str) -> Config:
        """The tests' configuration over this folder."""
        return config_of(self.folder, *settings)

    def headrace(self, *arguments: object, over: Config | None = None, settings: tuple[str, ...] = ()) -> None:
        """The command line, with the tests' configuration over this folder, or another one's."""
        config = over or self.config()
        places = [f"root={config.root}", f"landing={config.landing}", *settings]
        self.plain(*arguments, "--config", _TINY, *(text for place in places for text in ("--set", place)))

    def plain(self, *arguments: object) -> None:
        """The command line as it is; goes on where it ends well."""
        self.patch.setattr(sys, "argv", ["headrace", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise

    def landed(self, *days: date, tables: tuple[str, ...] = ("impressions", "engagements")) -> None:
        """A whole file of each table and day."""
        for day in days or [DAY]:
            for table in tables:
                columns = IMPRESSION if table == "impressions" else ENGAGEMENT
                write_day(self.folder / "landing", table, day, frame_of([SHOWN], columns))

    def file(self, table: str = "impressions") -> Path:
        """The file that `landed` wrote."""
        return self.folder / "landing" / table / f"ds={DAY}" / "part-0.parquet"

    def built(self, *jobs: str, day: date = DAY, settings: tuple[str, ...] = ()) -> None:
        """Receipts as these steps would write them now, one after the other."""
        for job in jobs:
            built(self.config(*settings), job, day)

    def write(self, name: str, text: str) -> Path:
        """A file of this folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


def built(config: Config, job: str, day: date = DAY, *, status: str = "done", **notes: str) -> Receipt:
    """Write the day's receipt as the step would now, without building anything."""
    asked = asked_receipt(Known(config, latest_receipts(config)), job, day)
    made = replace(asked, status=status, notes=notes, started_at=datetime(2024, 5, 2, 3, tzinfo=UTC))
    return write_receipts(config, [made])[0]


def ended(cause: "Callable[[], None]", capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code, and all that was printed, of a process that does only this."""
    code = 0
    try:
        with refusing():
            cause()
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out + said.err

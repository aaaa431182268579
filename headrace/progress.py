"""A line per stage while a step runs, from the session's status tracker."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["StageNews", "watched_stages"]

_EVERY_S, _SHORT_S, _AGAIN_S = 1.0, 5.0, 30.0


class StageNews(NamedTuple):
    """How far a stage is; `seconds` since it was first seen."""

    stage: int
    done: int
    tasks: int
    failed: int
    seconds: float
    ended: bool


@contextmanager
def watched_stages(session: "SparkSession | None", tell: Callable[[StageNews], None]) -> Iterator[None]:
    """Within, call `tell` for each stage of 5 s or more, or with failed tasks, at its end, and every 30 s before it."""
    if session is None:
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(session, tell, over), name="headrace stages", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(timeout=5)


def _watch(session: "SparkSession", tell: Callable[[StageNews], None], over: threading.Event) -> None:
    seen: dict[int, tuple[float, float, StageNews]] = {}  # stage -> first seen, last told, newest
    while not over.wait(_EVERY_S):
        try:
            _look(session, tell, seen)
        except Exception:  # a session that stops, a driver too busy to answer: progress is a courtesy
            return


def _look(
    session: "SparkSession", tell: Callable[[StageNews], None], seen: dict[int, tuple[float, float, StageNews]]
) -> None:
    tracker, now = session.sparkContext.statusTracker(), time.monotonic()
    active = set(tracker.getActiveStageIds())
    for stage in sorted(active | set(seen)):
        info = tracker.getStageInfo(stage)
        first, told, last = seen.get(stage, (now, now, StageNews(stage, 0, 0, 0, 0.0, False)))
        ended = stage not in active
        news = last._replace(seconds=round(now - first, 1), ended=ended)
        if info is not None:
            news = news._replace(done=info.numCompletedTasks, tasks=info.numTasks, failed=info.numFailedTasks)
        if ended:
            seen.pop(stage, None)
            if news.seconds >= _SHORT_S or news.failed:
                tell(news)
        elif now - told >= _AGAIN_S:
            seen[stage] = (first, now, news)
            tell(news)
        else:
            seen[stage] = (first, told, news)

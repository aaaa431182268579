"""Pieces of a step at once: order, context, errors."""

from contextvars import ContextVar
from functools import partial
from threading import Barrier, Event

import pytest

from headrace.parallel import at_once, first_then_rest

SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


def test_results_stand_in_the_order_of_the_calls_and_calls_run_at_once():
    meet = Barrier(3, timeout=20)

    def answer(n: int) -> int:
        meet.wait()
        return n

    assert at_once([partial(answer, n) for n in range(3)]) == [0, 1, 2]


def test_each_call_sees_the_context_of_the_caller():
    token = SEEN.set("the run")
    try:
        assert at_once([SEEN.get] * 3) == ["the run"] * 3
    finally:
        SEEN.reset(token)


def test_the_first_error_is_raised_after_what_had_begun_has_ended():
    began, ended = Event(), []

    def fails() -> None:
        began.wait(20)
        raise ValueError("the first")

    def goes_on() -> None:
        began.set()
        ended.append("whole")

    with pytest.raises(ValueError, match="the first"):
        at_once([fails, goes_on])
    assert ended == ["whole"]


def test_the_first_call_has_ended_before_the_others_begin():
    order: list[int] = []

    def noted(n: int) -> int:
        order.append(n)
        return n

    assert first_then_rest([partial(noted, n) for n in range(4)]) == [0, 1, 2, 3]
    assert order[0] == 0
    assert first_then_rest([]) == []

"""Independent pieces of a step at once: while one is planned by the driver, another's tasks keep the cores busy."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

__all__ = ["at_once", "first_then_rest"]

Value = TypeVar("Value")
_MOST = 4  # jobs at a time: each holds its own plan, and tasks share the cores whatever their number


def at_once(calls: Sequence[Callable[[], Value]]) -> list[Value]:
    """Results of the calls, in their order; each sees the context variables of the caller.

    The first error is raised once all calls that had begun have ended, and those that had not are given up.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    with ThreadPoolExecutor(min(_MOST, len(calls)), thread_name_prefix="headrace") as pool:
        futures = [pool.submit(copy_context().run, call) for call in calls]
        try:
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def first_then_rest(calls: Sequence[Callable[[], Value]]) -> list[Value]:
    """`at_once`, after the first call has computed and persisted what all of them read."""
    return [*(call() for call in calls[:1]), *at_once(calls[1:])]

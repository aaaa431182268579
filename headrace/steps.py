"""The steps of a day and what each follows: the one definition that `headrace run`, the jobs and the DAGs read.

Nothing but the standard library is imported here, so that a scheduler without Spark can draw the chain.
"""

from dataclasses import dataclass

__all__ = ["SIDE_STEPS", "STEPS", "Step", "step_named"]


@dataclass(frozen=True)
class Step:
    """One job of the chain.

    Attributes
    ----------
    name : str
        Job, command and module under jobs/.
    after : tuple of str
        Steps whose tables of the day it reads.
    spark : bool
        Whether it needs a session: publishing reads receipts and coverage alone.
    gated : bool
        Whether it can refuse a day that a person may accept all the same: `build` takes the reason as `accept`.
    grouped : bool
        Whether each feature group can be built by an application of its own (`--group`), beside the others.
    """

    name: str
    after: tuple[str, ...] = ()
    spark: bool = True
    gated: bool = False
    grouped: bool = False


STEPS = (
    Step("ingest"),
    Step("tiles", after=("ingest",), grouped=True),
    Step("labels", after=("ingest",)),
    Step("sample", after=("labels",), gated=True),
    Step("features", after=("sample", "tiles")),
    Step("coverage", after=("features",)),
    Step("publish", after=("sample", "coverage"), spark=False, gated=True),
)
# Beside the chain: no training set needs them.
SIDE_STEPS = (
    Step("stats", after=("tiles",), grouped=True),
    Step("state", after=("tiles",), grouped=True),
)


def step_named(name: str) -> Step:
    """A step of the chain, or beside it."""
    return next(step for step in (*STEPS, *SIDE_STEPS) if step.name == name)

"""Commits that do not step on each other: transaction ids job/table/ds, conflicts found out, other days' commits passed over."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from headrace.delta import DeltaFile, files_of
from headrace.errors import ConflictError, HeadraceError
from headrace.shares import Share

__all__ = ["check_alone", "conflict", "replace_files"]

_COMMIT_ATTEMPTS = 20  # each loses only to a commit of other days


def replace_files(
    uri: str,
    name: str,
    target: DeltaTable,
    added: Sequence[AddAction],
    *,
    days: Sequence[date],
    ids: Mapping[str, int],
    share: Share | None = None,
) -> None:
    """Commit files in place of those of `days` as they stood in `target`, whatever other days gained meanwhile.

    Of a table that several writers share only the files of `share` are replaced; where there are none and none come, there
    is no commit.

    Raises
    ------
    ConflictError
        Another run changed these days, or committed one of the transaction ids.
    """
    before, committed = _standing(target, days=days, ids=ids, share=share)
    if any(version is not None and version >= ids[key] for key, version in committed.items()):
        raise conflict(name, days)
    if share is not None and not share.is_apart(target, days=days):  # files were merged since it was made sure
        raise conflict(name, days)
    if share is not None and not before and not added:
        return
    properties = CommitProperties(app_transactions=[Transaction(key, number) for key, number in ids.items()])
    actions: list[AddAction | RemoveAction] = [*added]
    if share is None:
        how: dict[str, Any] = {"mode": "overwrite", "partition_filters": [("ds", "in", [f"{day}" for day in days])]}
    else:
        how, actions = {"mode": "append"}, actions + [_removed(file) for file in before]
    for _ in range(_COMMIT_ATTEMPTS):
        try:
            target.create_write_transaction(
                actions, schema=target.schema(), partition_by=["ds"], commit_properties=properties, **how
            )
            return
        except CommitFailedError as error:  # also where only other days changed
            target = DeltaTable(uri)
            if _standing(target, days=days, ids=ids, share=share) != (before, committed):
                raise conflict(name, days) from error
    raise conflict(name, days)


def _removed(file: DeltaFile) -> RemoveAction:
    now = int(time.time() * 1000)
    return RemoveAction(file.path, True, now, size=file.size, partition_values={"ds": file.ds.isoformat()})


def _standing(
    target: DeltaTable, *, days: Sequence[date], ids: Iterable[str], share: Share | None
) -> tuple[list[DeltaFile], dict[str, int | None]]:
    """Files that are replaced, and versions of the transaction ids, at the version that `target` holds."""
    files = files_of(target, days=days) if share is None else share.split(target, days=days)[0]
    return files, {key: target.transaction_version(key) for key in ids}


def check_alone(uri: str, name: str, *, days: Sequence[date], written: set[str], share: Share | None = None) -> None:
    """Raise HeadraceError where the days hold files of another run that was committed at the same moment."""
    standing, _ = _standing(DeltaTable(uri), days=days, ids=[], share=share)
    others = {file.path for file in standing} - written
    if others:
        raise HeadraceError(
            f"{name}, {min(days)} to {max(days)}",
            found=f"{len(others)} file(s) of another run that wrote the same days at the same time",
            wanted="one run for a day at a time",
            remedy="let the other run end, then run this step again for these days: that replaces what both wrote",
        )


def conflict(name: str, days: Sequence[date]) -> ConflictError:
    """What a run is told that lost to another."""
    return ConflictError(
        f"{name}, {min(days)} to {max(days)}",
        found="another run that writes the same days at the same time",
        wanted="one run for a day at a time",
        remedy="nothing was changed by this run; look with headrace status, and run again if the other one did not end well",
    )

"""Commits that do not step on each other: transaction ids job/table/ds, conflicts found out, other days' commits passed over."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from headrace.delta import delta_files, files_of
from headrace.errors import ConflictError, HeadraceError
from headrace.receipts import Run

__all__ = ["check_alone", "conflict", "replace_files", "transaction_options"]

_COMMIT_ATTEMPTS = 20  # each loses only to a commit of other days


def transaction_options(uri: str, name: str, run: Run, *, day: date, extra: str) -> dict[str, str]:
    """Writer options for the id job/table/ds; Spark passes over a write whose version is there already, so that is checked."""
    ((app_id, revision),) = run.transactions(name, [day]).items()
    app_id += f"/{extra}" if extra else ""
    before = DeltaTable(uri).transaction_version(app_id)
    if before is not None and before >= revision:
        raise conflict(name, [day])
    return {"txnAppId": app_id, "txnVersion": str(revision)}


def replace_files(
    uri: str,
    name: str,
    target: DeltaTable,
    added: Sequence[AddAction | RemoveAction],
    *,
    days: Sequence[date],
    ids: Mapping[str, int],
) -> None:
    """Commit files in place of those of `days` as they stood in `target`, whatever other days gained meanwhile.

    Raises
    ------
    ConflictError
        Another run changed these days, or committed one of the transaction ids.
    """
    before = _standing(target, days=days, ids=ids)
    properties = CommitProperties(app_transactions=[Transaction(key, number) for key, number in ids.items()])
    for _ in range(_COMMIT_ATTEMPTS):
        try:
            target.create_write_transaction(
                list(added),
                mode="overwrite",
                schema=target.schema(),
                partition_by=["ds"],
                partition_filters=[("ds", "in", [day.isoformat() for day in days])],
                commit_properties=properties,
            )
            return
        except CommitFailedError as error:  # also where only other days changed
            target = DeltaTable(uri)
            if _standing(target, days=days, ids=ids) != before:
                raise conflict(name, days) from error
    raise conflict(name, days)


def _standing(target: DeltaTable, *, days: Sequence[date], ids: Iterable[str]) -> tuple[list[str], list[int | None]]:
    """Files of the days, and versions of the transaction ids, at the version that `target` holds."""
    files = files_of(target, days=days)
    return [file.path for file in files], [target.transaction_version(key) for key in ids]


def check_alone(uri: str, name: str, *, days: Sequence[date], written: set[str]) -> None:
    """Raise HeadraceError where the days hold files of another run that was committed at the same moment."""
    others = {file.path for file in delta_files(uri, days=days)} - written
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

"""Text files in blocks: every column as text, every unreadable line counted, numbers parsed without guessing."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from headrace.errors import InputError

__all__ = ["keep", "number", "read_text", "whole"]

_BLOCK_BYTES = 4 << 20


def read_text(
    path: Path, *, wanted: Sequence[str], dropped: Counter[str], names: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Blocks of the columns `wanted`, as text; an empty cell is null.

    Parameters
    ----------
    dropped : Counter
        Counts, by reason, lines with the wrong number of columns or that are not UTF-8.
    names : sequence of str, optional
        Column names of a tab-separated file without header and without quotes; absent: comma-separated with a header.

    Raises
    ------
    InputError
        A column is missing, the file is empty or cannot be read.
    """
    columns = list(names) if names else _header(path)
    lacking = [c for c in wanted if c not in columns]
    if lacking:
        raise InputError(
            str(path), found=f"columns {columns}", wanted=f"also {lacking}", remedy="use the published file"
        )
    try:
        yield from _blocks(path, wanted=wanted, names=names, width=len(columns), dropped=dropped)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            str(path),
            found=" ".join(str(error).split())[:160],
            wanted="the text file as published",
            remedy="fetch it again",
        ) from None


def _blocks(
    path: Path,
    *,
    wanted: Sequence[str],
    names: Sequence[str] | None,
    width: int,
    dropped: Counter[str],
) -> Iterator[pa.Table]:
    def skip(row: pv.InvalidRow) -> str:
        dropped[f"{path.name}: lines without {width} columns"] += 1
        return "skip"

    read = pv.ReadOptions(block_size=_BLOCK_BYTES, column_names=names)
    parse = pv.ParseOptions(
        delimiter="\t" if names else ",", quote_char=False if names else '"', invalid_row_handler=skip
    )
    convert = pv.ConvertOptions(
        include_columns=list(wanted),
        column_types=dict.fromkeys(wanted, pa.binary()),
        null_values=[""],
        strings_can_be_null=True,
    )
    with pv.open_csv(path, read_options=read, parse_options=parse, convert_options=convert) as reader:
        for block in reader:
            if block.num_rows:
                yield _decoded(pa.table(block), f"{path.name}: lines that are not UTF-8", dropped)


def _header(path: Path) -> list[str]:
    """Column names of a CSV file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as source:
            return next(csv.reader(source), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            str(path), found=str(error), wanted="a CSV file with a header", remedy="fetch it again"
        ) from None


def _decoded(rows: pa.Table, reason: str, dropped: Counter[str]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in rows.column_names])
    try:
        return rows.cast(schema)
    except pa.ArrowInvalid:  # some cell of the block is not UTF-8: look at each, which is slow and rare
        broken = np.zeros(rows.num_rows, dtype=bool)
        for column in rows.columns:
            broken |= [not _is_utf8(cell) for cell in column.to_pylist()]
        return keep(rows, {reason: pa.array(broken)}, dropped=dropped).cast(schema)


def _is_utf8(cell: bytes | None) -> bool:
    try:
        return cell is None or cell.decode() is not None
    except UnicodeDecodeError:
        return False


def keep(rows: pa.Table, wrong: dict[str, pa.Array | pa.ChunkedArray], *, dropped: Counter[str]) -> pa.Table:
    """Rows for which nothing is wrong; the others are counted under the first reason that holds."""
    alive = np.ones(rows.num_rows, dtype=bool)
    for reason, mask in wrong.items():
        hit = alive & np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)
        if hit.any():
            dropped[reason] += int(hit.sum())
            alive &= ~hit
    return rows if alive.all() else rows.filter(pa.array(alive))


def whole(text: pa.ChunkedArray, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    """Text of a whole number, also written 12.0, to `kind` (default int64); null where it is none or does not fit."""
    kind = kind or pa.int64()
    good = pc.match_substring_regex(text, r"^-?\d{1,18}(\.0+)?$")
    digits = pc.replace_substring_regex(text, r"\.0+$", "")
    value = pc.if_else(good, digits, pa.scalar(None, pa.string())).cast(pa.int64())
    limit = 2 ** (kind.bit_width - 1)
    fits = pc.and_(pc.greater_equal(value, -limit), pc.less_equal(value, limit - 1))
    return pc.if_else(fits, value, pa.scalar(None, pa.int64())).cast(kind)


def number(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text of a finite number to float64; null where it is not one."""
    good = pc.match_substring_regex(text, r"^-?\d{1,18}(\.\d*)?$")
    return pc.if_else(good, text, pa.scalar(None, pa.string())).cast(pa.float64())

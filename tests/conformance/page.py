"""The document's text: totals, how each engine was used, case x engine, and what each case says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.conformance.case import Case

__all__ = ["PEERS", "Column", "Peer", "Verdict", "page"]


@dataclass(frozen=True)
class Peer:
    """A peer: its module under peers/, its title, and how it was used."""

    module: str
    title: str
    use: str


PEERS = {
    "spark": Peer(
        "spark_sql",
        "Spark SQL",
        "Window functions over one log of events and requests, RANGE frames in microseconds of event time that end one "
        "microsecond before as_of; as_of by `date_trunc`; profiles joined by valid_from, valid_to and landing. One frame has one "
        "order, so arrival cannot be told from event time (DuckDB's join, below, could be written in Spark SQL as well).",
    ),
    "duckdb": Peer(
        "duckdb_sql",
        "DuckDB",
        "An inequality join with filtered aggregates, with both clocks written out by hand (happened before as_of, arrived "
        "before as_of + delay); profiles by ASOF join on the moment from which a version was known. Sums are of DOUBLE.",
    ),
    "tempo": Peer(
        "tempo",
        "dbl-tempo",
        "TSDF with `withRangeStats(rangeBackWindowSecs=...)` per window, a request being a row of the series one microsecond "
        "before its as_of, since ranges include both their ends; `asofJoin` for recency, known keys and profiles. Ranges know "
        "event time only. (In 0.1.30 `colsToSummarize` fails on timestamps, so all numeric columns are summarised, the default.)",
    ),
    "feast": Peer(
        "feast",
        "Feast",
        "`get_historical_features` on a local file store, one store a case (among other rows the store's sort lost the order "
        "of created within one stamp). Profiles are stamped valid_from, created when landed, joined with "
        "`filter_by_created_timestamp`. Statistics are precomputed for each refresh by the DuckDB query above, stamped when "
        "published, and joined; refresh 0 cannot be precomputed.",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """`right`, `wrong` (with the value) or `cannot express` (with the reason)."""

    word: str
    why: str


@dataclass(frozen=True)
class Column:
    """One engine's verdicts by case; `version` says what ran, or why nothing did."""

    name: str
    version: str | None
    verdicts: dict[str, Verdict]

    @property
    def title(self) -> str:
        """As the table's head shows it."""
        return PEERS[self.name].title if self.name in PEERS else self.name


def page(cases: Sequence[Case], columns: Sequence[Column]) -> str:
    """The whole document."""
    shown = [column for column in columns if column.verdicts]
    parts = [
        _HEAD.format(cases=len(cases)),
        _totals(cases, shown),
        "## How each was used\n\n" + "\n".join(_uses(columns)),
        "## Cases\n\nwrong: the first cell that differs, value found for value expected.\n\n" + _table(cases, shown),
        "## What each case says\n\n" + "\n".join(_sentences(cases)),
    ]
    return "\n\n".join(parts) + "\n"


_HEAD = """# Conformance
Made by `python -m tests.conformance.table`; do not edit. {cases} cases of a dozen rows or fewer, with values worked out by
hand from docs/semantics.md (S1 to S25), stand in tests/conformance/cases. Our engine runs them by its real path (landing
files, ingest, tiles, labels, sample, features) in every test run, and a brute-force oracle checks the values. The peers
get the rows that our ingest conformed: what it refused or dropped as a repeat is gone, so cases on those are easy for them.
The scene of an engagement is joined from its impression for all of them. A case is right if every cell is, exactly: null is
null, an integer is an integer, the last digit counts. Wrong means other than our rulings say; where a ruling is a choice of
ours (fixed point, S22) another engine may have made another."""


def _totals(cases: Sequence[Case], columns: Sequence[Column]) -> str:
    lines = ["| engine | right | wrong | cannot express |", "|---|---|---|---|"]
    for column in columns:
        n = Counter(column.verdicts[case.name].word for case in cases)
        lines.append(f"| {column.title} | {n['right']} | {n['wrong']} | {n['cannot express']} |")
    return "\n".join(lines)


def _uses(columns: Sequence[Column]) -> list[str]:
    peers = [column for column in columns if column.name in PEERS]
    return [f"- {c.title} ({c.version}). {PEERS[c.name].use}" for c in peers]


def _table(cases: Sequence[Case], columns: Sequence[Column]) -> str:
    lines = [f"| case | {' | '.join(c.title for c in columns)} |", f"|---|{'---|' * len(columns)}"]
    for case in cases:
        lines.append(f"| `{case.name}` | {' | '.join(_cell(c.verdicts[case.name]) for c in columns)} |")
    return "\n".join(lines)


def _cell(verdict: Verdict) -> str:
    return f"wrong: {verdict.why}" if verdict.word == "wrong" else verdict.word


def _sentences(cases: Sequence[Case]) -> list[str]:
    return [f"- `{case.name}` ({', '.join(case.rulings)}; {case.world}): {case.sentence}" for case in cases]

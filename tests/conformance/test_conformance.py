"""Every case through the real path of our engine, cell by cell, and the same by brute force."""

from collections import Counter

import pytest

from tests.conformance.bruteforce import brute_force_cells
from tests.conformance.case import Case, catalogue, load_cases

CASES = sorted(load_cases(), key=lambda case: case.world)
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@by_name
def test_our_engine_gives_the_value_worked_out_by_hand(built, case: Case):
    world = built(case.world)
    for asked, cells in case.expect.items():
        for feature, wanted in cells.items():
            value, state = world.cell(case, asked, feature)
            where = f"{case.name}, impression {asked}, {feature}: {case.sentence}"
            assert value == wanted and type(value) is type(wanted), where
            assert state == case.states.get(asked, {}).get(feature, state), where


@by_name
def test_brute_force_gives_the_value_worked_out_by_hand(built, case: Case):
    assert brute_force_cells(built(case.world), case) == case.expect, case.sentence


@pytest.mark.parametrize("case", [case for case in CASES if case.accounting], ids=lambda case: case.name)
def test_the_rows_of_a_case_are_accounted_for(built, case: Case):
    world = built(case.world)
    for table, wanted in case.accounting.items():
        aside = {
            n: [r for r in world.rows_of(case, n) if r["table_name"] == table] for n in ("quarantine", "duplicates")
        }
        found = {"in": len(case.rows[table]), "out": len(world.rows_of(case, table))}
        found |= {"quarantined": len(aside["quarantine"]), "duplicates": len(aside["duplicates"])}
        assert found == wanted, case.sentence
        assert found["in"] == found["out"] + found["quarantined"] + found["duplicates"]


@pytest.mark.parametrize("world", catalogue()["worlds"])
def test_every_receipt_of_a_world_accounts_for_every_row(built, world: str):
    receipts = built(world).receipts
    assert Counter(r.job for r in receipts).keys() == {"ingest", "tiles", "labels", "sample", "features"}
    for r in receipts:
        assert r.rows_in == r.rows_out + r.rows_quarantined + r.rows_duplicate + r.rows_sampled_out + r.rows_immature

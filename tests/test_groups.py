"""One feature group by an application of its own: what it makes, how the groups' receipts become the step's, and when not."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from headrace.chain import run_step, up_to_date
from headrace.config import Config, load_config
from headrace.digests import config_hashes
from headrace.errors import ConfigError, ConflictError, InputError
from headrace.freshness import asked_receipt
from headrace.inputs import Known
from headrace.parts import conflicting, seen_by
from headrace.receipt import STARTED, Receipt
from headrace.receipts import all_latest, begun, kept_receipts, latest_receipts, write_receipts
from headrace.steps import step_named
from tests.conftest import LAST, config_of

DAY = date(2024, 5, 1)
THEN = datetime(2024, 5, 2, tzinfo=UTC)
TILES = step_named("tiles")


def never():
    raise AssertionError("a session was asked for")


def whole(revision: int, *, status: str = "done", user: str = "u1", config_hash: str = "now") -> Receipt:
    outputs = {"tiles_user": user, "tiles_item": "i1"}
    made = Receipt("tiles", DAY, revision=revision, status=status, outputs=outputs, config_hash=config_hash)
    return replace(made, started_at=THEN, ended_at=THEN)


def of_user(revision: int, *, status: str = "done", user: str = "u1") -> Receipt:
    return Receipt("tiles@user", DAY, revision=revision, status=status, outputs={"tiles_user": user}, config_hash="own")


def seen(config: Config, *receipts: Receipt) -> Receipt | None:
    return seen_by(config, receipts).get(("tiles", DAY))


def test_a_group_that_made_the_same_leaves_the_whole_step_standing():
    assert seen(load_config(), whole(1), of_user(2)) == whole(1)


def test_a_newer_group_with_other_content_takes_the_whole_step_down():
    left = seen(load_config(), whole(1), of_user(2, user="u2"))
    assert left is not None and left.config_hash == ""


def test_an_older_group_with_other_content_changes_nothing():
    assert seen(load_config(), whole(3), of_user(2, user="u2")) == whole(3)


def test_a_group_that_was_killed_while_it_wrote_shows_the_step_as_started():
    left = seen(load_config(), whole(1), of_user(2, status=STARTED))
    assert left is not None and (left.job, left.status) == ("tiles", STARTED)


def test_a_group_sees_its_own_receipt_under_the_name_of_the_step():
    left = seen(load_config().for_group("user"), of_user(2))
    assert left is not None and (left.job, left.outputs) == ("tiles", {"tiles_user": "u1"})


def test_a_group_does_not_see_the_receipts_of_others():
    assert seen(load_config().for_group("item"), of_user(2)) is None


def test_a_newer_whole_step_of_another_configuration_takes_a_group_down():
    left = seen(load_config().for_group("user"), of_user(2), whole(3, user="u2", config_hash="another"))
    assert left is not None and left.config_hash == ""


def test_a_whole_step_of_this_configuration_serves_a_group_that_reads_it():
    config = load_config().for_group("user")
    of_now = config_hashes(config.whole)["tiles"]
    left = seen(config, whole(3, user="u2", config_hash=of_now), of_user(2))
    assert left is not None
    assert (left.outputs["tiles_user"], left.config_hash) == ("u2", config_hashes(config)["tiles"])


def test_an_overwrite_is_remembered_after_a_newer_build_that_did_not_touch_the_table():
    without_user = replace(whole(4), outputs={"tiles_item": "i1"})
    left = seen(load_config().for_group("user"), of_user(2), whole(3, user="u2", config_hash="x"), without_user)
    assert left is not None and left.config_hash == ""


def test_a_table_that_was_made_again_as_it_was_stands_again():
    assert seen(
        load_config(), whole(1), replace(of_user(2, user="u2"), outputs={"tiles_user": "u2"}), of_user(3)
    ) == whole(1)


def test_a_step_whose_table_changed_no_longer_says_what_that_table_is_made_of():
    noted = replace(whole(1), notes={"made_of": '{"user": "a", "item": "b"}'})
    left = seen(load_config(), noted, of_user(2, user="u2"))
    assert left is not None and left.notes["made_of"] == '{"item": "b"}'


def test_a_group_that_is_of_another_version_gives_way_to_the_whole_step_of_now():
    config = load_config().for_group("user")
    old = replace(of_user(2), config_hash=config_hashes(config)["tiles"], code_version="0.0.1")
    left = seen(config, old, whole(3, config_hash=config_hashes(config.whole)["tiles"]))
    assert left is not None and (left.revision, left.config_hash) == (3, config_hashes(config)["tiles"])


def test_a_group_killed_while_it_wrote_says_nothing_about_another_group():
    config = load_config().for_group("item")
    of_now = config_hashes(config.whole)["tiles"]
    left = seen(config, whole(1, config_hash=of_now), of_user(2, status=STARTED))
    assert left is not None and left.outputs["tiles_item"] == "i1" and left.status == "done"


def test_a_run_that_lost_after_it_changed_a_table_leaves_its_start(tmp_path):
    config = config_of(tmp_path)
    with pytest.raises(ConflictError), begun(config, [Receipt("tiles", DAY)]) as run:
        run.begin()
        run.has_committed = True
        write_receipts(config, [Receipt("tiles", DAY, status=STARTED)])
        run.check_newest()
    assert [r.status for r in kept_receipts(config)] == [STARTED, STARTED]


def test_receipts_of_steps_without_groups_are_seen_as_they_are():
    labels = Receipt("labels", DAY, revision=1)
    assert seen_by(load_config().for_group("user"), [labels]) == {("labels", DAY): labels}


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("tiles", "tiles@user", True),
        ("tiles@user", "tiles", True),
        ("tiles@user", "tiles@user", True),
        ("tiles@user", "tiles@item", False),
        ("tiles@user", "state@user", False),
        ("tiles", "state", False),
    ],
)
def test_a_step_is_in_the_way_of_itself_and_of_its_groups(one, other, both):
    assert conflicting(one, other) is both


def test_a_group_that_does_not_exist_is_refused_with_the_names_of_those_that_do():
    with pytest.raises(ConfigError, match=r"no such group[\s\S]*user_by_category"):
        load_config().for_group("users")


def test_revisions_of_a_step_and_its_groups_are_counted_together(tmp_path):
    config = config_of(tmp_path)
    write_receipts(config, [Receipt("tiles", DAY)])
    write_receipts(config.for_group("user"), [Receipt("tiles", DAY)])
    write_receipts(config, [Receipt("tiles", DAY)])
    found = {(r.job, r.revision) for r in kept_receipts(config)}
    assert found == {("tiles", 1), ("tiles@user", 2), ("tiles", 3)}


def test_a_group_stops_when_the_whole_step_begins_after_it(tmp_path):
    config = config_of(tmp_path)
    with (
        pytest.raises(ConflictError, match="tiles, revision 2"),
        begun(config.for_group("user"), [Receipt("tiles", DAY)]) as run,
    ):
        run.begin()
        write_receipts(config, [Receipt("tiles", DAY, status=STARTED)])
        run.check_newest()


def test_groups_do_not_stop_each_other(tmp_path):
    config = config_of(tmp_path)
    with begun(config.for_group("user"), [Receipt("tiles", DAY)]) as run:
        run.begin()
        write_receipts(config.for_group("author"), [Receipt("tiles", DAY, status=STARTED)])
        run.check_newest()


def test_groups_built_apart_are_joined_without_a_session_to_what_one_build_says(spark, copied):
    before = latest_receipts(copied)["tiles", LAST]
    config = config_of(
        copied.root.removesuffix("/tables"), f"landing={copied.landing}", "features.max_segment_values=99999"
    )
    for name in config.features.groups:
        made = run_step(lambda: spark, config.for_group(name), TILES, days=[LAST])
        assert [r.job for r in made.receipts] == [f"tiles@{name}"]
    joined = run_step(never, config, TILES, days=[LAST])
    assert (joined.built, joined.joined) == ([], [LAST])
    standing = latest_receipts(config)["tiles", LAST]
    assert standing.outputs == before.outputs
    assert (standing.rows_in, standing.rows_out) == (before.rows_in, before.rows_out)
    told = {key: text for key, text in before.notes.items() if key not in ("cost", "run_id")}
    assert standing.notes.keys() - {"run_id"} == told.keys()
    assert {k: v for k, v in standing.notes.items() if k not in ("made_of", "run_id")} == {
        k: v for k, v in told.items() if k != "made_of"
    }
    assert run_step(never, config, TILES, days=[LAST]).skipped == [LAST]
    assert run_step(never, config.for_group("user"), TILES, days=[LAST]).skipped == [LAST]


def test_a_join_that_a_group_began_beside_writes_nothing(copied, monkeypatch):
    config = config_of(copied.root.removesuffix("/tables"), f"landing={copied.landing}")
    monkeypatch.setattr("headrace.chain.joined_receipts", _then_a_group_begins(config))
    with pytest.raises(ConflictError):
        run_step(never, config, TILES, days=[LAST])
    standing = all_latest(config)["tiles", LAST]
    assert (standing.status, standing.job) == (STARTED, "tiles")


def _then_a_group_begins(config: Config):
    """Joins as ever at the first look; at the second a group of another configuration has begun meanwhile."""
    receipt = latest_receipts(config)["tiles", LAST]
    write_receipts(config, [replace(receipt, revision=0, fingerprint="other", config_hash="other")])
    looks = []

    def joined(_config, _job, days, **_):
        looks.append(days)
        if len(looks) == 2:
            write_receipts(config.for_group("user"), [Receipt("tiles", LAST, status=STARTED)])
        return {day: receipt for day in days}

    return joined


def test_the_build_after_a_group_of_another_configuration_makes_its_table_again(spark, copied):
    before = latest_receipts(copied)["tiles", LAST].outputs
    folder, landing = copied.root.removesuffix("/tables"), f"landing={copied.landing}"
    other = config_of(folder, landing, "features.groups.author.delay=5h")
    made = run_step(lambda: spark, other.for_group("author"), TILES, days=[LAST], rebuild=[LAST])
    again = run_step(lambda: spark, copied, TILES, days=[LAST])
    assert made.built == again.built == [LAST]
    assert latest_receipts(copied)["tiles", LAST].outputs == before


def test_stats_are_not_joined_before_tiles_are(tmp_path):
    config = config_of(tmp_path)
    for name in config.features.groups:
        narrow = config.for_group(name)
        known = Known(narrow, latest_receipts(narrow))
        write_receipts(narrow, [asked_receipt(known, "stats", DAY)])
    with pytest.raises(InputError, match=r"headrace (tiles|ingest)"):
        run_step(never, config, step_named("stats"), days=[DAY])


def test_a_group_of_a_step_that_stands_has_nothing_to_do(copied):
    assert run_step(never, copied.for_group("user"), TILES, days=[LAST]).skipped == [LAST]


def test_the_state_of_one_group_is_that_of_all_at_once(spark, copied):
    state, first = step_named("state"), LAST
    apart = run_step(lambda: spark, copied.for_group("user"), state, days=[first])
    together = run_step(lambda: spark, copied, state, days=[first])
    assert apart.receipts[0].outputs["state_user"] == together.receipts[0].outputs["state_user"]
    assert up_to_date(copied, "state") == {first}
    assert up_to_date(copied.for_group("user"), "state") == {first}


def test_a_group_whose_tiles_are_missing_names_the_step_to_run(tmp_path):
    config = config_of(tmp_path)
    known = Known(config.for_group("user"), latest_receipts(config))
    asked_receipt(known, "stats", DAY)
    assert known.missing == {"tiles": {DAY}}


def test_a_receipt_is_still_what_it_was_after_the_join_of_nothing(tmp_path):
    config = config_of(tmp_path)
    assert write_receipts(config, []) == []
    assert latest_receipts(config) == {}


def test_a_started_group_keeps_its_own_name_on_the_receipt(tmp_path):
    config = config_of(tmp_path).for_group("user")
    (written,) = write_receipts(config, [replace(Receipt("tiles", DAY), status=STARTED)])
    assert (written.job, written.revision) == ("tiles@user", 1)

"""Lapsing on a real S3 server: on its day a group goes whole, every version and key of it, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, insert, update

from include.archive.bodies import decrypt, lines
from include.archive.erasure import crypto_erase
from include.archive.store import ArchiveStore
from include.database import archive_object, hold
from include.errors import ArchiveError
from include.outcomes import Outcome
from tests.archive.conftest import TODAY, Desk, payment, short, wait_until

LATER = TODAY + timedelta(days=10)
LOCK_SECONDS = 3


def states(desk: Desk) -> dict[str, str]:
    return {r.object_key: r.state for r in desk.rows("archive_object")}


def names_in(desk: Desk, object_key: str) -> set[Any]:
    """Return the names that can be read in one object."""
    (row,) = [r for r in desk.rows("archive_object") if r.object_key == object_key]
    wrapped = {k.archive_tag: k.wrapped_key for k in desk.rows("archive_key") if k.object_key == object_key}
    return {
        kept.items["name"]
        for line in lines(desk.store, object_key, row.sha256) or ()
        if line.archive_tag in wrapped
        for kept in decrypt(line, object_key, wrapped[line.archive_tag], desk.keys)
    }


def place_hold(desk: Desk, account_id: str) -> None:
    with desk.engine.begin() as connection:
        connection.execute(
            insert(hold).values(
                hold_id=uuid4(),
                account_id=account_id,
                kind="H-6",
                datasets=[],
                reason_code="court",
                placed_by="compliance:1",
                placed_on=TODAY,
                review_due=TODAY + timedelta(days=30),
            )
        )


def release_holds(desk: Desk) -> None:
    with desk.engine.begin() as connection:
        connection.execute(update(hold).values(released_at=datetime.now(UTC), released_by="compliance:2"))


def short_group(desk: Desk, count: int, *, seconds: float = LOCK_SECONDS) -> tuple[str, datetime]:
    """Pack a group whose lock ends in a moment; return its key and the end of its lock."""
    terms = short(seconds)
    for n in range(count):
        desk.stage(f"a{n}", payment(n), terms_of=terms)
    (key,) = desk.pack().keys
    return key, next(r.retain_until for r in desk.rows("archive_object") if r.object_key == key)


def test_a_group_goes_on_its_day_and_nothing_else_does(desk: Desk) -> None:
    desk.stage("a1", payment(9), terms_of=short(3600, last_day=date(2030, 1, 1)))
    (living,) = desk.pack().keys
    key, until = short_group(desk, 3)
    early = desk.lapse(as_of=TODAY)
    locked = desk.lapse(as_of=LATER)
    assert (early.destroyed, early.retained) == (0, [])
    assert [(f.outcome, f.basis, f.until) for f in locked.retained] == [(Outcome.RETAINED, "lock", until.date())]
    assert len(desk.store.versions(key)) == 1
    wait_until(until)
    report = desk.lapse(as_of=LATER, key_backup_days=30)
    assert (report.destroyed, report.versions) == (1, 1)
    assert desk.store.versions(key) == []
    assert states(desk) == {key: "destroyed", living: "checked"}
    assert {k.object_key for k in desk.rows("archive_key")} == {living}
    assert {r.object_key for r in desk.rows("archive_record")} == {living}
    assert names_in(desk, living) == {"Sample Person 0009"}
    assert desk.events()[-3:] == ["archive_retained", "archive_destroy_attempted", "archive_destroyed"]
    assert desk.lapse(as_of=LATER).destroyed == 0
    assert desk.lapse(as_of=LATER + timedelta(days=30)).confirmed == 0
    assert desk.lapse(as_of=LATER + timedelta(days=31)).confirmed == 1
    assert desk.recorded[-1].event == "archive_keys_gone"
    assert states(desk)[key] == "gone"


def test_a_held_subject_keeps_its_own_copy_and_the_rest_goes_on_time(desk: Desk) -> None:
    key, until = short_group(desk, 20)
    place_hold(desk, "a7")
    wait_until(until)
    report = desk.lapse(as_of=LATER)
    (copy,) = [r for r in desk.rows("archive_object") if r.legal_hold]
    head = desk.store.head(copy.object_key)
    assert (report.copied, report.destroyed, desk.store.versions(key)) == (1, 1, [])
    assert head is not None
    assert head.legal_hold
    assert names_in(desk, copy.object_key) == {"Sample Person 0007"}
    assert {k.archive_tag for k in desk.rows("archive_key")} == {desk.keys.tag("a7")}
    with pytest.raises(ArchiveError, match="refused"):
        desk.store.destroy(copy.object_key)
    waiting = desk.lapse(as_of=LATER)
    assert [f.basis for f in waiting.retained] == ["hold"]
    release_holds(desk)
    assert desk.lapse(as_of=LATER).destroyed == 1
    assert desk.store.versions(copy.object_key) == []
    assert desk.count("archive_key") == desk.count("archive_record") == 0


def test_a_hold_that_arrives_while_another_is_copied_is_seen_before_the_intent(desk: Desk) -> None:
    key, until = short_group(desk, 3)
    wait_until(until)
    calls: list[int] = []

    def placed(connection: Connection, rule_id: str) -> dict[str, date]:
        calls.append(1)
        return dict.fromkeys(["a0"] if len(calls) == 1 else ["a0", "a1"], LATER)

    assert desk.lapse(as_of=LATER, placed=placed).copied == 2
    held = [r.object_key for r in desk.rows("archive_object") if r.legal_hold]
    assert {name for k in held for name in names_in(desk, k)} == {"Sample Person 0000", "Sample Person 0001"}
    assert desk.store.versions(key) == []


class _DiesAfterDeleting(ArchiveStore):
    def destroy(self, key: str) -> int:
        super().destroy(key)
        raise KeyboardInterrupt


class _DiesAfterCopying(ArchiveStore):
    def write(self, plan: Any, body: Any) -> Any:
        super().write(plan, body)
        raise KeyboardInterrupt


def test_crashes_while_lapsing_are_finished_by_the_next_run(desk: Desk) -> None:
    key, until = short_group(desk, 2)
    client = desk.store._client
    wait_until(until)
    with pytest.raises(KeyboardInterrupt):
        desk.lapse(as_of=LATER, computed=lambda _rule: {"a1": LATER}, store=_DiesAfterCopying(client, "archive"))
    assert len(desk.store.versions(key)) == 1
    with pytest.raises(KeyboardInterrupt):
        desk.lapse(as_of=LATER, computed=lambda _rule: {"a1": LATER}, store=_DiesAfterDeleting(client, "archive"))
    assert states(desk)[key] == "destroying"
    assert desk.lapse(as_of=LATER, computed=lambda _rule: {"a1": LATER}).destroyed == 1
    held = [r.object_key for r in desk.rows("archive_object") if r.legal_hold and r.state == "checked"]
    assert [names_in(desk, k) for k in held] == [{"Sample Person 0001"}]
    assert desk.events().count("archive_destroy_attempted") == desk.events().count("archive_destroyed") == 1


def test_a_store_that_still_lists_a_version_confirms_nothing(desk: Desk) -> None:
    key, until = short_group(desk, 1, seconds=60)
    store = ArchiveStore(_DeletesNothing(desk.store._client), "archive")
    with pytest.raises(ArchiveError, match="1 versions are still listed"):
        desk.lapse(as_of=LATER, store=store, now=until + timedelta(seconds=1))
    assert states(desk) == {key: "destroying"}
    assert desk.count("archive_key") == 1


class _DeletesNothing:
    """Answers 200 to a deletion and keeps the object."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def delete_objects(self, **_: Any) -> dict[str, Any]:
        return {"Deleted": []}


def test_governance_is_never_bypassed(desk: Desk) -> None:
    key, _ = short_group(desk, 1, seconds=3600)
    with pytest.raises(ArchiveError, match="AccessDenied"):
        desk.store.destroy(key)
    with desk.engine.begin() as connection:  # our own record of the lock is wrong: only the server's lock is left
        connection.execute(update(archive_object).values(retain_until=datetime.now(UTC)))
    with pytest.raises(ArchiveError, match="could not be destroyed"):
        desk.lapse(as_of=LATER)
    assert len(desk.store.versions(key)) == 1


def test_one_subjects_keys_can_be_destroyed_early_and_it_is_called_crypto_erase(desk: Desk) -> None:
    key, _ = short_group(desk, 2, seconds=3600)
    desk.close()
    count = crypto_erase(
        desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record, key_backup_days=14
    )
    assert count == 1
    assert names_in(desk, key) == {"Sample Person 0001"}
    facts = desk.recorded[-1]
    assert (facts.event, facts.outcome, facts.method) == ("archive_crypto_erased", Outcome.ACCEPTED, "crypto_erase")
    assert facts.until == TODAY + timedelta(days=14)
    assert len(desk.store.versions(key)) == 1


def test_what_a_correction_removed_can_be_archived_again(desk: Desk) -> None:
    terms = short(3600)
    desk.stage("a0", payment(0), terms_of=terms)
    desk.pack()
    desk.close()
    crypto_erase(desk.engine, desk.store, "a0", keys=desk.keys, as_of=TODAY, record=desk.record)
    desk.stage("a0", payment(0), terms_of=terms)
    (key,) = desk.pack().keys
    assert names_in(desk, key) == {"Sample Person 0000"}


def test_what_an_abandoned_upload_left_is_removed_when_its_lock_is_over(desk: Desk) -> None:
    key, until = short_group(desk, 1)
    with desk.engine.begin() as connection:
        connection.execute(update(archive_object).values(state="abandoned"))
    assert desk.lapse(as_of=TODAY).cleaned == 0
    wait_until(until)
    assert desk.lapse(as_of=TODAY).cleaned == 1
    assert desk.store.versions(key) == []


def test_a_legal_hold_somebody_placed_on_an_abandoned_upload_keeps_it(desk: Desk) -> None:
    key, until = short_group(desk, 1)
    with desk.engine.begin() as connection:
        connection.execute(update(archive_object).values(state="abandoned"))
    client: Any = desk.store._client
    client.put_object_legal_hold(Bucket=desk.store.bucket, Key=key, LegalHold={"Status": "ON"})
    wait_until(until)
    assert desk.lapse(as_of=TODAY).cleaned == 0
    desk.store.release_legal_hold(key)
    assert desk.lapse(as_of=TODAY).cleaned == 1

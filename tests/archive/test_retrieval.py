"""Reading back: on purpose, by two people, always logged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import update

from include.archive.retrieval import Reading, retrieve
from include.archive.store import ArchiveStore
from include.database import archive_object
from include.errors import ArchiveError, DecisionRefused
from tests.archive.conftest import TODAY, Desk, payment, person, short


def read(desk: Desk, account_id: str, **given: Any) -> Reading:
    asked = {"purpose": "tax_inspection", "reader": "user-1", "role": "compliance", "approver": "user-2"} | given
    store = asked.pop("store", desk.store)
    return retrieve(desk.engine, store, account_id, as_of=TODAY, keys=desk.keys, record=desk.record, **asked)


def test_one_accounts_rows_come_back_and_no_others(desk: Desk) -> None:
    for n in range(3):
        desk.stage(f"a{n}", payment(n))
    desk.pack()
    desk.stage("a1", payment(1, source_id="not packed yet"), terms_of=short(3600))
    reading = read(desk, "a1")
    assert [r.rule_id for r in reading.rows] == ["R-02i", "R-02i", "R-04"]
    assert {r.items["name"] for r in reading.rows} == {"Sample Person 0001"}
    assert (reading.objects, reading.due_at) == (2, None)


def test_every_look_is_logged_with_the_tag_of_whose_data_was_read(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    desk.pack()
    read(desk, "a1", ip="192.0.2.7")
    (logged,) = desk.rows("access_log")
    tag = desk.keys.tag("a1")
    assert (logged.who, logged.role, logged.ip, logged.subject_tag) == ("user-1", "compliance", "192.0.2.7", tag)
    assert logged.action == "archive_read:tax_inspection:user-2"
    facts = desk.recorded[-1]
    assert (facts.event, facts.archive_tag, facts.purpose, facts.role) == (
        "archive_read",
        tag,
        "tax_inspection",
        "compliance",
    )
    assert not [v for v in person(1).values() if len(str(v)) > 4 and str(v) in repr(desk.recorded)]


@pytest.mark.parametrize(
    "asked",
    [
        {"role": "marketing"},
        {"purpose": "campaign"},
        {"approver": "user-1"},
        {"approver": " User-1"},
        {"approver": "  "},
        {"approver": ""},
    ],
)
def test_a_reading_without_role_purpose_or_second_person_is_refused(desk: Desk, asked: dict[str, str]) -> None:
    with pytest.raises(DecisionRefused):
        read(desk, "a1", **asked)
    assert desk.count("access_log") == 0


def test_changed_bytes_are_noticed(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    desk.pack()
    with desk.engine.begin() as connection:
        connection.execute(update(archive_object).values(sha256="other"))
    with pytest.raises(ArchiveError, match="not those that were written"):
        read(desk, "a1")


class _Frozen:
    """A client whose objects are being restored, for hours, as in GLACIER and DEEP_ARCHIVE (moto takes no time)."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.restored: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_object(self, **given: Any) -> Any:
        if given["Key"].startswith("keys/"):
            return self._client.get_object(**given)
        raise ClientError({"Error": {"Code": "InvalidObjectState"}, "ResponseMetadata": {}}, "GetObject")  # type: ignore[typeddict-item]

    def restore_object(self, **given: Any) -> Any:
        if given["Key"] in self.restored:
            raise ClientError({"Error": {"Code": "RestoreAlreadyInProgress"}}, "RestoreObject")
        self.restored.append(given["Key"])


def test_a_class_that_needs_a_restore_gives_a_date_instead_of_sleeping(desk: Desk) -> None:
    desk.stage("a1", payment(1), terms_of=short(3600))
    (key,) = desk.pack().keys
    frozen = _Frozen(desk.store._client)
    for _ in range(2):
        reading = read(desk, "a1", store=ArchiveStore(frozen, "archive"))
        assert (reading.rows, reading.pending, reading.due_at) == ((), 1, TODAY + timedelta(days=1))
    assert frozen.restored == [key]

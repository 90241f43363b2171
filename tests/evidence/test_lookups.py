"""Looking one person up is recorded; an epoch's key goes only on time and before witnesses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from include.database import access_log, entry
from include.errors import ConfigurationError, DecisionRefused
from include.evidence.entries import parse
from include.evidence.lookups import Person, destroy_epoch, keys_in, look_up
from include.evidence.tags import SubjectTags
from tests.evidence import samples
from tests.evidence.conftest import Log

BY, OTHER = Person("compliance", "e-0007"), Person("privacy_officer", "e-0001")
BASE = {"schema": "erasure-evidence/1", "recorded_at": "2027-01-02T03:04:05Z", "as_of": "2027-01-02"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for year in ("2025", "2026"):
        path = tmp_path / f"{year}.key"
        path.write_bytes(bytes([int(year) - 2000]) * 32)
        path.chmod(0o600)
    return tmp_path


def events(log: Log) -> list[dict[str, Any]]:
    with log.engine.connect() as connection:
        return [parse(bytes(b)) for b in connection.execute(select(entry.c.body).order_by(entry.c.entry_id)).scalars()]


def test_a_look_up_leaves_who_and_which_tag_but_never_the_account(log: Log, folder: Path) -> None:
    tags = SubjectTags(keys_in(folder))
    with log.engine.begin() as connection:
        found = look_up(connection, tags, "a0001", by=BY, approver=None, base=BASE)
    assert found == tags.all("a0001")
    assert [(e["event"], e["subject_tag"], e["key_epoch"]) for e in events(log)] == [
        ("tag_opened", found[y], y) for y in ("2025", "2026")
    ]
    with log.engine.connect() as connection:
        rows = connection.execute(select(access_log)).all()
    assert [(r.who, r.role, r.subject_tag) for r in rows] == [("e-0007", "compliance", t) for t in found.values()]
    assert "a0001" not in repr(rows)


@pytest.mark.parametrize("second", [None, BY])
def test_where_policy_says_so_a_look_up_needs_two_people(log: Log, folder: Path, second: Person | None) -> None:
    tags = SubjectTags(keys_in(folder))
    with log.engine.begin() as connection, pytest.raises(DecisionRefused, match="two people"):
        look_up(connection, tags, "1", by=BY, approver=second, base=BASE, four_eyes=True)
    assert events(log) == []


@pytest.mark.parametrize("text", ["", "compliance", "compliance:Kim Min", ":e-1", "x:a@example.com"])
def test_people_are_named_by_role_and_pseudonym(text: str) -> None:
    with pytest.raises(DecisionRefused):
        Person.parse(text)


@pytest.mark.parametrize("spoil", [lambda p: p.chmod(0o644), lambda p: p.write_bytes(b"short")])
def test_a_key_file_others_can_read_or_of_another_length_is_refused(folder: Path, spoil: Any) -> None:
    spoil(folder / "2026.key")
    with pytest.raises(ConfigurationError, match="0600"):
        keys_in(folder)


def test_an_epoch_ends_with_two_entries_and_no_file(log: Log, folder: Path) -> None:
    base = BASE | {"as_of": "2029-01-01"}
    destroy_epoch(log.engine, folder, "2025", by=BY, approver=OTHER, base=base, term_years=3)
    assert sorted(os.listdir(folder)) == ["2026.key"]
    assert [(e["event"], e["key_epoch"], e["code"]) for e in events(log)] == [
        ("key_destroyed", "2025", "intended"),
        ("key_destroyed", "2025", "confirmed_absent"),
    ]


def test_an_epoch_within_its_term_stays(log: Log, folder: Path) -> None:
    log.stage([samples.disposal(1, "planned", key_epoch="2025")])  # used until 2026-11-25
    for base, second in ((BASE | {"as_of": "2029-12-31"}, OTHER), (BASE | {"as_of": "2035-01-01"}, BY)):
        with pytest.raises(DecisionRefused, match="Nothing was destroyed"):
            destroy_epoch(log.engine, folder, "2025", by=BY, approver=second, base=base, term_years=3)
    assert (folder / "2025.key").is_file()
    assert [e["event"] for e in events(log)] == ["planned"]


@pytest.mark.parametrize("epoch", ["2024", "../x", "20255"])
def test_only_a_key_that_is_there_can_be_destroyed(log: Log, folder: Path, epoch: str) -> None:
    with pytest.raises(ConfigurationError):
        destroy_epoch(log.engine, folder, epoch, by=BY, approver=OTHER, base=BASE, term_years=3)

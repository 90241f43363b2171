"""The daily audit finds what does not fit between database, bucket, locked copies and the calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.evidence import tiles
from include.evidence.audit import Audit, audit
from include.evidence.entries import canonical
from tests.evidence import samples
from tests.evidence.conftest import Log

DAY = date(2026, 11, 25)


def audited(log: Log, *, as_of: date = DAY, later: int = 0, **more: Any) -> Audit:
    now = datetime.now(UTC) + timedelta(days=later)
    return audit(log.engine, log.store, vkey=log.signer.vkey, as_of=as_of, now=now, **more)


def test_a_sound_log_has_no_findings(log: Log) -> None:
    for low, high in ((0, 60), (60, 61), (61, 130)):
        log.stage([e for n in range(low, high) for e in samples.life(n)])
        log.seal()
    done = audited(log)
    assert (done.findings, done.size, done.checkpoints) == ([], 650, 3)


def test_an_empty_log_is_asked_to_be_sealed(log: Log) -> None:
    assert "seal" in audited(log).findings[0]


def forge_entries(log: Log) -> None:
    log.overwrite("tile/entries/000.p/10", tiles.pack([canonical(samples.disposal(n, "planned")) for n in range(10)]))


SPOILT: list[tuple[Callable[[Log], None], str]] = [
    (forge_entries, "is not entry"),
    (lambda log: log.overwrite("tile/0/000.p/10", bytes(320)), "tile/0/000.p/10 in the bucket is another one"),
    (lambda log: log.overwrite("checkpoints/000000000000010", b"x"), "locked copy of checkpoint 10"),
    (lambda log: log.overwrite("checkpoint", b"x"), "not the newest of the database"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
def test_whatever_was_changed_in_the_bucket_is_found(log: Log, spoil: Callable[[Log], None], words: str) -> None:
    log.stage([e for n in range(2) for e in samples.life(n)])
    log.seal()
    spoil(log)
    assert any(words in f for f in audited(log).findings)


def test_a_missing_object_is_found(log: Log) -> None:
    log.stage(samples.life(1))
    log.seal()
    log.client.delete_object(Bucket=log.store.bucket, Key=log.store.prefix + "checkpoints/000000000000005")
    assert "locked copy of checkpoint 5 is missing" in audited(log).findings[0]


def test_a_gap_in_the_numbering_is_found(log: Log) -> None:
    log.stage(samples.life(1))
    log.seal()
    with log.engine.begin() as connection:
        connection.execute(text("ALTER TABLE retention.entry DISABLE TRIGGER USER"))
        connection.execute(text("DELETE FROM retention.entry WHERE log_index = 2"))
    findings = audited(log).findings
    assert any("indexes have gaps: 4 entries are numbered up to 5" in f for f in findings)


def test_entries_nobody_sealed_for_a_day_are_found(log: Log) -> None:
    log.stage(samples.life(1))
    log.seal()
    log.stage([samples.base("run_started")])
    assert audited(log).findings == []
    assert any("waited more than a day" in f for f in audited(log, later=2).findings)


def test_an_intent_without_an_outcome_is_found_after_a_day(log: Log) -> None:
    recorded = {"recorded_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    log.stage([e | recorded for e in samples.life(1)[:3]])
    log.seal()
    assert audited(log).findings == []
    assert "1 intents older than a day have no outcome" in audited(log, later=2).findings


def test_an_act_before_its_time_is_found(log: Log) -> None:
    log.stage([e | {"free_from": "2026-12-01"} for e in samples.life(1)])
    log.seal()
    assert any("acts before their period was over" in f for f in audited(log).findings)


def test_a_late_destruction_is_found_once_and_an_overdue_disposal_every_day(log: Log) -> None:
    late = [e | {"destroy_by": "2026-11-24"} for e in samples.life(1)]
    log.stage([*late, *[e | {"destroy_by": "2026-11-24"} for e in samples.life(2)[:2]]])
    log.seal()
    assert [f[:2] for f in audited(log).findings] == ["1 ", "1 "]
    assert audited(log, as_of=DAY + timedelta(days=2)).findings == [
        "1 disposals are past their last day for destruction, and nothing holds them"
    ]


def test_what_is_held_or_waits_for_a_date_is_not_overdue(log: Log) -> None:
    log.stage([samples.disposal(1, "planned"), samples.disposal(1, "blocked", code="hold_h-1")])
    log.seal()
    assert audited(log, as_of=DAY + timedelta(days=90)).findings == []

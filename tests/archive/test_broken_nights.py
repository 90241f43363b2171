"""Whatever breaks between our database and the bucket: nothing goes at the source, the error names the cause, the next
night finishes. The company's own database is real, and so is the S3 server behind the proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select, text

from include.accounts import Accounts
from include.archive.staging import ArchiveKeys
from include.connections import Connection, s3_client
from include.database import archive_row, disposal
from include.disposals import Context, advance_batch, begin_run, guards, locate_batch
from include.disposals.archiving import pack_staged
from include.disposals.reporting import gaps
from include.errors import RetentionError, Unreachable
from include.evidence.tags import SubjectTags
from include.keys import KmsWrapper
from include.processors import Site, load
from include.sandbox import company
from include.sandbox.servers import PostgresServer, S3Server, free_ports
from tests.archive.conftest import Desk
from tests.disposals.conftest import Bench
from tests.processors.s3_proxy import Answer, Fault, Proxy, error, proxy_to
from tests.processors.worlds.base import Person, add_accounts, add_rows

NIGHT = date(2026, 11, 24)
HIT = Person("hit", 1, "hit@example.com", "Sample Person 0001")
SPARED = Person("spared", 2, "spared@example.com", "Sample Person 0002")
HITS = "/R-02i/2032-"  # only the first account's payment is of a tax year whose records end in 2032


@dataclass
class Night:
    """Two former customers, one payment each, of different years: their records end in different half-weeks."""

    desk: Desk
    bench: Bench
    proxy: Proxy
    direct: Connection
    admin: Connection
    own_database: Any

    @property
    def bucket(self) -> Connection:
        return replace(self.direct, extra={**self.direct.extra, "endpoint_url": self.proxy.url})

    def locate(self, *ids: str) -> None:
        context = self.bench.context
        batch_id = self.bench.batch(*ids, processor="own_database")
        locate_batch(context, "own_database", self.own_database, batch_id, "t", ArchiveKeys.of(context.wrapper))

    def advance(self, *ids: str) -> None:
        advance_batch(self.bench.context, self.own_database(), self.bench.batch(*ids, processor="own_database"), "t")

    def at_the_source(self) -> set[str]:
        with self.desk.engine.connect() as connection:
            return set(connection.execute(text("SELECT account_id FROM payment")).scalars())

    def outcomes(self, *ids: str) -> list[str]:
        return [self.bench.row(i).outcome for i in ids]


@pytest.fixture
def night(desk: Desk, s3: S3Server, postgres: PostgresServer) -> Iterator[Night]:
    company.create(desk.engine)
    add_accounts(desk.engine, HIT, SPARED)
    paid = {HIT.account_id: date(2026, 1, 5), SPARED.account_id: date(2025, 6, 2)}
    add_rows(
        desk.engine,
        "payment",
        *(
            {
                "payment_id": f"pay-{a}", "account_id": a, "billed": 9900, "received": 9900, "received_on": day,
                "supplied_on": day, "method": "card", "offshore": False,
            }
            for a, day in paid.items()
        ),
    )  # fmt: skip
    settings = desk.schedule.processors["own_database"].settings
    context = Context(
        engine=desk.engine,
        accounts=Accounts(desk.engine, settings),
        schedule=desk.schedule,
        tags=SubjectTags({"2026": bytes(32)}),
        wrapper=desk.keys.wrapper,
        as_of=NIGHT,
        dag_id="nightly_retention",
    )
    guards.approve_schedule(context, role=desk.schedule.privacy_officer_role, pseudonym="e-0001")
    context = replace(context, run_id=begin_run(context, airflow_run_id="r1"))
    here = postgres.connection("own_database", str(desk.engine.url.database))
    direct = s3.connection("archive_store", "archiver", bucket="archive")
    with proxy_to(str(direct.endpoint_url)) as proxy:
        yield Night(
            desk, Bench(context), proxy, direct, s3.connection("s3", "admin"),
            lambda: load("own_database")(Site(here, settings, NIGHT)),
        )  # fmt: skip


def plan(night: Night) -> list[str]:
    return [
        night.bench.plan(
            p.account_id,
            "own_database",
            rule_id="R-01",
            scope_id="settlement",
            datasets=["payment", "contract", "billing_contact", "business_identity"],
        )
        for p in (HIT, SPARED)
    ]


def on_upload(fault: Any, keys: str = "/archive/archive/") -> Fault:
    """Apply a fault to uploads of archive objects whose path contains `keys`."""
    return lambda method, path, _body: (
        fault if method == "PUT" and "/archive/archive/" in path and keys in path else None
    )


def on_head(edit: Callable[[dict[str, str]], None], keys: str = HITS) -> Fault:
    """Change the headers of the server's true answer to HEAD."""

    def edited(answer: Answer) -> Answer:
        headers = {name.lower(): value for name, value in answer[1].items()}
        if "x-amz-checksum-sha256" in headers:
            edit(headers)
        return answer[0], {"Content-Length" if n == "content-length" else n: v for n, v in headers.items()}, answer[2]

    return lambda method, path, _body: edited if method == "HEAD" and "/archive/archive" + keys in path else None


LOCK = "x-amz-object-lock-"
ONE = {
    "an upload cut before it began": (on_upload("cut_before", HITS), "could not write an object"),
    "an upload cut half-way": (on_upload("cut_half", HITS), "could not write an object"),
    "a byte changed on the way": (on_upload("damage", HITS), "could not write an object: [A-Za-z0-9]+ "),
    "another digest in the store": (
        on_head(lambda h: h.update({"x-amz-checksum-sha256": "A" * 43 + "="})),
        "SHA-256 is another one",
    ),
    "no digest in the store": (on_head(lambda h: h.pop("x-amz-checksum-sha256")), "SHA-256 is absent"),
    "a lock refused": (on_upload(error(403, "AccessDenied"), HITS), "write an object: AccessDenied"),
    "a lock that is missing": (
        on_head(lambda h: [h.pop(n) for n in list(h) if n.startswith(LOCK)]),  # type: ignore[arg-type,return-value]
        "its lock is missing",
    ),
    "a lock that is too short": (
        on_head(lambda h: h.update({LOCK + "retain-until-date": "2031-12-31T00:00:00Z"})),
        "lock ends 2031-12-31T00:00:00Z, too short for 2032-",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "cause"), ONE.values(), ids=ONE.keys())
def test_one_unproven_object_stops_its_account_and_only_that(night: Night, fault: Fault, cause: str) -> None:
    hit, spared = plan(night)
    night.locate(hit, spared)
    night.proxy.fault = fault
    with pytest.raises(RetentionError, match=cause) as caught:
        pack_staged(night.bench.context, night.bucket)
    assert not [m for p in (HIT, SPARED) for m in p.marks if m in str(caught.value).casefold()]
    night.advance(hit, spared)
    assert night.at_the_source() == {HIT.account_id}
    assert night.outcomes(hit, spared) == ["located", "confirmed_absent"]
    assert "own_database located 1" in gaps(night.bench.context, night.bench.context.run_id)  # type: ignore[arg-type]
    finished_by_the_next_night(night, hit, spared)


def _dead_service() -> bytes:
    raise Unreachable("kms", "EndpointConnectionError")


def _dead_end(night: Night) -> Connection:
    return replace(night.direct, extra={**night.direct.extra, "endpoint_url": f"http://127.0.0.1:{free_ports(1)[0]}"})


def _no_key_backup(method: str, path: str, _body: bytes) -> Any:
    return error(403, "AccessDenied") if method == "PUT" and "/archive/keys/" in path else None


ALL: dict[str, tuple[Callable[[Night], Any], str]] = {
    "a store that does not answer": (_dead_end, "could not read bucket versioning"),
    "a store that is overloaded": (
        lambda n: setattr(n.proxy, "fault", lambda *_: error(503, "SlowDown")), "SlowDown",
    ),
    "a bucket without Object Lock": (lambda n: in_bucket(n, "unlocked", versions=True), "Object Lock is not enabled"),
    "a bucket without versioning": (lambda n: in_bucket(n, "unversioned"), "versioning is not enabled"),
    "a clock that differs": (lambda n: setattr(n.proxy, "ahead", 3600), "its clock and ours differ by 3[56]"),
    "a key backup that cannot be written": (
        lambda n: setattr(n.proxy, "fault", _no_key_backup),
        "^4 of 4 archive objects.*could not save a key backup: AccessDenied",
    ),
    "a clock the store itself refuses": (
        lambda n: setattr(n.proxy, "fault", lambda *_: error(403, "RequestTimeTooSkewed")), "RequestTimeTooSkewed",
    ),
}  # fmt: skip


def in_bucket(night: Night, name: str, *, versions: bool = False) -> Connection:
    """Return a connection to a bucket that is not fit to hold the archive."""
    client = s3_client(night.admin)
    client.create_bucket(Bucket=name)
    if versions:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return replace(night.admin, name="archive_store", extra={**night.admin.extra, "bucket": name})


@pytest.mark.parametrize(("break_", "cause"), ALL.values(), ids=ALL.keys())
def test_a_store_that_is_not_fit_stops_every_account_that_needs_it(
    night: Night, break_: Callable[[Night], Any], cause: str
) -> None:
    hit, spared = plan(night)
    night.locate(hit, spared)
    bucket = break_(night) or night.bucket
    with pytest.raises(RetentionError, match=cause):
        pack_staged(night.bench.context, bucket)
    waits_for_the_next_night(night, hit, spared)
    night.proxy.ahead = 0
    finished_by_the_next_night(night, hit, spared)


def test_a_key_service_that_is_down_stops_every_account_that_needs_it(night: Night) -> None:
    hit, spared = plan(night)
    night.locate(hit, spared)
    with pytest.raises(Unreachable, match="kms"):
        pack_staged(replace(night.bench.context, wrapper=KmsWrapper(_dead_service)), night.bucket)
    waits_for_the_next_night(night, hit, spared)
    finished_by_the_next_night(night, hit, spared)


def test_a_key_service_that_is_down_while_locating_leaves_everything_planned(night: Night) -> None:
    ids = plan(night)
    honest = night.bench.context
    night.bench.context = replace(honest, wrapper=KmsWrapper(_dead_service))
    with pytest.raises(Unreachable, match="kms"):
        night.locate(*ids)
    night.bench.context = honest
    assert night.at_the_source() == {HIT.account_id, SPARED.account_id}
    finished_by_the_next_night(night, *ids)


def waits_for_the_next_night(night: Night, *ids: str) -> None:
    night.advance(*ids)
    assert night.at_the_source() == {HIT.account_id, SPARED.account_id}
    assert night.outcomes(*ids) == ["located"] * 2
    assert "attempted" not in {e["event"] for e in night.bench.entries()}


def finished_by_the_next_night(night: Night, *ids: str) -> None:
    """Run the night again with nothing broken: the records are archived, and only then gone at the source."""
    night.proxy.fault = None
    night.locate(*ids)
    pack_staged(night.bench.context, night.bucket)
    night.advance(*ids)
    assert night.at_the_source() == set()
    assert night.outcomes(*ids) == ["confirmed_absent"] * 2
    with night.desk.engine.connect() as connection:
        assert connection.execute(select(archive_row)).all() == []
        assert set(connection.execute(select(disposal.c.closed_on)).scalars()) == {NIGHT}
    checked = [r for r in night.desk.rows("archive_object") if r.state == "checked"]
    assert sorted((r.rule_id, r.window_end.year) for r in checked) == [
        ("R-02i", 2031), ("R-02i", 2032), ("R-04", 2030), ("R-04", 2031),
    ]  # fmt: skip
    assert {k.object_key for k in night.desk.rows("archive_key")} == {r.object_key for r in checked}

"""A full decrypt-and-compare: what the bucket holds against what the laws list of the raw sources, row by row.

`ARCHIVE_COMPARED=1000` compares a larger company; the suite's is small enough for every day.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from include.accounts import Accounts
from include.archive.bodies import decrypt, lines
from include.archive.rows import ArchivedRow
from include.archive.staging import ArchiveKeys
from include.connections import Connection, s3_client
from include.database import disposal
from include.disposals import Context, begin_run, guards, locate_batch
from include.disposals.archiving import pack_staged
from include.evidence.tags import SubjectTags
from include.processors import Site, load
from include.processors._zendesk import gate
from include.sandbox import company, zendesk
from include.sandbox import stripe as stripe_standin
from include.sandbox._stripe.billing import pdf_of
from include.sandbox.company.people import Person
from include.sandbox.servers import PostgresServer, S3Server
from include.sandbox.standin import Serving
from tests.archive import awkward, truth, truth_stripe
from tests.archive.conftest import Desk
from tests.disposals.conftest import Bench

ANCHOR = date(2026, 11, 24)
COUNT = int(os.environ.get("ARCHIVE_COMPARED", "150"))
SCOPES = {
    "own_database": [
        "payment", "contract", "billing_contact", "business_identity", "account_profile", "support_history",
        "credit_record",
    ],
    "stripe": ["payments"],
    "zendesk": ["support"],
}  # fmt: skip


@dataclass
class Compared:
    """A company after its records were archived: what must be kept by account and law, and what is."""

    people: list[Person]
    expected: dict[tuple[str, str], list[truth.Kept]]
    found: dict[tuple[str, str], list[ArchivedRow]]
    bodies: dict[str, bytes]
    objects: list[Any]


def site(desk: Desk, name: str, connection: Connection, **more: Any) -> Any:
    settings = dict(desk.schedule.processors[name].settings) | more
    return load(name)(Site(connection, settings, ANCHOR, accounts=desk.engine))


@pytest.fixture(scope="module")
def compared(
    request: pytest.FixtureRequest, s3: S3Server, postgres: PostgresServer, schedule: Any
) -> Iterator[Compared]:
    from include import database
    from include.archive.store import ArchiveStore

    name = f"compared-{os.getpid()}"
    postgres.create_database(name, template="template_retention")
    s3.create_bucket(name, lock=True)
    engine = database.connect(postgres.connection("retention_db", name))
    bucket = s3.connection("archive_store", "admin", bucket=name)
    desk = Desk(engine, ArchiveStore.of(bucket), schedule)
    made = company.generate(seed=7, count=COUNT, anchor=ANCHOR)
    company.create(engine)
    company.load(engine, made)
    patch = pytest.MonkeyPatch()
    patch.setattr(gate, "sleep", lambda _seconds: None)
    with (
        Serving(stripe_standin.StandIn(limit_factor=1000)) as money,
        Serving(zendesk.StandIn(limit_factor=1000)) as support,
    ):
        for standin in (money, support):
            standin.standin.set_date(ANCHOR)
        company.seed_standins(made, urls={"stripe": money.url, "zendesk": support.url})
        awkward.seed(money.standin, support.standin, ANCHOR)
        raw = {n: list(s.standin.store.dump()) for n, s in (("stripe", money), ("zendesk", support))}
        places = {
            "own_database": lambda: site(desk, "own_database", postgres.connection("own_database", name)),
            "stripe": lambda: site(
                desk, "stripe", Connection("stripe", password="sk_test_x", extra={"endpoint_url": money.url})
            ),
            "zendesk": lambda: site(
                desk, "zendesk",
                Connection(
                    "zendesk", login="agent@example.com", password=zendesk.API_TOKEN,
                    extra={"subdomain": "sandbox", "endpoint_url": support.url},
                ),
            ),
        }  # fmt: skip
        located = _archive(desk, made, places, bucket)
    expected = _expected(made, raw, located)
    yield _read(desk, bucket, list(made.people), expected)
    patch.undo()
    engine.dispose()
    postgres.drop_database(name)


def _archive(desk: Desk, made: company.Company, places: Mapping[str, Any], bucket: Connection) -> set[tuple[str, str]]:
    """Locate everybody everywhere through the product's own tasks and pack; return who was located where."""
    context = Context(
        engine=desk.engine,
        accounts=Accounts(desk.engine, desk.schedule.processors["own_database"].settings),
        schedule=desk.schedule,
        tags=SubjectTags({"2026": bytes(32)}),
        wrapper=desk.keys.wrapper,
        as_of=ANCHOR,
        dag_id="nightly_retention",
    )
    guards.approve_schedule(context, role=desk.schedule.privacy_officer_role, pseudonym="e-0001")
    context = replace(context, run_id=begin_run(context, airflow_run_id="r1"))
    bench = Bench(context)
    for place, datasets in SCOPES.items():
        known = [p for p in made.people if place == "own_database" or getattr(p.presence, place) is not None]
        ids = [
            bench.plan(p.account_id, place, scope_id=place, datasets=datasets, subject_type=p.subject_type)
            for p in known
        ]
        for start in range(0, len(ids), 200):
            batch_id = bench.batch(*ids[start : start + 200], processor=place)
            locate_batch(context, place, places[place], batch_id, "t", ArchiveKeys.of(context.wrapper))
    pack_staged(context, bucket)
    with desk.engine.connect() as connection:
        rows = connection.execute(
            select(disposal.c.account_id, disposal.c.processor).where(disposal.c.outcome.in_(["located", "archived"]))
        )
        return {(r.account_id, r.processor) for r in rows}


def _expected(
    made: company.Company, raw: Mapping[str, list[Any]], located: set[tuple[str, str]]
) -> dict[tuple[str, str], list[truth.Kept]]:
    kept: dict[tuple[str, str], list[truth.Kept]] = defaultdict(list)
    by_number: dict[str, dict[int, list[Any]]] = {"stripe": defaultdict(list), "zendesk": defaultdict(list)}
    for row in raw["stripe"]:
        if "_s" in str(row["id"]) and "x" in str(row["id"]):
            by_number["stripe"][int(str(row["id"]).split("_s")[-1].split("x")[0])].append(row)
    for row in raw["zendesk"]:
        for person in {row["id"] // 100, row.get("ticket_id", 0) // 100, row["id"] % 100_000_000 // 10}:
            by_number["zendesk"][person].append(row)
    for p in made.people:
        register = p.dicts("account")[0]
        party = truth.Party(
            p.account_id, p.subject_type, register["consumer_like"], register["terminated_on"] or ANCHOR
        )
        found: list[truth.Kept] = []
        if (p.account_id, "own_database") in located:
            found += truth.own_database(party, {t: p.dicts(t) for t in p.rows})
        if (p.account_id, "stripe") in located:
            found += truth_stripe.stripe(party, p.number, by_number["stripe"][p.number], ANCHOR, pdf_of)
        if (p.account_id, "zendesk") in located:
            found += truth.zendesk(party, p.number, by_number["zendesk"][p.number])
        for one in found:
            kept[one.account_id, one.rule_id].append(one)
    return kept


def _read(desk: Desk, bucket: Connection, people: list[Person], expected: Any) -> Compared:
    """Decrypt everything the bucket holds, and keep its raw bytes, those of the key backups too."""
    names = {desk.keys.tag(p.account_id): p.account_id for p in people}
    wrapped = {(k.object_key, k.archive_tag): k.wrapped_key for k in desk.rows("archive_key")}
    found: dict[tuple[str, str], list[ArchivedRow]] = defaultdict(list)
    objects = [r for r in desk.rows("archive_object") if r.state == "checked"]
    for row in objects:
        for line in lines(desk.store, row.object_key, row.sha256) or ():
            key = wrapped[row.object_key, line.archive_tag]
            for kept in decrypt(line, row.object_key, key, desk.keys):
                assert kept.rule_id == row.rule_id
                assert kept.last_day <= row.last_day
                found[names[line.archive_tag], kept.rule_id].append(kept)
    client = s3_client(bucket)
    listed = client.get_paginator("list_object_versions").paginate(Bucket=desk.store.bucket)
    keys = [v["Key"] for page in listed for v in page.get("Versions", ())]
    bodies = {k: client.get_object(Bucket=desk.store.bucket, Key=k)["Body"].read() for k in keys}
    return Compared(people, expected, found, bodies, objects)


def test_nothing_a_law_lists_is_lost_and_nothing_else_is_kept(compared: Compared) -> None:
    problems: list[str] = []
    for key in sorted(compared.expected.keys() | compared.found.keys()):
        problems += _matched(key, compared.expected.get(key, []), compared.found.get(key, []))
    assert problems == []


def _matched(key: tuple[str, str], expected: list[truth.Kept], found: list[ArchivedRow]) -> list[str]:
    """Pair every record that must be kept with one row that holds it all, on its day; name what is left over."""
    left, problems = list(found), []
    for one in expected:
        lives = one.lives(ANCHOR)
        hit = next(
            (row for row in left if one.items == row.items and one.free_from <= _next(row.last_day) <= one.latest),
            None,
        )
        if hit is not None and lives is not False:
            left.remove(hit)
        elif lives:
            problems.append(f"{key}: lost {sorted(one.items)}")
    return problems + [f"{key}: kept without a law {sorted(row.items)} until {row.last_day}" for row in left]


def _next(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)


def test_no_item_stands_outside_its_laws_list(compared: Compared) -> None:
    rows = [row for many in compared.found.values() for row in many]
    beyond = {
        (row.rule_id, row.subject_type, item)
        for row in rows
        for item in set(row.items) - truth.LISTS[row.rule_id, row.subject_type]
    }
    assert beyond == set()


def test_dealings_and_cases_of_every_shape_are_in_the_comparison(compared: Compared) -> None:
    rows = [row.items for many in compared.found.values() for row in many]
    received = [items["fee.received"] for items in rows if "fee.received" in items]
    assert any(isinstance(fee, int) and fee < 0 for fee in received)
    assert "USD 12.34" in received
    assert any(str(items.get("fee.billed", "")).startswith("-") for items in rows)
    assert {"outside_stripe", "card"} <= {items.get("fee.method") for items in rows}
    assert {"complaint", "dispute", "payment_dispute"} <= {items.get("case.kind") for items in rows}
    assert any("It was charged twice" in str(items.get("case.body")) for items in rows)
    assert any("invoice.pdf_sha256" in items for items in rows)


def test_every_law_and_source_is_in_the_comparison(compared: Compared) -> None:
    assert {rule for _, rule in compared.found} == {"R-02i", "R-02b", "R-03", "R-04", "R-05", "R-07"}
    kept = {(one.account_id, one.rule_id) for many in compared.expected.values() for one in many if one.lives(ANCHOR)}
    accounts = {account for account, _ in kept}
    print(
        f"compared {len(accounts)} accounts of {len(compared.people)}, "
        f"{sum(map(len, compared.found.values()))} rows in {len(compared.objects)} objects"
    )
    assert len(accounts) > len(compared.people) / 2


def test_the_bytes_of_the_whole_bucket_name_nobody(compared: Compared) -> None:
    said: set[str] = set()
    for p in compared.people:
        for table in p.rows:
            for row in p.dicts(table):
                said |= {
                    v for k, v in row.items()
                    if isinstance(v, str) and len(v) > 5 and k not in ("kind", "method", "dataset", "purpose", "table")
                }  # fmt: skip
    assert len(said) > 5 * len(compared.people)
    everything = b"\n".join([*compared.bodies.values(), *(k.encode() for k in compared.bodies)])
    assert [v for v in said if v.encode() in everything] == []
    assert {k.split("/")[0] for k in compared.bodies} == {"archive", "keys"}

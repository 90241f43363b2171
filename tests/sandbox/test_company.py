"""The seeded company: the same every time, made up throughout, and with every rule and hold in it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, func, select, text

from include import database
from include.connections import s3_client
from include.sandbox import company
from include.sandbox.adroll import StandIn as AdRoll
from include.sandbox.company.cases import PATTERN, six_months_free_from
from include.sandbox.company.draft import NEWSLETTER, TRIAL
from include.sandbox.company.standins import segments
from include.sandbox.company.tables import COLUMNS, metadata
from include.sandbox.salesforce import StandIn as Salesforce
from include.sandbox.servers import PostgresServer, S3Server
from include.sandbox.standin import Frame, Serving
from include.sandbox.stripe import StandIn as Stripe
from include.sandbox.zendesk import StandIn as Zendesk

ANCHOR = date(2026, 11, 24)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def made() -> company.Company:
    return company.generate(seed=7, count=1000, anchor=ANCHOR)


@pytest.fixture(scope="module")
def small() -> company.Company:
    return company.generate(seed=7, count=200, anchor=ANCHOR)


@pytest.fixture
def accounts_db(postgres: PostgresServer) -> Iterator[Engine]:
    name = f"t_{uuid4().hex[:12]}"
    postgres.create_database(name)
    engine = database.connect(postgres.connection("accounts_db", name))
    yield engine
    engine.dispose()
    postgres.drop_database(name)


def test_the_same_seed_makes_the_same_company(small: company.Company) -> None:
    assert company.generate(seed=7, count=200, anchor=ANCHOR) == small


def test_another_seed_makes_another_company(small: company.Company) -> None:
    assert company.generate(seed=8, count=200, anchor=ANCHOR) != small


def test_a_person_does_not_depend_on_how_many_there_are(small: company.Company, made: company.Company) -> None:
    assert made.people[:200] == small.people


@pytest.mark.parametrize("anchor", [ANCHOR, date(2024, 2, 29), date(2026, 8, 31), date(2027, 2, 28), date(2026, 1, 1)])
def test_it_can_be_anchored_on_any_day(anchor: date) -> None:
    made = company.generate(seed=1, count=200, anchor=anchor)
    (tonight,) = {p.ended_on for p in made.case("due_tonight") if p.ended_on}
    (tomorrow,) = {p.ended_on for p in made.case("due_tomorrow") if p.ended_on}
    assert tomorrow == tonight + DAY
    assert six_months_free_from(tonight) <= anchor < six_months_free_from(tomorrow)


@pytest.mark.parametrize(
    ("trigger", "free_from"),
    [
        (date(2025, 8, 31), date(2026, 3, 1)),
        (date(2023, 8, 31), date(2024, 3, 1)),
        (date(2026, 2, 28), date(2026, 9, 1)),
        (date(2024, 2, 29), date(2024, 9, 1)),
        (date(2026, 11, 30), date(2027, 6, 1)),
        (date(2026, 1, 15), date(2026, 7, 16)),
    ],
)
def test_its_own_reading_of_six_months_agrees_with_the_law(trigger: date, free_from: date) -> None:
    assert six_months_free_from(trigger) == free_from


def test_every_situation_occurs_among_two_hundred(small: company.Company) -> None:
    assert {p.case for p in small.people} == {c.name for c in PATTERN}


def test_every_situation_occurs_several_times_among_a_thousand(made: company.Company) -> None:
    assert min(Counter(p.case for p in made.people).values()) >= 6


def test_a_quarter_to_two_fifths_have_something_to_end(made: company.Company) -> None:
    ended = sum(p.ended_on is not None for p in made.people)
    assert 250 <= ended <= 350


def test_terminations_fall_on_month_ends_and_leap_days(made: company.Company) -> None:
    days = {p.ended_on for p in made.people if p.ended_on}
    assert date(2024, 2, 29) in days
    assert {(d + DAY).day for p in made.case("terminated_on_a_month_end") if (d := p.ended_on)} == {1}
    assert ANCHOR - DAY in days
    assert ANCHOR in days


@pytest.mark.parametrize("count", [200, 1000])
def test_every_kind_of_hold_occurs(count: int, made: company.Company, small: company.Company) -> None:
    seeded = made if count == 1000 else small
    open_balances = {r["kind"] for r in seeded.rows("settlement_balance") if r["resolved_on"] is None}
    assert open_balances == {"over", "under"}
    assert any(r["closed_on"] is None for r in seeded.rows("dispute"))
    assert any(r["closed_on"] is None for r in seeded.rows("correction_request"))
    assert any(r["withheld"] and r["terminated_on"] is None for r in seeded.rows("account"))
    assert {h["kind"] for h in company.holds(seeded)} == {"H-6", "H-7"}


def test_holds_to_place_have_a_review_within_ninety_days(made: company.Company) -> None:
    placed = company.holds(made)
    assert len(placed) >= 12
    assert all(ANCHOR < h["review_due"] <= ANCHOR + 90 * DAY for h in placed)
    assert len({(h["account_id"], h["kind"]) for h in placed}) == len(placed)


def test_ids_are_prefixes_of_each_other_and_not_all_of_them_end(made: company.Company) -> None:
    by_id = {p.account_id: p for p in made.people}
    assert {"1", "10", "11", "100", "101", "1000"} <= set(by_id)
    assert by_id["1"].ended_on is not None
    assert by_id["10"].ended_on is None


def test_a_returning_customer_is_a_new_live_account_with_the_old_name_and_address(made: company.Company) -> None:
    pairs = zip(made.case("returning_customer"), made.case("returned"), strict=True)
    for old, new in pairs:
        assert (old.email, old.name) == (new.email, new.name)
        assert old.ended_on is not None
        assert new.ended_on is None


def test_two_people_stand_behind_one_address(made: company.Company) -> None:
    for one, other in zip(made.case("shared_email"), made.case("shared_email_live"), strict=True):
        assert one.email == other.email
        assert one.name != other.name


def test_addresses_are_otherwise_unique_in_any_case(made: company.Company) -> None:
    plain = [p.email.lower() for p in made.people if p.email and not p.case.startswith(("return", "shared"))]
    assert len(plain) == len(set(plain))


def test_some_accounts_have_no_identifier_at_all(made: company.Company) -> None:
    for nobody in made.case("without_identifiers"):
        (profile,) = nobody.dicts("account_profile")
        assert profile["email"] is None
        assert profile["login_id"] is None
        assert not nobody.dicts("billing_contact")


def test_some_accounts_exist_at_some_places_only(made: company.Company) -> None:
    assert all(p.presence == company.Presence() for p in made.case("only_here"))
    assert all(set(p.rows) == {"account"} for p in made.case("only_at_vendors"))


def test_children_have_guardians(made: company.Company) -> None:
    for child in made.case("guardian_refused"):
        (register,) = child.dicts("account")
        assert ANCHOR.year - register["born_on"].year < 14
        assert child.dicts("guardian")


def test_payments_reach_from_clocks_that_ended_years_ago_to_last_month(made: company.Company) -> None:
    received = [r["received_on"] for r in made.rows("payment")]
    assert min(received) < ANCHOR - 3000 * DAY
    assert max(received) > ANCHOR - 60 * DAY
    assert any(r["offshore"] for r in made.rows("payment"))


def test_nothing_lies_after_the_end_of_the_relation(made: company.Company) -> None:
    for person in made.people:
        for row in person.dicts("payment"):
            assert person.created_on <= row["received_on"] <= row["supplied_on"] <= person.last_day, person.case


def test_one_list_stays_large_and_one_falls_below_a_hundred(made: company.Company) -> None:
    ended = {p.account_id for p in made.people if p.ended_on}
    left = Counter(r["segment_id"] for r in made.rows("audience_member") if r["account_id"] not in ended)
    assert left[NEWSLETTER] >= 100
    assert 0 < left[TRIAL] < 100


def test_everybody_is_obviously_made_up(made: company.Company) -> None:
    for person in made.people:
        assert person.name == "" or re.search(r"표본\d{4}|Sample Person \d{4}", person.name)
        assert person.email is None or person.email.endswith(("@example.com", "@example.kr"))


def test_an_advertisement_holds_nobodys_data() -> None:
    assert COLUMNS["advertisement"] == ("ad_id", "ended_on", "body")
    assert {day > ANCHOR - 184 * DAY for _, day, _ in company.advertisements(ANCHOR)} == {True, False}


def test_the_accounts_database_takes_all_of_it(accounts_db: Engine, made: company.Company) -> None:
    company.create(accounts_db)
    company.load(accounts_db, made)
    with accounts_db.connect() as connection:
        for name in COLUMNS:
            stored = connection.execute(select(func.count()).select_from(metadata.tables[name])).scalar_one()
            assert stored == (4 if name == "advertisement" else len(made.rows(name))), name


def test_a_company_can_be_streamed_into_the_database(accounts_db: Engine) -> None:
    company.create(accounts_db)
    company.load(accounts_db, company.people(7, 300, ANCHOR), anchor=ANCHOR)
    with accounts_db.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM account")).scalar_one() == 300


def test_a_dump_is_sorted_and_repeats_byte_for_byte(
    accounts_db: Engine, small: company.Company, tmp_path: Path
) -> None:
    company.create(accounts_db)
    company.load(accounts_db, small)
    count = company.dump(accounts_db, tmp_path / "a.jsonl")
    company.dump(accounts_db, tmp_path / "b.jsonl")
    first = (tmp_path / "a.jsonl").read_bytes()
    assert first == (tmp_path / "b.jsonl").read_bytes()
    rows = [json.loads(line) for line in first.decode().splitlines()]
    assert count == len(rows)
    assert [r["table"] for r in rows] == sorted(r["table"] for r in rows)


@pytest.fixture(scope="module")
def seeded(s3: S3Server) -> dict[str, Frame]:
    """Two hundred accounts in every stand-in and in a bucket of their own."""
    s3.create_bucket("companytest")
    standins: dict[str, Frame] = {k.name: k() for k in (Salesforce, Stripe, Zendesk)}
    standins["adroll"] = AdRoll()
    servings = {name: Serving(standin) for name, standin in standins.items()}
    for serving in servings.values():
        serving.__enter__()
    small = company.generate(seed=7, count=200, anchor=ANCHOR)
    company.seed_standins(
        small,
        urls={name: serving.url for name, serving in servings.items()},
        s3_connection=s3.connection("s3", "admin", bucket="companytest"),
    )
    for serving in servings.values():
        serving.__exit__()
    return standins


def test_people_are_at_salesforce_under_our_key(seeded: dict[str, Frame], small: company.Company) -> None:
    keys = {r.get("AccountKey__c") for r in seeded["salesforce"].store.all("Contact")}
    there = {p.account_id for p in small.people if p.presence.salesforce == 0 and p.email}
    assert there
    assert there <= keys


def test_people_are_at_stripe_with_their_card_payments(seeded: dict[str, Frame], small: company.Company) -> None:
    known = {c["metadata"].get("account_id") for c in seeded["stripe"].store.all("customer")}
    there = {p.account_id for p in small.people if p.presence.stripe == 0 and p.email}
    assert there
    assert there <= known


def test_people_are_at_zendesk_under_our_key(seeded: dict[str, Frame], small: company.Company) -> None:
    known = {u["external_id"] for u in seeded["zendesk"].store.all("user")}
    there = {p.account_id for p in small.people if p.presence.zendesk == 1 and p.email}
    assert there
    assert there <= known


def test_lists_at_adroll_hold_who_was_uploaded(seeded: dict[str, Frame], small: company.Company) -> None:
    stored = {s["id"]: s["members"] for s in seeded["adroll"].store.all("segment")}
    assert {k: sorted({e.lower() for e in v}) for k, v in segments(small).items()} == stored


def test_the_bucket_holds_versions_markers_and_a_neighbour_with_a_longer_name(
    seeded: dict[str, Frame], s3: S3Server, tmp_path: Path
) -> None:
    company.dump_bucket(s3.connection("s3", "admin"), "companytest", tmp_path / "live.jsonl")
    entries = [json.loads(line) for line in (tmp_path / "live.jsonl").read_text().splitlines()]
    keys = Counter(e["key"] for e in entries if not e["delete_marker"])
    assert "accounts/1.bak/profile.json" in keys
    assert 2 in keys.values()
    assert any(e["delete_marker"] for e in entries)
    assert all(e["sha256"] for e in entries if not e["delete_marker"])
    listed = s3_client(s3.connection("s3", "admin")).list_objects_v2(Bucket="companytest", Prefix="accounts/1/")
    assert listed["KeyCount"] >= 1

"""The seeded company at its processors: objects posted to the stand-ins, and files in the live bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from include.connections import Connection, s3_client
from include.sandbox import adroll, salesforce, stripe, zendesk
from include.sandbox.company.people import Person

if TYPE_CHECKING:
    from include.sandbox.company import Company

PEOPLE_A_REQUEST = 200
THREADS = 8
BUCKET = "live"

Objects = dict[str, list[dict[str, Any]]]


def seed_standins(
    company: Company, *, urls: Mapping[str, str], s3_connection: Connection | None = None
) -> dict[str, int]:
    """Put everybody where they are known; return how many objects went to each place.

    `urls` names the stand-ins to seed (`salesforce`, `stripe`, `zendesk`, `adroll`); Clarity takes no objects, what it
    could have recorded is the company's own list. Seeding again adds nothing twice at the stand-ins.
    """
    added: dict[str, int] = {}
    for name, objects in BUILDERS.items():
        if name in urls:
            held = (o for p in company.people if (o := objects(p)))
            added[name] = sum(_post(urls[name], chunk) for chunk in _merged(held))
    if "adroll" in urls:
        added["adroll"] = _post(urls["adroll"], dict(adroll.seed(segments(company))))
    if s3_connection is not None:
        added["s3"] = _put_files(company, s3_connection)
    return added


def segments(company: Company) -> dict[str, list[str]]:
    """Return the addresses that were uploaded to each advertising list."""
    lists: dict[str, list[str]] = {}
    for member in company.rows("audience_member"):
        lists.setdefault(member["segment_id"], []).append(member["email"])
    return lists


def _salesforce(p: Person) -> Objects:
    if p.presence.salesforce is None or not p.email:
        return {}
    return salesforce.seed_person(
        number=p.number, account_id=p.account_id, email=p.email, name=p.name, company=p.company, on=p.created_on,
        variant=p.presence.salesforce,
    )  # fmt: skip


def _stripe(p: Person) -> Objects:
    if p.presence.stripe is None or not p.email:
        return {}
    payments = [
        {
            "payment_id": row["payment_id"],
            "amount": row["received"],
            "paid_on": row["received_on"],
            "method": row["method"],
        }
        for row in p.dicts("payment")
        if row["method"] == "card"
    ]
    return stripe.seed_person(
        number=p.number, account_id=p.account_id, email=p.email, name=p.name, on=p.created_on, payments=payments,
        variant=p.presence.stripe,
    )  # fmt: skip


def _zendesk(p: Person) -> Objects:
    if p.presence.zendesk is None or not p.email:
        return {}
    return zendesk.seed_person(
        number=p.number, account_id=p.account_id, email=p.email, name=p.name, on=p.last_day, variant=p.presence.zendesk
    )


BUILDERS: dict[str, Callable[[Person], Objects]] = {"salesforce": _salesforce, "stripe": _stripe, "zendesk": _zendesk}


def _merged(held: Iterable[Objects]) -> Iterator[Objects]:
    """Yield the objects of `PEOPLE_A_REQUEST` people at a time, by kind."""
    merged: Objects = {}
    for count, objects in enumerate(held, start=1):
        for kind, rows in objects.items():
            merged.setdefault(kind, []).extend(rows)
        if count % PEOPLE_A_REQUEST == 0:
            yield merged
            merged = {}
    if merged:
        yield merged


def _post(url: str, objects: Mapping[str, Any]) -> int:
    request = Request(  # noqa: S310 - loopback only
        f"{url}/_sandbox/seed",
        data=json.dumps(objects, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urlopen(request, timeout=120) as response:  # noqa: S310
        return int(json.load(response)["added"])


def _files(p: Person) -> list[tuple[str, list[bytes | None]]]:
    """Return the keys of one account and the versions of each; None is a delete marker."""
    if p.presence.s3 is None:
        return []
    folder = f"accounts/{p.account_id}/"
    profile = json.dumps({"account_id": p.account_id, "name": p.name, "email": p.email}, ensure_ascii=False).encode()
    files: list[tuple[str, list[bytes | None]]] = [(f"{folder}profile.json", [profile])]
    if p.presence.s3 >= 1:
        versions: list[bytes | None] = [f"month,units\n2026-0{k},{p.number * k}\n".encode() for k in (1, 2)]
        files.append((f"{folder}exports/usage.csv", versions))
    if p.presence.s3 >= 2:
        files.append((f"{folder}uploads/logo.png", [b"\x89PNG sample", None]))
    if p.presence.s3 >= 3:
        files.append((f"{folder}한글 이름+기호.txt", [p.name.encode()]))
    return files


def _put_files(company: Company, connection: Connection) -> int:
    client = s3_client(connection)
    bucket = str(connection.extra.get("bucket") or BUCKET)
    bystanders: list[tuple[str, list[bytes | None]]] = [
        ("accounts/1.bak/profile.json", [b"not account 1"]),
        ("accounts/index.json", [b"{}"]),
        ("shared/price-list.pdf", [b"%PDF sample"]),
    ]

    def put(file: tuple[str, list[bytes | None]]) -> int:
        key, versions = file
        for body in versions:
            if body is None:
                client.delete_object(Bucket=bucket, Key=key)
            else:
                client.put_object(Bucket=bucket, Key=key, Body=body)
        return len(versions)

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(put, [*bystanders, *(f for p in company.people for f in _files(p))]))

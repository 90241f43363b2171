"""Whose record is it: every line of every dump, with the accounts it is about, found without the product's help.

A record's owners are (account, dataset) pairs. It may go when it is due for all of them; a record two accounts share,
or one found by an e-mail that two accounts use, is due only when it is due for both. What only mentions a person (a
copied-in address, a comment in somebody else's ticket) stays, without the mention.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STORES = ("accounts", "adroll", "clarity", "live", "salesforce", "stripe", "zendesk")
Row = Mapping[str, Any]
Owner = tuple[str, str]
NOBODY: frozenset[Owner] = frozenset()
PROCESSOR = {"audience": "adroll", "recordings": "clarity", "paper": "paper", "marketing": "salesforce"} | {
    "customer": "salesforce",
    "payments": "stripe",
    "support": "zendesk",
    "live_objects": "s3",
}
# Tables that are not a dataset of their own name.
TABLES = {"account": "register", "audience_member": "audience", "clarity_identity": "cookie", "paper_register": "paper"}
LEDGER = ("consent", "settlement_balance", "dispute", "correction_request", "end_user_instruction")
# Salesforce: what is never a person's own, and the fields that lead from a record to its person.
COMPANY = ("Account", "Campaign", "Opportunity")
ADDRESS = re.compile(r"[^\s<>;,\"]+@[^\s<>;,\"]+")
PURGED = "Permanently Deleted User"
UPWARD = ("AccountId", "CampaignId", "OpportunityId", "IndividualId", "ContentDocumentId")
PERSONAL = frozenset(
    {"email", "name", "phone", "line1", "line2", "customer_email", "customer_name", "customer_phone", "receipt_email"}
    | {"individual_name", "business_name", "value", "postal_code", "account_id"}
)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a dump."""

    store: str
    key: tuple[str, str]
    line: str
    body: Row
    owners: frozenset[Owner] = NOBODY
    mentions: frozenset[Owner] = NOBODY

    def __str__(self) -> str:
        return f"{self.store}/{self.key[0]}"


def processor(dataset: str) -> str:
    """Return the processor that holds a dataset."""
    return PROCESSOR.get(dataset, "own_database")


def lines(folder: Path, store: str) -> Iterator[tuple[tuple[str, str], str, Row]]:
    """Yield key, text and object of every line of a dump."""
    for line in (folder / f"{store}.jsonl").read_text(encoding="utf-8").splitlines():
        body = json.loads(line)
        if store == "accounts":
            table = body["table"]
            own = next((body[k] for k in sorted(body) if k.endswith("_id") and k != "account_id"), "")
            if table in ("end_user_device", "audience_member"):
                own = body.get("device_id") or body["segment_id"]
            yield (table, f"{body.get('account_id')}:{own}:{body.get('purpose', '')}"), line, body
        elif store == "live":
            yield ("object", f"{body['key']}\n{body['version_id']}"), line, body
        else:
            yield (body["kind"], str(body["id"])), line, body


class People:
    """Knows by which ids and addresses the company knows its accounts."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.accounts: set[str] = set()
        self.by_mail: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            if account := row.get("account_id"):
                self.accounts.add(account)
                if row["table"] in ("account_profile", "billing_contact") and row["email"]:
                    self.by_mail[row["email"].lower()].add(account)

    def key(self, value: Any) -> set[str]:
        """Return the account with this very id."""
        return {value} & self.accounts if isinstance(value, str) else set()

    def mail(self, value: Any) -> set[str]:
        """Return every account that uses this address."""
        found = ADDRESS.findall(str(value).lower()) if value else []
        return {a for mail in found for a in self.by_mail.get(mail, ())}


def records(store: str, dump: Iterable[tuple[tuple[str, str], str, Row]], people: People) -> list[Record]:
    """Return every record of a store with its owners."""
    read = list(dump)
    rows = {key: body for key, _, body in read}
    find = {"accounts": _accounts, "live": _live, "salesforce": _salesforce, "stripe": _stripe, "zendesk": _zendesk}
    owners: dict[tuple[str, str], frozenset[Owner]] = {}
    mentions: dict[tuple[str, str], frozenset[Owner]] = {}
    if store in find:
        owners, mentions = find[store](rows, people)
    return [Record(store, k, line, body, owners.get(k, NOBODY), mentions.get(k, NOBODY)) for k, line, body in read]


Rows = Mapping[tuple[str, str], Row]
Owned = tuple[dict[tuple[str, str], frozenset[Owner]], dict[tuple[str, str], frozenset[Owner]]]


def _all(accounts: Iterable[str], dataset: str) -> frozenset[Owner]:
    return frozenset((a, dataset) for a in accounts)


def _accounts(rows: Rows, _people: People) -> Owned:
    def dataset(table: str) -> str:
        return "ledger" if table in LEDGER else TABLES.get(table, table)

    return {k: _all([r["account_id"]], dataset(k[0])) for k, r in rows.items() if r.get("account_id")}, {}


def _live(rows: Rows, people: People) -> Owned:
    # The id stands between delimiters: accounts/1/ is not accounts/10/ and not accounts/1.bak/.
    found = {k: re.match(r"accounts/([^/]+)/", r["key"]) for k, r in rows.items()}
    return {k: _all(people.key(m[1]), "live_objects") for k, m in found.items() if m}, {}


def _salesforce(rows: Rows, people: People) -> Owned:
    by_id = {r["id"]: k for k, r in rows.items()}
    owners: dict[tuple[str, str], frozenset[Owner]] = {}
    for key, row in rows.items():
        if key[0] not in COMPANY or row.get("IsPersonAccount"):
            owners[key] = _all(_person(row, people), _layer(key[0]))
    for _ in range(3):  # a comment of a mail of a case: never deeper
        for key, row in rows.items():
            if not owners.get(key) and key in owners:
                linked = [v for f, v in row.items() if _leads(f) and v in by_id]
                reached = {o for v in linked for o in owners.get(by_id[v], NOBODY)}
                layer = {d for _, d in reached} if key[0] in ("Task", "Event") else {_layer(key[0])}
                owners[key] = frozenset((a, d) for a, _ in reached for d in layer) if len(layer) == 1 else NOBODY
    for field in ("IndividualId", "ContentDocumentId"):  # what is reached only from its other end
        for key, found in _from_below(rows, owners, by_id, field).items():
            owners[key] = found
    return owners, {}


def _person(row: Row, people: People) -> set[str]:
    if key := people.key(row.get("AccountKey__c")):
        return key
    mails = [row.get(f) for f in ("Email", "PersonEmail", "SuppliedEmail")]
    if row["kind"] == "EmailMessage" and not row.get("ParentId"):
        mails += [row.get(f) for f in ("FromAddress", "ToAddress", "CcAddress", "BccAddress")]
    return {a for m in mails for a in people.mail(m)}


def _layer(kind: str) -> str:
    return "marketing" if kind in ("Lead", "CampaignMember") else "customer"


def _leads(field: str) -> bool:
    return field.endswith(("Id", "__c")) and field not in UPWARD


def _from_below(
    rows: Rows, owners: Mapping[tuple[str, str], frozenset[Owner]], by_id: Mapping[str, tuple[str, str]], field: str
) -> dict[tuple[str, str], frozenset[Owner]]:
    found: dict[tuple[str, str], set[Owner]] = defaultdict(set)
    for key, row in rows.items():
        if (target := row.get(field)) in by_id:
            found[by_id[target]] |= owners.get(key, NOBODY)
    # The later clock of one account is its contract's: while a contact stays, so does what hangs on both.
    return {k: frozenset(o for o in v if o[1] != "marketing" or (o[0], "customer") not in v) for k, v in found.items()}


def _stripe(rows: Rows, people: People) -> Owned:
    by_id = {r["id"]: k for k, r in rows.items()}
    owners: dict[tuple[str, str], frozenset[Owner]] = {}
    for key, row in rows.items():
        found = people.key((row.get("metadata") or {}).get("account_id")) or people.key(row.get("client_reference_id"))
        mail = row.get("email") or (row.get("customer_details") or {}).get("email")
        owners[key] = _all(found or people.mail(mail), "payments")
    for _ in range(2):
        for key, row in rows.items():
            if not owners[key] and key[0] != "redaction_job":
                payment = (row.get("payment") or {}).get("payment_intent")
                linked = [row.get(f) for f in ("customer", "charge", "payment_intent", "invoice")] + [payment]
                owners[key] = frozenset(o for v in linked if v in by_id for o in owners[by_id[v]])
    return owners, {}


def _zendesk(rows: Rows, people: People) -> Owned:
    users: dict[int, frozenset[Owner]] = {}
    mails: dict[str, frozenset[Owner]] = defaultdict(frozenset)  # Zendesk may know addresses that the company does not
    for key, row in rows.items():
        if key[0] == "user":
            users[row["id"]] = _all(people.key(row["external_id"]) or people.mail(row["email"]), "support")
            mails[str(row["email"]).lower()] |= users[row["id"]]
    tickets = {r["id"]: r for k, r in rows.items() if k[0] == "ticket"}
    owners: dict[tuple[str, str], frozenset[Owner]] = {}
    mentions: dict[tuple[str, str], frozenset[Owner]] = {}
    for key, row in rows.items():
        if key[0] == "user":
            owners[key] = users[row["id"]]
        elif key[0] == "identity":
            owners[key] = users.get(row["user_id"], NOBODY)
        elif key[0] == "suspended_ticket":
            mail = row["author"]["email"]
            owners[key] = _all(people.mail(mail), "support") or mails.get(mail.lower(), NOBODY)
        elif key[0] == "ticket":
            owners[key] = users.get(row["requester_id"], NOBODY)
            copied = {*row["collaborator_ids"], *row["follower_ids"], *row["email_cc_ids"]}
            mentions[key] = frozenset(o for c in copied for o in users.get(c, NOBODY))
        elif key[0] == "comment":
            ticket = tickets.get(row["ticket_id"])
            owners[key] = users.get(ticket["requester_id"], NOBODY) if ticket else NOBODY
            mentions[key] = users.get(row["author_id"], NOBODY)
    return owners, mentions


def left(record: Record, after: Row | None) -> bool:
    """Return whether, after the night, a record still says something about its person."""
    if after is None or record.key[0] in LEDGER:
        return False
    if record.key[0] == "account":
        return bool(after["nationality"])
    if record.store == "stripe":
        return bool(_personal(record.body) & _personal(after))
    if record.store == "zendesk" and record.key[0] == "user":
        same = [after.get(f) for f in ("email", "external_id", "name", "phone") if after.get(f) == record.body.get(f)]
        return bool(set(same) - {None, PURGED})
    return True


def _personal(value: Any, field: str = "") -> set[str]:
    if isinstance(value, Mapping):
        return {p for k, v in value.items() for p in _personal(v, k)}
    if isinstance(value, list):
        return {p for v in value for p in _personal(v, field)}
    return {value} if field in PERSONAL and isinstance(value, str) and "[redacted]" not in value else set()

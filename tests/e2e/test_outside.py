"""The outside reader itself: it finds nothing in a right night, and finds each thing that can be wrong."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.e2e import outside
from tests.e2e.outside_evidence import root, signed, tags
from tests.e2e.outside_places import STORES
from tests.e2e.outside_policy import free_from

AS_OF = date(2026, 11, 24)
Row = dict[str, Any]


def account(account_id: str, **facts: Any) -> Row:
    """One register row."""
    row = {"table": "account", "account_id": account_id, "subject_type": "individual", "nationality": "KR"}
    row |= {"requested_on": None, "terminated_on": None, "withheld": False, "debt_cleared_on": None}
    return row | facts


def profile(account_id: str) -> Row:
    """One profile row; it is how vendors' records are recognised."""
    mail = f"user{account_id}@example.com"
    return {
        "table": "account_profile",
        "account_id": account_id,
        "email": mail,
        "name": f"Sample Person 000{account_id}",
    }


class Tiny:
    """A night of three people: 1 left long ago, 10 stays, 2 left long ago and is owed money."""

    def __init__(self, local: Path) -> None:
        self.local = local
        self.before: dict[str, list[Row]] = {s: [] for s in STORES}
        self.after: dict[str, list[Row]] = {s: [] for s in STORES}
        self.entries: list[Row] = []
        (local / "keys" / "tags").mkdir(parents=True)
        (local / "keys" / "tags" / "2026.key").write_bytes(bytes(range(32)))

    def has(self, store: str, *rows: Row, stays: bool) -> None:
        """Put rows there before the night and, where they stay, after it."""
        self.before[store] += rows
        if stays:
            self.after[store] += rows

    def course(self, who: str, rule: str, place: str, datasets: Iterable[str], *events: Row, **facts: Any) -> None:
        """Record a disposal from `planned` on; dates follow from the trigger."""
        trigger = date.fromisoformat(facts.pop("trigger_date"))
        free = facts.pop("free_from", None) or free_from(trigger, months=6 if rule == "R-01" else 0)
        eve = free - timedelta(days=1)
        base = {"disposal_id": f"{rule}-{place}-{who}", "subject_tag": tags(self.local / "keys" / "tags", who)[0]}
        base |= {"rule_id": rule, "processor": place, "datasets": list(datasets), "scope": "s"}
        base |= {"trigger_event": "terminated", "trigger_date": trigger.isoformat(), "free_from": free.isoformat()}
        base |= {"last_day": eve.isoformat(), "destroy_by": (eve + timedelta(days=5)).isoformat()}
        base |= {"as_of": AS_OF.isoformat()} | facts
        self.entries += [base | {"event": "planned"}, *(base | e for e in events)]

    def write(self, **summary: Any) -> list[str]:
        """Write everything as `make run` would, and return what the reader finds, rules that do not occur aside."""
        for when, dumps in (("before", self.before), ("after", self.after)):
            folder = self.local / "dumps" / when
            folder.mkdir(parents=True, exist_ok=True)
            for store, rows in dumps.items():
                text = "".join(json.dumps(r, sort_keys=True) + "\n" for r in rows)
                (folder / f"{store}.jsonl").write_text(text)
        self._export()
        counts: dict[str, dict[str, int]] = {}
        ends = {e["disposal_id"]: e for e in self.entries if "disposal_id" in e}
        for end in ends.values():
            place = counts.setdefault(end["processor"], {})
            place[end["event"]] = place.get(end["event"], 0) + 1
        told = {"as_of": AS_OF.isoformat(), "disposals": counts, "evidence_size": len(self.entries)}
        told |= {"archived_objects": 0, "due": len(ends), "export_path": "/elsewhere/night"} | summary
        (self.local / "run-summary.json").write_text(json.dumps(told))
        return [f for f in outside.findings(self.local) if "does not occur" not in f]

    def _export(self) -> None:
        folder = self.local / "exports" / "night"
        folder.mkdir(parents=True, exist_ok=True)
        raw = [json.dumps(e, sort_keys=True).encode() for e in self.entries]
        (folder / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in raw))
        key = Ed25519PrivateKey.from_private_bytes(bytes(32))
        public = b"\x01" + key.public_key().public_bytes_raw()
        body = f"log.example\n{len(raw)}\n{base64.b64encode(root(raw)).decode()}\n"
        key_id = hashlib.sha256(b"log.example\n" + public).digest()[:4]
        signature = base64.b64encode(key_id + key.sign(body.encode())).decode()
        (folder / "checkpoint").write_text(f"{body}\n— log.example {signature}\n")
        (folder / "vkey").write_text(f"log.example+{key_id.hex()}+{base64.b64encode(public).decode()}\n")
        files = {
            p.name: {"sha256": hashlib.sha256(p.read_bytes()).hexdigest()}
            for p in folder.iterdir()
            if p.name != "manifest.json"
        }
        (folder / "manifest.json").write_text(json.dumps({"first_index": 0, "files": files}))


DONE = ({"event": "attempted"}, {"event": "confirmed_absent"})
LEFT_IN_2024 = {"requested_on": "2024-01-10", "terminated_on": "2024-01-10"}
FREE = {"trigger_date": "2024-01-10"}


@pytest.fixture
def night(tmp_path: Path) -> Tiny:
    """A right night."""
    tiny = Tiny(tmp_path)
    balance = {"table": "settlement_balance", "balance_id": "b", "account_id": "2", "kind": "over", "resolved_on": None}
    tiny.has("accounts", account("1", **LEFT_IN_2024), profile("1"), stays=False)
    tiny.has("accounts", account("10"), profile("10"), stays=True)
    tiny.has("accounts", account("2", **LEFT_IN_2024), balance, stays=True)
    tiny.after["accounts"][-2] = account("2", **LEFT_IN_2024, nationality=None)
    tiny.has("accounts", profile("2"), stays=False)
    payment = {
        "table": "payment",
        "account_id": "2",
        "payment_id": "p2",
        "received_on": "2023-05-01",
        "offshore": False,
    }
    tiny.has("accounts", payment, stays=True)
    log = {"table": "access_log", "account_id": "2", "log_id": "l2", "logged_on": "2024-01-02"}
    tiny.has("accounts", log, stays=False)
    own = ("account_profile", "drm_usage", "watermark_usage", "support_history")
    for who in ("1", "2"):
        tiny.course(who, "R-01", "own_database", own, *DONE, **FREE)
        member = {"table": "audience_member", "account_id": who, "segment_id": "SEG", "email": f"user{who}@example.com"}
        tiny.has("accounts", member, stays=False)
        sent = {"event": "manual_pending", "code": "vendor_request", "until": "2026-12-01"}
        tiny.course(who, "R-14", "adroll", ["audience"], {"event": "attempted"}, sent, **FREE)
    tiny.course("2", "R-01", "own_database", ["access_log"], *DONE, disposal_id="log", **FREE)
    held = {"event": "blocked", "code": "hold_h-1", "hold_kinds": ["H-1"]}
    tiny.course("2", "R-01", "own_database", ["payment"], held, disposal_id="settlement", **FREE)
    recorded = {"table": "clarity_identity", "account_id": "1", "last_seen_on": "2024-01-02"}
    expires = {"event": "expires_by_processor", "code": "not_deleted_by_us", "until": "2025-02-02"}
    for who in ("1", "2"):
        tiny.course(who, "R-14", "clarity", ["recordings"], expires, **FREE)
    tiny.has("accounts", recorded, stays=False)
    tiny.course("1", "R-11", "own_database", ["cookie"], *DONE, **FREE)
    everybody = [f"user{a}@example.com" for a in ("1", "10", "2")]
    segment = {"kind": "segment", "id": "SEG", "is_active": True, "members": everybody}
    tiny.before["adroll"].append(segment)
    tiny.after["adroll"].append(segment | {"members": ["user10@example.com"]})
    _vendors(tiny)
    return tiny


def _vendors(tiny: Tiny) -> None:
    for who, stays in (("1", False), ("10", True)):
        row = {"key": f"accounts/{who}/a.txt", "version_id": f"v{who}", "sha256": "0"}
        tiny.has("live", row, stays=stays)
        tiny.has("salesforce", {"kind": "Contact", "id": f"003{who}", "AccountKey__c": who}, stays=stays)
        tiny.has("salesforce", {"kind": "Task", "id": f"00T{who}", "WhoId": f"003{who}"}, stays=stays)
    customer = {"kind": "customer", "id": "cus_1", "name": "Sample Person 0001", "metadata": {"account_id": "1"}}
    charge = {"kind": "charge", "id": "ch_1", "customer": "cus_1", "billing_details": {"email": "user1@example.com"}}
    tiny.before["stripe"] += [customer, charge]
    tiny.after["stripe"] += [{"kind": "customer", "id": "cus_1", "deleted": True}]
    tiny.after["stripe"] += [charge | {"billing_details": {"email": "[redacted]"}}]
    user = {"kind": "user", "id": 7, "external_id": "1", "email": "user1@example.com", "name": "Sample Person 0001"}
    other = {"kind": "user", "id": 8, "external_id": None, "email": "by@example.com", "name": "Bystander"}
    ticket = {"kind": "ticket", "id": 5, "requester_id": 8, "follower_ids": [], "email_cc_ids": []}
    comment = {"kind": "comment", "id": 6, "ticket_id": 5, "author_id": 7, "body": "Sample Person 0001 adds"}
    tiny.has("zendesk", other, stays=True)
    tiny.before["zendesk"] += [user, ticket | {"collaborator_ids": [7]}, comment]
    tiny.after["zendesk"] += [ticket | {"collaborator_ids": []}, comment | {"body": "▇▇▇ adds"}]
    purged = {"kind": "user", "id": 7, "external_id": None, "email": None, "name": "Permanently Deleted User"}
    tiny.after["zendesk"].append(purged)
    kept = {"event": "retained_by_processor", "basis": "card_rules", "code": "inaccessible_to_us"}
    tiny.course("1", "R-14", "stripe", ["payments"], {"event": "attempted"}, kept, **FREE)
    for place, dataset in (("s3", "live_objects"), ("salesforce", "customer"), ("zendesk", "support")):
        tiny.course("1", "R-14", place, [dataset], *DONE, **FREE)


def found(night: Tiny, **summary: Any) -> str:
    """Return all findings as one text."""
    return "\n".join(night.write(**summary))


def back(night: Tiny, store: str, chosen: Callable[[Row], bool]) -> None:
    """Undo a removal: what the night took is still there."""
    rows = [r for r in night.before[store] if chosen(r)]
    keys = [r.get("id", r.get("key")) for r in rows]
    kept = [r for r in night.after[store] if store == "accounts" or r.get("id", r.get("key")) not in keys]
    night.after[store] = kept + rows


def test_a_right_expires_no_findings(night: Tiny) -> None:
    assert night.write() == []


@pytest.mark.parametrize(
    ("store", "chosen", "said"),
    [
        (
            "accounts",
            lambda r: r["table"] == "account_profile" and r["account_id"] == "1",
            "left: accounts/account_pro",
        ),
        ("live", lambda r: r["key"] == "accounts/1/a.txt", "left: live/object"),
        ("salesforce", lambda r: r["id"] == "00T1", "left: salesforce/Task"),
        ("stripe", lambda r: r["id"] == "ch_1", "left: stripe/charge"),
        ("zendesk", lambda r: r["id"] == 7, "left: zendesk/user"),
        ("adroll", lambda r: True, "left: adroll member is due: 2"),
    ],
)
def test_a_due_record_that_stayed_is_found_in_every_store(
    night: Tiny, store: str, chosen: Callable[[Row], bool], said: str
) -> None:
    back(night, store, chosen)
    assert said in found(night)


@pytest.mark.parametrize(
    ("store", "chosen", "said"),
    [
        ("accounts", lambda r: r["account_id"] == "10" and r["table"] == "account_profile", "not due, gone"),
        ("accounts", lambda r: r["table"] == "payment", "held by H-1, gone"),
        ("live", lambda r: r["key"] == "accounts/10/a.txt", "not due, gone"),
        ("salesforce", lambda r: r["id"] == "00310", "not due, gone"),
        ("zendesk", lambda r: r["id"] == 8, "not due, gone"),
        ("zendesk", lambda r: r["id"] == 5, "lost: zendesk/ticket not due, gone"),
    ],
)
def test_a_record_that_had_to_stay_and_went_is_found(
    night: Tiny, store: str, chosen: Callable[[Row], bool], said: str
) -> None:
    night.after[store] = [r for r in night.after[store] if not chosen(r)]
    assert said in found(night)


def test_one_changed_byte_of_a_record_that_had_to_stay_is_found(night: Tiny) -> None:
    night.after["live"][0] = night.after["live"][0] | {"sha256": "1"}
    assert "lost: live/object not due, changed: 1 (10)" in found(night)


def test_a_member_who_had_to_stay_is_missed(night: Tiny) -> None:
    night.after["adroll"][0]["members"] = []
    assert "lost: adroll member not due: 1 (10)" in found(night)


def test_a_record_that_stays_with_reason_and_date_is_no_finding(night: Tiny) -> None:
    back(night, "zendesk", lambda r: r["id"] == 7)
    for entry in night.entries:
        if entry["processor"] == "zendesk" and entry["event"] == "confirmed_absent":
            entry |= {"event": "awaiting", "code": "compliance_deletion", "until": "2026-12-24"}
    assert night.write() == []


def test_a_reason_without_its_date_does_not_explain_anything(night: Tiny) -> None:
    back(night, "zendesk", lambda r: r["id"] == 7)
    for entry in night.entries:
        if entry["processor"] == "zendesk" and entry["event"] == "confirmed_absent":
            entry |= {"event": "awaiting", "code": "compliance_deletion"}
    assert "left: zendesk/user is due, the evidence says awaiting" in found(night)


def test_a_change_without_an_attempt_is_found(night: Tiny) -> None:
    night.entries = [e for e in night.entries if not (e["processor"] == "s3" and e["event"] == "attempted")]
    assert "changed: live/object without an attempt in the evidence: 1 (1)" in found(night)


def test_an_unfinished_and_a_failed_disposal_are_found(night: Tiny) -> None:
    night.course(
        "1", "R-14", "clarity", ["recordings"], {"event": "failed", "code": "unauthorized"}, **FREE, disposal_id="x"
    )
    night.course("2", "R-14", "clarity", ["recordings"], {"event": "located"}, **FREE, disposal_id="y")
    said = found(night)
    assert "failed: clarity unauthorized: 1 (1)" in said
    assert "unfinished: clarity ends as located: 1 (2)" in said


def test_counts_that_are_not_the_entries_are_found(night: Tiny) -> None:
    assert "counts: due 3 in the summary" in found(night, due=3)
    assert "counts: s3 confirmed_absent 2 in the summary, 1 in the entries" in found(
        night, disposals={"s3": {"confirmed_absent": 2}}
    )


def test_a_settlement_that_delays_the_access_log_is_found(night: Tiny) -> None:
    log = next(e for e in night.entries if e["disposal_id"] == "log" and e["event"] == "confirmed_absent")
    log |= {"event": "blocked", "code": "hold_h-1", "hold_kinds": ["H-1"]}
    said = found(night)
    assert "held: own_database access_log waits for a settlement: 1 (2)" in said
    assert "held: own_database s by H-1, which nothing explains: 1 (2)" in said


def test_recordings_that_are_called_absent_are_found(night: Tiny) -> None:
    for entry in night.entries:
        if entry["processor"] == "clarity" and entry["event"] == "expires_by_processor":
            entry["event"] = "confirmed_absent"
    assert "left: clarity recordings are due, the evidence says confirmed_absent: 1 (1)" in found(night)


def test_an_act_before_its_day_is_found(night: Tiny) -> None:
    night.course("10", "R-01", "own_database", ["payment"], *DONE, trigger_date="2026-10-01")
    assert "early: R-01 own_database payment after terminated was touched before its day: 1 (10)" in found(night)


def test_a_period_that_is_too_short_is_found(night: Tiny) -> None:
    short = date(2024, 7, 10)
    night.course("1", "R-01", "own_database", ["payment"], disposal_id="x", trigger_date="2024-01-10", free_from=short)
    assert "is planned before its period is over: 1 (1)" in found(night)


def test_a_trigger_that_is_not_the_companys_is_found(night: Tiny) -> None:
    night.course("2", "R-14", "s3", ["live_objects"], *DONE, trigger_date="2024-01-11")
    assert "trigger: R-14 s3 live_objects after terminated is not the terminated_on of the account" in found(night)


def test_a_payment_touched_before_it_was_archived_is_found(night: Tiny) -> None:
    night.course("2", "R-01", "own_database", ["payment"], *DONE, disposal_id="second", **FREE)
    assert "archive: payments under a tax clock were touched before they were archived: 1 (2)" in found(night)


@pytest.mark.parametrize(
    "value", ["user1@example.com", "a mail to user1@example.com", "Sample Person 0001", "10", "cus_1"]
)
def test_an_identity_in_an_entry_is_found(night: Tiny, value: str) -> None:
    night.entries[0]["code"] = value
    assert "personal data: 1 identities" in found(night).replace("2 identities", "1 identities")


def test_a_changed_entry_breaks_the_root(night: Tiny) -> None:
    night.write()
    file = night.local / "exports" / "night" / "entries.jsonl"
    file.write_text(file.read_text().replace("awaiting", "accepted").replace("card_rules", "card_rulez"))
    said = "\n".join(outside.findings(night.local))
    assert "log: the recomputed root is not the checkpoint's" in said
    assert "log: entries.jsonl is not what the manifest says" in said


def test_a_checkpoint_signed_by_another_key_is_found(night: Tiny) -> None:
    night.write()
    file = night.local / "exports" / "night" / "checkpoint"
    head, _, blob = file.read_text().strip().rpartition(" ")
    forged = bytearray(base64.b64decode(blob))
    forged[-1] ^= 1
    file.write_text(f"{head} {base64.b64encode(bytes(forged)).decode()}\n")
    assert "log: no good signature of the printed key" in "\n".join(outside.findings(night.local))


def test_rules_and_holds_that_never_occur_are_named(night: Tiny) -> None:
    night.write()
    said = outside.findings(night.local)
    assert "evidence: R-06 does not occur" in said
    assert "evidence: H-4 does not occur" in said
    assert not [f for f in said if "R-01" in f or "H-1" in f]


def test_a_hold_that_keeps_another_dataset_waiting_is_remarked(night: Tiny) -> None:
    dispute = {"table": "dispute", "dispute_id": "d", "account_id": "2", "dataset": "payment", "closed_on": None}
    night.has("accounts", dispute, stays=True)
    back(night, "accounts", lambda r: r["table"] == "account_profile" and r["account_id"] == "2")
    for entry in night.entries:
        if entry["disposal_id"] == "R-01-own_database-2" and entry["event"] == "confirmed_absent":
            entry |= {"event": "blocked", "code": "hold_h-3", "hold_kinds": ["H-3"]}
    night.write()
    assert "wide: account_profile waits for H-3 of another dataset: 1 (2)" in outside.remarks(night.local)


def test_tags_and_roots_are_those_of_the_published_vectors(tmp_path: Path) -> None:
    (tmp_path / "2026.key").write_bytes(bytes(range(32)))
    assert tags(tmp_path, "acct_1001") == ["784eeef7db584798f96146d433713a191d7ddbc50f73fa72c943018f591b14e0"]
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    vector = [bytes.fromhex(leaf) for leaf in leaves]
    assert base64.b64encode(root(vector)).decode() == "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="
    assert base64.b64encode(root(vector[:7])).decode() == "3bib5AOAnjJXUNPSY814kpwpQreUKjS3fhIslZSnTIw="
    body = "evidence.example/erasure\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
    line = "yoc4crfGBBKGmASA0MaO0MRb9ER9RlaOJLoo1nF9f/qAeseGH8lIpQLqly2oUX65I+mJbwIgS36Vz3GjpJA9WlBYSQ0="
    vkey = "evidence.example/erasure+ca873872+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
    assert signed(body, f"— evidence.example/erasure {line}\n", vkey)


@pytest.mark.parametrize(
    ("trigger", "months", "first_free"),
    [
        ("2026-01-15", 6, "2026-07-16"),
        ("2025-08-31", 6, "2026-03-01"),
        ("2023-08-28", 6, "2024-02-29"),
        ("2026-02-28", 6, "2026-09-01"),
        ("2026-11-30", 6, "2027-06-01"),
        ("2023-02-28", 60, "2028-03-01"),
        ("2021-12-31", 60, "2027-01-01"),
    ],
)
def test_periods_end_as_the_civil_act_says(trigger: str, months: int, first_free: str) -> None:
    assert free_from(date.fromisoformat(trigger), months=months) == date.fromisoformat(first_free)

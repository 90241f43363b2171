"""AdRoll, Clarity and paper: places known only through the company's own lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from include.connections import Connection
from include.sandbox import adroll, clarity
from include.sandbox.standin import Frame
from tests.processors.worlds.base import (
    BETWEEN,
    ENDED,
    NEIGHBOURS,
    ON,
    TARGET,
    Act,
    HttpWorld,
    Person,
    World,
    add_rows,
    remove_rows,
    table_rows,
)
from tests.processors.worlds.databases import DatabaseWorld

NO_HTTP = dict.fromkeys(("rate_seconds", "rate_date", "rate_bare"), "no vendor is called; a list has no rate limit")
NOTHING_BETWEEN = dict.fromkeys(
    ("html", "broken_once", "broken_long", "not_ours", "garbage", "redirect"),
    "no vendor is called, and no web page answers",
)
NO_MERGE = {"merged": "a list of the company's own; the vendor merges nothing"}
NO_VALUE = {"value_refused": "nothing is overwritten here"}
NO_ODDITY = {"oddities": "nothing known beyond the other cases"}
LISTS = {
    "in a list": ("newsletter",),
    "in two lists": ("newsletter", "winback"),
    "in a list of a hundred": ("small",),
    "in no list": (),
}
NO_ACT = dict.fromkeys(
    ("lie", "cut_after", "cut_before", "unauthorized_in_act", "crash", "value_refused"),
    "there is no act: nothing is changed here by a program",
)


class AdrollWorld(DatabaseWorld, HttpWorld):
    """One advertisable with one list, and the company's register of who was uploaded to it."""

    name: ClassVar[str] = "adroll"
    datasets: ClassVar[tuple[str, ...]] = ("audience",)
    scope_id: ClassVar[str] = "audience"
    richest: ClassVar[str] = "in a list"
    variants = {
        "in a list": "manual_pending:vendor_request_to_send",
        "in two lists": "manual_pending:vendor_request_to_send",
        "in a list of a hundred": "manual_pending:vendor_request_to_send",
        "in no list": "confirmed_absent:none_located",
    }
    duplicates = ("in two lists",)
    promises: ClassVar[frozenset[str]] = frozenset({"manual_pending:vendor_request_to_send"})
    acts = (
        Act(
            "post the list",
            "POST",
            r"^/audience/v1/segments/[^/]+$",
            again="a whole list replaces itself, and only its count tells whether a post came through",
        ),
        Act(
            "stop a list that would fall below the minimum",
            "DELETE",
            r"^/audience/v1/segments/[^/]+$",
            on="in a list of a hundred",
        ),
        Act("strike off the register", "SQL", "DELETE"),
    )
    without: ClassVar[dict[str, str]] = {**NO_MERGE, **NO_VALUE}
    oddities = {"append": "the post appends instead of replacing", "stale": "the count is that of before the post"}
    lied_about = ("audience_member",)
    deletes = "memberships: the list is posted again without everybody who leaves, then the register's rows go"
    anonymises = "nothing"
    reads = "the list's count against the register; the vendor lists no members"
    not_provable = "that the vendor forgot the e-mail: it has no call for that, so a request is sent by a person"

    def make(self) -> Frame:
        return adroll.StandIn(limit_factor=100)

    def connection(self) -> Connection:
        extra = {"endpoint_url": self.url, "apikey": adroll.API_KEY, "advertisable": adroll.ADVERTISABLE}
        return Connection("adroll", password=adroll.TOKEN, extra=extra)

    def seed(self, person: Person, variant: str) -> None:
        for name in LISTS[variant]:
            segment = self.standin.store.get("segment", name) or {"members": []}
            self.standin.seed(adroll.seed({name: [*segment["members"], person.email]}))
            add_rows(
                self.accounts, "audience_member",
                {"segment_id": name, "account_id": person.account_id, "email": person.email},
            )  # fmt: skip

    def seed_bystanders(self) -> None:
        """The small list has 99 members before the target joins it, the large ones 154."""
        people = [Person(f"f{n}", n, f"filler{n}@example.com", "") for n in range(150)]
        rows = []
        for segment, some in (("newsletter", people), ("winback", people), ("small", people[:95])):
            rows += [{"segment_id": segment, "account_id": p.account_id, "email": p.email} for p in some]
            self.standin.seed(adroll.seed({segment: [p.email for p in (*NEIGHBOURS, *some)]}))
        rows += [
            {"segment_id": segment, "account_id": p.account_id, "email": p.email}
            for segment in ("winback", "small")
            for p in NEIGHBOURS
        ]
        add_rows(self.accounts, "audience_member", *rows)

    def snapshot(self) -> dict[str, str]:
        found = table_rows(self.accounts, "audience_member")
        for row in self.standin.store.all("segment"):
            rest = {k: v for k, v in row.items() if k not in ("members", "count_before", "is_active")}
            found[f"segment/{row['id']}"] = json.dumps(rest, sort_keys=True)
            for member in row["members"]:
                found[f"segment/{row['id']}/{member}"] = member
        return found

    def left(self) -> list[str]:
        """A list that was stopped keeps its members, and the outcome says so (`list_deactivated`)."""
        stopped = {f"segment/{r['id']}/" for r in self.standin.store.all("segment") if not r["is_active"]}
        return [k for k in World.left(self) if not any(k.startswith(s) for s in stopped)]

    def kind(self, key: str, value: str) -> str:
        return "list member" if key.startswith("segment/") else super().kind(key, value)

    def requests(self) -> list[tuple[str, str]]:
        return HttpWorld.requests(self)

    def vanish(self) -> None:
        remove_rows(self.accounts, TARGET.account_id, "audience_member")
        for segment in self.standin.store.all("segment"):
            members = [m for m in segment["members"] if m != TARGET.email]
            self.standin.store.update("segment", segment["id"], members=members)
        self.standin.store.commit()

    def trouble(self, kind: str, act: Act | None = None, *, times: int = 1, headers: Mapping[str, str] = {}) -> None:
        if act is not None and act.method == "SQL":
            DatabaseWorld.trouble(self, kind, act, times=times, headers=headers)
        else:
            HttpWorld.trouble(self, kind, act, times=times, headers=headers)

    def mend(self) -> None:
        DatabaseWorld.mend(self)
        HttpWorld.mend(self)

    def unmet(self) -> int:
        return DatabaseWorld.unmet(self) + HttpWorld.unmet(self)

    def calls(self) -> int:
        return HttpWorld.calls(self)

    def refusal(self, status: int) -> Any:
        return {"errors": [{"message": f"{TARGET.name} {TARGET.email}", "code": 512}]}


class ClarityWorld(DatabaseWorld, HttpWorld):
    """One project that tells totals, and the company's register of who could have been recorded."""

    name: ClassVar[str] = "clarity"
    datasets: ClassVar[tuple[str, ...]] = ("recordings",)
    scope_id: ClassVar[str] = "recordings"
    richest: ClassVar[str] = "recorded"
    variants = {
        "recorded": "expires_by_processor:not_deleted_by_us",
        "withdrew, and the site stopped": "expires_by_processor:not_deleted_by_us",
        "withdrew, and the site still sends": "awaiting:collection_not_stopped",
        "left, and the site still sends": "awaiting:collection_not_stopped",
        "never recorded": "confirmed_absent:none_located",
    }
    without: ClassVar[dict[str, str]] = {
        **NO_ACT, **NO_ODDITY, **NO_MERGE, "several_records": "the register holds one row an account",
    }  # fmt: skip
    heedless: ClassVar[dict[str, str]] = dict.fromkeys(
        ("rate_seconds", "rate_date", "rate_bare", "html", "broken_once", "broken_long", "not_ours", "garbage"),
        "the one call proves the token and nothing about a person; no disposal waits for it",
    )
    deletes = "nothing: the vendor has no call that deletes for one person"
    anonymises = "nothing"
    reads = "the company's register of who was recorded, and when last"
    not_provable = "everything; the end is the date on which the vendor's published schedule has removed it"

    @property
    def trigger_event(self) -> str:  # type: ignore[override]
        """Whoever withdrew may still be a customer."""
        return "consent_withdrawn" if self.variant.startswith("withdrew") else "terminated"

    def make(self) -> Frame:
        return clarity.StandIn(limit_factor=100)

    def connection(self) -> Connection:
        return Connection("clarity", password=clarity.TOKEN, extra={"endpoint_url": self.url})

    def seed(self, person: Person, variant: str) -> None:
        if variant != "never recorded":
            row = {
                "account_id": person.account_id,
                "last_seen_on": ON if variant == "left, and the site still sends" else ENDED,
                "consent_denied": variant == "withdrew, and the site stopped",
            }
            add_rows(self.accounts, "clarity_identity", row)

    def seed_bystanders(self) -> None:
        self.standin.seed({"session": [{"id": "s1", "day": "2026-11-24"}]})

    def snapshot(self) -> dict[str, str]:
        return {**HttpWorld.snapshot(self), **table_rows(self.accounts, "clarity_identity")}

    def left(self) -> list[str]:
        return sorted(set(self.snapshot()) - set(self.others))

    def requests(self) -> list[tuple[str, str]]:
        return HttpWorld.requests(self)

    def vanish(self) -> None:
        remove_rows(self.accounts, TARGET.account_id, "clarity_identity")

    def trouble(self, kind: str, act: Act | None = None, *, times: int = 1, headers: Mapping[str, str] = {}) -> None:
        if kind in ("rate", "html", "unauthorized", *BETWEEN):
            HttpWorld.trouble(self, kind, act, times=times, headers=headers)
        else:
            DatabaseWorld.trouble(self, kind, act, times=times, headers=headers)

    def mend(self) -> None:
        DatabaseWorld.mend(self)
        HttpWorld.mend(self)


class PaperWorld(DatabaseWorld):
    """Boxes, as the company's register lists them."""

    name: ClassVar[str] = "paper"
    datasets: ClassVar[tuple[str, ...]] = ("paper",)
    scope_id: ClassVar[str] = "paper"
    rule_id: ClassVar[str] = "R-01"
    richest: ClassVar[str] = "in two boxes"
    duplicates = ("in two boxes",)
    variants = {
        "in two boxes": "manual_pending:paper_destruction_order",
        "in no box": "confirmed_absent:none_located",
    }
    without: ClassVar[dict[str, str]] = {**NO_ACT, **NO_HTTP, **NO_ODDITY, **NOTHING_BETWEEN, **NO_MERGE}
    deletes = "nothing: a person shreds or burns, with a witness"
    anonymises = "nothing"
    reads = "the company's register of boxes; the proof is the signed report"
    not_provable = "everything a program could prove; two people attest it"

    def connection(self) -> Connection:
        return Connection("paper")

    def seed(self, person: Person, variant: str) -> None:
        if variant != "in no box":
            boxes = [
                {
                    "paper_id": f"p{person.number}-{n}", "account_id": person.account_id, "box": f"box-{n}",
                    "location": "room 0", "category": "D-16",
                }
                for n in range(2)
            ]  # fmt: skip
            add_rows(self.accounts, "paper_register", *boxes)

    def snapshot(self) -> dict[str, str]:
        return table_rows(self.accounts, "paper_register")

    def left(self) -> list[str]:
        return sorted(set(self.snapshot()) - set(self.others))

    def requests(self) -> list[tuple[str, str]]:
        return []

    def vanish(self) -> None:
        remove_rows(self.accounts, TARGET.account_id, "paper_register")


__all__ = ["AdrollWorld", "ClarityWorld", "PaperWorld"]

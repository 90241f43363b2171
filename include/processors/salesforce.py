"""Salesforce: contacts, leads, person accounts and all that hangs on them, deleted for good and read back.

Deleting through REST only fills the recycle bin, so rows go through Bulk 2.0 `hardDelete`; that needs the permission
"Bulk API Hard Delete", which no profile has by default. There is no silent fallback: without it nothing is touched
and `check` says so. An organisation that does not grant it may choose the other way in its schedule
(`delete_through: recycle_bin`: REST delete, then SOAP `emptyRecycleBin`); the steps then carry that method in the
evidence. The order is records first (custom objects before cases before contacts, because each may block the next),
then what did not go along with them:

    open_jobs -> hard_delete -> open_leftover_jobs -> hard_delete_leftovers -> read_back

Jobs are opened in a step of their own, so that their ids are stored before a single row is sent; an open job deletes
nothing. Rows already in the recycle bin are purged with SOAP `emptyRecycleBin`. Deleted rows stay readable for about
a day (SOAP guide, `emptyRecycleBin`): until `queryAll` sees none of them, the outcome is `awaiting`, never
`confirmed_absent`.

Settings: `external_key_field` (default `AccountKey__c`; our account id on Contact, Lead and person accounts; without
such a field only e-mails decide; one named here must be visible), `custom_objects` (names; default: all found by
`describe`), `absent_objects` (standard ones the organisation does not have), `more_objects` (standard ones
to be searched as custom ones are, `Quote` for example), `delete_through` (`hard_delete` or
`recycle_bin`), `bundled_reads` (true: after locating, up to five queries go in one `POST composite`), `poll_seconds`
(120), `daily_share` (0.9 of the organisation's daily calls), `manual_days` (5), `address_book` (`{table, account,
email}` in the accounts database; tells who else uses an address). Connection: `extra` with `domain`, `consumer_key`
and `consumer_secret` (client credentials) or `private_key`/`private_key_file_path` and `login` (JWT), `version`,
`endpoint_url`."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from include.errors import ConfigurationError, RateLimited, Refused
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work, _sweeps
from include.processors._salesforce.book import is_address, other_users
from include.processors._salesforce.client import Client
from include.processors._salesforce.deletion import (
    NOTHING_LEFT,
    TRY_AGAIN,
    Batch,
    Deletion,
    by_order,
    first_of_all,
    no_hard_delete,
    sort_out,
)
from include.processors._salesforce.layout import Layout
from include.processors._salesforce.owners import CUSTOMER, KNOWN, MARKETING, NAMELESS, Claim, Person
from include.processors._salesforce.search import Search
from include.processors._salesforce.session import NAME, Rejected
from include.processors._salesforce.soql import ID, Test, to_18

HARD_DELETE = "PermissionsBulkApiHardDelete"
WAYS = ("hard_delete", "recycle_bin")
SEE_ALL = ("PermissionsViewAllData", "PermissionsQueryAllFiles")


class Processor:
    """Erases people from Salesforce."""

    name: ClassVar[str] = NAME
    batch_size: ClassVar[int] = 500
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = (Quota("api", 20_000, 86_400.0, burst=1.0),)

    def __init__(self, site: Site) -> None:
        self.site = site
        settings = site.settings
        share = float(settings.get("daily_share", 0.9))
        self.client = Client(site.connection, daily_share=share, go_on=site.go_on)
        custom, key_field = settings.get("custom_objects"), settings.get("external_key_field")
        self.layout = Layout(
            self.client,
            str(key_field or "AccountKey__c"),
            tuple(custom) if isinstance(custom, list | tuple) else None,
            key_required=bool(key_field),
            absent=frozenset(settings.get("absent_objects") or ()),
            more=tuple(settings.get("more_objects") or ()),
        )
        through = settings.get("delete_through", WAYS[0])
        if through not in WAYS:
            raise ConfigurationError(f"{NAME}: settings.delete_through: {' or '.join(WAYS)}, not {through!r}.")
        self.deletion = Deletion(
            self.client, self.layout, float(settings.get("poll_seconds", 120)), through_bin=through != WAYS[0]
        )
        self.bundles = bool(settings.get("bundled_reads", True))
        self._may = False

    # -- before anything -----------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Prove with reads that we may log in, see everything and delete for good."""
        self._preflight()

    def _preflight(self) -> None:
        if self._may:
            return
        self._reserve(10)
        allowed = self._permissions((HARD_DELETE, *SEE_ALL))
        if allowed.get(HARD_DELETE) is False and not self.deletion.through_bin:
            raise no_hard_delete()
        hidden = ", ".join(p for p in SEE_ALL if allowed.get(p) is False)
        if hidden:
            raise Refused(
                NAME, "cannot_see_all", advice=f"Give the API user {hidden}: what it cannot see it cannot prove gone."
            )
        self.layout.require()
        self._may = True

    def _permissions(self, names: Sequence[str]) -> dict[str, bool]:
        """Read the user's own permissions; those the organisation does not know are left out."""
        try:
            rows = self.client.query(f"SELECT {', '.join(names)} FROM UserPermissionAccess", deleted=False)  # noqa: S608
        except Rejected as error:
            if error.code not in {"INVALID_FIELD", "INVALID_TYPE"}:
                raise
            return {} if len(names) == 1 else {k: v for n in names for k, v in self._permissions((n,)).items()}
        return {n: bool(rows[0][n]) for n in names if rows[0].get(n) is not None} if rows else {}

    def _reserve(self, calls: int) -> None:
        wait = self.site.reserve("api", calls)
        if wait > 20:
            raise RateLimited(NAME, retry_after=wait, code="our_share", status=None)
        if wait > 0:
            time.sleep(wait)

    def sweep(self, since: datetime | None) -> Iterator[_sweeps.Swept]:
        """Yield the people changed since."""
        self._preflight()
        self._reserve(10)
        return _sweeps.salesforce(self.client, self.layout, since)

    def objects(self, locator: Mapping[str, Any]) -> list[str]:
        """Return the ids in a locator."""
        return _sweeps.object_ids(locator)

    # -- locating ------------------------------------------------------------------------------------------------------
    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Find what Salesforce holds of each subject, with `GET` alone: no intent is on record yet."""
        self.client.bundle(allowed=False)
        people = {s.disposal_id: self._person(s, s.emails, s.phones, {}) for s in subjects}
        findable = [p for p in people.values() if p.emails or not p.account_id.startswith(NAMELESS)]
        claims: dict[str, Claim] = {}
        if findable:
            self._preflight()
            self._reserve(80)
            claims = self._search(findable)
        return [self._found(s.disposal_id, people[s.disposal_id], claims) for s in subjects]

    def _search(self, people: Iterable[Person], *, histories: bool = False) -> dict[str, Claim]:
        search = Search(self.client, self.layout, people, partial(other_users, self.site))
        return self.client.shielded(lambda: search.run(histories=histories))

    def _found(self, disposal: str, person: Person, claims: Mapping[str, Claim]) -> Found:
        claim = claims.get(person.account_id)
        if claim is None or not (person.emails or self._has_key()):
            return Found(disposal, Outcome.FAILED, code="no_identifier")
        if claim.problems:
            return Found(disposal, Outcome.FAILED, code=min(claim.problems))
        locator = self._locator(person, claim)
        return Found(disposal, Outcome.LOCATED, count=sum(map(len, locator["rows"].values())), locator=locator)

    def _has_key(self) -> bool:
        return self.layout.knows("Contact", self.layout.key_field, default=False)

    @staticmethod
    def _person(
        one: Subject | Work, emails: Iterable[str], phones: Iterable[str], known: Mapping[str, Iterable[str]]
    ) -> Person:
        """Return what to search by; what cannot be an e-mail address is no identifier."""
        usable = tuple(dict.fromkeys(e.strip() for e in emails if is_address(e)))
        account = one.account_id or NAMELESS + one.disposal_id
        before = {k: [*map(to_18, ids)] for k, ids in known.items()}
        return Person(account, usable, frozenset(one.datasets), before, tuple(dict.fromkeys(phones)))

    @staticmethod
    def _own(person: Person, claim: Claim) -> dict[str, dict[str, Any]]:
        """Return the rows of one disposal: of its datasets, or known to it before."""
        own: dict[str, dict[str, Any]] = {}
        for kind, rows in claim.rows.items():
            known = set(person.known.get(kind, ()))
            mine = {
                i: r for i, r in rows.items() if r.dataset in person.datasets or (r.dataset == KNOWN and i in known)
            }
            if mine:
                own[kind] = mine
        return own

    def _locator(self, person: Person, claim: Claim) -> dict[str, Any]:
        own = self._own(person, claim)
        shared = {k: sorted(ids) for k, ids in claim.shared.items() if self._concerns(k, person.datasets)}
        binned = sorted(i for rows in own.values() for i, r in rows.items() if r.deleted)
        return {
            "emails": list(person.emails),
            **({"phones": list(person.phones)} if person.phones else {}),
            "rows": {kind: sorted(rows) for kind, rows in sorted(own.items())},
            "binned": binned,
            **({"shared": shared} if shared else {}),
        }

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return nothing: what a law keeps of these people is billed, contracted and answered elsewhere."""
        return []

    # -- acting --------------------------------------------------------------------------------------------------------
    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return the four steps, or those two of them that have something to do."""
        rows = work.locator.get("rows") or {}
        first = ("open_jobs", "hard_delete") if any(map(first_of_all, rows)) else ()
        second = ("open_leftover_jobs", "hard_delete_leftovers") if rows else ()
        method = "delete_and_empty_recycle_bin" if self.deletion.through_bin else "bulk_hard_delete"
        return tuple(Step(name, method=method) for name in (*first, *second))

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Carry one step out for the batch. Rights are proven by `locate` before and by `read_back` after it."""
        self._reserve(40)
        self.client.bundle(allowed=self.bundles)
        batch = sort_out(work)
        self.client.shielded(lambda: self._carry_out(step, batch))
        return [self._result(batch, w, step) for w in work]

    def _carry_out(self, step: str, batch: Batch) -> None:
        kinds = sorted(batch.kinds(), key=by_order)
        if step == "open_jobs":
            self.deletion.open(batch, filter(first_of_all, kinds))
        elif step == "hard_delete":
            self.deletion.delete(batch, [*filter(first_of_all, kinds)])
        elif step == "open_leftover_jobs":
            batch.leftovers = self.deletion.opened_for(batch, [k for k in kinds if not first_of_all(k)])
        else:
            self.deletion.delete(batch, sorted(batch.leftovers, key=by_order))
            self.deletion.purge(batch)

    def _result(self, batch: Batch, work: Work, step: str) -> Result:
        disposal = work.disposal_id
        if disposal in batch.broken:
            return Result(disposal, Outcome.FAILED, code="malformed_id", needs_person=True)
        jobs = {k: batch.jobs[k] for k, ids in batch.rows[disposal].items() if ids and k in batch.jobs}
        locator = {
            **work.locator,
            "jobs": {**(work.locator.get("jobs") or {}), **jobs},
            "leftovers": sorted(batch.leftovers),
        }
        if disposal in batch.running:
            return Result(disposal, Outcome.AWAITING, code="job_running", until=self.site.as_of, locator=locator)
        codes = {c for c in batch.codes[disposal].values() if c not in NOTHING_LEFT}
        if codes:
            lasting = sorted(codes - TRY_AGAIN)
            code = (lasting or sorted(codes))[0]
            return Result(disposal, Outcome.FAILED, code=code, needs_person=bool(lasting), locator=locator)
        if step == "hard_delete_leftovers":
            locator["purged_on"] = self.site.as_of.isoformat()
        return Result(disposal, Outcome.ACCEPTED, locator=locator)

    # -- reading back --------------------------------------------------------------------------------------------------
    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Search again from the beginning, and for every id found before, deleted rows included.

        Where purged rows may still be readable, only those are looked at first: while they are, a whole search could
        not tell more."""
        self.client.bundle(allowed=self.bundles)
        self._preflight()
        self._reserve(80)
        results = self._readable(work)
        rest = [w for w in work if w.disposal_id not in results]
        people = {
            w.disposal_id: self._person(
                w, w.locator.get("emails") or (), w.locator.get("phones") or (), _all_known(w.locator)
            )
            for w in rest
        }
        if rest:
            claims = self._search(people.values(), histories=True)
            self._shared_before(rest, claims)
            for one in rest:
                person = people[one.disposal_id]
                results[one.disposal_id] = self._verdict(one, person, claims[person.account_id])
        return [results[w.disposal_id] for w in work]

    def _readable(self, work: Sequence[Work]) -> dict[str, Result]:
        """Return `awaiting` for those purged today whose rows are all deleted and some still readable.

        What hung on a record was read after the record went; here the records tell, and what had to go by itself.
        """
        today = self.site.as_of.isoformat()
        batch = sort_out([w for w in work if w.locator.get("purged_on") == today], binned=True)
        for kinds in batch.rows.values():
            telling = [k for k, ids in kinds.items() if ids and (first_of_all(k) or k in batch.leftovers)]
            for kind in set(kinds) - set(telling) if telling else ():
                del kinds[kind]
        seen: dict[str, list[bool]] = defaultdict(list)
        asked = sorted(batch.kinds(), key=by_order)
        found = self.client.select_many([(k, ["Id", "IsDeleted"], [Test("Id", batch.of(k))]) for k in asked])
        for kind, rows in zip(asked, found, strict=True):
            owners = batch.of(kind)
            for identifier, row in rows.items():
                for disposal in owners.get(to_18(identifier), ()):
                    seen[disposal].append(bool(row.get("IsDeleted")))
        return {
            disposal: Result(
                disposal, Outcome.AWAITING, code="deleted_but_readable", until=self.site.as_of + timedelta(days=1),
                count=len(rows), verify_method="query_all",
            )
            for disposal, rows in seen.items() if all(rows)
        }  # fmt: skip

    @staticmethod
    def _concerns(kind: str, datasets: Iterable[str]) -> bool:
        return (MARKETING if kind == "Lead" else CUSTOMER) in datasets

    def _shared_before(self, work: Sequence[Work], claims: Mapping[str, Claim]) -> None:
        """Add what was left to a person when it was located, and is there still: the way to it may be gone by now."""
        owners: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for one in work:
            for kind, ids in (one.locator.get("shared") or {}).items():
                for identifier in filter(ID.fullmatch, ids):
                    owners[kind][identifier].add(one.account_id or NAMELESS + one.disposal_id)
        wanted = [(k, ["Id", "IsDeleted"], [Test("Id", ids)]) for k, ids in owners.items() if k.isidentifier()]
        for (kind, _columns, _tests), rows in zip(wanted, self.client.select_many(wanted), strict=True):
            for identifier in (i for i, row in rows.items() if not row.get("IsDeleted")):
                for account in owners[kind][identifier]:
                    claims[account].shared.setdefault(kind, set()).add(identifier)

    def _verdict(self, work: Work, person: Person, claim: Claim) -> Result:
        answer = partial(Result, work.disposal_id, verify_method="query_all")
        if claim.problems:
            return answer(outcome=Outcome.FAILED, code=min(claim.problems), needs_person=True)
        if not (person.emails or person.known or self._has_key()):
            return answer(outcome=Outcome.FAILED, code="no_identifier", needs_person=True)
        rows = [row for rows in self._own(person, claim).values() for row in rows.values()]
        if rows:
            until = self._readable_until(work.locator) if all(row.deleted for row in rows) else None
            if until is not None:
                return answer(outcome=Outcome.AWAITING, code="deleted_but_readable", until=until, count=len(rows))
            now = self._locator(person, claim)
            gone = {k: sorted(set(ids) - set(now["rows"].get(k, ()))) for k, ids in _all_known(work.locator).items()}
            locator = {**now, "gone": gone, "jobs": dict(work.locator.get("jobs") or {})}
            return answer(outcome=Outcome.FAILED, code="still_present", count=len(rows), locator=locator)
        due = self.site.as_of + timedelta(days=int(self.site.settings.get("manual_days", 5)))
        shared = sum(len(ids) for k, ids in claim.shared.items() if self._concerns(k, work.datasets))
        if shared:
            return answer(outcome=Outcome.MANUAL_PENDING, code="shared_records", until=due, count=shared)
        if claim.histories:
            return answer(outcome=Outcome.MANUAL_PENDING, code="history_residue", until=due, count=claim.histories)
        return answer(outcome=Outcome.CONFIRMED_ABSENT, count=0)

    def _readable_until(self, locator: Mapping[str, Any]) -> date | None:
        """Return when to look again at rows we purged; None once they are there longer than purged rows can be."""
        purged = locator.get("purged_on")
        if not purged or self.site.as_of > date.fromisoformat(purged) + timedelta(days=1):
            return None
        return self.site.as_of + timedelta(days=1)


def _all_known(locator: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return every id ever found: what is there, and what went already, by which its residue is found."""
    rows, gone = locator.get("rows") or {}, locator.get("gone") or {}
    return {k: sorted({*map(to_18, rows.get(k, ())), *map(to_18, gone.get(k, ()))}) for k in {*rows, *gone}}

"""Zendesk Support: tickets and users in five steps, proven by what each product reports afterwards.

Zendesk refuses to delete a user who is requester on an unclosed ticket, deletes users and tickets only softly at first,
and leaves what a person wrote on other people's tickets in place whatever happens to their user (Zendesk help,
"Forgetting a user in Zendesk"). Hence the order: redact what stays, delete and purge the person's tickets, delete and
purge the user. An unclosed ticket is never closed by us in order to delete it: somebody is still being served.

Connection `zendesk`: login = agent e-mail, password = API token, extra `subdomain` and, to redirect, `endpoint_url`.
Settings: `complaint_selector` (required), `products` (whose completion is waited for even before they report
`started`), `manual_days`, `email_owners` (table and columns of the company's own e-mails, to see that two accounts
share one).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any, ClassVar

from include.errors import ConfigurationError, NeedsPerson, ProcessorError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work, _sweeps
from include.processors._zendesk_client import CHUNK, NAME, Client, Row
from include.processors._zendesk_find import Search, Selector, same_email
from include.processors._zendesk_proof import Proof, ids, is_scrubbed
from include.processors._zendesk_redact import redact
from include.processors._zendesk_tickets import Tickets

logger = logging.getLogger(__name__)

SEOUL = timezone(timedelta(hours=9))


class Processor:
    """Zendesk Support of one account."""

    name: ClassVar[str] = NAME
    batch_size: ClassVar[int] = CHUNK
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = (
        Quota("api", 700, 60),
        Quota("purge_user", 700, 600),
        Quota("deleted_listing", 10, 60),
        Quota("export", 100, 60),
    )

    def __init__(self, site: Site) -> None:
        self.site = site
        self.selector = Selector.of(site.settings)
        self.client = Client(site.connection, site.reserve, site.go_on)
        self.tickets = Tickets(self.client)

    # -- reads -----------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Prove with one read that the token is accepted and belongs to a member of staff."""
        user = self.client.get("/users/me").body.get("user")
        if not isinstance(user, dict) or not user.get("id"):
            raise Refused(NAME, "not_authenticated", advice="Check the connection's login and token.")
        if user.get("role") not in {"admin", "agent"}:
            raise Refused(NAME, "not_an_agent", advice="The token must belong to an administrator.")

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Find users by exact id or e-mail, and their tickets, comments elsewhere and suspended mails."""
        found = Search(self.client, self.selector, self._email_owners).run(subjects)
        logger.info("located", extra={"processor": NAME, "subjects": len(found), "requests": self.client.calls})
        return found

    def _email_owners(self, emails: set[str]) -> Mapping[str, set[str]]:
        """Return which accounts of the company hold each e-mail, where the schedule says how to look."""
        config, engine = self.site.settings.get("email_owners"), self.site.accounts
        if not config or engine is None or not emails:
            return {}
        from sqlalchemy import ColumnClause, column, func, select, table
        from sqlalchemy.exc import SQLAlchemyError

        account: ColumnClause[Any] = column(str(config["account"]))
        email: ColumnClause[Any] = column(str(config["email"]))
        folded = func.lower(email)
        query = select(account, folded).select_from(table(str(config["table"]), account, email))
        owners: dict[str, set[str]] = {}
        try:
            with engine.connect() as connection:
                for account_id, address in connection.execute(query.where(folded.in_(sorted(emails)))):
                    owners.setdefault(same_email(address), set()).add(str(account_id))
        except SQLAlchemyError:
            # From None: the driver's error quotes the e-mails that were asked for.
            raise ConfigurationError(
                "zendesk: the accounts database could not say whose an e-mail is. Check settings.email_owners of the "
                "processor in the retention schedule, and the connection accounts_db."
            ) from None
        return owners

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return the complaint tickets: the law keeps their record three years after the case closed."""
        wanted = ids(work, "complaints")
        if not wanted:
            return []
        tickets, metrics = self.client.show_many("tickets", wanted, include="metric_sets")
        for ticket_id in set(wanted) - set(tickets):
            alone = self.client.show("tickets", ticket_id)  # a bulk read that leaves one out is no proof
            tickets |= {ticket_id: alone} if alone else {}
        users, _ = self.client.show_many("users", {int(t["requester_id"]) for t in tickets.values()})
        solved = {m.get("ticket_id"): m.get("solved_at") for m in metrics or ()}
        return [
            self._record(item, tickets[i], users.get(int(tickets[i]["requester_id"]), {}), solved.get(i))
            for item in work
            for i in item.locator.get("complaints", ())
            if i in tickets
        ]

    def _record(self, work: Work, ticket: Row, user: Row, solved_at: object) -> Record:
        opened, closed = _seoul(ticket.get("created_at")), _seoul(solved_at or ticket.get("updated_at"))
        pages = self.client.pages(f"/tickets/{int(ticket['id'])}/comments", "comments", missing=True)
        lines = [str(ticket.get("subject") or "")] + [str(c.get("plain_body") or c.get("body") or "") for c in pages]
        items = {
            "case.kind": "dispute" if "dispute" in ticket.get("tags", ()) else "complaint",
            "case.opened_on": opened.isoformat(),
            "case.closed_on": closed.isoformat(),
            "case.body": "\n".join(line for line in lines if line),
            "name": user.get("name"),
            "email": user.get("email"),
        }
        dates = {"case_closed": closed}
        return Record(work.disposal_id, str(ticket["id"]), "complaint", dates, {k: v for k, v in items.items() if v})

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return only the steps that have something to do."""
        located = work.locator
        names = [
            ("redact", "api_redact", located.get("comments")),
            ("delete_tickets", "api_delete", located.get("tickets") or located.get("suspended")),
            ("purge_tickets", "api_delete", located.get("tickets")),
            ("delete_user", "api_delete", located.get("users")),
            ("purge_user", "api_delete", located.get("users")),
        ]
        return tuple(Step(name, method=method) for name, method, wanted in names if wanted)

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Read users, tickets, comments and compliance statuses anew."""
        products = frozenset(map(str, self.site.settings.get("products", ())))
        days = int(self.site.settings.get("manual_days", 5))
        return Proof(self.client, self.site.as_of, products, days).run(work)

    # -- acts ------------------------------------------------------------------------------------------------------
    def sweep(self, since: datetime | None) -> Iterator[_sweeps.Swept]:
        """Yield the users changed since."""
        return _sweeps.zendesk(self.client, since)

    def objects(self, locator: Mapping[str, Any]) -> list[str]:
        """Return the ids in a locator."""
        return _sweeps.object_ids(locator)

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Carry one step out; every step reads first and may be repeated."""
        acts: dict[str, Callable[[Sequence[Work]], list[Result]]] = {
            "redact": lambda works: self._each(works, self._redact),
            "delete_tickets": self.tickets.delete,
            "purge_tickets": self.tickets.purge,
            "delete_user": self._delete_users,
            "purge_user": self._purge_users,
        }
        return acts[step](work)

    def _each(self, works: Sequence[Work], one: Callable[[Work], Result]) -> list[Result]:
        """Do one thing per work; trouble with all of them raises, trouble with some fails those."""
        results: list[Result] = []
        troubles: list[ProcessorError] = []
        for work in works:
            if troubles and (len(troubles) >= 3 or not isinstance(troubles[-1], Unreachable)):
                results.append(_failed(work, troubles[-1]))  # no further calls: the place is not answering
                continue
            try:
                results.append(one(work))
            except NeedsPerson as error:
                results.append(replace(_failed(work, error), needs_person=True))
            except (RateLimited, Refused, Unreachable) as error:
                troubles.append(error)
                results.append(_failed(work, error))
        if troubles and all(r.outcome is Outcome.FAILED and not r.needs_person for r in results):
            raise troubles[-1]
        return results

    def _redact(self, work: Work) -> Result:
        redact(self.client, work.locator)
        return Result(work.disposal_id, Outcome.ACCEPTED, count=len(work.locator.get("comments", ())))

    # -- users -----------------------------------------------------------------------------------------------------
    def _delete_users(self, works: Sequence[Work]) -> list[Result]:
        users, _ = self.client.show_many("users", ids(works, "users"))
        extended: dict[str, Work] = {}

        def look(work: Work) -> Result:
            if any(_changed(work, users[i]) for i in _mine(work, users)):
                raise NeedsPerson(NAME, "identity_changed")
            extended[work.disposal_id] = self._with_late_tickets(work, users)
            return Result(work.disposal_id, Outcome.ACCEPTED)

        results = {r.disposal_id: r for r in self._each(works, look)}
        late = [w for w in extended.values() if w.locator != _original(works, w).locator]
        for act in (self.tickets.delete, self.tickets.purge):
            going = [w for w in late if results[w.disposal_id].outcome is Outcome.ACCEPTED]
            results |= {r.disposal_id: r for r in (act(going) if going else [])}
        allowed = [w for w in works if results[w.disposal_id].outcome is Outcome.ACCEPTED]
        active = [i for i in ids(allowed, "users") if i in users and users[i].get("active") is not False]
        job = self.tickets.jobs("/users/destroy_many", active)
        after, _ = self.client.show_many("users", active)

        def judge(work: Work) -> Result:
            locator = results[work.disposal_id].locator
            for user_id in _mine(work, after):
                if after[user_id].get("active") is not False:
                    return replace(self._delete_alone(work, user_id), locator=locator)
            count = len(work.locator.get("users", ()))
            return Result(work.disposal_id, Outcome.ACCEPTED, count=count, locator=locator, receipt_sha256=job.digest)

        results |= {r.disposal_id: r for r in self._each(allowed, judge)}
        return [results[w.disposal_id] for w in works]

    def _with_late_tickets(self, work: Work, users: Mapping[int, Row]) -> Work:
        """Add the tickets a person opened after we looked; a late complaint needs a person, as nothing archived it."""
        known = {int(i) for i in work.locator.get("tickets", ())}
        late: set[int] = set()
        for user_id in _mine(work, users):
            gone = users[user_id].get("active") is False
            for ticket in self.client.pages(f"/users/{user_id}/tickets/requested", "tickets", missing=gone):
                if int(ticket["id"]) not in known:
                    if self.selector.is_complaint(ticket):
                        raise NeedsPerson(NAME, "late_complaint")
                    late.add(int(ticket["id"]))
        return replace(work, locator={**work.locator, "tickets": sorted(known | late)}) if late else work

    def _delete_alone(self, work: Work, user_id: int) -> Result:
        """Ask once more for the one user the job left, because only the single call says why."""
        answer = self.client.call("DELETE", f"/users/{user_id}")
        if answer.status in {200, 404}:
            return Result(work.disposal_id, Outcome.FAILED, "still_present", http_status=answer.status)
        tickets = self.client.pages(f"/users/{user_id}/tickets/requested", "tickets", missing=True)
        if answer.status == 422 and any(t.get("status") != "closed" for t in tickets):
            return Result(work.disposal_id, Outcome.BLOCKED, "open_ticket", http_status=answer.status)
        raise NeedsPerson(NAME, "undeletable_user", status=answer.status)

    def _purge_users(self, works: Sequence[Work]) -> list[Result]:
        users, _ = self.client.show_many("users", ids(works, "users"))

        def one(work: Work) -> Result:
            for user_id in _mine(work, users):
                if users[user_id].get("active") is not False:
                    return Result(work.disposal_id, Outcome.FAILED, "still_present")
                self._purge_user(user_id)
            locator = {**work.locator, "user_purged_on": self.site.as_of.isoformat()}
            return Result(work.disposal_id, Outcome.ACCEPTED, count=len(work.locator["users"]), locator=locator)

        return self._each(works, one)

    def _purge_user(self, user_id: int) -> None:
        """Purge one user: there is no bulk call, and 700 in ten minutes is the published limit."""
        self.client.spend("purge_user")
        try:
            status = self.client.call("DELETE", f"/deleted_users/{user_id}").status
        except Unreachable:
            if not self._is_gone(user_id):  # the reply was lost, so we looked
                raise
            return
        if status == 404 and not self._is_gone(user_id):
            raise Unreachable(NAME, "purge_not_found", status=status)
        if status not in {200, 204, 404}:
            raise NeedsPerson(NAME, "purge_refused", status=status)

    def _is_gone(self, user_id: int) -> bool:
        user = self.client.show("users", user_id)
        return user is None or is_scrubbed(user)


def _original(works: Sequence[Work], work: Work) -> Work:
    return next(w for w in works if w.disposal_id == work.disposal_id)


def _seoul(stamp: object) -> date:
    return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).astimezone(SEOUL).date()


def _failed(work: Work, error: ProcessorError) -> Result:
    return Result(work.disposal_id, Outcome.FAILED, error.code, http_status=error.status)


def _mine(work: Work, rows: Mapping[int, Any]) -> list[int]:
    return [int(i) for i in work.locator.get("users", ()) if int(i) in rows]


def _changed(work: Work, user: Row) -> bool:
    """Return whether a located user became somebody else's, or a member of staff, since it was located."""
    external = str(user.get("external_id") or "")
    return external not in {"", work.account_id} or user.get("role") not in {"end-user", None}

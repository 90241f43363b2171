"""Zendesk Support: tickets and users in five steps, proven by what each product reports afterwards.

Zendesk refuses to delete a user who is requester on an unclosed ticket, deletes users and tickets only softly at first,
and leaves what a person wrote on other people's tickets in place whatever happens to their user (Zendesk help,
"Forgetting a user in Zendesk"). Hence the order: redact what stays, delete and purge the person's tickets, delete and
purge the user. An unclosed ticket is never closed by us in order to delete it: somebody is still being served.

Connection `zendesk`: login = agent e-mail, password = API token, extra `subdomain` and, to redirect, `endpoint_url`.
Settings: `complaint_selector` (required), `products` (whose completion is waited for even before they report
`started`), `compliance_days` (after which a person asks Zendesk), `manual_days`, `email_owners` (table and columns of
the company's own e-mails, to see that two accounts share one).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from include.errors import ConfigurationError, NeedsPerson, Refused
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work, _sweeps
from include.processors._reserve import Reserve
from include.processors._zendesk.cases import cases
from include.processors._zendesk.chat import ChatGoesOn
from include.processors._zendesk.client import CHUNK, Client
from include.processors._zendesk.deletion import Deletion, each
from include.processors._zendesk.find import Search
from include.processors._zendesk.gate import NAME
from include.processors._zendesk.proof import Patience, Proof
from include.processors._zendesk.redact import redact
from include.processors._zendesk.selector import Selector
from include.processors._zendesk.tickets import Tickets
from include.processors._zendesk.users import same_email

logger = logging.getLogger(__name__)

CHAT_TRIES = 7  # nights


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
        self.client = Client(site.connection, site.reserve, site.go_on, Reserve.of(self.name, site.settings))
        self.tickets = Tickets(self.client, self.selector, site.as_of)
        self.users = Deletion(self.client, self.tickets, self.selector, site.as_of)
        self.search = Search(self.client, self.selector, self._email_owners, site.as_of)

    # -- reads -----------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Prove with one read that the token is accepted and belongs to a member of staff."""
        self.client.step = "check"
        user = self.client.get("/users/me").body.get("user")
        if not isinstance(user, dict) or not user.get("id"):
            raise Refused(NAME, "not_authenticated", advice="Check the connection's login and token.")
        if user.get("role") not in {"admin", "agent"}:
            raise Refused(NAME, "not_an_agent", advice="The token must belong to an administrator.")

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Find users by exact id, e-mail or phone, and their tickets, words elsewhere and suspended mails."""
        self.client.step = "locate"
        found = self.search.run(subjects)
        self._report("locate", len(found))
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
        self.client.step = "extract"
        return cases(self.client, self.selector, work)

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return only the steps that have something to do."""
        located = work.locator
        names = [
            ("redact", "api_redact", located.get("comments") or located.get("chats")),
            ("delete_tickets", "api_delete", located.get("tickets") or located.get("suspended")),
            ("purge_tickets", "api_delete", located.get("tickets")),
            ("delete_user", "api_delete", located.get("users")),
            ("purge_user", "api_delete", located.get("users")),
        ]
        return tuple(Step(name, method=method) for name, method, wanted in names if wanted)

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Read users, tickets, comments, chats and compliance statuses anew."""
        self.client.step = "read_back"
        patience = Patience.of(self.site.settings)
        results = Proof(self.client, self.site.as_of, patience, self.search).run(work)
        self._report("read_back", len(results))
        return results

    # -- acts ------------------------------------------------------------------------------------------------------
    def sweep(self, since: datetime | None) -> Iterator[_sweeps.Swept]:
        """Yield the users changed since."""
        return _sweeps.zendesk(self.client, since)

    def objects(self, locator: Mapping[str, Any]) -> list[str]:
        """Return the ids in a locator."""
        return _sweeps.object_ids(locator)

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Carry one step out; every step reads first and may be repeated."""
        self.client.step = step
        acts: dict[str, Callable[[Sequence[Work]], list[Result]]] = {
            "redact": lambda works: each(works, self._redact),
            "delete_tickets": self.tickets.delete,
            "purge_tickets": self.tickets.purge,
            "delete_user": self.users.delete,
            "purge_user": self.users.purge,
        }
        results = acts[step](work)
        self._report(step, len(results))
        return results

    def _redact(self, work: Work) -> Result:
        try:
            redact(self.client, work.locator)
        except ChatGoesOn:  # looked at again tomorrow; what never ends is a person's
            tries = int(work.locator.get("chat_tries", 0)) + 1
            if tries > CHAT_TRIES:
                raise NeedsPerson(NAME, "chat_redaction_refused") from None
            locator = {**work.locator, "chat_tries": tries}
            return Result(work.disposal_id, Outcome.AWAITING, "chat_goes_on", locator=locator)
        count = len(work.locator.get("comments", ())) + len(work.locator.get("chats", ()))
        return Result(work.disposal_id, Outcome.ACCEPTED, count=count)

    def _report(self, step: str, subjects: int) -> None:
        requests = self.client.counts[step]
        logger.info("requests", extra={"processor": NAME, "step": step, "subjects": subjects, "requests": requests})

"""Microsoft Clarity: recordings of behaviour, of which nothing can be deleted for one person.

"We don't support selectively deleting sessions" (`microsoft/clarity` issue 92); its only data call exports totals
without user ids. What is recorded lapses by itself: playback after 30 days, clicks, heatmaps and anything labelled or
marked as favourite after 13 months ("Clarity data retention"). So the end is `expires_by_processor`, on the last day on
which anything could have been recorded plus 13 calendar months (`include.policy.periods`), and the code says
`not_deleted_by_us`; each date by itself (playback, clicks and heatmaps, labels and favourites) stands in `exceptions`.
Microsoft acts as a controller of its own there; labels and favourites are removed and the vendor is written to by a
person.

Who could have been recorded, and until when, stands in the company's own register `clarity_identity`: the site hashes
an id before it sends it, so the vendor could not tell. The end has a date only once sending stopped; until then it is
looked at again every night (`collection_not_stopped`). Where consent was withdrawn the person may go on using the site,
so only the register's `consent_denied` says so. Where the account left, it was not seen after it left, or not for
thirty days, or `consent_denied` stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, ClassVar

from include.errors import ConfigurationError, RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.policy.periods import Period, add
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work
from include.processors._json_api import Declined, JsonApi
from include.processors._register import Register

HOST = "https://www.clarity.ms"
KEPT = Period(months=13)
PLAYBACK = Period(days=30)
LAPSES = (("playback", PLAYBACK), ("clicks_and_heatmaps", KEPT), ("labelled_and_favourite_recordings", KEPT))
"""What is recorded of a person, and how long the vendor keeps it ("Clarity data retention")."""
QUIET = timedelta(days=30)
"""Who left and was not seen for so long is not sent any more, whatever tab was still open that day."""
TOMORROW = timedelta(days=1)
STILL_A_CUSTOMER = frozenset({"consent_withdrawn"})
"""Trigger events after which a person may go on using the site, so that sending must be seen to have stopped."""


class Processor:
    """States when what Clarity recorded of a person will have lapsed."""

    name: ClassVar[str] = "clarity"
    batch_size: ClassVar[int] = 10_000
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = (Quota("export", 10, 86_400),)

    def __init__(self, site: Site) -> None:
        connection = site.connection
        if not connection.password:
            raise ConfigurationError(f"Connection {connection.name}: its password (the project's API token) is empty.")
        self._as_of, self._reserve = site.as_of, site.reserve
        self._register = Register(
            site,
            self.name,
            name=str(site.settings.get("identity_table", "clarity_identity")),
            columns=("account_id", "last_seen_on", "consent_denied"),
        )
        self._api = JsonApi(
            name=self.name,
            host=HOST,
            endpoint_url=connection.endpoint_url,
            headers={"Authorization": f"Bearer {connection.password}"},
            reserve=lambda _quota, _calls: 0.0,
            quota="export",
        )

    def check(self) -> None:
        """Read the register, and totals of one day while one of the ten exports a day is to be had.

        The export proves the token and nothing about a person, so no disposal waits for it when Clarity is down.
        """
        self._register.check()
        if self._reserve("export", 1) > 0:
            return
        try:
            self._api.call("GET", "/export-data/api/v1/project-live-insights", params={"numOfDays": "1"})
        except (RateLimited, Unreachable):
            return
        except Declined as declined:
            raise Refused(
                self.name,
                "request_refused",
                status=declined.status,
                request_id=declined.request_id,
                advice=f"Check endpoint and token of the connection {self.name}.",
            ) from None

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Return whether each account could have been recorded, and until when."""
        rows = self._register.of({s.account_id for s in subjects})
        return [_found(s, rows.get(s.account_id, [])) for s in subjects]

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return nothing: no law keeps recordings."""
        return []

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return nothing: the vendor has no call to make."""
        return ()

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Refuse: there is no step to carry out."""
        raise ConfigurationError(f"Processor {self.name} has no step {step!r}.")

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Return the date on which the vendor's own schedule has removed everything, from the register as it is now."""
        rows = self._register.of({w.account_id for w in work})
        return [self._read(w, rows.get(w.account_id, [])) for w in work]

    def _read(self, work: Work, rows: Sequence[Any]) -> Result:
        stored = work.locator.get("last_seen_on")
        days = [r.last_seen_on for r in rows if r.last_seen_on] + ([date.fromisoformat(stored)] if stored else [])
        if not days:
            return Result(
                work.disposal_id,
                Outcome.CONFIRMED_ABSENT,
                code="none_located",
                count=0,
                verify_method="own_register",
            )
        newest = max(days)
        locator = {**work.locator, "last_seen_on": newest.isoformat()}
        if not self._stopped(work, rows):
            return Result(
                work.disposal_id,
                Outcome.AWAITING,
                code="collection_not_stopped",
                until=self._as_of + TOMORROW,
                locator=locator,
                verify_method="own_register",
            )
        return Result(
            work.disposal_id,
            Outcome.EXPIRES_BY_PROCESSOR,
            code="not_deleted_by_us",
            until=gone_from(newest),
            basis="clarity_retention_13_months",
            count=1,
            exceptions=tuple({"item": what, "until": gone_from(newest, kept).isoformat()} for what, kept in LAPSES),
            locator=locator,
            verify_method="own_register",
        )

    def _stopped(self, work: Work, rows: Sequence[Any]) -> bool:
        """Return whether the register says that nothing is sent of this account any more; a row that went says so."""
        sending = [r for r in rows if not r.consent_denied]
        if work.locator.get("must_have_stopped"):
            return not sending
        left = date.fromisoformat(work.locator.get("left_on") or date.max.isoformat())
        return all(r.last_seen_on <= left or r.last_seen_on + QUIET <= self._as_of for r in sending if r.last_seen_on)


def gone_from(seen: date, kept: Period = KEPT) -> date:
    """Return the first day on which nothing recorded up to the end of `seen` is left, after the vendor's own schedule.

    The vendor does not say how it counts a month's end; ours is the period arithmetic of the Civil Act, whose day is
    never the earlier one.
    """
    return add(seen + TOMORROW, kept)


def _found(subject: Subject, rows: Sequence[Any]) -> Found:
    if not rows:
        return Found(subject.disposal_id, Outcome.LOCATED)
    if any(r.last_seen_on is None for r in rows):
        return Found(subject.disposal_id, Outcome.FAILED, code="last_seen_unknown")
    newest = max(r.last_seen_on for r in rows)
    return Found(
        subject.disposal_id,
        Outcome.LOCATED,
        count=len(rows),
        locator={
            "last_seen_on": newest.isoformat(),
            "must_have_stopped": subject.trigger_event in STILL_A_CUSTOMER,
            "left_on": subject.trigger_date.isoformat(),
        },
    )

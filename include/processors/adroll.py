"""AdRoll (NextRoll): ad audiences made of uploaded e-mails.

There is no call that deletes, finds or lists one person (none in the vendor's 192 documented routes), so three things are
kept apart: the list is posted again without those who leave and its count is read back; the rows of the company's own
register `audience_member` go after that; and the vendor is asked by a person to delete what it keeps of the e-mail itself
(its help says uploaded lists are not cleaned up and a hashed e-mail is kept). The end reached here is therefore
`manual_pending`, never `confirmed_absent` for anybody who was in a list.

One night makes one post a list for everybody leaving it: the vendor allows 100 requests a day by default.

| question | answer here |
|---|---|
| does the post replace or append? the vendor's pages disagree | the count decides: above what was posted is `list_appended`, for a person (a new list would change the id campaigns aim at, and the old one would keep the person) |
| fewer than 100 would remain, which the vendor refuses | the list is deactivated and the outcome says so; a deactivated list keeps its members |
| the list is larger than the register | nothing is posted: that would drop people nobody decided about (`list_larger_than_register`) |
| another account that stays has the same e-mail in the list | `ambiguous`, for a person |
| the count lags | `awaiting` for one night, then `list_count_differs`, for a person |
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, ClassVar

from include.errors import ConfigurationError
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work
from include.processors._adroll.api import Lists
from include.processors._adroll.lists import Repost, Verdict, keys_of, usable
from include.processors._register import Register

TOMORROW = timedelta(days=1)
NEEDS_PERSON = frozenset(
    {Verdict.APPENDED, Verdict.LARGER, Verdict.REFUSED, Verdict.AMBIGUOUS, Verdict.DIFFERS, Verdict.INVALID}
)


class Processor:
    """Takes people off ad lists by posting the lists without them."""

    name: ClassVar[str] = "adroll"
    batch_size: ClassVar[int] = 100_000
    exclusive: ClassVar[bool] = True
    quotas: ClassVar[tuple[Quota, ...]] = (Quota("api", 100, 86_400, burst=1.0),)

    def __init__(self, site: Site) -> None:
        self._as_of = site.as_of
        self._request_days = int(site.settings.get("vendor_request_days", 5))
        self._lists = Lists(site)
        self._register = Register(
            site,
            self.name,
            name=str(site.settings.get("member_table", "audience_member")),
            columns=("segment_id", "account_id", "email"),
        )

    def check(self) -> None:
        """Read the lists' counts and the register."""
        self._lists.all()
        self._register.check()

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Return the lists each account was uploaded to, after the company's register."""
        rows = self._register.of({s.account_id for s in subjects})
        staying = self._shared(rows)
        return [self._found(s.disposal_id, rows.get(s.account_id, []), staying) for s in subjects]

    def _shared(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, set[str]]:
        """Return, per list concerned, the e-mails of accounts that stay in it."""
        staying: dict[str, set[str]] = {}
        for segment_id in sorted({r.segment_id for found in rows.values() for r in found}):
            staying[segment_id] = keys_of(
                r.email for r in self._register.where(segment_id=segment_id) if r.account_id not in rows
            )
        return staying

    def _found(self, disposal_id: str, rows: Sequence[Any], staying: Mapping[str, set[str]]) -> Found:
        if not all(usable(r.segment_id) for r in rows):
            return Found(disposal_id, Outcome.FAILED, code="invalid_identifier")
        if any(not (r.email or "").strip() for r in rows):
            return Found(disposal_id, Outcome.FAILED, code="no_identifier")
        if any(keys_of([r.email]) & staying[r.segment_id] for r in rows):
            return Found(disposal_id, Outcome.FAILED, code="ambiguous")
        segments: dict[str, list[str]] = {}
        for row in rows:
            segments.setdefault(row.segment_id, []).append(row.email)
        locator = {"segments": segments} if segments else {}
        return Found(disposal_id, Outcome.LOCATED, count=len(rows), locator=locator)

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return nothing: no law keeps an ad audience."""
        return []

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return the one post, or nothing where the account is in no list."""
        return (Step("repost", method="list_replacement"),) if work.locator.get("segments") else ()

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Post every list concerned once, without everybody who leaves it, and read its count."""
        if step != "repost":
            raise ConfigurationError(f"Processor {self.name} has no step {step!r}.")
        rows = self._register.of({w.account_id for w in work})
        current = [_with_register(w, rows.get(w.account_id, [])) for w in work]
        repost = Repost(self._lists, self._register, current)
        verdicts = repost.run()
        return [self._acted(w, verdicts, repost.ambiguous) for w in current]

    def _acted(self, work: Work, verdicts: Mapping[str, Verdict], ambiguous: Collection[str]) -> Result:
        """Turn the verdicts on a work's lists into its result; verified lists are remembered in the locator."""
        mine = {s: verdicts[s] for s in verdicts if s in work.locator["segments"]}
        done = {s for s, v in mine.items() if v.verified} | set(work.locator.get("done", ()))
        stopped = {s for s, v in mine.items() if v is Verdict.DEACTIVATED} | set(work.locator.get("deactivated", ()))
        locator = {**work.locator, "done": sorted(done), "deactivated": sorted(stopped)}
        worst = min((v for v in mine.values() if not v.verified), default=None)
        if work.disposal_id in ambiguous:
            worst = Verdict.AMBIGUOUS
        if worst is None:
            code = Verdict.DEACTIVATED.code if stopped else None
            return Result(work.disposal_id, Outcome.ACCEPTED, code=code, count=len(done), locator=locator)
        if worst is Verdict.UNSETTLED:
            return self._unsettled(work, locator)
        return Result(
            work.disposal_id, Outcome.FAILED, code=worst.code, locator=locator, needs_person=worst in NEEDS_PERSON
        )

    def _unsettled(self, work: Work, locator: Mapping[str, Any]) -> Result:
        """Give a count that lags one night; then a person looks."""
        since = date.fromisoformat(work.locator.get("unsettled") or self._as_of.isoformat())
        if since < self._as_of:
            code = Verdict.DIFFERS.code
            return Result(work.disposal_id, Outcome.FAILED, code=code, locator=locator, needs_person=True)
        return Result(
            work.disposal_id,
            Outcome.AWAITING,
            code=Verdict.UNSETTLED.code,
            until=self._as_of + TOMORROW,
            locator={**locator, "unsettled": since.isoformat()},
        )

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Read register and counts anew; whoever was in a list ends in a request to the vendor."""
        rows = self._register.of({w.account_id for w in work})
        wanted = {s for w in work for s in w.locator.get("segments", {})}
        right = self._counts_right(wanted) if wanted else {}
        return [self._read(w, len(rows.get(w.account_id, [])), right) for w in work]

    def _counts_right(self, segment_ids: set[str]) -> dict[str, bool]:
        """Return whether each list is stopped, gone, or counts exactly what the register holds."""
        listed = self._lists.all()
        right = {}
        for segment_id in sorted(segment_ids):
            expected = len(keys_of(r.email for r in self._register.where(segment_id=segment_id)))
            segment = listed.get(segment_id)
            if segment is None or (segment.active and segment.emails != expected):
                segment = self._lists.one(segment_id) or segment
            right[segment_id] = segment is None or not segment.active or segment.emails == expected
        return right

    def _read(self, work: Work, rows: int, right: Mapping[str, bool]) -> Result:
        segments = work.locator.get("segments", {})
        wrong = [s for s in segments if not right[s]]
        if rows or wrong:
            return Result(
                work.disposal_id,
                Outcome.FAILED,
                code="still_present" if rows else Verdict.DIFFERS.code,
                count=rows or None,
                locator={**work.locator, "done": [s for s in work.locator.get("done", ()) if s not in wrong]},
                verify_method="segment_count" if segments else "own_register",
            )
        if not segments:
            return Result(
                work.disposal_id,
                Outcome.CONFIRMED_ABSENT,
                code="none_located",
                count=0,
                verify_method="own_register",
            )
        due = date.fromisoformat(
            work.locator.get("due") or (self._as_of + timedelta(days=self._request_days)).isoformat()
        )
        return Result(
            work.disposal_id,
            Outcome.MANUAL_PENDING,
            code="vendor_request_to_send",
            until=due,
            locator={**work.locator, "due": due.isoformat()},
            basis="list_deactivated" if work.locator.get("deactivated") else "list_replaced",
            verify_method="segment_count",
        )


def _with_register(work: Work, rows: Sequence[Any]) -> Work:
    """Return the work with what the register says now: lists joined since `locate`, or joined again, are open."""
    segments = {s: list(emails) for s, emails in work.locator.get("segments", {}).items()}
    for row in rows:
        emails = segments.setdefault(row.segment_id, [])
        if row.email not in emails:
            emails.append(row.email)
    done = set(work.locator.get("done", ())) - {r.segment_id for r in rows}
    return replace(work, locator={**work.locator, "segments": segments, "done": sorted(done)})

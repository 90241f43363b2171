"""Redaction jobs (Stripe preview API): the only way to what an update cannot blank, and it cannot be undone.

A job takes at most ten ids and goes created → validating → ready → run → redacting → succeeded. Its id is returned
from `create` and therefore stored before `finish` runs it. A lost reply is settled by the same idempotency key on the
same day and by listing jobs later; a job that also holds other people's ids is never run by us. Where Stripe has not
switched the feature on, its paths are unknown to the account: that is `not_enabled`, not "not found".
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from include.errors import Unreachable
from include.outcomes import Outcome
from include.processors import NOT_ARCHIVED, Result, Work
from include.processors._stripe.api import Api, Declined, safe_id
from include.processors._stripe.batch import each
from include.processors._stripe.dealings import AFTER_SALE, SEOUL, Ledger, seoul_date, with_late
from include.processors._stripe.policy import Policy

JOBS = "/v1/privacy/redaction_jobs"
MAX_IDS = 10
DAY = timedelta(days=1)
YOUNGEST = timedelta(days=91)
"""Stripe refuses transactions of less than 90 days, counted in seconds; the day after is the first safe date."""

RUNNING = frozenset({"created", "validating", "redacting", "canceling"})
ERROR_CODES = frozenset(
    {"invalid_state", "invalid_cascading_source", "invalid_file_purpose", "locked_by_other_job", "too_many_objects"}
)
OBJECT_KINDS = frozenset(
    {
        "bank_account", "card", "charge", "checkout_session", "credit_note", "customer", "dispute", "file", "invoice",
        "invoiceitem", "mandate", "payment_intent", "payment_method", "quote", "refund", "setup_intent", "source",
        "subscription", "subscription_schedule", "tax_id",
    }
)  # fmt: skip
MAX_ERRORS = 200
LOOK_BACK = timedelta(days=400)

Roots = dict[str, list[str]]


def window_of(policy: Policy) -> timedelta:
    """Return how long after the newest payment nothing is redacted: the policy's window, never less than Stripe's."""
    return max(timedelta(days=policy.dispute_window_days), YOUNGEST)


def roots(locator: Mapping[str, Any], covered: Collection[tuple[str, str]] = ()) -> list[Roots]:
    """Return the ids to redact that no job covers yet, at most ten to a job; a customer pulls in all that is below."""
    named = [
        *(("customers", key) for key in [*locator.get("customers", ()), *locator.get("gone", ())]),
        *(("payment_intents", key) for key in locator.get("guest_intents", ())),
        *(("checkout_sessions", key) for key in locator.get("sessions", ())),
    ]
    named = [pair for pair in named if pair not in covered]
    groups = []
    for start in range(0, len(named), MAX_IDS):
        group: Roots = {}
        for kind, key in named[start : start + MAX_IDS]:
            group.setdefault(kind, []).append(key)
        groups.append(group)
    return groups


def job_roots(job: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the ids a job holds."""
    objects = job.get("objects") or {}
    return {
        (kind, key["id"] if isinstance(key, dict) else str(key)) for kind, keys in objects.items() for key in keys or []
    }


def pairs(group: Roots) -> set[tuple[str, str]]:
    """Return a group as pairs of kind and id."""
    return {(kind, key) for kind, keys in group.items() for key in keys}


class Redactor:
    """Creates and finishes redaction jobs for located people."""

    def __init__(self, api: Api, ledger: Ledger, policy: Policy, as_of: date) -> None:
        self.api, self.ledger, self.as_of = api, ledger, as_of
        self.window = window_of(policy)
        self.request_days = timedelta(days=policy.manual_request_days)
        self.poll_seconds, self.threads = policy.poll_seconds, policy.threads
        self._judged: set[str] = set()  # disposals whose dealings this task has read

    # -- create ----------------------------------------------------------------------------------------------------
    def create(self, work: Work) -> Result:
        """Make sure there is a job for everything located and return the job ids to be stored."""
        locator = {k: v for k, v in work.locator.items() if k not in ("late", "errors")}
        waits = self._too_early(work, locator)
        if waits:
            return waits
        jobs = [dict(job) for job in locator.get("jobs", ())]
        covered = {pair for job in jobs for pair in pairs(job["objects"])}
        for group in roots(locator, covered):
            try:
                jobs.append(self._create(work, group, len(jobs)))
            except Declined as declined:
                if declined.unrecognized:
                    return self._not_enabled(work, locator, declined.status)
                return Result(
                    work.disposal_id, Outcome.FAILED, code="redaction_refused", http_status=declined.status,
                    request_id=declined.request_id,
                    locator={**locator, "jobs": jobs}, needs_person=declined.missing,
                )  # fmt: skip
        locator |= {"jobs": jobs, "redaction": "job"}
        return Result(work.disposal_id, Outcome.ACCEPTED, code="redaction_job_made", locator=locator)

    def _not_enabled(self, work: Work, locator: Mapping[str, Any], status: int) -> Result:
        due = locator.get("request_due") or (self.as_of + self.request_days).isoformat()
        return Result(
            work.disposal_id, Outcome.ACCEPTED, code="redaction_not_enabled", http_status=status,
            locator={**locator, "redaction": "not_enabled", "request_due": due},
        )  # fmt: skip

    def enabled(self) -> bool:
        """Return whether Stripe knows redaction jobs on this account."""
        try:
            self.api.get(JOBS, preview=True, limit=1)
        except Declined as declined:
            if declined.unrecognized:
                return False
            raise
        return True

    def _too_early(self, work: Work, locator: Mapping[str, Any]) -> Result | None:
        """Return AWAITING while a refund or dispute is open or young (redaction would forfeit it), or not archived."""
        done = self.ledger.again(locator, work.settled)
        open_codes = [code for code in done.holds if code in AFTER_SALE]
        if open_codes:
            return Result(work.disposal_id, Outcome.AWAITING, code=open_codes[0], until=self.as_of + DAY)
        late = done.beyond(locator)
        if late:
            return Result(
                work.disposal_id, Outcome.AWAITING, code=NOT_ARCHIVED, until=self.as_of + DAY,
                locator=with_late(locator, done, late),
            )  # fmt: skip
        due = seoul_date(done.newest) + self.window if done.newest else self.as_of
        if due > self.as_of:
            return Result(work.disposal_id, Outcome.AWAITING, code="young_refund_or_dispute", until=due)
        self._judged.add(work.disposal_id)
        return None

    def _create(self, work: Work, group: Roots, number: int) -> dict[str, Any]:
        wish = {"objects": group, "validation_behavior": "error"}
        seed = f"{work.disposal_id}|redact|{number}|{sorted(pairs(group))}|{self.as_of.toordinal()}"
        try:
            job = self.api.post(JOBS, wish, key=hashlib.sha256(seed.encode()).hexdigest(), preview=True)
        except (Declined, Unreachable) as error:
            if isinstance(error, Declined) and error.unrecognized:
                raise
            known = self.known_job(group, work.locator)
            if known is None:
                raise
            job = known
        return {"id": str(job["id"]), "objects": group}

    def known_job(self, group: Roots, locator: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the live job that holds this group, made by a call whose answer never came.

        Jobs are listed newest first, no further back than long before anybody was located. One with foreign ids in it
        is only followed when somebody has already run it.
        """
        wanted = pairs(group)
        located = date.fromisoformat(locator.get("located_on") or self.as_of.isoformat())
        since = datetime.combine(min(located, self.as_of) - LOOK_BACK, datetime.min.time(), SEOUL)
        for job in self.api.newest(JOBS, int(since.timestamp()), preview=True):
            held = job_roots(job)
            theirs = not held <= wanted and job.get("status") not in {"redacting", "succeeded"}
            if wanted <= held and job.get("status") not in {"canceled", "canceling"} and not theirs:
                return job
        return None

    def found(self, locator: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the jobs of what was located whose ids were never stored: a reply was lost, or our process died."""
        jobs = []
        for group in roots(locator):
            known = self.known_job(group, locator)
            jobs += [{"id": str(known["id"]), "objects": group}] if known else []
        return jobs

    # -- run -------------------------------------------------------------------------------------------------------
    def finish(self, works: Sequence[Work]) -> list[Result]:
        """Run the stored jobs and wait for them, all together for at most the polling time."""
        deadline = time.monotonic() + self.poll_seconds
        waiting, done, revalidated = list(works), dict[str, Result](), set[str]()
        pause = min(0.2, self.poll_seconds / 4)
        while waiting:
            looked = each(
                waiting, lambda w: self._look(w, revalidated), threads=self.threads,
                failed=lambda w, code, status: Result(w.disposal_id, Outcome.FAILED, code=code, http_status=status),
            )  # fmt: skip
            done.update({work.disposal_id: r for work, r in zip(waiting, looked, strict=True) if r is not None})
            waiting = [work for work in waiting if work.disposal_id not in done]
            if not waiting or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
            pause = min(pause * 1.5, 5.0)
        for work in waiting:
            done[work.disposal_id] = Result(
                work.disposal_id, Outcome.AWAITING, code="redaction_running", until=self.as_of + DAY
            )
        return [done[work.disposal_id] for work in works]

    def _look(self, work: Work, revalidated: set[str]) -> Result | None:
        """Move one disposal's jobs on by what they are now; None while any is still on its way."""
        if work.locator.get("redaction") == "not_enabled":
            return Result(work.disposal_id, Outcome.ACCEPTED, code="redaction_not_enabled")
        jobs = work.locator.get("jobs") or ()
        if not jobs:
            return self._again(work, "redaction_job_missing", [])
        open_jobs = False
        for stored in jobs:
            try:
                job = self.api.get(f"{JOBS}/{safe_id(stored['id'])}", preview=True)
                result = self._move(work, job, revalidated)
            except Declined as declined:
                if declined.missing:  # an id we were given for a job that is not there: it redacts nothing
                    return self._again(work, "redaction_job_missing", [j for j in jobs if j["id"] != stored["id"]])
                return Result(
                    work.disposal_id, Outcome.FAILED, code="redaction_refused", http_status=declined.status,
                    request_id=declined.request_id,
                    needs_person=declined.unrecognized,
                )  # fmt: skip
            if result is not None:
                return result
            open_jobs |= job.get("status") != "succeeded"
        return None if open_jobs else Result(work.disposal_id, Outcome.ACCEPTED, code="redaction_succeeded")

    def _move(self, work: Work, job: Mapping[str, Any], revalidated: set[str]) -> Result | None:
        status, path = job.get("status"), f"{JOBS}/{safe_id(job['id'])}"
        if status == "ready":
            if not job_roots(job) <= {pair for group in roots(work.locator) for pair in pairs(group)}:
                return Result(work.disposal_id, Outcome.FAILED, code="redaction_foreign_ids", needs_person=True)
            # A job made on an earlier night: a refund or a dispute may have come since.
            waits = None if work.disposal_id in self._judged else self._too_early(work, work.locator)
            if waits:
                return waits
            self.api.post(f"{path}/run", {}, preview=True)
        elif status == "failed":
            if job["id"] in revalidated:
                return self._refused(work, self._errors(job, path))
            revalidated.add(job["id"])
            self.api.post(f"{path}/validate", {}, preview=True)
        elif status == "canceled":
            return self._again(work, "redaction_canceled", [j for j in work.locator["jobs"] if j["id"] != job["id"]])
        elif status not in {"succeeded", *RUNNING}:
            return Result(work.disposal_id, Outcome.FAILED, code="redaction_unknown_status", needs_person=True)
        return None

    def _errors(self, job: Mapping[str, Any], path: str) -> list[dict[str, str]]:
        """Return why a job was refused, object by object; only the encrypted locator may hold this."""
        shown = job.get("validation_errors")
        if isinstance(shown, dict) and shown.get("has_more") is False:
            rows = shown.get("data") or []
        else:
            rows = self.api.pages(f"{path}/validation_errors", preview=True)
        found = []
        for row in rows:
            culprit = row.get("erroring_object") or {}
            kind = str(culprit.get("object_type") or "").replace(".", "_")
            found.append({
                "code": row["code"] if row.get("code") in ERROR_CODES else "other",
                "kind": kind if kind in OBJECT_KINDS else "other_object",
                "id": str(culprit.get("id") or ""),
            })  # fmt: skip
        return found

    def _refused(self, work: Work, errors: Sequence[Mapping[str, str]]) -> Result:
        codes = sorted({error["code"] for error in errors})
        code = f"redaction_{codes[0]}" if codes else "redaction_failed"
        counts = dict(Counter(f"{error['kind']}.{error['code']}" for error in errors))
        if "locked_by_other_job" in codes:
            return replace(self._again(work, code, self.found(work.locator)), counts=counts)
        return Result(
            work.disposal_id, Outcome.FAILED, code=code, counts=counts,
            locator={**work.locator, "errors": list(errors)[:MAX_ERRORS]},
        )  # fmt: skip

    def _again(self, work: Work, code: str, jobs: Sequence[Mapping[str, Any]]) -> Result:
        """Forget dead jobs and make the missing ones; they are run on a later call, when their ids are stored."""
        made = self.create(replace(work, locator={**work.locator, "jobs": list(jobs)}))
        if made.outcome is not Outcome.ACCEPTED or (made.locator or {}).get("redaction") == "not_enabled":
            return made
        return Result(work.disposal_id, Outcome.AWAITING, code=code, until=self.as_of + DAY, locator=made.locator)

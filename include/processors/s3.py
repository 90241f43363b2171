"""Amazon S3: the live objects of an account, under a prefix of its own in one or several buckets (replicas are places).

What makes erasing there hard, and what is done about it:

- a prefix without a delimiter at its end also finds other accounts (`1` finds `10` and `1.bak`): prefixes end with one,
  and every key is compared again;
- a delete without a version id only adds a marker: versions and markers are deleted by their ids;
- parts of unfinished uploads stand in no object listing: they are listed and aborted;
- the delete's reply names failures entry by entry and calls what never existed deleted: only a second listing counts;
- Object Lock and legal holds are refused as a plain `AccessDenied`: the version itself is asked, and the outcome is
  `retained` until the lock's date (a hold has none; `until` is then the next look);
- deleting a version is never replicated: each replica is listed and emptied by itself, if need be by a connection of
  its own (another AWS account, another address);
- a key may hold what XML cannot: listings ask for encoded keys, and such a version is deleted by an address of its own.

An empty listing of versions, markers and uploads, newer than the deletes, is `confirmed_absent`. Requests: one listing
an account when locating, one before deleting and one after, one `DeleteObjects` for 1,000 versions of anybody in the
batch, and one listing of uploads for the batch. S3 publishes no quota an account, only rates a prefix far above ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import ClassVar

from include.errors import ConfigurationError
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work, _sweeps
from include.processors._s3.calls import Bucket, Lock, Version
from include.processors._s3.errors import AGAIN, DENIED, SLOW
from include.processors._s3.places import places, usable


@dataclass(slots=True)
class _Tally:
    """What one account still has, over all places."""

    refused: list[str] = field(default_factory=list)
    locks: list[Lock] = field(default_factory=list)
    left: int = 0


class Processor:
    """Deletes every version of every object under an account's prefix, and lists again."""

    name: ClassVar[str] = "s3"
    batch_size: ClassVar[int] = 500
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = ()

    def __init__(self, site: Site, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._as_of = site.as_of
        self._look_again = timedelta(days=int(site.settings.get("hold_review_days", 30)))
        found = places(site.connection, site.settings, site.ours, site.connect)
        self._buckets = [Bucket(place, connection, sleep=sleep, go_on=site.go_on) for place, connection in found]

    def check(self) -> None:
        """Ask every place for its versioning, which takes bucket and key to be right."""
        for bucket in self._buckets:
            bucket.check()

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Count versions, markers and unfinished uploads; the keys themselves are listed again when acting."""
        accounts = sorted({s.account_id for s in subjects if usable(s.account_id)})
        versions = dict.fromkeys(accounts, 0)
        uploads = dict.fromkeys(accounts, 0)
        for bucket in self._buckets if accounts else ():
            unfinished = bucket.uploads(accounts)
            for account in accounts:
                versions[account] += len(bucket.versions(account))
                uploads[account] += len(unfinished.get(account, ()))
        return [
            Found(
                s.disposal_id,
                Outcome.LOCATED,
                count=versions[s.account_id] + uploads[s.account_id],
                locator={"versions": versions[s.account_id], "uploads": uploads[s.account_id]},
            )
            if s.account_id in versions
            else Found(s.disposal_id, Outcome.FAILED, code="invalid_identifier")
            for s in subjects
        ]

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return nothing: what a law keeps comes from the company's own database and from Stripe."""
        return []

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return the one step, or nothing where nothing was located."""
        if work.locator.get("versions") or work.locator.get("uploads"):
            return (Step("delete_versions", method="delete_object_versions"),)
        return ()

    def sweep(self, since: datetime | None) -> Iterator[_sweeps.Swept]:
        """Yield the accounts with objects written since."""
        return _sweeps.s3(self._buckets, since)

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Delete everything under the accounts' prefixes, listed at this moment."""
        if step != "delete_versions":
            raise ConfigurationError(f"Processor {self.name} has no step {step!r}.")
        accounts = sorted({w.account_id for w in work if usable(w.account_id)})
        uploading = {w.account_id for w in work if w.locator.get("uploads")}
        tallies = {account: _Tally() for account in accounts}
        for bucket in self._buckets:
            self._empty(bucket, tallies, sorted(uploading & set(accounts)))
        return [self._acted(w, tallies.get(w.account_id)) for w in work]

    def _empty(self, bucket: Bucket, tallies: Mapping[str, _Tally], uploading: Iterable[str]) -> None:
        """Abort uploads first: one that finished in between would stand in the listing that follows."""
        if uploading:
            for uploads in bucket.uploads(uploading).values():
                bucket.abort(uploads)
        owners = {v: account for account in tallies for v in bucket.versions(account)}
        for version, code in bucket.delete(list(owners)).items():
            tally = tallies[owners[version]]
            lock = None if code in AGAIN else bucket.lock(version)
            if lock:
                tally.locks.append(lock)
            else:
                tally.refused.append("slow_down" if code in SLOW else "access_denied" if code in DENIED else "refused")

    def _acted(self, work: Work, tally: _Tally | None) -> Result:
        if tally is None:
            return _invalid(work)
        if tally.refused:
            code = sorted(tally.refused)[0]
            return Result(work.disposal_id, Outcome.FAILED, code=code, needs_person=code == "access_denied")
        if tally.locks:
            return self._retained(work, tally.locks)
        return Result(work.disposal_id, Outcome.ACCEPTED)

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """List again; only nothing at all in every place is absent."""
        accounts = sorted({w.account_id for w in work if usable(w.account_id)})
        tallies = {account: _Tally() for account in accounts}
        for bucket in self._buckets if accounts else ():
            unfinished = bucket.uploads(accounts)
            for account, tally in tallies.items():
                tally.left += len(unfinished.get(account, ()))
                self._look(bucket, bucket.versions(account), tally)
        return [self._read(w, tallies.get(w.account_id)) for w in work]

    def _look(self, bucket: Bucket, versions: Sequence[Version], tally: _Tally) -> None:
        """Count what is left; ask for locks until one version has none, for then the account is not merely locked."""
        tally.left += len(versions)
        for version in versions:
            lock = bucket.lock(version)
            if lock is None:
                return
            tally.locks.append(lock)

    def _read(self, work: Work, tally: _Tally | None) -> Result:
        if tally is None:
            return _invalid(work)
        if tally.left == 0:
            return Result(
                work.disposal_id,
                Outcome.CONFIRMED_ABSENT,
                count=0,
                locator={"versions": 0, "uploads": 0},
                verify_method="second_listing_empty",
            )
        if len(tally.locks) == tally.left:
            return self._retained(work, tally.locks)
        return Result(
            work.disposal_id,
            Outcome.FAILED,
            code="still_present",
            count=tally.left,
            locator={"versions": tally.left, "uploads": tally.left},
            verify_method="second_listing",
        )

    def _retained(self, work: Work, locks: Sequence[Lock]) -> Result:
        dates = [lock.until for lock in locks if lock.until]
        held = any(lock.held for lock in locks)
        basis = "object_lock_and_legal_hold" if dates and held else "legal_hold" if held else "object_lock"
        until: date = max(dates) if dates else self._as_of + self._look_again
        return Result(
            work.disposal_id,
            Outcome.RETAINED,
            code=basis,
            until=until,
            basis=basis,
            count=len(locks),
            verify_method="lock_read",
        )


def _invalid(work: Work) -> Result:
    return Result(work.disposal_id, Outcome.FAILED, code="invalid_identifier", needs_person=True)

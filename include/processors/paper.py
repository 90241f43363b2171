"""Paper: forms, faxes and printouts, listed by box in the company's register `paper_register`.

No call destroys paper. What is found becomes an order to a person, one per box
(`python -m include.disposals.paper_orders`): which papers, how (shredded or burnt, 개인정보 보호법 시행령 16(1)2), with
a witness and a signed report as proof. Until that is attested the outcome is `manual_pending`. The register is filled
by `python -m include.processors import-paper`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, ClassVar

from include.errors import ConfigurationError
from include.outcomes import Outcome
from include.processors import Found, Quota, Record, Result, Site, Step, Subject, Work
from include.processors._register import Register


class Processor:
    """Finds the boxes that hold a person's papers and orders their destruction."""

    name: ClassVar[str] = "paper"
    batch_size: ClassVar[int] = 10_000
    exclusive: ClassVar[bool] = False
    quotas: ClassVar[tuple[Quota, ...]] = ()

    def __init__(self, site: Site) -> None:
        self._as_of = site.as_of
        self._days = int(site.settings.get("days", 5))
        self._register = Register(
            site,
            self.name,
            name=str(site.settings.get("register_table", "paper_register")),
            columns=("paper_id", "account_id", "box", "location", "category"),
        )

    def check(self) -> None:
        """Read the register."""
        self._register.check()

    def locate(self, subjects: Sequence[Subject]) -> list[Found]:
        """Return how many papers each account has, and in which boxes."""
        rows = self._register.of({s.account_id for s in subjects})
        return [_found(s.disposal_id, rows.get(s.account_id, [])) for s in subjects]

    def extract(self, work: Sequence[Work]) -> list[Record]:
        """Return nothing: papers are not copied into the archive."""
        return []

    def steps(self, work: Work) -> tuple[Step, ...]:
        """Return nothing: a person carries the order out."""
        return ()

    def act(self, step: str, work: Sequence[Work]) -> list[Result]:
        """Refuse: there is no step a program could carry out."""
        raise ConfigurationError(f"Processor {self.name} has no step {step!r}.")

    def read_back(self, work: Sequence[Work]) -> list[Result]:
        """Read the register anew; papers still listed wait for a person until the due day."""
        rows = self._register.of({w.account_id for w in work})
        return [self._read(w, rows.get(w.account_id, [])) for w in work]

    def attested(self, work: Sequence[Work]) -> None:
        """Remove the papers' rows from the register, once their destruction is attested; again changes nothing."""
        for one in work:
            for paper_id in one.locator.get("papers", ()):
                self._register.remove([one.account_id], paper_id=paper_id)

    def _read(self, work: Work, rows: Sequence[Any]) -> Result:
        if not rows and not work.locator.get("papers"):
            return Result(
                work.disposal_id,
                Outcome.CONFIRMED_ABSENT,
                code="none_located",
                count=0,
                verify_method="own_register",
            )
        # A row that left the register since is no proof that the paper did: the order stands until it is attested.
        places = {p["paper_id"]: p for p in work.locator.get("places", ())} | _places(rows)
        papers = sorted(set(places) | set(work.locator.get("papers", ())))
        boxes = sorted({p["box"] for p in places.values()} | set(work.locator.get("boxes", ())))
        due = date.fromisoformat(work.locator.get("due") or (self._as_of + timedelta(days=self._days)).isoformat())
        return Result(
            work.disposal_id,
            Outcome.MANUAL_PENDING,
            code="paper_destruction_order",
            until=due,
            count=len(papers),
            locator={
                "papers": papers,
                "boxes": boxes,
                "places": [places[i] for i in sorted(places)],
                "due": due.isoformat(),
            },
            verify_method="own_register",
        )


def _found(disposal_id: str, rows: Sequence[Any]) -> Found:
    locator = {
        "papers": sorted({r.paper_id for r in rows}),
        "boxes": sorted({r.box for r in rows}),
        "places": [place for _, place in sorted(_places(rows).items())],
    }
    return Found(disposal_id, Outcome.LOCATED, count=len(rows), locator=locator if rows else {})


def _places(rows: Sequence[Any]) -> dict[str, dict[str, str]]:
    """Return where each paper lies; a paper that was moved is where the register says now."""
    return {r.paper_id: {"paper_id": r.paper_id, "box": r.box, "location": r.location or ""} for r in rows}

"""How many requests a batch costs at Salesforce, by step.

`python -m tests.processors.salesforce_requests` prints the table for 500 people of every shape, each with an e-mail
and a phone number, in an organisation with person accounts, Individual, files, feed and custom objects."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from include.outcomes import Outcome
from include.processors import Work
from tests.processors.salesforce_world import Org, located, world

STEPS = ("open_jobs", "hard_delete", "open_leftover_jobs", "hard_delete_leftovers")
DELETES = re.compile(r"PUT .*/batches|DELETE .*|POST /services/Soap/.*")
"""The requests that carry rows to delete; opening and closing a job deletes nothing by itself."""


def counted(org: Org, people: int) -> dict[str, Counter[str]]:
    """Erase that many people and return the requests by step, each as method and path without ids."""
    subjects = [
        replace(org.seed(n, n, email=f"sample.person.{n:04d}@example.com"), phones=(f"010-0000-{n:04d}",))
        for n in range(people)
    ]
    found: dict[str, Counter[str]] = {}
    start = 0

    def lap(step: str) -> None:
        nonlocal start
        found[step] = Counter(_shape(r) for r in org.standin.requests[start:])
        start = len(org.standin.requests)

    work = [located(s, f) for s, f in zip(subjects, org.processor().locate(subjects), strict=True)]
    lap("locate")
    processor = org.processor()
    for step in STEPS:
        ready = [w for w in work if step in {s.name for s in processor.steps(w)}]
        results = {r.disposal_id: r for r in processor.act(step, ready)}
        assert {r.outcome for r in results.values()} <= {Outcome.ACCEPTED}
        work = [_with(w, results.get(w.disposal_id)) for w in work]
        lap(step)
    processor.read_back(work)
    lap("read_back")
    org.next_day()
    assert {r.outcome for r in org.read(work)} == {Outcome.CONFIRMED_ABSENT}
    lap("read_back a day later")
    return found


def _with(work: Work, result: object) -> Work:
    locator = getattr(result, "locator", None)
    return work if locator is None else replace(work, locator=locator)


def _shape(request: Mapping[str, object]) -> str:
    path = re.sub(r"/services/data/v[\d.]+", "", str(request["path"]).partition("?")[0])
    return f"{request['method']} {re.sub(r'/ingest/[^/]+', '/ingest/{job}', path)}"


def deletes(found: Mapping[str, Counter[str]]) -> int:
    """Return how many requests carried rows to delete."""
    return sum(n for counts in found.values() for shape, n in counts.items() if DELETES.fullmatch(shape))


def table(found: Mapping[str, Counter[str]], people: int) -> str:
    """Return the table that is printed."""
    lines = [f"{sum(counts.values()):>5}  {step}" for step, counts in found.items()]
    total, sent = sum(sum(c.values()) for c in found.values()), deletes(found)
    lines.append(f"{total:>5}  all: {total / people:.3f} per account (goal 0.333)")
    lines.append(f"{sent:>5}  of them with rows to delete: {sent / people:.3f} per account (goal 0.020)")
    return "\n".join(lines)


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with world() as organisation:
        sys.stdout.write(table(counted(organisation, number), number) + "\n")

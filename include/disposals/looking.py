"""Look: what the places hold for planned disposals, read and not recorded; the counts of a preview."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from include.disposals import previews
from include.disposals.context import Context
from include.disposals.locate import subject_of
from include.outcomes import Outcome
from include.policy.planner import PlannedDisposal
from include.processors import ProcessorContract, Work


def look(
    context: Context,
    planned: Sequence[PlannedDisposal],
    connect: Callable[[], ProcessorContract],
    *,
    end_user: str = "",
) -> list[dict[str, Any]]:
    """Return the preview's line of each planned disposal at one place: records found, steps, or why not read.

    A held disposal is looked at too: the preview says what the hold keeps.
    """
    known = context.accounts.identifiers({d.account_id for d in planned})
    subjects = [
        replace(subject_of(str(n), d, known.get(d.account_id)), end_user=end_user) for n, d in enumerate(planned)
    ]
    place = connect()
    place.check()
    lines = []
    for found in place.locate(subjects):
        one = planned[int(found.disposal_id)]
        located = found.outcome is Outcome.LOCATED
        work = Work(found.disposal_id, one.account_id, one.scope_id, one.datasets, found.locator)
        steps = [step.name for step in place.steps(work)] if located and found.count else []
        count = found.count if located else None
        code = None if located else found.code or str(found.outcome)
        lines.append(previews.line(one, context.schedule, count=count, steps=steps, code=code))
    return lines

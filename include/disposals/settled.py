"""What a person has put right at a place: the disposals that waited for it are taken up again by the next run.

    look_again(decision, processor="zendesk", code="requester_changed", by="compliance:e-0007")

Nothing is skipped by it: the place is read anew, and holds, dates and approvals are checked as before any act.
"""

from __future__ import annotations

from sqlalchemy import func, select, update

from include.database import among, disposal
from include.disposals.context import Context, Decision
from include.disposals.record import disposal_entry
from include.errors import DecisionRefused
from include.evidence.entries import is_code
from include.evidence.log import stage


def look_again(context: Context | Decision, *, processor: str, code: str, by: str) -> int:
    """Let every open disposal of `processor` that waits for a person under `code` go on; return how many.

    `by` is a role and a pseudonym. Refused, changing nothing, where none waits so.
    """
    role, _, pseudonym = by.partition(":")
    if not (is_code(role) and is_code(pseudonym)):
        raise DecisionRefused("People are named by role and pseudonym, such as compliance:e-0007.")
    with context.engine.begin() as connection:
        rows = connection.execute(
            select(disposal)
            .where(
                disposal.c.processor == processor,
                disposal.c.code == code,
                disposal.c.needs_person,
                disposal.c.closed_on.is_(None),
            )
            .order_by(disposal.c.disposal_id)
            .with_for_update()
        ).all()
        if not rows:
            raise DecisionRefused(
                f"No open disposal at {processor} waits for a person under {code}. The night's report lists the codes."
            )
        actor = {"role": role, "pseudonym": pseudonym}
        stage(connection, [disposal_entry(context, row, "released", code=code, actor=actor) for row in rows])
        connection.execute(
            update(disposal)
            .where(among(disposal.c.disposal_id, [r.disposal_id for r in rows]))
            .values(needs_person=False, due_at=context.as_of, updated_at=func.now())
        )
    return len(rows)

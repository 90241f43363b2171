"""What a night would newly plan, without planning it: reads only, nothing is stored.

tonight(context)      # {("zendesk", "R-14", "support", "due"): 12, ("stripe", "R-14", "payments", "held"): 1}
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import func, select

from include.database import disposal
from include.disposals.context import Context
from include.disposals.discover import newly_due


def tonight(context: Context) -> Counter[tuple[str, str, str, str]]:
    """Count what the night of `as_of` would act on, by processor, rule, scope and state.

    States: `due` and `held` would be planned anew; `open` are disposals planned earlier that fall due by `as_of`.
    """
    found: Counter[tuple[str, str, str, str]] = Counter()
    for planned in newly_due(context):
        found[planned.processor, planned.rule_id, planned.scope_id, "held" if planned.held_by else "due"] += 1
    with context.engine.connect() as connection:
        rows = connection.execute(
            select(disposal.c.processor, disposal.c.rule_id, disposal.c.scope_id, func.count())
            .where(disposal.c.closed_on.is_(None), disposal.c.due_at <= context.as_of)
            .group_by(disposal.c.processor, disposal.c.rule_id, disposal.c.scope_id)
        )
        for processor, rule_id, scope_id, count in rows:
            found[processor, rule_id, scope_id, "open"] += count
    return found

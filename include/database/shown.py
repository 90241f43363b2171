"""Indexes the console's pages read: what is open, what ended when, a DAG's runs, what waits for an answer.

With them a page counts from an index alone and never walks a table that grows with the years.
"""

from __future__ import annotations

from sqlalchemy import Index, text

from include.database import approval, disposal, run
from include.database.requests import request

_d = disposal.c
Index(
    "ix_disposal_open_shown", _d.processor, _d.outcome, _d.destroy_by, _d.due_at, _d.needs_person, _d.until, _d.code,
    postgresql_where=text("closed_on IS NULL"),
)  # fmt: skip
Index(
    "ix_disposal_ended", _d.closed_on, _d.processor, _d.outcome, _d.count_before,
    postgresql_where=text("closed_on IS NOT NULL"),
)  # fmt: skip
Index("ix_run_dag", run.c.dag_id, run.c.started_at, run.c.run_id)
Index("ix_request_open", request.c.due, postgresql_where=text("closed_on IS NULL"))
Index("ix_approval_open", approval.c.expires, postgresql_where=text("decision IS NULL"))

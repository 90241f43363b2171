"""Years of nights in our tables, made inside PostgreSQL: as many disposals as asked for, a tenth of them open.

    fill(engine, disposals=1_000_000, today=date(2026, 11, 24))
    python -m tests.console.volume [disposals]       # measures every page at that size and prints p50 and p95

Outcomes, places and days are spread as years of nights would leave them; nobody is in it.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, date, datetime
from statistics import quantiles
from typing import Any

from sqlalchemy import Engine, text

NIGHTS = 730
PLACES = "ARRAY['adroll','clarity','own_database','paper','s3','salesforce','stripe','zendesk']"
STATEMENTS = (
    """INSERT INTO retention.schedule_version (sha256, policy_text_sha256, body)
       VALUES (:sha, 'p', '\\x00') ON CONFLICT DO NOTHING""",
    """INSERT INTO retention.run (run_id, dag_id, airflow_run_id, as_of, schedule_sha256, accounts_scanned, due, held,
                                  first_entry, started_at, finished_at)
       SELECT md5('n' || n)::uuid, 'nightly_retention', 'scheduled__' || n, CAST(:today AS date) - n, :sha, 5000,
              :count / :nights, 3, 1 + (:count / :nights) * (:nights - 1 - n),
              CAST(:today AS timestamptz) - n * interval '1 day', CAST(:today AS timestamptz) - n * interval '1 day' + interval '1 hour'
       FROM generate_series(0, :nights - 1) n""",
    """INSERT INTO retention.night (run_id, as_of, schedule_sha256, counts, asked, decision)
       SELECT run_id, as_of, schedule_sha256, '{"stripe:r-14": 100, "zendesk:r-14": 90}', '{}', 'free'
       FROM retention.run""",
    f"""INSERT INTO retention.disposal (disposal_id, subject_tag, key_epoch, account_id, subject_type, processor, rule_id,
          rule_version, scope_id, trigger_event, trigger_date, last_day, free_from, destroy_by, datasets, categories,
          schedule_sha256, run_id, outcome, code, until, due_at, count_before, count_after, needs_person, closed_on,
          planned_at, updated_at)
       SELECT md5('d' || n)::uuid, encode(sha256(('t' || n / 8)::bytea), 'hex'), '2026',
              CASE WHEN n % 10 = 0 THEN 'a' || n / 8 END, 'individual', ({PLACES})[1 + n % 8], 'R-14', 1, 'scope',
              'terminated', day - 7, day - 7, day - 6, day, ARRAY['support'], ARRAY['D-08'], :sha,
              md5('n' || :nights - 1 - n * :nights / :count)::uuid,
              CASE WHEN n % 10 > 0 THEN (ARRAY['confirmed_absent','confirmed_absent','confirmed_absent',
                   'retained_by_processor','manual_attested','confirmed_absent','confirmed_absent'])[1 + n % 7]
                   ELSE (ARRAY['awaiting','blocked','planned','manual_pending','failed','accepted','expires_by_processor'])[1 + n / 10 % 7] END,
              CASE WHEN n % 70 = 10 THEN 'hold_h-2' END,
              CASE WHEN n % 10 = 0 AND n / 10 % 7 = 0 THEN day + 30 END,
              CASE WHEN n % 10 = 0 THEN day + (n / 10 % 5) END, n % 5, CASE WHEN n % 10 > 0 THEN 0 END,
              n % 10 = 0 AND n / 10 % 7 = 4, CASE WHEN n % 10 > 0 THEN day - 3 END,
              CAST(:today AS timestamptz), CAST(:today AS timestamptz)
       FROM (SELECT n, CAST(:today AS date) + 15 - ((:count - 1 - n) * CAST(:nights AS bigint) / :count)::int AS day
             FROM generate_series(0, :count - 1) n) made""",
    """INSERT INTO retention.entry (log_index, body, leaf_hash, disposal_id, recorded_at)
       SELECT n, convert_to('{"as_of":"2026-11-24","event":"confirmed_absent","processor":"zendesk","scope":"support",'
              || '"recorded_at":"2026-11-24T02:00:00Z","rule_id":"R-14","disposal_id":"' || md5('d' || n)::uuid || '"}', 'UTF8'),
              '\\x00', md5('d' || n)::uuid, CAST(:today AS timestamptz)
       FROM generate_series(0, :count - 1) n""",
    """INSERT INTO retention.batch (batch_id, run_id, processor, number)
       SELECT md5('b' || n)::uuid, md5('n0')::uuid, 'zendesk', n FROM generate_series(0, 13) n""",
    """INSERT INTO retention.batch_item (batch_id, disposal_id)
       SELECT md5('b' || n / 100)::uuid, md5('d' || :count - 1 - n)::uuid
       FROM generate_series(0, least(1369, :count - 1)) n""",
    """INSERT INTO retention.checkpoint (size, root, note, frontier) VALUES (:count, '\\x00', 'note', '{}')""",
    """INSERT INTO retention.hold (hold_id, account_id, kind, datasets, reason_code, placed_by, placed_on, review_due)
       SELECT md5('h' || n)::uuid, 'a' || n, 'H-2', '{}', 'unpaid', 'operator:e-a', CAST(:today AS date) - 10, CAST(:today AS date) + 20
       FROM generate_series(0, 4999) n""",
    """INSERT INTO retention.request (request_id, subject_tag, key_epoch, kind, channel, identity_check, received_on,
          clocks, due, legal_due, due_rule, status, notice_by, notice_state, overrides, datasets, closed_on)
       SELECT md5('r' || n)::uuid, encode(sha256(('t' || n)::bytea), 'hex'), '2026', 'erasure', 'web', 'login',
              CAST(:today AS date) - n % 700, '[]', CAST(:today AS date) - n % 700 + 9, CAST(:today AS date) - n % 700 + 10, 'kr',
              'answered', 'mail', 'sent', true, '{}', CASE WHEN n % 700 > 8 THEN CAST(:today AS date) - n % 700 + 5 END
       FROM generate_series(0, 9999) n""",
    """INSERT INTO retention.access_log (at, who, role, action, subject_tag)
       SELECT CAST(:today AS timestamptz) - n * interval '1 minute', 'e-a', 'operator', 'account_viewed', encode(sha256(('t' || n)::bytea), 'hex')
       FROM generate_series(0, 99999) n""",
)  # fmt: skip  # noqa: E501


def fill(engine: Engine, *, disposals: int, today: date) -> None:
    """Fill empty tables and let PostgreSQL learn what is in them, as its own clean-up does at night."""
    values = {"count": disposals, "nights": NIGHTS, "today": today, "sha": "a" * 64}
    with engine.begin() as connection:
        for statement in STATEMENTS:
            connection.execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))


def measured(page: Any, *, times: int = 40) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds of calling `page()`, the first call left out."""
    page()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        page()
        taken.append((time.perf_counter() - started) * 1000)
    cuts = quantiles(taken, n=20)
    return cuts[9], cuts[18]


def main() -> None:
    """Measure the pages that need no account at the size asked for."""
    from include import database
    from include.console.app import create_app
    from include.console.pages import pages
    from include.console.services import Services
    from include.sandbox.servers import PostgresServer, temporary_folder
    from tests.console.conftest import ROLES, FakeGate, Visit, capabilities

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    today = datetime(2026, 11, 24, 3, tzinfo=UTC)
    with temporary_folder("rt-volume-") as folder:
        server = PostgresServer(folder / "pg").start()
        try:
            server.create_database("retention")
            connection = server.connection("retention_db", "retention")
            engine = database.connect(connection)
            database.migrate(engine)
            started = time.perf_counter()
            fill(engine, disposals=count, today=today.date())
            print(f"{count} disposals in {time.perf_counter() - started:.0f} s")
            services = Services(lambda name: connection, now=lambda: today)
            app = create_app(FakeGate(), services)
            query = "?dag_id=nightly_retention&run_id=scheduled__0"
            for page in pages():
                for route in page.routes:
                    if route.method != "GET" or "{" in route.path:
                        continue
                    role = next(r for r in ("compliance", *ROLES) if route.capability in capabilities(r))
                    visit = Visit(app, role)
                    path = route.path + (query if page.slug in ("run", "dag") else "")
                    status = visit.get(path).status_code
                    half, most = measured(lambda v=visit, p=path: v.get(p))
                    print(f"{route.path or '/':<28} {status}  p50 {half:7.1f} ms   p95 {most:7.1f} ms")
            engine.dispose()
            services.engine.dispose()
        finally:
            server.stop()


if __name__ == "__main__":
    main()

"""A large company's state, made by SQL: `fill(engine, 1_000_000)` writes that many disposals and entries.

python -m tests.console.many 1000000          # fills a throw-away PostgreSQL and times every list of these pages
"""

from __future__ import annotations

import os
import sys
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from include import database
from include.console.reading import archive, decisions, evidence, runs
from include.evidence import finding, narrowing
from include.evidence.answers import Asked
from include.evidence.ask import EVERY
from include.evidence.finding import Wanted
from include.policy import schedule
from include.sandbox.servers import PostgresServer

DAY = date(2026, 11, 24)
RUN = UUID(int=7)
BODY = """
    json_build_object('as_of', (date '2025-11-24' + (n * 365 / :n)::int)::text, 'categories', '["D-08"]'::json,
        'count_before', 2, 'destroy_by', (date '2025-11-28' + (n * 365 / :n)::int)::text, 'disposal_id', id,
        'event', (array['planned','located','attempted','awaiting',
            CASE WHEN n / 5 % 20 = 0 THEN 'awaiting' ELSE 'confirmed_absent' END])[1 + n % 5],
        'free_from', (date '2025-11-24' + (n * 365 / :n)::int)::text, 'policy_sha256', repeat('ab', 32),
        'processor', (array['own_database','stripe','zendesk','salesforce','s3','adroll','clarity'])[1 + n % 7],
        'recorded_at', '2026-11-24T17:00:00Z', 'rule_id', (array['R-01','R-14','R-11'])[1 + n % 3],
        'run', json_build_object('run_id', '00000000-0000-0000-0000-00000000000' || (n * 7 / :n)),
        'subject_tag', md5(n::text) || md5(n::text))
"""
STATEMENTS = (
    """INSERT INTO retention.run (run_id, dag_id, airflow_run_id, as_of, schedule_sha256)
       VALUES ('00000000-0000-0000-0000-000000000007', 'nightly_retention', 'r', '2026-11-24', :sha)""",
    """INSERT INTO retention.disposal (disposal_id, subject_tag, key_epoch, account_id, subject_type, processor,
           rule_id, rule_version, scope_id, trigger_event, trigger_date, last_day, free_from, destroy_by, datasets,
           categories,
           schedule_sha256, run_id, outcome, closed_on)
       SELECT md5(n::text)::uuid, md5(n::text) || md5(n::text), '2026', 'a' || n, 'individual',
           (array['own_database','stripe','zendesk','salesforce','s3','adroll','clarity'])[1 + n % 7], 'R-14', 1, 's',
           'terminated', '2026-05-20', '2026-11-20', '2026-11-21', '2026-11-25', '{support}', '{D-08}', :sha,
           '00000000-0000-0000-0000-000000000007', CASE WHEN n % 100 = 0 THEN 'awaiting' ELSE 'confirmed_absent' END,
           CASE WHEN n % 100 = 0 THEN NULL ELSE date '2026-11-24' - (n % 300)::int END
       FROM generate_series(1, :n) AS n""",
    f"""INSERT INTO retention.entry (log_index, body, leaf_hash, disposal_id)
       SELECT n - 1, convert_to(b.j::text, 'UTF8'), sha256(convert_to(b.j::text, 'UTF8')), b.id
       FROM generate_series(1, :n) AS n, LATERAL (SELECT md5((n / 5 * 5)::text)::uuid AS id) AS i,
            LATERAL (SELECT i.id, {BODY} AS j) AS b""",
    """INSERT INTO retention.checkpoint (size, root, note, frontier) VALUES (:n, '\\x00', '', '{}')""",
    """INSERT INTO retention.hold (hold_id, account_id, kind, datasets, reason_code, placed_by, placed_on, review_due)
       SELECT md5('h' || n)::uuid, 'a' || n, 'H-6', '{}', 'court_order', 'operator:e-a', '2026-11-01',
              date '2026-11-01' + (n % 90)::int FROM generate_series(1, :n / 20) AS n""",
    """INSERT INTO retention.request (request_id, account_id, subject_tag, key_epoch, kind, channel, identity_check,
           received_on, clocks, due, legal_due, due_rule, status, notice_by, notice_state, overrides, datasets,
           closed_on)
       SELECT md5('r' || n)::uuid, 'a' || n, 'x', '2026', 'erasure', 'web', 'login', '2026-11-01', '[]',
              date '2026-11-01' + (n % 40)::int, '2026-11-11', 'c', 'received', 'mail', 'pending', false, '{}',
              CASE WHEN n % 10 > 0 THEN date '2026-11-20' END FROM generate_series(1, :n / 5) AS n""",
    """INSERT INTO retention.manual_request (request_id, processor, code, made_on, due)
       SELECT md5('m' || n)::uuid, 'paper', 'paper_destruction_order', '2026-11-01', date '2026-11-05' + (n % 60)::int
       FROM generate_series(1, :n / 1000) AS n""",
    """INSERT INTO retention.manual_order (order_id, request_id, box, records, answered_on)
       SELECT md5('o' || n)::uuid, md5('m' || (1 + n % (:n / 1000)))::uuid, 'B-' || n, 3,
              CASE WHEN n % 2 = 0 THEN date '2026-11-10' END FROM generate_series(1, :n / 20) AS n""",
    """INSERT INTO retention.archive_object (object_key, bucket, rule_id, window_end, rows, subjects, sha256,
           retain_until, last_day, destroy_by, storage_class, state, keys_at)
       SELECT 'archive/' || n, 'archive', (array['R-02i','R-03','R-04','R-05'])[1 + n % 4], '2030-01-06', 100, 20, 'x',
              now(), date '2026-11-01' + (n % 1800)::int, '2031-01-01', 'GLACIER_IR', 'checked', 'keys/' || n
       FROM generate_series(1, 5000) AS n""",
    "ANALYZE retention.disposal, retention.entry, retention.hold, retention.request, retention.manual_order",
)


def fill(engine: Engine, number: int) -> None:
    """Write `number` disposals and sealed entries, and holds, requests and orders in proportion."""
    loaded = schedule.load()
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO retention.schedule_version (sha256, policy_text_sha256, body) VALUES (:sha, '', :body)"),
            {"sha": loaded.sha256, "body": loaded.body},
        )
        for statement in STATEMENTS:
            connection.execute(text(statement), {"n": number, "sha": loaded.sha256})
    finding.catch_up(engine)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE retention.entry_find, retention.entry_life"))


def lists(engine: Engine, number: int) -> dict[str, Any]:
    """Return what the pages read, by name: each opens its own transaction as a page does."""
    now = reading_now()
    middle = number // 2

    def reading(call: Any) -> Any:
        def run() -> Any:
            with engine.connect() as connection:
                return call(connection)

        return run

    def search(wanted: Wanted, before: int | None = None) -> Any:
        return reading(
            lambda c: (finding.find(c, wanted, before=before, limit=51), finding.count(c, wanted),
                       finding.places(c), finding.rules(c), finding.events(c))
        )  # fmt: skip

    return {
        "evidence state": reading(evidence.state),
        "search all": search(Wanted()),
        "search deep": search(Wanted(), before=middle),
        "search processor": search(Wanted(processor="stripe")),
        "search processor and outcome": search(Wanted(processor="stripe", event="confirmed_absent")),
        "search what there is none of": search(Wanted(processor="stripe", event="failed")),
        "search three words": search(
            Wanted(processor="stripe", event="confirmed_absent", rule_id="R-11"), before=middle
        ),
        "search one day": search(Wanted(start=date(2026, 1, 5), end=date(2026, 1, 5))),
        "search old period and place": search(
            Wanted(start=date(2025, 12, 1), end=date(2026, 1, 5), processor="adroll", rule_id="R-01")
        ),
        "search late": search(Wanted(late=True)),
        "row": lambda: (narrowing.one(engine, middle), narrowing.life_of(engine, UUID(int=0))),
        "holds": reading(decisions.holds),
        "requests": reading(decisions.open_requests),
        "orders": reading(decisions.orders),
        "counts": reading(lambda c: decisions.counts(c, as_of=DAY, now=now)),
        "archive": reading(lambda c: archive.kept(c, as_of=DAY)),
        "archive groups": reading(archive.groups),
        "readers": reading(lambda c: archive.readings(c, before=None, limit=51)),
    }


def answers(engine: Engine) -> dict[str, Any]:
    """Return questions that stay small in a large log."""

    def ask(name: str, asked: Asked) -> Any:
        source = narrowing.NarrowSource(engine)
        return lambda: EVERY[name].answer(source.about(name, asked), asked)

    def run_of() -> Any:
        with engine.connect() as connection:
            row = connection.execute(text("SELECT *, NULL AS decision FROM retention.run LIMIT 1")).one()
            return runs.deeds(connection, row)

    return {
        "ask was-destroyed": ask("was-destroyed", Asked(tags=frozenset({"ab" * 32}))),
        "ask late": ask("late", Asked()),
        "ask due-not-done": ask("due-not-done", Asked(on=DAY.isoformat())),
        "ask unconfirmed": ask("unconfirmed", Asked()),
        "ask corrections": ask("corrections", Asked()),
        "ask reconcile": ask("reconcile", Asked()),
        "source": lambda: narrowing.NarrowSource(engine),
        "run": run_of,
        "ask holds": ask("holds", Asked(on=DAY.isoformat())),
    }


def reading_now() -> Any:
    """Return the moment the pages speak of."""
    from datetime import UTC, datetime

    return datetime(2026, 11, 24, 3, tzinfo=UTC)


def main(number: int) -> None:
    """Fill, then print the slowest, the 95th percentile and the median of twenty calls each, in milliseconds."""
    with TemporaryDirectory(prefix="rt-many-") as folder:
        server = PostgresServer(Path(folder) / "pg").start()
        try:
            server.create_database("many")
            engine = database.connect(server.connection("retention_db", "many"))
            database.migrate(engine)
            began = time.monotonic()
            fill(engine, number)
            print(f"{number:,} disposals and entries in {time.monotonic() - began:.0f} s")
            for name, call in (lists(engine, number) | answers(engine)).items():
                before = _cpu(engine)
                took = sorted(_timed(call) for _ in range(20))
                cpu = (_cpu(engine) - before) / 20
                print(
                    f"{name:<32} p50 {took[9]:7.1f}  p95 {took[18]:7.1f}  max {took[19]:7.1f} ms  server CPU {cpu:6.1f}"
                )
            engine.dispose()
        finally:
            server.stop()


def _cpu(engine: Engine) -> float:
    """Return the milliseconds of processor time the one connection's server process has used (Linux)."""
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main(int(sys.argv[1]))

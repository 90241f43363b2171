"""`make run`: one night over a seeded company inside real Airflow, from the schedule to verified evidence.

Leaves `.local/run-summary.json`, the export folder, and dumps of every store before and after the night.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

import httpx
from sqlalchemy import Engine, func, select

from include import accounts, database, keys
from include.database import archive_object, disposal, entry
from include.database import run as run_table
from include.disposals import Context, approving, holds
from include.disposals.reporting import export_run, summary, waiting_for_a_person
from include.evidence.people import add_people_files
from include.evidence.store import EvidenceStore
from include.evidence.tags import SubjectTags
from include.policy import schedule
from include.sandbox import airflow, company
from include.sandbox.stack import STANDINS, Stack, code_version

SEOUL = ZoneInfo("Asia/Seoul")
DAG = "nightly_retention"
BY_HAND = (
    "erase_account", "answer_request", "manage_holds", "answer_manual", "cpo_check", "after_restore",
    "offboard_processor",
)  # fmt: skip


def run(stack: Stack, *, as_of: date | None, accounts: int, seed: int) -> None:
    """Run one night and stop everything again; raise when anything is not as it should be."""
    started = time.monotonic()
    day = as_of or datetime.now(SEOUL).date()
    say(
        f"One night of retention, business date {day} (Asia/Seoul): seeded company -> plan -> processors -> evidence.\n"
        f"Logs: {stack.local}/logs and {stack.local}/airflow/logs. Afterwards `make ui` shows this night in Airflow."
    )
    stack.stop_remembered()
    stack.by_itself = False  # one night and no other, whatever hour it is
    _refuse_going_back(stack, day)
    try:
        with step("PostgreSQL, S3 and the stand-ins start"):
            stack.start_servers()
        with opened(stack, day) as context:
            _prepare_company(stack, context, accounts, seed)
            for name in STANDINS:
                httpx.put(stack.url(name) + "/_sandbox/clock", json={"date": day.isoformat()}).raise_for_status()
                down = (
                    [{"kind": "status", "times": 1_000_000}]
                    if name in os.environ.get("SANDBOX_DOWN", "").split(",")
                    else []
                )
                httpx.put(stack.url(name) + "/_sandbox/faults", json=down).raise_for_status()
            with step("every store is dumped to .local/dumps/before"):
                dump(stack, "before")
            with step("Airflow is prepared (database, pools, roles, demo users)"):
                airflow.prepare(stack)
            with step("Airflow starts (api-server, scheduler, dag-processor)"):
                airflow.start(stack)
            run_id, state = _night(stack, {"as_of": day.isoformat()} if as_of else {})
            with step("every store is dumped to .local/dumps/after"):
                dump(stack, "after")
            result = _summarize(stack, context, run_id, time.monotonic() - started)
            _verify(stack, Path(result["export_path"]))
            _certificate(context)
        if state != "success":
            raise RuntimeError(
                f"The night ended as {state}. `make ui` shows which task and why; the next `make run` goes on."
            )
        say(f"\nEvidence: {result['export_path']}\nSummary:  {stack.local}/run-summary.json")
        say("make ui   reopens this night in Airflow with its history.")
        _say_users(stack)
    finally:
        stack.stop()


def _refuse_going_back(stack: Stack, day: date) -> None:
    """Say at once what the DAG's first task would say after a minute."""
    path = stack.local / "run-summary.json"
    newest = json.loads(path.read_text())["as_of"] if path.exists() else ""
    if day.isoformat() < newest:
        raise RuntimeError(
            f"{day} is earlier than {newest}, which this sandbox already worked with. Business time never goes back: "
            f"run AS_OF={newest} make run, or start afresh with make clean."
        )


def ui(stack: Stack) -> None:
    """Start the same stack with Airflow's web interface and leave it running until `make stop`."""
    stack.stop_remembered()
    ports = (
        json.loads((stack.local / "ports.json").read_text()) if (stack.local / "ports.json").exists() else stack.ports
    )
    if ports["airflow"] != 8080 and _is_free(8080):
        stack.ports["airflow"] = 8080
    try:
        with step("PostgreSQL, S3 and the stand-ins start"):
            stack.start_servers()
        with opened(stack, datetime.now(SEOUL).date()) as context:
            _prepare_company(stack, context, int(os.environ.get("ACCOUNTS", "1000")), int(os.environ.get("SEED", "7")))
        with step("Airflow starts"):
            airflow.prepare(stack)
            airflow.start(stack)
        with step("the DAGs a person starts are unpaused"):
            for dag in BY_HAND:
                airflow.Api(stack, "admin").wait_for_dag(dag)
    except BaseException:
        stack.stop()
        raise
    say(f"\nAirflow: http://127.0.0.1:{stack.ports['airflow']}   (make stop ends it)")
    _say_users(stack)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _say_users(stack: Stack) -> None:
    say("Demo users: " + "  ".join(f"{user} / {stack.secret(f'user-{user}')}" for user in airflow.DEMO_USERS))


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    print(f"  {text} ...", end="", flush=True)
    started = time.monotonic()
    yield
    say(f" {time.monotonic() - started:.1f} s")


@contextmanager
def opened(stack: Stack, day: date) -> Iterator[Context]:
    """Yield a `Context` on the stack's databases, migrated."""
    engines: list[Engine] = [database.connect(stack.connections[n]) for n in ("retention_db", "accounts_db")]
    database.migrate(engines[0])
    company.create(engines[1])
    known = schedule.load()
    try:
        yield Context(
            engine=engines[0],
            accounts=accounts.Accounts(engines[1], known.processors["own_database"].settings),
            schedule=known,
            tags=SubjectTags(keys.epochs(stack.connections["evidence_tags"])),
            wrapper=keys.wrapper(stack.connections["archive_kek"]),
            as_of=day,
            version=code_version(stack.root),
        )
    finally:
        for engine in engines:
            engine.dispose()


def _prepare_company(stack: Stack, context: Context, count: int, seed: int) -> None:
    """Seed the company once; later nights find it as the last one left it."""
    marker = stack.local / "company.json"
    if not marker.exists():
        with step(f"a company of {count} accounts is seeded (seed {seed}) into every store"):
            made = company.generate(seed=seed, count=count, anchor=context.as_of)
            engine = database.connect(stack.connections["accounts_db"])
            company.load(engine, made)
            engine.dispose()
            company.seed_standins(
                made,
                urls={n: stack.url(n) for n in STANDINS},
                s3_connection=stack.s3.connection("s3", "admin", bucket="live"),
            )
            for h in company.holds(made):
                holds.place(
                    context,
                    hold_id=uuid5(NAMESPACE_URL, f"{h['account_id']}/{h['kind']}"),
                    placed_by="compliance:e-0001",
                    **h,
                )
        marker.write_text(json.dumps({"anchor": context.as_of.isoformat(), "accounts": count, "seed": seed}))
    # A sandbox has no customers to tell: its notice of a newer version went out in time by definition.
    notice = approving.Notice(context.as_of, "material", context.as_of - timedelta(days=31))
    approving.approve_schedule(context, role=context.schedule.privacy_officer_role, pseudonym="e-0001", notice=notice)


def _night(stack: Stack, conf: dict[str, str]) -> tuple[str, str]:
    """Trigger the nightly DAG and show its progress; return our run's Airflow id and its final state."""
    api = airflow.Api(stack, "admin")
    api.wait_for_dag(DAG)
    for unfinished in api.unfinished(DAG):
        say(f"  night {unfinished} was interrupted and goes on first:")
        _follow(stack, api, unfinished)
    run_id = api.trigger(DAG, conf)
    say(f"  night {run_id} runs:")
    return run_id, _follow(stack, api, run_id)


def _follow(stack: Stack, api: airflow.Api, run_id: str) -> str:
    """Show a night's progress until it ends, and let the second demo user answer what it asks; return its state."""
    started, shown, state = time.monotonic(), "", ""
    tasks: list[dict[str, Any]] = []
    second = SecondPerson(stack, run_id)
    for current, tasks in api.follow(DAG, run_id):
        second.look(tasks)
        state, line = current, _progress(tasks)
        if line != shown:
            say(f"    {time.monotonic() - started:5.0f} s  {line}")
            shown = line
    for failed in (t for t in tasks if t["state"] == "failed"):
        say(f"    failed: {failed['task_id']} {failed.get('rendered_map_index') or ''} (try {failed['try_number']})")
    return state


class SecondPerson:
    """The demo user `approver`, who answers the brake: a night started by `admin` cannot be let go by `admin`.

    SANDBOX_ANSWER (Approve, Reject or nothing) is what a test wants answered; it is no switch of the brake.
    """

    def __init__(self, stack: Stack, run_id: str) -> None:
        self.stack, self.run_id, self.since = stack, run_id, dict[str, float]()
        self.choice = os.environ.get("SANDBOX_ANSWER", "Approve")

    def look(self, tasks: list[dict[str, Any]]) -> None:
        """Answer a question that has waited long enough."""
        for task_id in (t["task_id"] for t in tasks if t["state"] == "awaiting_input"):
            if (
                time.monotonic() - self.since.setdefault(task_id, time.monotonic()) < airflow.HEARD_AFTER
                or not self.choice
            ):
                continue
            person = airflow.Api(self.stack, "approver")
            for asked in person.waiting_for_answer(DAG, self.run_id):
                if asked["task_id"] == task_id:
                    _quote(asked["body"] or "")
                    person.answer(DAG, self.run_id, task_id, self.choice)
                    say(f"    the demo user `approver` answered `{self.choice}` to {task_id} through the REST API")
            del self.since[task_id]


def _quote(body: str) -> None:
    """Show the question as the second person read it."""
    for line in body.splitlines():
        say(f"      {line}")


def _progress(tasks: list[dict[str, Any]]) -> str:
    """Return one line: done of all, then what runs now."""
    done = sum(t["state"] in airflow.ENDED for t in tasks)
    running = Counter(t["task_id"] for t in tasks if t["state"] == "running")
    words = [f"{n}×{c}" if c > 1 else n for n, c in sorted(running.items())]
    failed = sum(t["state"] in {"failed", "up_for_retry"} for t in tasks)
    return (
        f"{done}/{len(tasks)} tasks"
        + (f", {failed} in trouble" if failed else "")
        + (": " + ", ".join(words) if words else "")
    )


def dump(stack: Stack, when: str) -> None:
    """Write every store as JSON lines to `.local/dumps/<when>/`."""
    folder = stack.local / "dumps" / when
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in STANDINS:
        (folder / f"{name}.jsonl").write_bytes(
            httpx.get(stack.url(name) + "/_sandbox/dump", timeout=120).raise_for_status().content
        )
    engine = database.connect(stack.connections["accounts_db"])
    company.dump(engine, folder / "accounts.jsonl")
    engine.dispose()
    company.dump_bucket(stack.s3.connection("s3", "admin"), "live", folder / "live.jsonl")


def _summarize(stack: Stack, context: Context, airflow_run: str, seconds: float) -> dict[str, Any]:
    """Export (everything on the first night, else this night is exported by the DAG) and write the summary."""
    with context.engine.connect() as connection:
        row = connection.execute(select(run_table).where(run_table.c.airflow_run_id == airflow_run)).first()
        if row is None:
            raise RuntimeError("The night never began: see task begin in `make ui`, or .local/airflow/logs.")
        first = connection.execute(select(func.count()).select_from(run_table)).scalar_one() == 1
        archived = connection.execute(select(func.count()).where(archive_object.c.state == "checked")).scalar_one()
        size = connection.execute(select(func.count(entry.c.log_index))).scalar_one()
        held = connection.execute(select(func.count()).where(disposal.c.code.startswith("hold_"))).scalar_one()
    nightly = stack.local / "exports" / f"{context.as_of.isoformat()}-{str(row.run_id)[:8]}"
    folder = (
        export_run(
            context,
            stack.connections["evidence_signing"],
            None,
            stack.local / "exports",
            store=EvidenceStore.of(stack.connections["evidence_store"]),
            extras=add_people_files,
        )
        if first
        else nightly
    )
    result = {
        "as_of": context.as_of.isoformat(),
        "accounts_scanned": row.accounts_scanned,
        "due": row.due,
        "disposals": summary(context),
        "held": held,
        "archived_objects": archived,
        "evidence_size": size,
        "export_path": str(folder),
        "wall_seconds": round(seconds, 1),
    }
    (stack.local / "run-summary.json").write_text(json.dumps(result, indent=1, ensure_ascii=False))
    say("")
    for processor, outcomes in sorted(result["disposals"].items()):
        say(f"  {processor:>13}  " + "  ".join(f"{o} {n}" for o, n in sorted(outcomes.items())))
    people = waiting_for_a_person(context)
    if people:
        say("  a person must act: " + ", ".join(f"{p} {n}" for p, n in sorted(people.items())))
    return result


def _verify(stack: Stack, folder: Path) -> None:
    """Verify the export as an auditor would, in a process of its own that sees only the folder and the public key."""
    say("")
    vkey = (folder / "vkey").read_text().strip()
    done = subprocess.run(
        [sys.executable, "-m", "include.evidence", "verify", str(folder), "--vkey", vkey], cwd=stack.root, check=False
    )
    if done.returncode:
        raise RuntimeError(f"The evidence in {folder} does not verify.")


def _certificate(context: Context) -> None:
    """Say one destruction in words, as a certificate would."""
    with context.engine.connect() as connection:
        body = connection.execute(
            select(entry.c.log_index, entry.c.body)
            .where(
                func.convert_from(entry.c.body, "UTF8").like('%"count_before":_%"event":"confirmed_absent"%'),
                ~func.convert_from(entry.c.body, "UTF8").like('%"count_before":0,%'),
            )
            .order_by(entry.c.entry_id.desc())
            .limit(1)
        ).first()
    if body is None:
        return
    fields = json.loads(body.body)
    say(
        f"\nOne certificate in words: at {fields['processor']}, {fields.get('count_before', 0)} records of the subject "
        f"tagged {fields['subject_tag'][:12]}… were destroyed under rule {fields['rule_id']} "
        f"({fields['trigger_event']} on {fields['trigger_date']}, last day {fields['last_day']}, to be destroyed by "
        f"{fields['destroy_by']}); read back as absent at {fields['recorded_at']}, log index {body.log_index}."
    )

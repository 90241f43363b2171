"""Airflow of the local stack: its settings, processes, demo users and the REST calls `make run` needs."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from include import install, processors
from include.sandbox.servers import wait_for
from include.sandbox.stack import Stack, airflow_connection

DEMO_USERS = {
    "viewer": "RetentionViewer",
    "operator": "RetentionOperator",
    "approver": "RetentionApprover",
    "compliance": "RetentionCompliance",
    "admin": "RetentionAdmin",
}
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
HEARD_AFTER = 10.0
"""Seconds a question has to stand: Airflow loses an answer while the worker that asked still ends, some six seconds."""
SLOTS_PER_WORKER = 2
SURVIVAL = {
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "600",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "60",
}
"""After how many seconds a dead worker's task is taken from it (docs/operations.md); the compose file has the same."""
CELERY = {
    "CORE__EXECUTOR": "CeleryExecutor",
    "CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
    "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
}


def environment(stack: Stack) -> dict[str, str]:
    """Return the environment of every Airflow process of the stack."""
    port = stack.ports["airflow"]
    home = stack.local / "airflow"
    socket = stack.postgres.socket_dir
    settings = {
        "CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "CORE__DAGS_FOLDER": str(stack.dags),
        "CORE__PLUGINS_FOLDER": str(stack.root / "plugins"),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "4",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DEFAULT_TIMEZONE": "Asia/Seoul",
        # The audit log copies every request's body, refused ones too: what is typed into a form stays out of it.
        "CORE__SENSITIVE_VAR_CONN_NAMES": "conf,params_input,account_id",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(hashlib.sha256(stack.secret("fernet").encode()).digest()).decode(),
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres:@/airflow?host={socket}",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        "API__SECRET_KEY": stack.secret("api"),
        "API__INSTANCE_NAME": "Retention sandbox",
        "API_AUTH__JWT_SECRET": stack.secret("jwt"),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "SCHEDULER__USE_JOB_SCHEDULE": str(stack.by_itself),
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "SCHEDULER__JOB_HEARTBEAT_SEC": "2",
        "WORKERS__EXECUTION_API_TIMEOUT": "30",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        **SURVIVAL,
    }
    if stack.workers:
        settings |= CELERY | {
            "CELERY__BROKER_URL": stack.broker.url,
            "CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://postgres:@/airflow?host={socket}",
            "CELERY__WORKER_CONCURRENCY": str(SLOTS_PER_WORKER),
        }
    return {
        **stack.environment,
        "AIRFLOW_HOME": str(home),
        **{f"AIRFLOW__{k}": v for k, v in settings.items()},
        **{f"AIRFLOW_CONN_{n.upper()}": airflow_connection(c) for n, c in stack.connections.items()},
    }


def prepare(stack: Stack) -> None:
    """Migrate Airflow's own database, and create pools, roles and demo users; a second time nothing changes."""
    env = environment(stack)
    stamp = stack.local / "airflow" / ".prepared"
    known = Path(__file__).read_bytes() + install.ROLES.read_bytes()
    digest = hashlib.sha256(known + " ".join(processors.names()).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    _run(stack, env, "airflow", "db", "migrate")
    install.grant_reader(stack.connections["airflow_db_clean"], stack.connections["airflow_db"].login)
    pools = stack.local / "airflow" / "pools.json"
    pools.write_text(json.dumps(install.pools()))
    _run(stack, env, "airflow", "pools", "import", str(pools))
    _run(stack, env, sys.executable, "-m", "include.sandbox.users")
    stamp.write_text(digest)


def _run(stack: Stack, env: Mapping[str, str], *command: str) -> None:
    log = stack.local / "logs" / "prepare.log"
    log.parent.mkdir(exist_ok=True)
    (stack.local / "airflow").mkdir(exist_ok=True)
    with log.open("ab") as out:
        done = subprocess.run(command, env=dict(env), stdout=out, stderr=out, cwd=stack.root, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command[:3])}` ended with {done.returncode}; see {log}")


def start(stack: Stack) -> None:
    """Start api-server, scheduler, dag-processor and the stack's workers, and wait until the API answers."""
    env = environment(stack)
    stack.spawn("api-server", ["airflow", "api-server"], env)
    stack.spawn("dag-processor", ["airflow", "dag-processor"], env)
    start_scheduler(stack)
    for number in range(1, stack.workers + 1):
        start_worker(stack, number)
    wait_for(f"http://127.0.0.1:{stack.ports['airflow']}/api/v2/version", stack.processes["api-server"], seconds=180)


def start_scheduler(stack: Stack) -> None:
    """Start the scheduler, which reads its configuration (`stack.by_itself`) once."""
    stack.spawn("scheduler", ["airflow", "scheduler", "--skip-serve-logs"], environment(stack))


def start_worker(stack: Stack, number: int) -> None:
    """Start one Celery worker, a process group of its own as a worker is a machine of its own: `worker-<number>`."""
    name = f"worker-{number}"
    pid = stack.local / "airflow" / f"{name}.pid"
    pid.unlink(missing_ok=True)  # of one that was killed
    command = ["airflow", "celery", "worker", "--celery-hostname", f"{name}@%h", "--skip-serve-logs", "--pid", str(pid)]
    stack.spawn(name, command, environment(stack))


class Api:
    """Airflow's REST API as one demo user."""

    def __init__(self, stack: Stack, user: str) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{stack.ports['airflow']}", timeout=60)
        reply = self._client.post("/auth/token", json={"username": user, "password": stack.secret(f"user-{user}")})
        reply.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON answer of one call."""
        reply = self._client.request(method, f"/api/v2{path}", **arguments)
        if reply.is_error:
            raise RuntimeError(f"Airflow answered {reply.status_code} to {method} {path}: {reply.text[:300]}")
        return reply.json() if reply.content else None

    def wait_for_dag(self, dag_id: str, *, seconds: float = 120) -> None:
        """Wait until the dag-processor has parsed a DAG, and unpause it: a paused one never starts a manual run."""
        deadline = time.monotonic() + seconds
        while True:
            reply = self._client.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False})
            if reply.status_code == 200:
                return
            errors = self.call("GET", "/importErrors")["import_errors"]
            if errors or time.monotonic() > deadline:
                raise RuntimeError(f"DAG {dag_id} is not there: " + "; ".join(e["stack_trace"][-500:] for e in errors))
            time.sleep(1)

    def wait_for_right(self, dag_id: str, *, seconds: float = 180) -> None:
        """Wait until this user's own rights on a DAG stand: they are written a while after it was parsed.

        A body that can start nothing is answered 403 without the right, and otherwise in another way.
        """
        deadline = time.monotonic() + seconds
        while self._client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"conf": 1}).status_code == 403:
            if time.monotonic() > deadline:
                raise RuntimeError(f"This user has no right to start {dag_id}.")
            time.sleep(1)

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a manual run and return its id."""
        return str(
            self.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": dict(conf)})["dag_run_id"]
        )

    def unfinished(self, dag_id: str) -> list[str]:
        """Return the ids of a DAG's runs that have not ended, oldest first."""
        asked = {"state": ["queued", "running"], "order_by": "run_after", "limit": 100}
        found = self.call("GET", f"/dags/{dag_id}/dagRuns", params=asked)["dag_runs"]
        return [str(run["dag_run_id"]) for run in found]

    def waiting_for_answer(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the unanswered questions of a run, each with `task_id`, `subject` and `body`."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/hitlDetails", params={"response_received": "false"})[
            "hitl_details"
        ]
        return [{"task_id": h["task_instance"]["task_id"], "subject": h["subject"], "body": h["body"]} for h in found]

    def answer(self, dag_id: str, run_id: str, task_id: str, choice: str) -> None:
        """Answer one question as this user."""
        self.call(
            "PATCH",
            f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails",
            json={"chosen_options": [choice], "params_input": {}},
        )

    def follow(self, dag_id: str, run_id: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yield the run's state and its task instances every two seconds until it ends."""
        while True:
            state = str(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])
            tasks: list[dict[str, Any]] = []
            while True:
                page = self.call(
                    "GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 100, "offset": len(tasks)}
                )
                tasks += page["task_instances"]
                if not page["task_instances"] or len(tasks) >= page["total_entries"]:
                    break
            yield state, tasks
            if state in ENDED:
                return
            time.sleep(2)

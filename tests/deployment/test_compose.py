"""The compose file: every key is one the Compose specification knows, every command one the locked packages have."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from include import install, processors
from include.connections import Connection
from include.sandbox import compose
from tests.programs import needs

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: s for name, s in SERVICES.items() if "build" in s}
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}

# The parts of the Compose specification (compose-spec.io) this file uses, and the types they take there.
KNOWN: dict[str, tuple[type, ...]] = {
    "build": (str, dict), "image": (str,), "user": (str,), "env_file": (str, list), "environment": (dict, list),
    "secrets": (list,), "volumes": (list,), "depends_on": (list, dict), "cap_drop": (list,), "security_opt": (list,),
    "restart": (str,), "deploy": (dict,), "healthcheck": (dict,), "command": (str, list), "ports": (list,),
    "profiles": (list,), "stop_grace_period": (str,),
}  # fmt: skip
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
DURATION = re.compile(r"(\d+(us|ms|s|m|h))+")


@pytest.mark.parametrize("name", SERVICES)
def test_every_key_of_a_service_is_one_the_specification_knows(name: str) -> None:
    service = SERVICES[name]
    assert {k: type(v) for k, v in service.items() if not isinstance(v, KNOWN.get(k, ()))} == {}
    for value in service.get("environment", {}).values():
        assert isinstance(value, str), "YAML would turn it into something else"
    for other, wanted in dict(service.get("depends_on") or {}).items():
        assert set(wanted) == {"condition"}
        assert wanted["condition"] in CONDITIONS
        assert other in SERVICES
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        if not service.get("profiles"):
            assert not SERVICES[other].get("profiles"), "it would not start without the profile"
    health = service.get("healthcheck", {})
    assert set(health) <= {"test", "interval", "timeout", "retries", "start_period"}
    assert all(DURATION.fullmatch(health[k]) for k in ("interval", "timeout", "start_period") if k in health)
    if health:
        assert health["test"][0] in ("CMD", "CMD-SHELL")


def test_nothing_is_used_that_is_not_declared() -> None:
    assert set(FILE) == {"x-airflow", "x-health", "services", "secrets", "volumes"}
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(FILE["secrets"])
        named = {v.partition(":")[0] for v in service.get("volumes", ())}
        assert {v for v in named if not v.startswith(".")} <= set(FILE["volumes"])
        assert all((ROOT / v).exists() for v in named if v.startswith("."))


def test_services_run_as_nobody_special_within_limits_from_pinned_images() -> None:
    for name, service in SERVICES.items():
        assert service["user"] not in ("root", "0", "0:0"), name
        assert service["cap_drop"] == ["ALL"]
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
        tag = service["image"].rpartition(":")[2]
        assert tag not in ("latest", service["image"])
        assert name in OURS or re.fullmatch(r"\d+\.\d+(\.\d+)?", tag), f"{service['image']} moves"
        ends_by_itself = service.get("restart") == "no"
        assert ends_by_itself or "healthcheck" in service, name
    base = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM"))
    locked = re.search(r"^apache-airflow==([\d.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked
    assert base == f"FROM apache/airflow:{locked[1]}-python3.12"


def test_every_component_of_airflow_with_celery_is_there_and_the_sandbox_only_on_demand() -> None:
    assert AIRFLOW | {"init", "postgres", "redis"} == {n for n, s in SERVICES.items() if not s.get("profiles")}
    assert {n for n, s in SERVICES.items() if s.get("profiles")} == {"s3", "standins", "seed"}
    for name in AIRFLOW:
        assert SERVICES[name]["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
        assert SERVICES[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}


def test_no_secret_stands_in_the_file() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    assert not re.search(
        r"(PASSWORD|SECRET|TOKEN|FERNET_KEY|SQL_ALCHEMY_CONN|BROKER_URL|RESULT_BACKEND)\w*: (?!.*run/secrets)", text
    )
    used = {s for service in SERVICES.values() for s in service.get("secrets", ())}
    assert used == set(FILE["secrets"])


def test_each_command_is_one_airflow_accepts_and_each_module_is_there() -> None:
    """One process parses every command and health check with Airflow's own parser; nothing is started."""
    wanted, modules = [], []
    for service in OURS.values():
        command = service["command"]
        checked = service.get("healthcheck", {}).get("test", [""])[-1]
        if command[0] == "airflow":
            wanted.append(command[1:])
        else:
            assert command[:2] == ["python", "-m"]
            modules.append(command[2])
        if checked.startswith("airflow"):
            wanted.append(checked.replace('"$${HOSTNAME}"', "host").split()[1:])
    assert {w[0] for w in wanted} == {"api-server", "scheduler", "dag-processor", "triggerer", "celery", "jobs"}
    assert all(find_spec(module) for module in modules)
    parse = (
        "import json, sys\nfrom airflow.cli import cli_parser\nparser = cli_parser.get_parser()\n"
        "for command in json.loads(sys.argv[1]): parser.parse_args(command)\n"
        "from airflow.providers.celery.executors.celery_executor import app"  # what the worker's health check names
    )
    environment = {**os.environ, "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", parse, json.dumps(wanted)],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_airflow_reads_every_secret_from_its_file(tmp_path: Path) -> None:
    """With the file's own commands, their folder moved: a name Airflow does not treat as a secret would stay unread."""
    folder = tmp_path / "secrets"
    install.create_secrets(folder)
    commands = {k: v for k, v in FILE["x-airflow"]["environment"].items() if k.endswith("_CMD")}
    assert all(v == f"cat /run/secrets/{Path(v).name}" for v in commands.values())
    keys = {k.removeprefix("AIRFLOW__").removesuffix("_CMD").lower(): Path(v).name for k, v in commands.items()}
    read = (
        "import json, sys\nfrom airflow.configuration import conf\n"
        "print('RESULT' + json.dumps({k: conf.get(*k.split('__', 1)) for k in json.loads(sys.argv[1])}))"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    moved = {k: v.replace("/run/secrets", str(folder)) for k, v in commands.items()}
    done = subprocess.run(
        [sys.executable, "-c", read, json.dumps(list(keys))], capture_output=True, text=True, check=False, timeout=300,
        env={**clean, **moved, "AIRFLOW_HOME": str(tmp_path)},
    )  # fmt: skip
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT")), None)
    assert line, done.stderr[-2000:]
    assert json.loads(line.removeprefix("RESULT")) == {k: (folder / name).read_text() for k, name in keys.items()}
    assert set(keys.values()) | {"database_password", "redis_password"} == set(FILE["secrets"])


def test_secrets_are_made_once_and_reached_by_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert set(install.create_secrets(folder)) == set(FILE["secrets"])
    assert folder.stat().st_mode & 0o777 == 0o700
    before = {p.name: p.read_text() for p in folder.iterdir()}
    assert before["database_password"] in before["sql_alchemy_conn"]
    assert before["redis_password"] in before["broker_url"]
    assert len(set(before.values())) == len(before)
    install.create_secrets(folder)
    assert {p.name: p.read_text() for p in folder.iterdir()} == before


def test_the_sandboxs_environment_holds_every_connection_and_reaches_only_the_container_network(tmp_path: Path) -> None:
    path = compose.write_env(tmp_path / "secrets")
    assert path.stat().st_mode & 0o777 == 0o600
    lines = dict(line.split("=", 1) for line in path.read_text().splitlines())
    found = {n: Connection.from_json(n, v) for n, v in lines.items()}
    needed = {f"AIRFLOW_CONN_{n.upper()}" for n in (*install.STORES, *install.KEYS, *processors.names())}
    assert set(found) == needed
    hosts = {c.host or re.sub(r"https?://([^:/]+).*", r"\1", str(c.endpoint_url)) for c in found.values()} - {"None"}
    assert hosts == {"postgres", "s3", "standins"}
    assert json.loads(lines["AIRFLOW_CONN_RETENTION_DB"])["conn_type"] == "postgres"


def test_the_keys_of_a_new_deployment_are_made_once(tmp_path: Path) -> None:
    made = install.create_keys(tmp_path / "keys")
    assert {p.stat().st_mode & 0o777 for p in made} == {0o600}
    assert len({p.read_bytes() for p in made}) == len(made) == 4
    before = [p.read_bytes() for p in made]
    assert [p.read_bytes() for p in install.create_keys(tmp_path / "keys")] == before


def test_every_processor_has_a_pool_and_an_exclusive_one_a_single_slot() -> None:
    pools = install.pools()
    assert set(pools) == set(processors.names())
    assert pools["adroll"]["slots"] == 1
    assert pools["stripe"]["slots"] > 1


class Security:
    """What FAB's security manager does with roles, in memory."""

    def __init__(self) -> None:
        self.roles: dict[str, Any] = {}

    def sync_roles(self) -> None:
        pass

    def add_role(self, name: str) -> Any:
        return self.roles.setdefault(name, type("Role", (), {"permissions": []})())

    def create_permission(self, action: str, resource: str) -> Any:
        named = [type("Named", (), {"name": n})() for n in (action, resource)]
        return type("Permission", (), {"action": named[0], "resource": named[1]})()

    def add_permission_to_role(self, role: Any, permission: Any) -> None:
        if self.shown(permission) not in map(self.shown, role.permissions):
            role.permissions.append(permission)

    def remove_permission_from_role(self, role: Any, permission: Any) -> None:
        role.permissions.remove(permission)

    @staticmethod
    def shown(permission: Any) -> tuple[str, str]:
        return permission.action.name, permission.resource.name


def test_a_right_taken_out_of_roles_json_is_taken_from_the_role_and_one_on_a_single_dag_stays() -> None:
    security = Security()
    role = security.add_role("RetentionViewer")
    for right in (("can_delete", "Connections"), ("can_read", "DAG:nightly_retention")):
        security.add_permission_to_role(role, security.create_permission(*right))
    install.sync_roles(security)
    held = set(map(security.shown, role.permissions))
    assert held == install.rights()["RetentionViewer"] | {("can_read", "DAG:nightly_retention")}
    assert set(security.roles) == set(install.rights())


@needs("docker-compose")
@pytest.mark.parametrize("profile", [(), ("--profile", "sandbox")])
def test_docker_compose_itself_accepts_the_file(profile: tuple[str, ...], tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker-compose.yaml", tmp_path)
    shutil.copytree(ROOT / "compose", tmp_path / "compose")
    compose.write_env(tmp_path / "secrets")
    done = subprocess.run(
        ["docker-compose", *profile, "config", "--quiet"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "RETENTION_ENV": "secrets/sandbox.env"}, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_a_dead_workers_task_comes_back_as_soon_as_in_the_sandbox_where_that_was_tried() -> None:
    """tests/e2e/test_celery.py kills a worker under these very settings."""
    from include.sandbox.airflow import CELERY, SURVIVAL

    for service in ("scheduler", "worker"):
        environment = SERVICES[service]["environment"]
        assert {k: environment.get(f"AIRFLOW__{k}") for k in SURVIVAL | CELERY} == SURVIVAL | CELERY

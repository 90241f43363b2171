"""What stands before the first night and after every upgrade: `python -m include.install`; again, nothing changes.

    python -m include.install              # Airflow's tables, ours, a pool a processor, the roles of roles.json
    python -m include.install secrets DIR  # random secrets of a new deployment, as files
    python -m include.install keys DIR     # the signing key, the tag keys of this and next year, the archive's key

It makes no user: `airflow users create` makes the first administrator, single sign-on the others.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from include import database, keys, processors
from include.check.sources import from_airflow
from include.connections import Connection
from include.disposals.scan.sources import NOT_READ
from include.errors import ConfigurationError, RetentionError

ROLES = Path(__file__).parents[1] / "roles.json"
SLOTS = 4
STORES = ("retention_db", "accounts_db", "evidence_store", "archive_store", "airflow_db", "airflow_db_clean")
KEYS = ("evidence_signing", "evidence_tags", "archive_kek")


def main() -> None:
    """Carry one command out; trouble is one clear line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m include.install", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    for name, words in (("secrets", "random secrets of a new deployment"), ("keys", "the keys of a new deployment")):
        commands.add_parser(name, help=words).add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "secrets":
            print("\n".join(create_secrets(arguments.folder)))
        elif arguments.command == "keys":
            print("\n".join(str(path) for path in create_keys(arguments.folder)))
        else:
            _install()
    except RetentionError as error:
        sys.exit(str(error))


def _install() -> None:
    _airflow("db", "migrate")
    engine = database.connect(from_airflow("retention_db"))
    database.migrate(engine)
    engine.dispose()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(pools(), file)
        file.flush()
        _airflow("pools", "import", file.name)
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        sync_roles(builder.sm)
    _let_the_scan_read()
    lacking = absent()
    print("Tables, pools and roles are as this version needs them.")
    if lacking:
        print(f"Connections not there yet: {', '.join(lacking)} (docs/configuration.md).")
    print("Next: python -m include.check")


def _let_the_scan_read() -> None:
    """Grant what the self-scan needs, where both connections exist already and are two roles."""
    try:
        owner, reader = from_airflow("airflow_db_clean"), from_airflow("airflow_db")
    except ConfigurationError:
        return
    if owner.login != reader.login:
        grant_reader(owner, reader.login)


def _airflow(*arguments: str) -> None:
    done = subprocess.run([str(Path(sys.executable).with_name("airflow")), *arguments], check=False)
    if done.returncode:
        raise ConfigurationError(f"`airflow {' '.join(arguments[:2])}` ended with {done.returncode}; see above.")


def grant_reader(owner: Connection, role: str) -> None:
    """Let a role read Airflow's tables for the self-scan, but for secrets and staff; it is made where it is not there.

    `owner` is the connection of the role that owns the tables; what a later Airflow adds is readable too.
    """
    engine = database.connect(owner)
    with engine.begin() as session:
        quote = session.dialect.identifier_preparer.quote
        if not session.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar():
            session.execute(text(f"CREATE ROLE {quote(role)} LOGIN"))
        session.execute(text(f"GRANT USAGE ON SCHEMA public TO {quote(role)}"))
        session.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {quote(role)}"))
        session.execute(text(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {quote(role)}"))
        there = session.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
        for table in sorted(set(there) & set(NOT_READ)):
            session.execute(text(f"REVOKE SELECT ON public.{quote(table)} FROM {quote(role)}"))  # noqa: S608
    engine.dispose()


def pools() -> dict[str, dict[str, Any]]:
    """Return one pool a processor, as `airflow pools import` reads it; an exclusive one has a single slot."""
    return {
        name: {
            "slots": 1 if processors.load(name).exclusive else SLOTS,
            "description": f"Bound of parallel calls to {name}",
        }
        for name in processors.names()
    }


def rights(path: Path = ROLES) -> dict[str, set[tuple[str, str]]]:
    """Return what each role of roles.json may: `{role: {(action, resource)}}`."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    for row in json.loads(path.read_text()):
        wanted.setdefault(row["name"], set()).update((a, row["resource"]) for a in row["action"].split(","))
    return wanted


def sync_roles(security: Any) -> None:
    """Give each role of roles.json exactly its rights in FAB; those on single DAGs come from `access_control`."""
    security.sync_roles()
    for name, wanted in rights().items():
        role = security.add_role(name)
        for action, resource in sorted(wanted):
            security.add_permission_to_role(role, security.create_permission(action, resource))
        for held in list(role.permissions):
            given = (held.action.name, held.resource.name)
            if given not in wanted and ":" not in given[1]:
                security.remove_permission_from_role(role, held)


def absent() -> list[str]:
    """Return the connections a night needs that Airflow does not have."""
    found = []
    for name in (*STORES, *KEYS, *processors.names()):
        try:
            from_airflow(name)
        except ConfigurationError:
            found.append(name)
    return found


def create_secrets(folder: Path) -> list[str]:
    """Write what docker-compose.yaml reads as secrets and is not there yet; return the names of the files written.

    The folder is 0700, so that nobody else on this machine reaches the files; they are 0644, because a container's own
    user must read them once they are mounted.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    database_password = _secret(folder, "database_password", secrets.token_urlsafe(24))
    redis_password = _secret(folder, "redis_password", secrets.token_urlsafe(24))
    made = {
        "sql_alchemy_conn": f"postgresql+psycopg2://airflow:{database_password}@postgres/airflow",
        "result_backend": f"db+postgresql://airflow:{database_password}@postgres/airflow",
        "broker_url": f"redis://:{redis_password}@redis:6379/0",
        "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "jwt_secret": secrets.token_urlsafe(48),
        "api_secret_key": secrets.token_urlsafe(48),
    }
    for name, value in made.items():
        _secret(folder, name, value)
    return sorted(path.name for path in folder.iterdir())


def _secret(folder: Path, name: str, value: str) -> str:
    """Return the secret in a file, which is written only when it is not there."""
    path = folder / name
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(handle, "w") as file:
        file.write(value)
    return value


def create_keys(folder: Path) -> list[Path]:
    """Create the keys that are not there yet, mode 0600, as this user; return them all.

    Two copies of each belong in two places before the first night: what a lost key means stands in docs/backups.md.
    """
    year = datetime.now(ZoneInfo("Asia/Seoul")).year
    names = ["evidence_signing.key", "archive_kek.key", f"tags/{year}.key", f"tags/{year + 1}.key"]
    return [keys.create(folder / name) for name in names]


if __name__ == "__main__":
    main()

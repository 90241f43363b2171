"""The sandbox as containers (`docker compose --profile sandbox`): `env` on the host, `s3`, `standins`, `seed` inside.

    python -m include.sandbox.compose env secrets      # secrets and secrets/sandbox.env, before the first `up`
    python -m include.sandbox.compose s3 FOLDER        # a real S3 server, with the three buckets
    python -m include.sandbox.compose standins FOLDER  # the stand-ins of the processors' APIs
    python -m include.sandbox.compose seed             # 1,000 accounts into every store, once

Addresses come from the connections Airflow has. Nothing here is for a real company: most secrets are known to all.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from sqlalchemy import inspect, text

from include import accounts, database, install, keys
from include.check.sources import from_airflow
from include.connections import Connection
from include.disposals import Context, guards, holds
from include.errors import ConfigurationError
from include.evidence.tags import SubjectTags
from include.policy import schedule
from include.sandbox import company, standins
from include.sandbox.servers import S3_PORTS, S3Server
from include.sandbox.stack import BUCKETS, ORIGIN, STANDINS, airflow_connection
from include.sandbox.standin import Serving

ANYWHERE = "0.0.0.0"
S3_PORT = 8333
FIRST_STANDIN_PORT = 9001
ACCOUNTS, SEED = 1000, 7
KEYS = "/opt/retention/keys"


def main() -> None:
    """Serve until told to end, or seed once."""
    parser = argparse.ArgumentParser(prog="python -m include.sandbox.compose", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("s3", "standins"):
        commands.add_parser(name).add_argument("folder", type=Path)
    commands.add_parser("env").add_argument("folder", type=Path)
    commands.add_parser("seed")
    arguments = parser.parse_args()
    if arguments.command == "seed":
        _seed()
    elif arguments.command == "env":
        print(write_env(arguments.folder))
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        (_s3 if arguments.command == "s3" else _standins)(arguments.folder)


def ports() -> dict[str, int]:
    """Return the port of every stand-in inside the container network."""
    return {name: FIRST_STANDIN_PORT + n for n, name in enumerate(STANDINS)}


def write_env(folder: Path) -> Path:
    """Create the deployment's secrets and `sandbox.env` with every connection of the sandbox; return that file."""
    install.create_secrets(folder)
    path = folder / "sandbox.env"
    found = connections((folder / "database_password").read_text())
    path.touch(mode=0o600)
    path.write_text("".join(f"AIRFLOW_CONN_{c.name.upper()}={airflow_connection(c)}\n" for c in found))
    return path


def connections(password: str) -> list[Connection]:
    """Return every connection of the sandbox as containers see it; `password` is that of the PostgreSQL service."""
    databases = {
        "retention_db": "retention", "airflow_db": "airflow", "airflow_db_clean": "airflow",
        **dict.fromkeys(("accounts_db", "own_database", "paper"), "accounts"),
    }  # fmt: skip
    buckets = {
        "evidence_store": ("notary", "evidence"),
        "archive_store": ("archiver", "archive"),
        "s3": ("eraser", "live"),
    }
    keyed: dict[str, dict[str, str]] = {
        "evidence_signing": {"file": f"{KEYS}/evidence_signing.key", "origin": ORIGIN},
        "evidence_tags": {"folder": f"{KEYS}/tags"},
        "archive_kek": {"file": f"{KEYS}/archive_kek.key"},
    }
    s3 = {"endpoint_url": f"http://s3:{S3_PORT}", "region_name": "ap-northeast-2"}
    return [
        *(Connection(n, host="postgres", login="airflow", password=password, schema=d) for n, d in databases.items()),
        *(
            Connection(n, login=who, password=f"{who}-secret", extra=s3 | {"bucket": bucket})
            for n, (who, bucket) in buckets.items()
        ),
        *(Connection(n, extra=extra) for n, extra in keyed.items()),
        *(standins.connection(n, f"http://standins:{port}") for n, port in ports().items()),
    ]


def _s3(folder: Path) -> None:
    inner = {name: S3_PORT + 2 * n for n, name in enumerate(S3_PORTS)}
    server = S3Server(folder, inner, bind=ANYWHERE).start()
    try:
        for bucket, lock in BUCKETS.items():
            server.create_bucket(bucket, lock=lock)
        print(f"S3 on port {S3_PORT}: {', '.join(BUCKETS)}", flush=True)
        threading.Event().wait()
    finally:
        server.stop()


def _standins(folder: Path) -> None:
    serving = []
    for name, port in ports().items():
        serving.append(Serving(standins.load(name)(folder), port, host=ANYWHERE).__enter__())
        print(f"{name} on port {port}", flush=True)
    threading.Event().wait()


def _seed() -> None:
    """Fill an empty company and every processor; a company that is there already is left as it is."""
    install.create_keys(Path(KEYS))
    theirs = database.connect(from_airflow("accounts_db"))
    if not inspect(theirs).has_table("account"):
        company.create(theirs)
    with theirs.connect() as session:
        if session.execute(text("SELECT EXISTS (SELECT FROM account)")).scalar_one():
            print("The company is there already.")
            return
    urls = {name: _url(from_airflow(name)) for name in STANDINS}
    today = datetime.now(ZoneInfo("Asia/Seoul")).date()
    loaded = schedule.load()
    context = Context(
        engine=database.connect(from_airflow("retention_db")),
        accounts=accounts.Accounts(theirs, loaded.processors["own_database"].settings),
        schedule=loaded,
        tags=SubjectTags(keys.epochs(from_airflow("evidence_tags"))),
        wrapper=keys.wrapper(from_airflow("archive_kek")),
        as_of=today,
        dag_id="sandbox",
    )
    made = company.generate(seed=SEED, count=ACCOUNTS, anchor=today)
    company.seed_standins(made, urls=urls, s3_connection=from_airflow("s3"))
    guards.approve_schedule(context, role=loaded.privacy_officer_role, pseudonym="e-0001")
    company.load(theirs, made)
    for held in company.holds(made):
        hold_id = uuid5(NAMESPACE_URL, f"{held['account_id']}/{held['kind']}")
        holds.place(context, hold_id=hold_id, placed_by="compliance:e-0001", **held)
    print(f"{ACCOUNTS} accounts are seeded into {', '.join(('the databases', 's3', *STANDINS))}.")


def _url(connection: Connection) -> str:
    if not connection.endpoint_url:
        raise ConfigurationError(f"Connection {connection.name} leaves the sandbox: nothing is seeded there.")
    return connection.endpoint_url


if __name__ == "__main__":
    main()

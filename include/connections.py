"""Connections as plain values, so that only `tasks`, `retries` and `console` need Airflow.

`Connection` mirrors the fields of an Airflow connection. Its `extra` may carry `endpoint_url` (http allowed); then
*all* traffic of that connection goes there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from include.errors import ConfigurationError

if TYPE_CHECKING:
    from botocore.client import BaseClient

TIMEOUT_SECONDS = 30
USER_AGENT = "retention"
"""How we name ourselves in S3's access logs; boto3's own long name is put together again for every call."""

SCHEMES = {
    "": "postgresql+psycopg",
    "generic": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "sqlite": "sqlite",
    "mssql": "mssql+pymssql",
    "oracle": "oracle+oracledb",
}
"""Airflow's connection type -> SQLAlchemy's dialect and driver."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Connection:
    """One Airflow connection; secrets are left out of its `repr`."""

    name: str
    host: str = ""
    login: str = ""
    port: int | None = None
    schema: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    conn_type: str = ""

    @property
    def endpoint_url(self) -> str | None:
        """The address all traffic goes to instead of the vendor's own, without a trailing slash."""
        value = self.extra.get("endpoint_url")
        return str(value).rstrip("/") if value else None

    @property
    def is_loopback(self) -> bool:
        """Whether all traffic stays on this machine (a socket directory counts)."""
        host = urlsplit(self.endpoint_url).hostname if self.endpoint_url else self.host
        return host in LOOPBACK or (host or "").startswith("/") or str(self.extra.get("host", "")).startswith("/")

    def require(self, key: str) -> str:
        """Return `extra[key]`, or say which connection lacks it."""
        value = self.extra.get(key)
        if value in (None, ""):
            raise ConfigurationError(
                f"Connection {self.name}: its extra lacks {key!r}. Add it to the Airflow connection."
            )
        return str(value)

    @classmethod
    def of_airflow(cls, name: str, found: Any) -> Connection:
        """Return an Airflow connection (the SDK's or the model's) as a plain value."""
        return cls(
            name=name,
            host=found.host or "",
            login=found.login or "",
            port=found.port,
            schema=found.schema or "",
            password=found.password or "",
            extra=found.extra_dejson,
            conn_type=found.conn_type or "",
        )

    @classmethod
    def from_environment(cls, name: str, *, else_: str = "") -> Connection:
        """Return the connection of `AIRFLOW_CONN_<NAME>` in Airflow's JSON form, for a command outside any task.

        Raises `ConfigurationError` where it is not set, with `else_` as another way out, or is not JSON.
        """
        variable = f"AIRFLOW_CONN_{name.upper()}"
        text = os.environ.get(variable)
        if not text:
            raise ConfigurationError(
                f"{variable} is not set. Export it as Airflow has it{else_ or ', then run this again'}."
            )
        try:
            return cls.from_json(name, text)
        except ValueError:
            # The error would quote the text, and it holds secrets.
            raise ConfigurationError(f"{variable} is not JSON. Export it in Airflow's JSON form.") from None

    @classmethod
    def from_json(cls, name: str, text: str) -> Connection:
        """Parse the JSON form of `AIRFLOW_CONN_*`."""
        raw = json.loads(text)
        extra = raw.get("extra") or {}
        if isinstance(extra, str):
            extra = json.loads(extra)
        return cls(
            name=name,
            host=raw.get("host") or "",
            login=raw.get("login") or "",
            port=raw.get("port"),
            schema=raw.get("schema") or "",
            password=raw.get("password") or "",
            extra=extra,
            conn_type=raw.get("conn_type") or "",
        )


def database_url(connection: Connection) -> URL:
    """Return the SQLAlchemy URL of a database connection: PostgreSQL (psycopg 3) unless its type says otherwise.

    `extra.host` of a PostgreSQL connection may name a socket directory. For another kind (`SCHEMES`, or
    `extra.sqlalchemy_scheme` = `dialect+driver`) the fields host, login, password, port and schema are taken, and
    `extra.sqlalchemy_query`, an object of what the driver wants beside them; for SQLite the host is the file.
    """
    extra, scheme = connection.extra, str(connection.extra.get("sqlalchemy_scheme") or "")
    scheme = scheme or SCHEMES.get(connection.conn_type, "")
    if not scheme:
        raise ConfigurationError(
            f"Connection {connection.name}: no SQLAlchemy driver is known for type {connection.conn_type!r}. Name one "
            "in its extra, as sqlalchemy_scheme: dialect+driver."
        )
    query = {str(k): str(v) for k, v in dict(extra.get("sqlalchemy_query") or {}).items()}
    if scheme.startswith("sqlite"):
        return URL.create(scheme, database=connection.host or connection.schema, query=query)
    host, port = connection.host or None, connection.port
    if scheme.startswith("postgresql"):
        socket = extra.get("host") or (connection.host if connection.host.startswith("/") else None)
        host, port = (None, None) if socket else (host, port or 5432)
        query |= {"host": str(socket)} if socket else {}
    return URL.create(
        scheme, connection.login or None, connection.password or None, host, port, connection.schema or None, query
    )


def connect(connection: Connection) -> Engine:
    """Return an engine for a database connection; sessions of PostgreSQL run in UTC.

    `retention_db` is PostgreSQL; the company's accounts database may be of another kind. Raises `ConfigurationError`
    where the driver is not installed.
    """
    url = database_url(connection)
    utc = {"options": "-c timezone=UTC"} if url.get_backend_name() == "postgresql" else {}
    try:
        # An exception's text must not quote the person a query was about.
        return create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=utc)
    except (ArgumentError, NoSuchModuleError, ImportError):
        raise ConfigurationError(
            f"Connection {connection.name}: SQLAlchemy's driver {url.drivername!r} is not installed here. Install its "
            "package wherever tasks run, or name another one in the connection's extra, as sqlalchemy_scheme."
        ) from None


def s3_client(connection: Connection) -> BaseClient:
    """Return a boto3 S3 client; credentials empty means the machine's own role.

    With an `endpoint_url` its requests go there, past the machine's proxy too. Only where that role comes from (the
    instance's metadata, STS) is asked elsewhere, and not at all when the connection has login and password.
    """
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=connection.endpoint_url,
        aws_access_key_id=connection.login or None,
        aws_secret_access_key=connection.password or None,
        region_name=connection.extra.get("region_name", "ap-northeast-2"),
        config=Config(
            connect_timeout=TIMEOUT_SECONDS,
            read_timeout=TIMEOUT_SECONDS,
            retries={"max_attempts": 2, "mode": "standard"},
            proxies={} if connection.endpoint_url else None,
            user_agent=USER_AGENT,
            s3={"addressing_style": "path" if connection.endpoint_url else "auto"},
        ),
    )

"""Connections as plain values, so that only `tasks`, `retries` and `console` need Airflow.

`Connection` mirrors the fields of an Airflow connection. Its `extra` may carry `endpoint_url` (http allowed); then
*all* traffic of that connection goes there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from include.errors import ConfigurationError

if TYPE_CHECKING:
    from botocore.client import BaseClient

TIMEOUT_SECONDS = 30
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
        )

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
        )


def database_url(connection: Connection) -> str:
    """Return the SQLAlchemy URL (psycopg 3) of a PostgreSQL connection; `extra.host` may name a socket directory."""
    credentials = quote(connection.login, safe="")
    if connection.password:
        credentials += ":" + quote(connection.password, safe="")
    socket = connection.extra.get("host") or (connection.host if connection.host.startswith("/") else None)
    if socket:
        return f"postgresql+psycopg://{credentials}@/{connection.schema}?host={quote(str(socket), safe='/')}"
    return f"postgresql+psycopg://{credentials}@{connection.host}:{connection.port or 5432}/{connection.schema}"


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
            s3={"addressing_style": "path" if connection.endpoint_url else "auto"},
        ),
    )

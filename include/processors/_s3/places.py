"""Where an account's objects lie in S3, and what may never be named as such a place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from include.connections import Connection
from include.errors import ConfigurationError

DEFAULT_PREFIX = "accounts/{account_id}/"

_PREFIX = re.compile(r"(?:[^{}]*[/=_-])?\{account_id\}/(?:[^{}]*/)?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ALIASES = ("-s3alias", "--ol-s3", "--x-s3", "--table-s3")
"""Endings of access points, which may stand before any bucket, ours too."""
_TOO_LONG = 512


@dataclass(frozen=True, slots=True)
class Place:
    """One bucket and the prefix of an account in it; a replica is a place of its own.

    `connection` names another Airflow connection, for a bucket of another AWS account or at another address.
    """

    bucket: str
    template: str
    region: str | None = None
    connection: str | None = None

    def prefix(self, account_id: str) -> str:
        """Return the prefix of one account; it ends with a delimiter, so that 1 never reaches 10 or 1.bak."""
        return self.template.replace("{account_id}", account_id)


def usable(account_id: str) -> bool:
    """Return whether an account id can stand between delimiters and mean nothing else there."""
    return (
        0 < len(account_id.encode("utf-8", "surrogatepass")) <= _TOO_LONG
        and account_id.strip() == account_id
        and account_id not in (".", "..")
        and not set(account_id) & set("/\\{}")
        and not any(unicodedata.category(c) in ("Cc", "Cs") for c in account_id)
    )


def places(
    connection: Connection,
    settings: Mapping[str, Any],
    ours: frozenset[str],
    connect: Callable[[str], Connection],
) -> tuple[tuple[Place, Connection], ...]:
    """Return the places of the schedule, or the connection's own bucket and the usual prefix; never one of `ours`.

    Each comes with the connection it is reached by.
    """
    refused = ours | set(settings.get("refused_buckets", ()))
    raw = settings.get("places") or [{}]
    found = []
    for place in raw:
        its = connect(str(place["connection"])) if place.get("connection") else connection
        found.append((_place(its, place, refused), its))
    if len({(p.bucket, p.template, c.endpoint_url) for p, c in found}) < len(found):
        raise ConfigurationError("Schedule: processors.s3.settings.places names one place twice.")
    return tuple(found)


def _place(connection: Connection, raw: Mapping[str, Any], refused: frozenset[str]) -> Place:
    unknown = set(raw) - {"bucket", "prefix", "region_name", "connection"}
    if unknown:
        raise ConfigurationError(f"Schedule: processors.s3.settings.places: unknown key {sorted(unknown)[0]!r}.")
    bucket = str(raw.get("bucket") or connection.require("bucket"))
    if bucket in refused:
        raise ConfigurationError(
            f"Bucket {bucket!r} holds our archive or evidence and is never erased. Name the live bucket in the "
            f"schedule (processors.s3.settings.places) or in the connection {connection.name}."
        )
    if not _BUCKET.fullmatch(bucket) or bucket.endswith(_ALIASES):
        raise ConfigurationError(
            f"Connection {connection.name}: {bucket!r} is not the plain name of a bucket. An ARN or an alias of an "
            "access point may lead to any bucket; name the bucket itself."
        )
    template = str(raw.get("prefix") or DEFAULT_PREFIX)
    if not _PREFIX.fullmatch(template):
        raise ConfigurationError(
            f"Schedule: processors.s3.settings.places: prefix {template!r} must hold {{account_id}} between delimiters "
            "and end with one, else account 1 reaches the objects of 10."
        )
    return Place(bucket, template, raw.get("region_name"), raw.get("connection"))

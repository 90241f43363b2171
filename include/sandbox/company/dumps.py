"""Dumps of the accounts database and of a bucket as sorted JSON lines, to compare before and after a night."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.connections import Connection, s3_client
from include.sandbox.company.tables import COLUMNS, metadata

if TYPE_CHECKING:
    from sqlalchemy import Engine

THREADS = 8


def dump(engine: Engine, path: Path) -> int:
    """Write every row of the accounts database, sorted by table and primary key; return how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with engine.connect() as connection, path.open("w", encoding="utf-8") as file:
        for table in sorted(COLUMNS):
            keys = ", ".join(f'"{c.name}"' for c in metadata.tables[table].primary_key)
            rows = connection.execution_options(stream_results=True).exec_driver_sql(
                f'SELECT * FROM "{table}" ORDER BY {keys}'  # noqa: S608 - the names are our own
            )
            for row in rows.mappings():
                file.write(json.dumps({"table": table, **row}, ensure_ascii=False, sort_keys=True, default=str) + "\n")
                count += 1
    return count


def dump_bucket(connection: Connection, bucket: str, path: Path) -> int:
    """Write every version and delete marker of a bucket, sorted by key, with the bytes' SHA-256; return how many."""
    client = s3_client(connection)
    path.parent.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for kind, marker in (("Versions", False), ("DeleteMarkers", True)):
            entries += [
                {
                    "key": e["Key"],
                    "version_id": e["VersionId"],
                    "delete_marker": marker,
                    "latest": e["IsLatest"],
                    "size": e.get("Size"),
                    "etag": str(e.get("ETag", "")).strip('"') or None,
                }
                for e in page.get(kind, [])
            ]

    def digest(entry: dict[str, Any]) -> str | None:
        if entry["delete_marker"]:
            return None
        body = client.get_object(Bucket=bucket, Key=entry["key"], VersionId=entry["version_id"])["Body"].read()
        return hashlib.sha256(body).hexdigest()

    with ThreadPoolExecutor(THREADS) as pool:
        for entry, sha256 in zip(entries, pool.map(digest, entries), strict=True):
            entry["sha256"] = sha256
    entries.sort(key=lambda e: (e["key"], e["version_id"]))
    path.write_text(
        "".join(json.dumps(e, ensure_ascii=False, sort_keys=True) + "\n" for e in entries), encoding="utf-8"
    )
    return len(entries)

"""A log of its own per test: a fresh database and a prefix of its own in the real evidence bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from include.connections import s3_client
from include.evidence.log import seal, stage
from include.evidence.note import Checkpoint, Signer
from include.evidence.store import EvidenceStore
from include.sandbox.servers import S3Server
from tests.evidence import vectors

NOW = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)


@dataclass
class Log:
    """What a test needs of a log."""

    engine: Engine
    store: EvidenceStore
    signer: Signer
    client: Any

    def stage(self, entries: Sequence[Mapping[str, Any]]) -> list[int]:
        with self.engine.begin() as connection:
            return stage(connection, entries)

    def seal(self, **options: Any) -> Checkpoint:
        return seal(self.engine, self.store, self.signer, now=NOW, **options)

    def objects(self) -> list[str]:
        """Every object of this log, its prefix left out."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.store.bucket, Prefix=self.store.prefix
        )
        return sorted(o["Key"].removeprefix(self.store.prefix) for p in pages for o in p.get("Contents", []))

    def overwrite(self, key: str, body: bytes) -> None:
        """Do what only somebody with the bucket's keys could do."""
        self.client.put_object(Bucket=self.store.bucket, Key=self.store.prefix + key, Body=body)


@pytest.fixture
def log(engine: Engine, s3: S3Server) -> Log:
    connection = s3.connection("evidence_store", "notary", bucket="evidence")
    own = replace(connection, extra={**connection.extra, "prefix": f"{uuid4().hex}/"})
    admin = s3_client(s3.connection("evidence_store", "admin"))
    return Log(engine, EvidenceStore.of(own), Signer(vectors.SEED, vectors.NAME), admin)

"""The check refuses an archive store on which one writer can overwrite what another one wrote."""

from __future__ import annotations

from uuid import uuid4

import pytest

from include.archive.store import ArchiveStore
from include.check.stores import BODY, _only_what_was_read
from include.errors import ConfigurationError
from include.sandbox.servers import S3Server


class Heedless(ArchiveStore):
    """A store that takes every write, whatever its writer had read."""

    def save(self, key: str, body: bytes, replacing: str | None) -> None:
        found = self.load(key)
        super().save(key, body, found[1] if found else None)


@pytest.mark.parametrize("kind", [ArchiveStore, Heedless])
def test_a_store_that_ignores_conditions_is_refused(kind: type[ArchiveStore], s3: S3Server) -> None:
    store, key = kind.of(s3.connection("archive_store", "archiver", bucket="archive")), f"keys/{uuid4().hex}"
    store.save(key, BODY, None)
    _, etag = store.load(key) or (b"", "")
    if kind is Heedless:
        with pytest.raises(ConfigurationError, match="honours If-Match"):
            _only_what_was_read(store, key, etag)
    else:
        _only_what_was_read(store, key, etag)
    store.destroy(key)

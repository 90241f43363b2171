"""The bytes of an archive object: one line per subject, encrypted under that subject's own data key.

A line is `{"archive_tag", "nonce", "ciphertext"}` (base64); its plaintext is a JSON list of rows. The wrapped data
key is never in the object: without the database's `archive_key` and the key-encryption key the bytes say nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from include.archive.keyring import ArchiveKeys
from include.archive.rows import ArchivedRow
from include.archive.store import ArchiveStore
from include.errors import ArchiveError
from include.keys import KEY_BYTES, NONCE_BYTES

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One subject's part of an object, still encrypted."""

    archive_tag: str
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


class Body:
    """An object being built, on disk because a year end's group may not fit into memory; all of it is encrypted."""

    def __init__(self, object_key: str, keys: ArchiveKeys) -> None:
        self.object_key, self._keys = object_key, keys
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.rows = self.subjects = 0
        self._digest = hashlib.sha256()

    def add(self, archive_tag: str, rows: Sequence[bytes]) -> bytes:
        """Append one subject's rows under a fresh data key and return that key wrapped."""
        key, nonce = os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES)
        context = _context(self.object_key, archive_tag)
        ciphertext = AESGCM(key).encrypt(nonce, b"[" + b",".join(rows) + b"]", context.encode())
        encoded = b'{"archive_tag":"%b","ciphertext":"%b","nonce":"%b"}\n' % (
            archive_tag.encode(), base64.b64encode(ciphertext), base64.b64encode(nonce)
        )  # fmt: skip
        self.file.write(encoded)
        self._digest.update(encoded)
        self.rows += len(rows)
        self.subjects += 1
        return self._keys.wrapper.wrap(key, context)

    @property
    def sha256(self) -> str:
        """Base64 of the SHA-256 so far, as S3 takes and returns it."""
        return _text(self._digest.digest())

    def close(self) -> None:
        """Forget the bytes."""
        self.file.close()


def decrypt(line: Line, object_key: str, wrapped_key: bytes, keys: ArchiveKeys) -> list[ArchivedRow]:
    """Return the rows of one line, or raise when the line was moved, changed or belongs to another key."""
    context = _context(object_key, line.archive_tag)
    try:
        key = keys.wrapper.unwrap(wrapped_key, context)
        plain = AESGCM(key).decrypt(line.nonce, line.ciphertext, context.encode())
    except InvalidTag as error:
        raise ArchiveError(f"Archive object {object_key}: one subject's line does not open with its key.") from error
    return [ArchivedRow.of(row) for row in json.loads(plain)]


def lines(store: ArchiveStore, object_key: str, sha256: str) -> Iterator[Line] | None:
    """Read an object, compare its SHA-256 and return its lines; None where its class needs a restore first."""
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the iterator
    digest = hashlib.sha256()
    with store.reading(object_key) as stream:
        if stream is None:
            file.close()
            return None
        while chunk := stream.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
    if _text(digest.digest()) != sha256:
        file.close()
        raise ArchiveError(f"Archive object {object_key}: its bytes are not those that were written.")
    return _parsed(file)


def _parsed(file: IO[bytes]) -> Iterator[Line]:
    with file:
        file.seek(0)
        for text in file:
            raw = json.loads(text)
            yield Line(raw["archive_tag"], base64.b64decode(raw["nonce"]), base64.b64decode(raw["ciphertext"]))


def _context(object_key: str, archive_tag: str) -> str:
    return f"archive-object:{object_key}:{archive_tag}"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()

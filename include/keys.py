"""Keys: where they come from, and the envelope that keeps what we must store encrypted.

A key connection (`archive_kek`, `evidence_signing`, `evidence_tags`) names either a key file or an AWS KMS key:

    extra.file         a file of 32 bytes, mode 0600, owned by the user who runs this
    extra.folder       for yearly epochs: such files, named `<year>.key`
    extra.kms_key_id   a KMS key; then `kek` (base64) or the file holds 32 bytes *encrypted by KMS* (`aws kms encrypt`
                       with the encryption context `retention=<connection name>`), decrypted once per process

    wrapper = keys.wrapper(connection)
    sealed = keys.seal_bytes(b"...", wrapper, "locator:5c0e...")     # a fresh data key per call
    keys.open_sealed(sealed, wrapper, "locator:5c0e...")

The context is authenticated, not secret: a wrapped key moved to another row, object or purpose does not open.
"""

from __future__ import annotations

import base64
import os
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from include.connections import TIMEOUT_SECONDS, Connection
from include.errors import ConfigurationError, Unreachable

KEY_BYTES = 32
NONCE_BYTES = 12
EPOCH_FILE = re.compile(r"(\d{4})\.key")
KMS_PASSING = frozenset(
    {"ThrottlingException", "KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException"}
)


class Wrapper(Protocol):
    """A key-encryption key, wherever it lives."""

    def wrap(self, key: bytes, context: str) -> bytes:
        """Return `key` encrypted and bound to `context`; everything before its first colon is the purpose."""

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """Return the key wrapped under the same `context`, or raise `ConfigurationError`."""

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key for `purpose`, the same one as long as the key-encryption key lives."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A plaintext encrypted under a data key of its own, and that key wrapped."""

    wrapped_key: bytes
    nonce: bytes
    ciphertext: bytes = field(repr=False)


class LocalWrapper:
    """Wraps with AES-256-GCM under a key derived (HKDF-SHA256) per purpose from a key this process holds."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigurationError(f"A key-encryption key has {len(key)} bytes instead of {KEY_BYTES}.")
        self._key = key
        self._ciphers: dict[str, AESGCM] = {}

    def __repr__(self) -> str:
        return "LocalWrapper()"

    def wrap(self, key: bytes, context: str) -> bytes:
        """Return nonce and ciphertext in one piece."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(context).encrypt(nonce, key, context.encode())

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """Return the key, or say that this key-encryption key is not the one it was wrapped with."""
        nonce, body = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        try:
            return self._cipher(context).decrypt(nonce, body, context.encode())
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(
                f"A stored key (purpose {_purpose(context)!r}) does not open: another key-encryption key wrapped it, "
                "or it was moved or damaged. Restore the key file or KMS key this database was written with."
            ) from error

    def derive(self, purpose: str) -> bytes:
        """Return HKDF-SHA256 of the key for `purpose`."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"retention/v1/{purpose}".encode()).derive(self._key)

    def _cipher(self, context: str) -> AESGCM:
        purpose = _purpose(context)
        if purpose not in self._ciphers:
            self._ciphers[purpose] = AESGCM(self.derive(f"wrap/{purpose}"))
        return self._ciphers[purpose]


class KmsWrapper:
    """Asks a key service once per process for the key-encryption key, then wraps locally.

    One call per subject would cost KMS quota and hours: a night has more subjects than KMS answers in a minute.
    """

    def __init__(self, decrypt: Callable[[], bytes]) -> None:
        self._decrypt = decrypt
        self._lock = threading.Lock()
        self._local: LocalWrapper | None = None

    def __repr__(self) -> str:
        return "KmsWrapper()"

    def wrap(self, key: bytes, context: str) -> bytes:
        """Wrap locally."""
        return self._opened().wrap(key, context)

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """Unwrap locally."""
        return self._opened().unwrap(wrapped, context)

    def derive(self, purpose: str) -> bytes:
        """Derive locally."""
        return self._opened().derive(purpose)

    def _opened(self) -> LocalWrapper:
        with self._lock:
            if self._local is None:
                self._local = LocalWrapper(self._decrypt())
            return self._local


def wrapper(connection: Connection) -> Wrapper:
    """Return the wrapper a key connection names: KMS when it has `kms_key_id`, otherwise the key file."""
    if connection.extra.get("kms_key_id"):
        blob = _kms_blob(connection)
        return KmsWrapper(lambda: _kms_decrypt(connection, blob))
    return LocalWrapper(load(connection))


def seal_bytes(plaintext: bytes, wrapper: Wrapper, context: str) -> Sealed:
    """Encrypt `plaintext` under a fresh data key (AES-256-GCM) and wrap that key under `context`."""
    key, nonce = os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES)
    ciphertext = AESGCM(key).encrypt(nonce, plaintext, context.encode())
    return Sealed(wrapped_key=wrapper.wrap(key, context), nonce=nonce, ciphertext=ciphertext)


def open_sealed(sealed: Sealed, wrapper: Wrapper, context: str) -> bytes:
    """Return the plaintext sealed under the same `context`."""
    key = wrapper.unwrap(sealed.wrapped_key, context)
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, context.encode())
    except InvalidTag as error:
        raise ConfigurationError(
            f"Stored bytes (purpose {_purpose(context)!r}) are damaged or were moved. Restore them from a backup."
        ) from error


def load(connection: Connection) -> bytes:
    """Return the 32-byte key a connection names, from its file or decrypted by KMS."""
    if connection.extra.get("kms_key_id"):
        return _key_of(_kms_decrypt(connection, _kms_blob(connection)), connection.name)
    return _key_of(_private_bytes(Path(connection.require("file")), connection.name), connection.name)


def signing_seed(connection: Connection) -> bytes:
    """Return the Ed25519 seed of the evidence log (`evidence_signing`)."""
    return load(connection)


def epochs(connection: Connection) -> dict[str, bytes]:
    """Return the tag keys by year (`evidence_tags`), every epoch that still lives; files are `<year>.key`."""
    folder = Path(connection.require("folder"))
    if not folder.is_dir():
        raise ConfigurationError(
            f"Connection {connection.name}: {folder} is not a folder. Create it with <year>.key in it."
        )
    keys: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        match = EPOCH_FILE.fullmatch(path.name)
        if match is None:
            continue
        stored = _private_bytes(path, connection.name)
        if connection.extra.get("kms_key_id"):
            stored = _kms_decrypt(connection, stored)
        keys[match[1]] = _key_of(stored, f"{connection.name} ({path.name})")
    if not keys:
        raise ConfigurationError(f"Connection {connection.name}: {folder} holds no <year>.key. Create this year's key.")
    return keys


def create(path: Path) -> Path:
    """Create a key file of 32 random bytes, mode 0600, unless it exists; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path
    with os.fdopen(handle, "wb") as file:
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return path


def _purpose(context: str) -> str:
    return context.partition(":")[0]


def _key_of(value: bytes, name: str) -> bytes:
    if len(value) != KEY_BYTES:
        raise ConfigurationError(f"Key {name} has {len(value)} bytes instead of {KEY_BYTES}: restore the right file.")
    return value


def _private_bytes(path: Path, name: str) -> bytes:
    """Read a file only its owner may touch; whoever could read or replace it would own the archive or the log."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            mode = stat.S_IMODE(status.st_mode)
            if not stat.S_ISREG(status.st_mode) or mode != 0o600:
                raise ConfigurationError(f"Connection {name}: {path} has mode {mode:04o}. Run: chmod 0600 {path}")
            if status.st_uid != os.geteuid():
                raise ConfigurationError(
                    f"Connection {name}: {path} belongs to user {status.st_uid}, this runs as {os.geteuid()}. "
                    "Change its owner."
                )
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"Connection {name}: {path} cannot be read ({type(error).__name__}).") from error


def _kms_blob(connection: Connection) -> bytes:
    text = connection.extra.get("kek")
    if not text:
        return _private_bytes(Path(connection.require("file")), connection.name)
    try:
        return base64.b64decode(str(text), validate=True)
    except ValueError as error:
        raise ConfigurationError(f"Connection {connection.name}: extra 'kek' is not base64.") from error


def _kms_decrypt(connection: Connection, blob: bytes) -> bytes:
    """Let KMS decrypt the stored key; `KeyId` is given so that a blob of another key is refused."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "kms",
        endpoint_url=connection.endpoint_url,
        aws_access_key_id=connection.login or None,
        aws_secret_access_key=connection.password or None,
        region_name=connection.extra.get("region_name", "ap-northeast-2"),
        config=Config(
            connect_timeout=TIMEOUT_SECONDS,
            read_timeout=TIMEOUT_SECONDS,
            retries={"max_attempts": 3, "mode": "standard"},
        ),
    )
    try:
        answer = client.decrypt(
            CiphertextBlob=blob,
            KeyId=connection.require("kms_key_id"),
            EncryptionContext={"retention": connection.name},
        )
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in KMS_PASSING or status >= 500:
            raise Unreachable(
                "kms", code, status=status, advice="Nothing was changed; the next run tries again."
            ) from error
        raise ConfigurationError(
            f"Connection {connection.name}: KMS refused to decrypt the key-encryption key ({code}). "
            "Check the key id, the role's kms:Decrypt and the encryption context."
        ) from error
    except BotoCoreError as error:
        raise Unreachable(
            "kms", type(error).__name__, advice="Nothing was changed; the next run tries again."
        ) from error
    return bytes(answer["Plaintext"])

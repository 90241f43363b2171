"""Anchors: what the log's keeper cannot take back. A copy in WORM storage is made by the seal; here is the timestamp.

    authority = Authority.of(connection)                     # extra.endpoint_url, extra.roots, extra.chain
    anchor(engine, store, authority, vkey=..., entry={...})  # checkpoints/<size>.tsr, and an entry `anchored`

RFC 3161: the authority signs the SHA-256 of the checkpoint's bytes together with its own time, a nonce and its
certificate. The reply is checked before it is kept, and again by every auditor with OpenSSL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, func, or_, select

from include.connections import TIMEOUT_SECONDS, Connection
from include.database import entry as staged
from include.errors import ConfigurationError, EvidenceError, Unreachable, VerificationError
from include.evidence.log import latest, stage
from include.evidence.note import open_checkpoint
from include.evidence.store import COPIES, EvidenceStore, copy_key

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CHAIN = f"{COPIES}tsa-chain.pem"
MAX_REPLY = 1 << 16


@dataclass(frozen=True, slots=True)
class Authority:
    """A timestamp authority: its URL, the roots we trust it by, and intermediate certificates, both PEM."""

    url: str
    roots: bytes
    chain: bytes = b""
    login: str = ""
    password: str = ""

    @classmethod
    def of(cls, connection: Connection) -> Authority:
        """Return the authority of a connection; `extra.roots` and `extra.chain` name PEM files."""
        url = connection.endpoint_url or connection.host
        if not url.startswith(("https://", "http://")):
            raise ConfigurationError(
                f"Connection {connection.name}: extra.endpoint_url must be the timestamp authority's http(s) address."
            )
        files = [connection.require("roots"), str(connection.extra.get("chain") or "")]
        try:
            roots, chain = (Path(name).read_bytes() if name else b"" for name in files)
        except OSError as error:
            raise ConfigurationError(
                f"Connection {connection.name}: a PEM file named in extra cannot be read ({error.strerror})."
            ) from None
        return cls(url, roots, chain, connection.login, connection.password)


def stamp_key(size: int) -> str:
    """Return the object key of the timestamp over the checkpoint of `size` entries."""
    return f"{copy_key(size)}.tsr"


def request_stamp(authority: Authority, note: bytes) -> bytes:
    """Return an authority's checked reply (the bytes of a `.tsr` file) over the bytes of a checkpoint."""
    import httpx
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    builder = TimestampRequestBuilder().data(note).hash_algorithm(HashAlgorithm.SHA256)
    request = builder.nonce(nonce=True).cert_request(cert_request=True).build()
    try:
        reply = httpx.post(
            authority.url,
            content=request.as_bytes(),
            headers={"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
            auth=(authority.login, authority.password) if authority.login else None,
            timeout=TIMEOUT_SECONDS,
        )
    except httpx.HTTPError as error:
        raise Unreachable("evidence_tsa", type(error).__name__, advice="The next seal asks again.") from None
    if reply.status_code != 200 or len(reply.content) > MAX_REPLY:
        raise Unreachable("evidence_tsa", "no_reply", status=reply.status_code, advice="The next seal asks again.")
    check_stamp(authority, note, reply.content, request=request)
    return reply.content


def check_stamp(authority: Authority, note: bytes, reply: bytes, *, request: Any = None) -> datetime:
    """Return the time an authority put on a checkpoint, or raise `VerificationError`: not theirs, or not over it."""
    from rfc3161_client import VerificationError as BadStamp
    from rfc3161_client import VerifierBuilder, decode_timestamp_response

    builder = VerifierBuilder.from_request(request) if request is not None else VerifierBuilder()
    for root in certificates(authority.roots):
        builder = builder.add_root_certificate(root)
    for between in certificates(authority.chain):
        builder = builder.add_intermediate_certificate(between)
    try:
        response = decode_timestamp_response(reply)
        builder.build().verify_message(response, note)
        stamped: datetime = response.tst_info.gen_time
    except (BadStamp, ValueError) as error:
        raise VerificationError(
            "The timestamp authority's reply is not a stamp of this checkpoint under its roots. It was not kept."
        ) from error
    return stamped


def certificates(pem: bytes) -> list[Certificate]:
    """Return the certificates of a PEM file."""
    from cryptography.x509 import load_pem_x509_certificates

    if not pem.strip():
        return []
    try:
        return load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigurationError("Connection evidence_tsa: a certificate file is not PEM.") from error


def anchor(
    engine: Engine,
    store: EvidenceStore,
    authority: Authority,
    *,
    vkey: str,
    entry: Mapping[str, Any],
    lock_until: datetime | None = None,
) -> bool:
    """Have the newest checkpoint stamped, keep the stamp beside its WORM copy and record it; False: it was before.

    `entry` holds the base fields of the `anchored` entry (schema, recorded_at, as_of, run). A stamp that was kept by a
    process that died before it was recorded is not asked for again: its chain and its entry follow.
    """
    sealed = latest(engine)
    if not sealed.size:
        raise EvidenceError("Nothing is sealed yet, so there is no checkpoint to anchor.")
    shown = open_checkpoint(sealed.note, [vkey])
    key, note = stamp_key(shown.size), sealed.note.encode()
    kept = store.get(key)
    if kept is not None:
        reply = kept.body
        check_stamp(authority, note, reply)
        if _recorded(engine, shown.size):
            return False
    else:
        reply = request_stamp(authority, note)
        store.put_new(key, reply, retain_until=lock_until)
    if authority.chain and store.get(CHAIN) is None:
        store.put_new(CHAIN, authority.chain, retain_until=lock_until)
    fields = {
        "event": "anchored",
        "code": "rfc3161",
        "log_size": shown.size,
        "log_root": shown.root.hex(),
        "receipt_sha256": hashlib.sha256(reply).hexdigest(),
    }
    with engine.begin() as connection:
        stage(connection, [{**entry, **fields}])
    return True


def _recorded(engine: Engine, size: int) -> bool:
    """Whether an entry says that the newest checkpoint, over `size` entries, was stamped; such an entry follows it."""
    said = f'"event":"anchored","log_root":"%","log_size":{size},'
    later = or_(staged.c.log_index.is_(None), staged.c.log_index >= size)
    with engine.connect() as connection:
        found = connection.scalar(
            select(staged.c.entry_id).where(later, func.convert_from(staged.c.body, "UTF8").like(f"%{said}%")).limit(1)
        )
    return found is not None

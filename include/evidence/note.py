"""Signed notes and checkpoints (C2SP signed-note v1, tlog-checkpoint v1), Ed25519.

    signer = Signer(seed, "evidence.example/erasure")
    text = signer.sign(Checkpoint(signer.name, size, root).body())
    open_note(text, [signer.vkey])                     # the signed body, or VerificationError

A known key with a bad signature rejects the note, unknown keys are ignored, and no known good signature rejects it.
Base64 must be canonical, so no bit of a note can change unseen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from include.errors import ConfigurationError, VerificationError

ED25519 = b"\x01"
SIGNATURE_BYTES = 64
MAX_NOTE = 1_000_000
_NAME = re.compile(r"[^\s+\u2014]{1,200}")
_SIGNATURE = re.compile(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with its name, as a `vkey` line gives it."""

    name: str
    key_id: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How many entries the log has, and the root over them."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class Signer:
    """Signs notes with an Ed25519 `seed` of 32 bytes under the log's name (its origin)."""

    def __init__(self, seed: bytes, name: str) -> None:
        if len(seed) != 32:
            raise ConfigurationError(
                "Connection evidence_signing: an Ed25519 seed has 32 bytes. Restore the right file."
            )
        if not _NAME.fullmatch(name):
            raise ConfigurationError("Connection evidence_signing: origin must be one word without a plus sign.")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.name = name
        self._public = self._key.public_key().public_bytes_raw()
        self._key_id = key_id(name, self._public)

    def __repr__(self) -> str:
        return f"Signer({self.vkey})"

    @property
    def vkey(self) -> str:
        """The line an auditor gets once, by another route than the evidence."""
        return f"{self.name}+{self._key_id.hex()}+{base64.b64encode(ED25519 + self._public).decode()}"

    def sign(self, body: str) -> str:
        """Return `body` as a signed note; the same body gives the same bytes."""
        if not body.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in body):
            raise VerificationError("A note's text must end with a newline and hold no control characters.")
        payload = base64.b64encode(self._key_id + self._key.sign(body.encode())).decode()
        return f"{body}\n\u2014 {self.name} {payload}\n"


def key_id(name: str, public: bytes) -> bytes:
    """Return the four bytes that name a key in signature lines."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def decode_base64(text: str) -> bytes:
    """Return the bytes of canonical base64; raise `VerificationError` for any other spelling of the same bytes."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationError("This is not base64.") from error
    if base64.b64encode(value).decode() != text:
        raise VerificationError("This base64 is not in canonical form.")
    return value


def parse_vkey(text: str) -> Verifier:
    """Return the key of a `name+hash+base64` line."""
    name, _, rest = text.strip().partition("+")
    identity, _, encoded = rest.partition("+")
    data = decode_base64(encoded)
    if not _NAME.fullmatch(name) or not name.isprintable() or len(data) != 33 or data[:1] != ED25519:
        raise VerificationError("This vkey is not an Ed25519 key line (name+hash+base64).")
    verifier = Verifier(name, key_id(name, data[1:]), data[1:])
    if verifier.key_id.hex() != identity:
        raise VerificationError("This vkey's hash does not belong to its name and key.")
    return verifier


def open_note(text: str, vkeys: Iterable[str]) -> str:
    """Return the body of a note that at least one of `vkeys` signed; raise `VerificationError` otherwise."""
    body, block = _split(text)
    known = {(v.name, v.key_id): v for v in map(parse_vkey, vkeys)}
    good = 0
    for line in block.split("\n")[:-1]:
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise VerificationError("The note has a signature line of another form.")
        payload = decode_base64(match[2])
        if len(payload) < 5:
            raise VerificationError("The note has a signature line that is too short.")
        verifier = known.get((match[1], payload[:4]))
        if verifier is not None:
            _check(verifier, payload[4:], body)
            good += 1
    if not good:
        raise VerificationError("No known key signed this note.")
    return body


def open_checkpoint(text: str, vkeys: Iterable[str]) -> Checkpoint:
    """Return the checkpoint in a signed note whose origin is the name of a key that signed it."""
    keys = list(vkeys)
    lines = open_note(text, keys).split("\n")
    if len(lines) != 4 or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise VerificationError("The checkpoint is not origin, size and root.")
    checkpoint = Checkpoint(lines[0], int(lines[1]), decode_base64(lines[2]))
    if len(checkpoint.root) != 32 or checkpoint.origin not in {parse_vkey(k).name for k in keys}:
        raise VerificationError("The checkpoint belongs to another log or has no SHA-256 root.")
    return checkpoint


def _split(text: str) -> tuple[str, str]:
    """Return body (with its final newline) and signature lines, split at the last empty line."""
    if len(text) > MAX_NOTE or any(ord(c) < 0x20 and c != "\n" for c in text):
        raise VerificationError("The note is too long or holds control characters.")
    at = text.rfind("\n\n")
    if at < 1 or not text.endswith("\n") or at + 2 >= len(text):
        raise VerificationError("The note has no signature block.")
    return text[: at + 1], text[at + 2 :]


def _check(verifier: Verifier, signature: bytes, body: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature, body.encode())
    except (InvalidSignature, ValueError) as error:
        raise VerificationError("A known key's signature on this note is wrong.") from error

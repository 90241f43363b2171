"""Subject tags: keyed pseudonyms that can be opened for one person without showing the key.

A plain digest of an account id can be guessed; these cannot without the epoch's key. Keys are one per calendar year.
Tags are never re-keyed, because the log cannot change: a new epoch serves new entries, and destroying an epoch's key
ends linkability.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from include.errors import ConfigurationError, EvidenceError

KEY_LABEL = b"erasure-evidence/subject-key/v1"
TAG_LABEL = b"erasure-evidence/subject-tag/v1"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Opening:
    """What convinces an auditor about one person: `value` and its own key. It opens one tag and no other."""

    epoch: str
    kind: str
    value: str = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def tag(self) -> str:
        """The tag this opens; anybody can compute it."""
        return _tag(self.key, self.epoch, _suffix(self.epoch, self.kind, self.value))


class SubjectTags:
    """Computes tags under every key epoch that still lives; `keys` maps a year to its 32-byte key."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        wrong = [epoch for epoch, key in keys.items() if len(key) != KEY_BYTES or not epoch.isdigit()]
        if wrong or not keys:
            found = f"epochs {', '.join(wrong)} are wrong" if wrong else "no epoch at all"
            raise ConfigurationError(
                f"Connection evidence_tags: {found}. Each year needs one key of {KEY_BYTES} bytes."
            )
        self._keys = dict(sorted(keys.items()))

    def __repr__(self) -> str:
        return f"SubjectTags({', '.join(self._keys)})"

    @property
    def epochs(self) -> tuple[str, ...]:
        """The epochs that live, oldest first."""
        return tuple(self._keys)

    def current_epoch(self, day: date) -> str:
        """Return the epoch for entries of `day`, its calendar year; raise when that year has no key."""
        epoch = f"{day.year:04d}"
        if epoch not in self._keys:
            raise ConfigurationError(
                f"Connection evidence_tags: no key for {epoch}. Create it before the first run of that year."
            )
        return epoch

    def tag(self, value: str, *, epoch: str, kind: str = "account_id") -> str:
        """Return the tag of `value` under one epoch, 64 hex characters."""
        suffix = _suffix(epoch, kind, value)
        return _tag(self._subject_key(epoch, suffix), epoch, suffix)

    def all(self, value: str, *, kind: str = "account_id") -> dict[str, str]:
        """Return the tags of `value` under every epoch that lives: `{epoch: tag}`."""
        return {epoch: self.tag(value, epoch=epoch, kind=kind) for epoch in self._keys}

    def open(self, value: str, *, epoch: str, kind: str = "account_id") -> Opening:
        """Return the opening of one tag. Whoever calls this records `tag_opened`."""
        suffix = _suffix(epoch, kind, value)
        return Opening(epoch, kind, normalise(value, kind), self._subject_key(epoch, suffix))

    def _subject_key(self, epoch: str, suffix: bytes) -> bytes:
        key = self._keys.get(epoch)
        if key is None:
            raise ConfigurationError(
                f"Connection evidence_tags: the key of epoch {epoch} is not here or was destroyed."
            )
        return hmac.digest(key, KEY_LABEL + b"\x00" + suffix, "sha256")


def normalise(value: str, kind: str) -> str:
    """Return `value` as tags take it: an e-mail in lower case and NFC, an id as issued."""
    return unicodedata.normalize("NFC", value.lower()) if kind == "email" else value


def _suffix(epoch: str, kind: str, value: str) -> bytes:
    normal = normalise(value, kind)
    if not normal or "\x00" in normal or "\x00" in kind:
        raise EvidenceError(f"A tag needs a {kind} that is not empty and has no NUL in it.")
    return b"\x00".join((epoch.encode(), kind.encode(), normal.encode()))


def _tag(subject_key: bytes, epoch: str, suffix: bytes) -> str:
    # tag = H(label 00 k_s epoch 00 kind 00 value): no separator after k_s, whose length is fixed.
    return hashlib.sha256(TAG_LABEL + b"\x00" + subject_key + suffix).hexdigest()

"""The archive's keys: one wraps data keys, one makes tags, one makes record digests."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from include.keys import Wrapper


@dataclass(frozen=True, slots=True)
class ArchiveKeys:
    """`wrapper` is the archive's key-encryption key; tag and digest keys are derived from it and live as long.

    The archive tag is not the evidence tag: evidence epochs are destroyed after the evidence term, while rows of the
    archive must be found until their own last day.
    """

    wrapper: Wrapper

    @classmethod
    def of(cls, wrapper: Wrapper) -> ArchiveKeys:
        """Return the keys under one key-encryption key; a key service is asked only when they are first used."""
        return cls(wrapper)

    def tag(self, account_id: str) -> str:
        """Return the archive tag of an account: the same one for ever, meaningless without the key."""
        return self._digest("archive-tag", [account_id])

    def record(self, processor: str, kind: str, source_id: str) -> str:
        """Return the digest of a source record's identity; one place's record is one record, whoever extracts it."""
        return self._digest("archive-record", [processor, kind, source_id])

    def fingerprint(self, parts: Sequence[Any]) -> str:
        """Return the digest of what is kept and until when; it changes when the source or a clock changed."""
        return self._digest("archive-fingerprint", parts)

    def _digest(self, purpose: str, parts: Sequence[Any]) -> str:
        message = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        return hmac.new(self.wrapper.derive(purpose), message, hashlib.sha256).hexdigest()

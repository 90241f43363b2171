"""The evidence as an outside reader takes it: the entries, the tree they hash to, the signature, the tags of accounts.

Formats: RFC 6962 hashing, C2SP signed notes, and the keyed subject tags that can be recomputed with a year's key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Entry = dict[str, Any]
OUTCOMES = frozenset(
    {"planned", "blocked", "located", "archived", "attempted", "accepted", "awaiting", "confirmed_absent"}
    | {"confirmed_anonymised", "retained", "retained_by_processor", "expires_by_processor", "manual_pending"}
    | {"manual_attested", "failed", "reappeared"}
)


class Evidence:
    """Every entry of a sandbox's exports, in log order, and what they say of each disposal."""

    def __init__(self, local: Path, accounts: Iterable[str]) -> None:
        self.faults: list[str] = []
        self.raw = self._gather(local / "exports")
        self.entries: list[Entry] = [json.loads(line) for line in self.raw]
        self.disposals: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            if "disposal_id" in entry:
                self.disposals[entry["disposal_id"]].append(entry)
        owner = {tag: a for a in accounts for tag in tags(local / "keys" / "tags", a)}
        self.places: dict[tuple[str, str, str], list[list[Entry]]] = defaultdict(list)
        for course in self.disposals.values():
            account = owner.get(course[0]["subject_tag"], "")
            for dataset in course[0]["datasets"]:
                self.places[account, course[0]["processor"], dataset].append(course)
        self.owner = owner
        self.touched = {
            owner.get(e["subject_tag"], "")
            for e in self.entries
            if e["event"] == "attempted" and e["processor"] == "own_database"
        }

    def _gather(self, folder: Path) -> list[bytes]:
        found: dict[int, bytes] = {}
        for manifest in sorted(folder.glob("*/manifest.json")):
            first = json.loads(manifest.read_text())["first_index"]
            for index, line in enumerate((manifest.parent / "entries.jsonl").read_bytes().splitlines(), first):
                if found.setdefault(index, line) != line:
                    self.faults.append(f"log: entry {index} differs between two exports")
        if sorted(found) != list(range(len(found))):
            self.faults.append("log: the exports leave a gap")
        return [found[i] for i in sorted(found)]

    def covering(self, account: str, processor: str, dataset: str) -> list[list[Entry]]:
        """Return the entries of every disposal of this account at this place."""
        return self.places.get((account, processor, dataset), [])

    def attempted(self, account: str, processor: str, dataset: str) -> bool:
        """Return whether anything was attempted at this place."""
        return any(e["event"] == "attempted" for c in self.covering(account, processor, dataset) for e in c)


def last(course: Sequence[Entry]) -> Entry:
    """Return the newest outcome of a disposal."""
    return next(e for e in reversed(course) if e["event"] in OUTCOMES)


def tags(folder: Path, account: str) -> list[str]:
    """Return the account's tag under every yearly key in the folder."""
    found = []
    for key in sorted(folder.glob("*.key")):
        epoch = key.stem
        suffix = b"\x00".join((epoch.encode(), b"account_id", account.encode()))
        own = hmac.digest(key.read_bytes(), b"erasure-evidence/subject-key/v1\x00" + suffix, "sha256")
        found.append(hashlib.sha256(b"erasure-evidence/subject-tag/v1\x00" + own + suffix).hexdigest())
    return found


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the RFC 6962 root of the entries."""
    hashes = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not hashes:
        return hashlib.sha256().digest()
    while len(hashes) > 1:  # pair by pair; an odd last one rises unchanged
        pairs = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(hashes[::2], hashes[1::2], strict=False)]
        hashes = pairs + hashes[len(pairs) * 2 :]
    return hashes[0]


def check_log(evidence: Evidence, export: Path, size: int) -> list[str]:
    """Recompute the root, check the signature over it, and the digests of the export folder."""
    note, vkey = (export / "checkpoint").read_text(), (export / "vkey").read_text().strip()
    body, signatures = note.split("\n\n", 1)
    origin, count, printed = body.split("\n")
    found = list(evidence.faults)
    if not int(count) == size == len(evidence.raw):
        found.append(f"log: checkpoint {count}, summary {size}, entries {len(evidence.raw)} disagree")
    if base64.b64encode(root(evidence.raw)).decode() != printed:
        found.append("log: the recomputed root is not the checkpoint's")
    if not signed(body + "\n", signatures, vkey) or not vkey.startswith(f"{origin}+"):
        found.append("log: no good signature of the printed key")
    for name, told in json.loads((export / "manifest.json").read_text())["files"].items():
        if hashlib.sha256((export / name).read_bytes()).hexdigest() != told["sha256"]:
            found.append(f"log: {name} is not what the manifest says")
    return found


def signed(body: str, signatures: str, vkey: str) -> bool:
    """Return whether a C2SP note carries a good Ed25519 signature of this key."""
    name, _, key = vkey.split("+", 2)
    public = base64.b64decode(key)
    key_id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    for line in signatures.splitlines():
        _, signer, blob = line.split(" ")
        data = base64.b64decode(blob)
        if signer == name and data[:4] == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(data[4:], body.encode())
            except InvalidSignature:
                return False
            return True
    return False

#!/usr/bin/env python3
"""Verify an exported evidence folder offline, with nothing but Python 3.11 and that folder.

    python3 verify.py [FOLDER] [--vkey FILE_OR_TEXT] [--since OLD_CHECKPOINT] [--tsa ROOT.pem]
                                [--opening FILE] [--strict]

It recomputes everything it says: file digests, each entry's canonical bytes, the Merkle root, the signatures, every
ledger row, every date by the rules in `rules.json` and the Korean Civil Act, the counts per processor and of terminated
accounts, the list of what is still open, proofs and timestamps, and whether each destruction was planned, intended
before it was done, and not early. Exit 0: no flaw. 1: a flaw. 2: wrong usage. This file is longer than the others of
the project and imports none of them, because it is handed to auditors alone; the exporter writes ledger, counts and
open items with the classes from here, so that both sides mean the same row.
"""

from __future__ import annotations

import argparse
import base64
import gc
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from calendar import monthrange
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

SCHEMA = "erasure-evidence/1"
MANIFEST_SCHEMA = "erasure-evidence-export/1"
MANIFEST_NOTE = "erasure-evidence/manifest/v1"
RULES_SCHEMA = "erasure-evidence-rules/1"
PROOF_HEADER = "c2sp.org/tlog-proof@v1"
MAX_ENTRY, MAX_FLAWS = 65_535, 20
MAX_SMALL, MAX_NOTE = 16_000_000, 1_000_000
"""Bytes of a file that is read whole, and of a signed note: what is larger was not written by an exporter."""
MAX_SIGNATURES, MAX_HASHES = 100, 64
MAX_SHAPE = 4096
"""Bytes of an entry whose shape is remembered, so that hostile lines cannot fill the memory."""
BLOCK = 1 << 20
CLOCKS_DIFFER = timedelta(minutes=1)
"""How much earlier than the newest entry a timestamp may read, because two clocks are never the same."""
DESTROYED = frozenset({"confirmed_absent", "confirmed_anonymised"})
CLOSING = DESTROYED | {"retained_by_processor", "manual_attested", "cancelled"}
OFFICIAL = ("번호", "개인정보 파일명", "자료의 종류", "생성일", "폐기일", "폐기사유", "처리담당자", "처리부서장")
OURS = (
    "rule id", "legal basis", "trigger date", "last day", "destroy by", "days late", "system", "method",
    "verify result", "outcome", "log index", "subject tag", "checkpoint size",
)  # fmt: skip
_LINE = re.compile(rb"[\x21-\x3f\x41-\x5b\x5d-\x7e]+")  # printable ASCII without spaces, @ and backslash: no free text
_SIGNATURE = re.compile("\u2014 ([^\\s+]+) ([A-Za-z0-9+/]+={0,2})")


def closes(entry: dict[str, Any]) -> bool:
    """Return whether nothing is left to do after an entry of a disposal.

    What a processor keeps while a request to it is open (`until` is its due date) is not over.
    """
    event = entry["event"]
    if event == "retained_by_processor":
        return "until" not in entry
    return event in CLOSING or (event == "expires_by_processor" and entry.get("code") == "date_passed")


class Flaw(Exception):
    """Something in the folder is not what it should be."""


# Ed25519 (RFC 8032) for a Python without the cryptography package. Slow, but two signatures a folder are all there is.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_Point = tuple[int, int, int, int]


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(n: int, p: _Point) -> _Point:
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = _add(q, p)
        p, n = _add(p, p), n >> 1
    return q


def _point(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    xx = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(xx, (_P + 3) // 8, _P)
    if (x * x - xx) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - xx) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


_BASE_Y = 4 * pow(5, -1, _P) % _P


def ed25519_is_good(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether `signature` over `message` is by the key `public`, in Python only."""
    base, key = _point(_BASE_Y.to_bytes(32, "little")), _point(public)
    r, s = _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if len(public) != 32 or len(signature) != 64 or base is None or key is None or r is None or s >= _L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    left, right = _times(s, base), _add(r, _times(k, key))
    return not ((left[0] * right[2] - right[0] * left[2]) % _P or (left[1] * right[2] - right[1] * left[2]) % _P)


def _signed(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return ed25519_is_good(public, message, signature)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _decode(text: str, what: str) -> bytes:
    """Return the bytes of canonical base64; another spelling of the same bytes is a flaw: no bit may change unseen."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise Flaw(f"{what}: not base64") from None
    if base64.b64encode(value).decode() != text:
        raise Flaw(f"{what}: base64 not in canonical form")
    return value


def _read_vkey(text: str) -> tuple[str, bytes, bytes]:
    name, _, rest = text.strip().partition("+")
    identity, _, encoded = rest.partition("+")
    data = _decode(encoded, "vkey")
    if not name.isprintable() or not name or " " in name or len(data) != 33 or data[0] != 1:
        raise Flaw("vkey: not an Ed25519 key line (name+hash+base64)")
    key_id = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if key_id.hex() != identity:
        raise Flaw("vkey: its hash does not belong to its name and key")
    return name, key_id, data[1:]


def open_note(what: str, data: bytes, vkey: str) -> list[str]:
    """Return the lines of a C2SP signed note that the key signed."""
    name, key_id, public = _read_vkey(vkey)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Flaw(f"{what}: not text") from None
    at = text.rfind("\n\n")
    if at < 1 or not text.endswith("\n") or any(ord(c) < 32 and c != "\n" for c in text):
        raise Flaw(f"{what}: not a signed note")
    good, lines = False, text[at + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Flaw(f"{what}: more than {MAX_SIGNATURES} signatures")
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise Flaw(f"{what}: a signature line has another form")
        payload = _decode(match[2], what)
        if match[1] == name and payload[:4] == key_id:
            if good:
                raise Flaw(f"{what}: signed twice by {name}")
            if not _signed(public, text[: at + 1].encode(), payload[4:]):
                raise Flaw(f"{what}: the signature of {name} is wrong")
            good = True
    if not good:
        raise Flaw(f"{what}: not signed by the key {name}+{key_id.hex()}")
    return text[:at].split("\n")


def open_checkpoint(what: str, data: bytes, vkey: str) -> tuple[int, bytes]:
    """Return size and root of a signed checkpoint."""
    lines = open_note(what, data, vkey)
    if len(lines) != 3 or lines[0] != _read_vkey(vkey)[0] or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise Flaw(f"{what}: not origin, size and root of this log")
    root = _decode(lines[2], what)
    if len(root) != 32:
        raise Flaw(f"{what}: the root is not a SHA-256 hash")
    return int(lines[1]), root


def _leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def follows_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """Return the root that `proof` leads to from a leaf (RFC 9162, 2.1.3.2), or None if its length is wrong."""
    node, at, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            return None
        if at & 1 or at == last:
            node = _node(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = _node(node, sibling)
        at, last = at >> 1, last >> 1
    return node if last == 0 else None


def is_consistent(old: tuple[int, bytes], new: tuple[int, bytes], proof: list[bytes]) -> bool:
    """Return whether `proof` shows the tree `old` (size, root) to be the beginning of `new` (RFC 9162, 2.1.4.2)."""
    if old[0] == 0 or old[0] >= new[0]:
        return old[0] in (0, new[0]) and not proof and (old[0] == 0 or old[1] == new[1])
    hashes = list(proof)
    if old[0] & (old[0] - 1) == 0:
        hashes.insert(0, old[1])
    at, last = old[0] - 1, new[0] - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not hashes:
        return False
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = _node(sibling, first), _node(sibling, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = _node(second, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old[1] and second == new[1]


class Tree:
    """The Merkle tree of RFC 6962, growing leaf by leaf: only its perfect subtrees' roots are kept."""

    def __init__(self, size: int, roots: list[bytes]) -> None:
        self.size, self._roots = size, roots

    def add(self, entry: bytes) -> None:
        """Append the leaf of one entry."""
        node, size = _leaf(entry), self.size
        while size & 1:
            node, size = hashlib.sha256(b"\x01" + self._roots.pop() + node).digest(), size >> 1
        self._roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._roots:
            return hashlib.sha256(b"").digest()
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node


class Ledger:
    """Turns entries into rows of the 개인정보파일 파기 관리대장: the eight official columns, then ours.

    Only what was read back as gone, or as anonymised, is a destruction (폐기) and gets a row; everything else stands in
    the entries with its outcome. 폐기일 is the business date of the reading, not of the call. `method` is that of the
    last intent in this export. A row with nothing there before says so.
    """

    def __init__(self, size: int, titles: dict[str, str]) -> None:
        self._size, self._titles, self._rows = size, titles, 0
        self._methods: dict[str, str] = {}

    def header(self) -> bytes:
        """Return the first line, with the byte order mark that Korean Excel needs to see UTF-8."""
        return b"\xef\xbb\xbf" + _csv([*OFFICIAL, *OURS])

    def line(self, index: int, entry: dict[str, Any]) -> bytes | None:
        """Return the ledger's line for an entry, or None if it gets none."""
        disposal_id, event = entry["disposal_id"], entry["event"]
        if event == "attempted" and entry.get("method"):
            self._methods[disposal_id] = entry["method"]
        if event not in DESTROYED:
            if closes(entry):
                self._methods.pop(disposal_id, None)
            return None
        self._rows += 1
        return _csv([*self._official(entry), *self._ours(index, entry, self._methods.pop(disposal_id, ""))])

    def _official(self, entry: dict[str, Any]) -> list[str]:
        title, handler, head = self._title, entry.get("actor"), entry.get("approver")
        created = sorted({entry[k] for k in ("created_from", "created_to") if k in entry})
        return [
            str(self._rows),
            ", ".join(map(title, entry["datasets"])),
            ", ".join(map(title, entry["categories"])),
            " ~ ".join(created),
            entry["as_of"],
            f"{title(entry['rule_id'])} ({entry['trigger_event']} {entry['trigger_date']})",
            f"{handler['role']} {handler['pseudonym']}" if handler else self._titles.get("handler", "system"),
            f"{head['role']} {head['pseudonym']}" if head else self._titles.get("head", ""),
        ]

    def _ours(self, index: int, entry: dict[str, Any], method: str) -> list[str]:
        late = (date.fromisoformat(entry["as_of"]) - date.fromisoformat(entry["destroy_by"])).days
        before, after = entry.get("count_before"), entry.get("count_after")
        counts = f" {'?' if before is None else before} > {'?' if after is None else after}"
        return [
            entry["rule_id"],
            self._titles.get(f"law:{entry['rule_id']}", ""),
            entry["trigger_date"],
            entry["last_day"],
            entry["destroy_by"],
            str(max(late, 0)),
            entry["processor"],
            str(entry.get("method") or method),
            str(entry.get("verify_method", "read_back")) + counts + (" (nothing was there)" if before == 0 else ""),
            entry["event"],
            str(index),
            entry["subject_tag"],
            str(self._size),
        ]

    def _title(self, code: str) -> str:
        return self._titles.get(code, code)


FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""What starts a formula in a spreadsheet, also after blanks; the full-width forms do in Korean and Japanese ones."""


def _csv(cells: list[str]) -> bytes:
    return (",".join(map(_cell, cells)) + "\r\n").encode("utf-8", "replace")


def _cell(value: str) -> str:
    """Return a cell that stays on its line and cannot start a formula."""
    if not value.isprintable():
        value = "".join(c if c.isprintable() else " " for c in value)
    if value.lstrip()[:1] in FORMULA:
        value = "'" + value
    return '"' + value.replace('"', '""') + '"' if "," in value or '"' in value else value


class Counts:
    """Counts entries by event, those of disposals by processor: what `counts.json` says and every summary repeats."""

    def __init__(self) -> None:
        self._disposals: Counter[tuple[str, str]] = Counter()
        self._events: Counter[str] = Counter()

    def add(self, entry: dict[str, Any]) -> None:
        """Count one entry."""
        if "disposal_id" in entry:
            self._disposals[entry["processor"], entry["event"]] += 1
        else:
            self._events[entry["event"]] += 1

    def body(self) -> bytes:
        """Return the bytes of `counts.json`."""
        disposals: dict[str, dict[str, int]] = {}
        for (processor, event), count in self._disposals.items():
            disposals.setdefault(processor, {})[event] = count
        counts = {"disposals": disposals, "events": self._events}
        return (json.dumps(counts, indent=2, sort_keys=True) + "\n").encode()


TERMINATED = ("destroyed", "held", "kept", "not_yet_due", "not_done")
"""The classes of a night's reconciliation: every terminated account is in exactly one of them."""


class Terminations:
    """Checks that each night's counts of terminated accounts add up: `population` entries with code `reconciled`."""

    def __init__(self) -> None:
        self.nights, self.newest = 0, ""

    def take(self, entry: dict[str, Any]) -> str | None:
        """Take one entry; return what is wrong with it."""
        if entry["event"] != "population" or entry.get("code") != "reconciled":
            return None
        counts = entry.get("counts")
        named = ("terminated", "waiting", *TERMINATED)
        if not isinstance(counts, dict) or not all(type(counts.get(k)) is int and counts[k] >= 0 for k in named):
            return "reconciles terminated accounts without naming every class"
        if counts["terminated"] != sum(counts[k] for k in TERMINATED) or counts["waiting"] > counts["not_yet_due"]:
            return f"says {counts['terminated']} accounts are terminated, and its classes do not add up to that"
        self.nights += 1
        classes = " + ".join(f"{counts[k]} {k.replace('_', ' ')}" for k in TERMINATED)
        self.newest = f"{counts['terminated']} = {classes} on {entry['as_of']} ({counts['waiting']} wait for a date)"
        return None


class Lives:
    """Follows every disposal from plan to end; remembers only those still open."""

    OPEN = (
        "disposal", "system", "rule id", "trigger date", "last day", "destroy by", "outcome", "code", "as of",
        "log index", "subject tag",
    )  # fmt: skip

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.open: dict[str, dict[str, Any]] = {}
        self.ended: Counter[str] = Counter()
        self.late = self.earlier = 0

    def follow(self, index: int, entry: dict[str, Any]) -> str | None:
        """Take one entry of a disposal; return what is wrong with it."""
        event, disposal_id, identity = entry["event"], entry["disposal_id"], _identity_of(entry)
        life = self.open.get(disposal_id)
        if event == "planned":
            if life is not None:
                return "plans a disposal that is planned already"
            self.open[disposal_id] = {"identity": identity, "planned": True, "attempted": False}
            self._note(self.open[disposal_id], index, entry)
            return None
        if life is None:
            if self.whole and (event == "attempted" or event in DESTROYED):
                return f"{event} without a plan before it"
            self.earlier += event != "reappeared"
            life = self.open[disposal_id] = {"identity": identity, "planned": False, "attempted": False}
        if life["identity"] != identity:
            return "names another subject, place, reason or date than the plan of the same disposal"
        self._note(life, index, entry)
        return self._judge(event, entry, life, disposal_id)

    @staticmethod
    def _note(life: dict[str, Any], index: int, entry: dict[str, Any]) -> None:
        life["last"] = (entry["event"], entry.get("code", ""), entry["as_of"], index, entry.get("recorded_at", ""))

    def _judge(self, event: str, entry: dict[str, Any], life: dict[str, Any], disposal_id: str) -> str | None:
        problem = None
        if event == "attempted":
            life["attempted"] = True
            if entry["as_of"] < entry["free_from"]:
                problem = f"acts on {entry['as_of']}, before {entry['free_from']}"
        if event in DESTROYED:
            self.late += entry["as_of"] > entry["destroy_by"]
            if life["planned"] and not life["attempted"] and entry.get("count_before") != 0:
                problem = f"{event} without an intent before it"
        if closes(entry):
            self.ended[event] += 1
            del self.open[disposal_id]
        return problem

    def rows(self) -> Iterator[bytes]:
        """Yield the lines of `open.csv`: what has no end yet, in the order it was planned."""
        yield b"\xef\xbb\xbf" + _csv(list(self.OPEN))
        for disposal_id, life in self.open.items():
            named = dict(zip(_IDENTITY, life["identity"], strict=True))
            first = [disposal_id, *(named[k] for k in ("processor", "rule_id", "trigger_date", "last_day"))]
            last = [named["destroy_by"], *map(str, life["last"][:4])]
            yield _csv([*first, *last, named["subject_tag"]])


_IDENTITY = (
    "subject_tag", "processor", "scope", "rule_id", "trigger_event", "trigger_date", "last_day", "free_from",
    "destroy_by",
)  # fmt: skip
_identity_of = itemgetter(*_IDENTITY)
_day = lru_cache(maxsize=1 << 14)(date.fromisoformat)


class Rules:
    """Recomputes the dates of a plan from `rules.json`: the Civil Act's periods (민법 157-161), nothing else.

    The first day is the one after the trigger. A period of months ends the day before the day that corresponds to its
    first, or at the month's end where that day does not exist. A statutory minimum that ends on a Saturday or holiday
    ends on the next working day. Only a floor of another rule or a released hold, named in the plan with its date,
    makes a last day later; nothing makes it earlier.
    """

    def __init__(self, data: bytes) -> None:
        read = read_json("rules.json", data)
        try:
            if read["schema"] != RULES_SCHEMA:
                raise ValueError
            holidays = {
                v: (_whole(t["first_year"]), _whole(t["last_year"]), set(t["days"]))
                for v, t in read["holidays"].items()
            }
            self._policies = {k: _Policy(p, holidays[p["holidays"]]) for k, p in read["policies"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Flaw(f"rules.json: not rules of {RULES_SCHEMA}") from None
        self._expected = lru_cache(maxsize=1 << 15)(self._compute)
        self.checked = self.moved = self.unplanned = 0
        self.unknown: Counter[str] = Counter()

    def judge(self, entry: dict[str, Any]) -> str | None:
        """Return what is wrong with the dates of a plan, or of the first entry we see of a disposal."""
        policy = entry.get("policy_sha256", "")
        if policy not in self._policies:
            self.unknown[policy] += 1
            return None
        found = self._policies[policy]
        try:
            last, floors = self._expected(
                policy, entry["rule_id"], entry.get("rule_version"), entry["scope"], entry["trigger_event"],
                entry["trigger_date"],
            )  # fmt: skip
            moved = [found.moved(m["code"], _day(m["date"]), floors) for m in entry.get("moved_by", ())]
        except Flaw as flaw:
            return str(flaw)
        later = max(moved, default=last)
        if moved and later <= last:
            return "names a floor or a hold that moves nothing"
        self.checked, self.moved = self.checked + 1, self.moved + bool(moved)
        return self._compare(entry, max(last, later), found.within)

    def _compare(self, entry: dict[str, Any], last: date, within: int) -> str | None:
        said = _day(entry["last_day"])
        if said > last and entry["event"] != "planned":
            # Its plan, which would name the floor or hold, lies before this export.
            self.unplanned, last = self.unplanned + 1, said
        try:
            right = [(last + timedelta(days=n)).isoformat() for n in (0, 1, within)]
        except OverflowError:
            return "has a date no calendar knows"
        if [entry["last_day"], entry["free_from"], entry["destroy_by"]] != right:
            given = f"{said}, {entry['free_from']}, {entry['destroy_by']}"
            return f"has last day, free from and destroy by {given}; by {entry['rule_id']} they are {', '.join(right)}"
        return None

    def _compute(
        self, policy: str, rule_id: str, version: int, scope: str, event: str, trigger: str
    ) -> tuple[date, list[str]]:
        found = self._policies[policy]
        if rule_id not in found.rules or found.rules[rule_id][0] != version:
            raise Flaw(f"names {rule_id} version {version}, which its schedule does not have")
        return found.last_day(rule_id, event, _day(trigger)), found.floors.get((rule_id, scope), [])


class _Policy:
    """One version of the schedule, as far as dates need it."""

    def __init__(self, read: dict[str, Any], holidays: tuple[int, int, set[str]]) -> None:
        self.within = _whole(read["destroy_within_days"])
        self._rolls = {k: bool(read["rolls"][k]) for k in ("min", "max")}
        self._first, self._last, self._off = holidays
        self.rules: dict[str, tuple[int, str, dict[str, tuple[int, int]]]] = {
            name: (
                _whole(rule["version"]),
                "min" if rule["kind"] == "min" else "max",
                # -1: a person's request, which keeps nothing, so that the day before it is the last one.
                {e: (_whole(t["months"]), _whole(t["days"] + 1) - 1) for e, t in rule["triggers"].items()},
            )
            for name, rule in read["rules"].items()
        }
        self.floors: dict[tuple[str, str], list[str]] = {}
        for floor in read["floors"]:
            self.floors.setdefault((floor["rule"], floor["scope"]), []).append(floor["floor"])

    def last_day(self, rule_id: str, event: str, trigger: date) -> date:
        """Return the last day of the period that an event opens."""
        _, kind, triggers = self.rules[rule_id]
        if event not in triggers:
            raise Flaw(f"is started by {event}, which does not start {rule_id}")
        months, days = triggers[event]
        try:
            last = _first_free(trigger + timedelta(days=1), months, days) - timedelta(days=1)
            while self._rolls[kind] and self._is_off(last):
                last += timedelta(days=1)
        except (ValueError, OverflowError):
            raise Flaw("has a date no calendar knows") from None
        return last

    def moved(self, code: str, day: date, floors: list[str]) -> date:
        """Return the last day that a floor started on `day`, or a hold released on it, leads to."""
        if code.startswith("H-"):
            return day
        if code not in floors or code not in self.rules:
            raise Flaw(f"rests on {code}, which is no floor of this scope")
        return max(self.last_day(code, event, day) for event in self.rules[code][2])

    def _is_off(self, day: date) -> bool:
        if not self._first <= day.year <= self._last:
            raise Flaw(f"ends on {day}, beyond the holiday table of its schedule")
        return day.weekday() >= 5 or day.isoformat() in self._off


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 40_000:
        raise ValueError
    return value


def _first_free(first: date, months: int, days: int) -> date:
    """Return the day after a period that begins with `first`."""
    if not months:
        return first + timedelta(days=days)
    years, month = divmod(first.month - 1 + months, 12)
    year, month = first.year + years, month + 1
    if first.day <= monthrange(year, month)[1]:
        return date(year, month, first.day)
    return date(year + month // 12, month % 12 + 1, 1)


def _refuse(_: str) -> None:
    raise ValueError


def _integer(digits: str) -> int:
    """Return a whole number that every reader of JSON takes for the same one (RFC 8785: at most 2^53 - 1)."""
    if len(digits) > 17 or abs(int(digits)) >= 2**53:
        raise ValueError
    return int(digits)


def spelled(value: object) -> bytes:
    """Return a value as the exporter writes its JSON files."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_json(name: str, data: bytes) -> Any:
    """Return what a file of the exporter says; another spelling of it (order, repeated keys, blanks) is a flaw."""
    try:
        value = json.loads(data, parse_float=_refuse, parse_constant=_refuse)
        again = spelled(value)
    except (ValueError, TypeError, RecursionError):
        raise Flaw(f"{name}: not JSON") from None
    if again != data:
        raise Flaw(f"{name}: not in its canonical form")
    return value


def _in_order(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose keys stand in order, each once; anything else is judged the slow way."""
    found = dict(pairs)
    keys = list(found)
    if len(keys) != len(pairs) or keys != sorted(keys):
        raise LookupError
    return found


_ONLY_INTEGERS: dict[str, Any] = {"parse_int": _integer, "parse_float": _refuse, "parse_constant": _refuse}
_decode_sorted = json.JSONDecoder(object_pairs_hook=_in_order, **_ONLY_INTEGERS).decode
_decode_json = json.JSONDecoder(**_ONLY_INTEGERS).decode
_encode_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_MINUS = re.compile(r"[:,\[]-")


# What differs between entries that are alike otherwise. The rest of such a line is parsed once: at a million lines the
# parsing of JSON is most of the work.
_VARIABLE = re.compile(
    r'"(destroy_by|disposal_id|free_from|last_day|receipt_sha256|recorded_at|subject_tag|trigger_date)":"([^"]*)"'
)


def read_entry(line: bytes) -> dict[str, Any]:
    """Return the entry of a line; raise unless these are its canonical bytes (RFC 8785) and no free text is in it."""
    if len(line) > MAX_ENTRY or not _LINE.fullmatch(line):
        raise Flaw("is too long or holds characters no entry may hold")
    text = line.decode("ascii")
    if len(line) > MAX_SHAPE:
        return _read_closely(text)
    parts = _VARIABLE.split(text)
    template = _template(tuple(parts[0::3]), tuple(parts[1::3]))
    if template is None:
        return _read_closely(text)
    entry = dict(template)
    entry.update(zip(parts[1::3], parts[2::3], strict=True))
    if "disposal_id" in entry and not all(map(_is_day, _dates_of(entry))):
        return _read_closely(text)
    return entry


@lru_cache(maxsize=4096)
def _template(pieces: tuple[str, ...], keys: tuple[str, ...]) -> dict[str, Any] | None:
    """Return what lines of one shape have in common, or None where a line must be read closely.

    Printable ASCII without spaces and backslashes, with keys in order and no minus signs, has no second spelling.
    """
    marks = [f"?{n}?" for n in range(len(keys))]
    text = pieces[0] + "".join(f'"{k}":"{m}"{p}' for k, m, p in zip(keys, marks, pieces[1:], strict=True))
    if _MINUS.search(text):
        return None
    try:
        entry = _decode_sorted(text)
    except (ValueError, LookupError, RecursionError):
        return None
    if type(entry) is not dict or any(entry.get(k) != m for k, m in zip(keys, marks, strict=True)):
        return None
    known = entry.get("schema") == SCHEMA and _is_text(entry.get("event")) and _is_date(entry.get("as_of"))
    if not known or ("disposal_id" in entry and not _is_plain_disposal(entry)):
        return None
    return entry


def _read_closely(text: str) -> dict[str, Any]:
    try:
        entry = _decode_json(text)
        again = _encode_json(entry)
    except (ValueError, RecursionError):
        raise Flaw("is not JSON of whole numbers and words") from None
    if again != text or type(entry) is not dict:
        raise Flaw("is not in canonical form")
    if entry.get("schema") != SCHEMA or not _is_text(entry.get("event")) or not _is_date(entry.get("as_of")):
        raise Flaw(f"is not an entry of {SCHEMA}")
    if "disposal_id" in entry:
        wrong = sorted(k for k, check in _DISPOSAL if not check(entry.get(k)))
        wrong += sorted(k for k, check in _OPTIONAL if k in entry and not check(entry[k]))
        if wrong:
            raise Flaw(f"lacks or bends {', '.join(wrong)}")
    return entry


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_texts(value: object) -> bool:
    return type(value) is list and all(map(_is_text, value))


def _is_number(value: object) -> bool:
    return type(value) is int


def _is_person(value: object) -> bool:
    return isinstance(value, dict) and {"role", "pseudonym"} <= value.keys()


def _is_date(value: object) -> bool:
    return type(value) is str and _is_day(value)


def _is_moved(value: object) -> bool:
    return type(value) is list and all(
        type(m) is dict and m.keys() == {"code", "date"} and _is_text(m["code"]) and _is_date(m["date"]) for m in value
    )


@lru_cache(maxsize=4096)
def _is_day(value: str) -> bool:
    try:
        return len(value) == 10 and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


_TEXTS = ("disposal_id", "subject_tag", "processor", "scope", "rule_id", "trigger_event")
_DATES = ("trigger_date", "last_day", "free_from", "destroy_by")
_DISPOSAL = [
    *((k, _is_text) for k in _TEXTS),
    *((k, _is_date) for k in _DATES),
    *((k, _is_texts) for k in ("datasets", "categories")),
]
_OPTIONAL = [
    *((k, _is_person) for k in ("actor", "approver")),
    *((k, _is_date) for k in ("created_from", "created_to")),
    *((k, _is_text) for k in ("policy_sha256", "code", "recorded_at")),
    *((k, _is_number) for k in ("rule_version", "count_before", "count_after")),
    ("moved_by", _is_moved),
]
_texts_of, _dates_of = itemgetter(*_TEXTS), itemgetter(*_DATES)
_RARE = frozenset({"actor", "approver", "created_from", "created_to", "moved_by"})


def _is_plain_disposal(entry: dict[str, Any]) -> bool:
    """Return True for what nearly every entry is, its dates apart; False means: look closely."""
    if not _RARE.isdisjoint(entry):
        return False
    try:
        "".join(_texts_of(entry))
        "".join(_dates_of(entry))
        "".join(entry["datasets"])
        "".join(entry["categories"])
        "".join((entry.get("policy_sha256", ""), entry.get("code", ""), entry.get("recorded_at", "")))
        counted = map(entry.get, ("rule_version", "count_before", "count_after"), (0, 0, 0))
        return type(entry["datasets"]) is type(entry["categories"]) is list and all(map(_is_number, counted))
    except (KeyError, TypeError):
        return False


class Digested:
    """A file read once with its digest and row count."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self.lines = file, hashlib.sha256(), 0

    def line(self, limit: int) -> bytes:
        """Return the next line or a piece of it, at most `limit` bytes; empty at the end."""
        piece = self._file.readline(limit)
        if piece:
            self._digest.update(piece)
            self.lines += piece.endswith(b"\n")
        return piece

    def rest(self) -> None:
        """Read on to the end."""
        while block := self._block():
            del block

    def entries(self) -> Iterator[bytes]:
        """Yield every line without its end, reading large blocks: ten times as fast as line by line."""
        rest = b""
        while block := self._block():
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            if len(rest) > MAX_ENTRY + 1:
                break
            yield from lines
        if rest:
            raise Flaw("entries.jsonl: a line is too long or has no end")

    def _block(self) -> bytes:
        block = self._file.read(BLOCK)
        self._digest.update(block)
        self.lines += block.count(b"\n")
        return block

    def hexdigest(self) -> str:
        """Return the SHA-256 of what was read."""
        return self._digest.hexdigest()


class Opening:
    """One subject's opening: `value` and `key` (k_s) compute the tag of one epoch and of nobody else.

    k_s = HMAC-SHA256(epoch key, label 00 epoch 00 kind 00 value); tag = SHA-256(label 00 k_s epoch 00 kind 00 value).
    """

    LABEL = b"erasure-evidence/subject-tag/v1"

    def __init__(self, data: bytes) -> None:
        try:
            read = json.loads(data)
            epoch, kind, value, key = (read[k] for k in ("epoch", "kind", "value", "key"))
            named = b"\x00".join(x.encode() for x in (epoch, kind, value))
            if len(bytes.fromhex(key)) != 32 or named.count(b"\x00") != 2:
                raise ValueError  # a NUL inside would let one value pass for another kind's
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Flaw("--opening: not a file with epoch, kind, value and key") from None
        self.epoch = epoch
        self.tag = hashlib.sha256(self.LABEL + b"\x00" + bytes.fromhex(key) + named).hexdigest()
        self.newest: dict[str, str] = {}
        self.entries = 0

    def take(self, index: int, entry: dict[str, Any]) -> None:
        """Remember the newest entry of each of the subject's disposals."""
        if entry.get("subject_tag") != self.tag:
            return
        self.entries += 1
        if "disposal_id" in entry:
            words = f"{entry['processor']}/{entry['scope']}: {entry['event']} on {entry['as_of']}, entry {index}"
            self.newest[entry["disposal_id"]] = words


class Walk:
    """What one pass over the entries gathers."""

    def __init__(
        self, tree: Tree, *, whole: bool, rules: Rules | None, wanted: set[int], opening: Opening | None = None
    ) -> None:
        self.opening = opening
        self.tree, self.rules = tree, rules
        self.lives, self.counts = Lives(whole=whole), Counts()
        self.terminations = Terminations()
        self.wanted, self.newest = wanted, ""
        self.leaves: dict[int, bytes] = {}

    def take(self, index: int, line: bytes) -> tuple[dict[str, Any], str | None]:
        """Take one entry; return it with what is wrong with it."""
        entry = read_entry(line)
        if index in self.wanted:
            self.leaves[index] = _leaf(line)
        self.counts.add(entry)
        if self.opening is not None:
            self.opening.take(index, entry)
        recorded = entry.get("recorded_at")
        if type(recorded) is str and recorded > self.newest:
            self.newest = recorded
        if "disposal_id" not in entry:
            return entry, self.terminations.take(entry)
        first = entry["disposal_id"] not in self.lives.open
        problem = self.lives.follow(index, entry)
        if problem is None and first and self.rules is not None:
            problem = self.rules.judge(entry)
        return entry, problem


class Proof:
    """One `.tlog-proof` file (c2sp.org/tlog-proof@v1)."""

    def __init__(self, name: str, data: bytes, checkpoint: bytes) -> None:
        self.name = name
        head, _, note = data.decode("utf-8", "replace").partition("\n\n")
        lines = head.split("\n")
        match = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[1]) if len(lines) > 1 else None
        if lines[0] != PROOF_HEADER or match is None or note.encode() != checkpoint:
            raise Flaw(f"{name!a}: not a proof that leads to this folder's checkpoint")
        if len(lines) > MAX_HASHES + 2:
            raise Flaw(f"{name!a}: more hashes than any tree is high")
        self.index = int(match[1])
        self.hashes = [_decode(line, ascii(name)) for line in lines[2:]]


class Folder:
    """One exported folder under examination; `flaws` and `open_checks` fill as it goes."""

    NEEDED = ("entries.jsonl", "checkpoint", "vkey", "ledger.csv", "open.csv", "counts.json")
    READ = frozenset({"entries.jsonl", "ledger.csv", "open.csv"})
    """Files the walk reads; all others are digested at the end."""

    def __init__(
        self,
        path: Path,
        *,
        vkey: str | None,
        since: bytes | None,
        tsa: Path | None = None,
        opening: bytes | None = None,
        progress: bool = False,
    ) -> None:
        self.path, self.given, self.since, self.tsa, self.progress = path, vkey, since, tsa, progress
        self.opening = opening
        self.flaws: list[str] = []
        self.open_checks: list[str] = []
        self.facts: list[str] = []
        self.manifest: dict[str, Any] = {}
        self.files: dict[str, dict[str, Any]] = {}

    def flaw(self, text: str) -> None:
        """Note a flaw; after twenty, stop."""
        self.flaws.append(text)
        if len(self.flaws) >= MAX_FLAWS:
            raise Flaw("too many flaws, stopped here")

    def examine(self) -> None:
        """Run every check; whatever is wrong is in `flaws` afterwards."""
        try:
            self._manifest()
            self._listing()
            vkey = self._vkey()
            size, root = open_checkpoint("checkpoint", self._note("checkpoint"), vkey)
            self._signed_manifest(vkey)
            self._entries(size, root, vkey)
            for name in sorted(self.files.keys() - self.READ):
                self._digest(name)
        except Flaw as flaw:
            self.flaws.append(str(flaw))
        except OSError as error:
            self.flaws.append(f"a file cannot be read ({type(error).__name__})")
        except Exception as error:  # what nobody thought of must not pass for a verified folder, nor end in a traceback
            self.flaws.append(f"this verifier could not go on ({type(error).__name__}); nothing after that was checked")

    def _small(self, name: str, limit: int = MAX_SMALL) -> bytes:
        with (self.path / name).open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Flaw(f"{name!a}: too large")
        return data

    def _note(self, name: str) -> bytes:
        return self._small(name, MAX_NOTE)

    def _manifest(self) -> None:
        manifest = read_json("manifest.json", self._small("manifest.json"))
        if not isinstance(manifest, dict):
            raise Flaw(f"manifest.json: not a manifest of {MANIFEST_SCHEMA}")
        files = manifest.get("files")
        good = manifest.keys() == {"schema", "origin", "first_index", "size", "files"}
        if not good or manifest["schema"] != MANIFEST_SCHEMA or not _is_list_of_files(files):
            raise Flaw(f"manifest.json: not a manifest of {MANIFEST_SCHEMA}")
        if not all(type(manifest[k]) is int and 0 <= manifest[k] < 2**53 for k in ("first_index", "size")):
            raise Flaw("manifest.json: first_index or size is not a number")
        for name in self.NEEDED:
            if name not in files:
                raise Flaw(f"manifest.json: {name} is not listed")
        self.manifest, self.files = manifest, files

    def _listing(self) -> None:
        """Every file beside the manifest must be listed, and nothing may be a link or device."""
        there = set()
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise Flaw(f"{name!a}: neither a file nor a folder")
            if path.is_file():
                there.add(name)
        for name in sorted(there - self.files.keys() - {"manifest.json", "manifest.note"}):
            self.flaw(f"{name!a}: not listed in manifest.json")
        missing = sorted(self.files.keys() - there)
        if missing:
            raise Flaw(f"{missing[0]!a}: listed in manifest.json but not there")

    def _vkey(self) -> str:
        try:
            own = self._note("vkey").decode()
        except UnicodeDecodeError:
            raise Flaw("vkey: not text") from None
        if self.given is None:
            self.open_checks.append("the signer: give the key you got earlier, verify.py FOLDER --vkey FILE")
            return own
        if _read_vkey(own) != _read_vkey(self.given):
            self.flaw("vkey: the folder's key is not the one you gave")
        return self.given

    def _signed_manifest(self, vkey: str) -> None:
        if self.manifest["origin"] != _read_vkey(vkey)[0]:
            self.flaw("manifest.json: origin is not the signer's name")
        if not (self.path / "manifest.note").is_file():
            if self.given is not None:
                self.flaw("manifest.note: missing, so the log's key vouches for no file here but the log itself")
                return
            self.open_checks.append(
                "the manifest's signature (no manifest.note), so titles and files for people rest on digests alone: "
                "ask for an export signed by the log, then verify.py FOLDER --vkey FILE"
            )
            return
        lines = open_note("manifest.note", self._note("manifest.note"), vkey)
        if lines != [MANIFEST_NOTE, hashlib.sha256(self._small("manifest.json")).hexdigest()]:
            self.flaw("manifest.note: signed over another manifest.json")

    def _entries(self, size: int, root: bytes, vkey: str) -> None:
        first = self.manifest["first_index"]
        if size != self.manifest["size"] or first > size:
            raise Flaw(f"manifest.json: size {self.manifest['size']} is not the checkpoint's {size}")
        old = open_checkpoint("the older checkpoint", self.since, vkey) if self.since is not None else None
        proven = self._consistency((size, root), vkey)
        proofs = [
            Proof(name, self._note(name), self._note("checkpoint"))
            for name in sorted(self.files)
            if name.endswith(".tlog-proof")
        ]
        rules = Rules(self._small("rules.json")) if "rules.json" in self.files else None
        opening = Opening(self.opening) if self.opening is not None else None
        wanted = {p.index for p in proofs}
        walk = Walk(Tree(first, self._left(first)), whole=first == 0, rules=rules, wanted=wanted, opening=opening)
        with (self.path / "entries.jsonl").open("rb") as entries, (self.path / "ledger.csv").open("rb") as ledger:
            lines, rows = Digested(entries), Digested(ledger)
            self._walk(lines, rows, walk, old)
        if walk.tree.size != size:
            self.flaw(f"entries.jsonl: {walk.tree.size - first} entries, the checkpoint has {size - first}")
        elif walk.tree.root() != root:
            self.flaw("entries.jsonl: the Merkle root is not the checkpoint's: an entry was changed, dropped or moved")
        self._compare("entries.jsonl", lines)
        self._compare("ledger.csv", rows)
        self._summaries(walk)
        self._proofs(proofs, walk, size, root)
        self._since(old, proven, first=first, size=size)
        self._timestamp(walk.newest)
        self._tell(walk, first=first, size=size)

    def _consistency(self, new: tuple[int, bytes], vkey: str) -> tuple[int, bytes] | None:
        """Return the earlier checkpoint that `consistency.txt` proves to be a beginning of this log."""
        if "consistency.txt" not in self.files or "checkpoint-prev.txt" not in self.files:
            return None
        old = open_checkpoint("checkpoint-prev.txt", self._note("checkpoint-prev.txt"), vkey)
        head, *lines = self._note("consistency.txt").decode("ascii", "replace").split("\n")
        if head != f"{old[0]} {new[0]}" or not lines or lines.pop() != "" or len(lines) > MAX_HASHES + 1:
            raise Flaw("consistency.txt: not a proof between the two checkpoints")
        if not is_consistent(old, new, [_decode(line, "consistency.txt") for line in lines]):
            raise Flaw("consistency.txt: checkpoint-prev.txt is not a beginning of this log")
        self.facts.append(f"consistent with the checkpoint over {old[0]} entries beside it")
        return old

    def _summaries(self, walk: Walk) -> None:
        """Counts and open items must be what the entries say, to the byte."""
        if self._small("counts.json") != walk.counts.body():
            self.flaw("counts.json: not the counts of these entries")
        with (self.path / "open.csv").open("rb") as file:
            read = Digested(file)
            if any(read.line(MAX_SMALL) != row for row in walk.lives.rows()) or read.line(1):
                self.flaw("open.csv: not the disposals that these entries leave open")
            read.rest()
        self._compare("open.csv", read)

    def _proofs(self, proofs: list[Proof], walk: Walk, size: int, root: bytes) -> None:
        for proof in proofs:
            leaf = walk.leaves.get(proof.index)
            if leaf is None:
                self.flaw(f"{proof.name!a}: entry {proof.index} is not in this export")
            elif follows_inclusion(leaf, proof.index, size, proof.hashes) != root:
                self.flaw(f"{proof.name!a}: does not lead from its entry to the root")
        if proofs:
            self.facts.append(f"{len(proofs)} row proofs")

    def _since(self, old: tuple[int, bytes] | None, proven: tuple[int, bytes] | None, *, first: int, size: int) -> None:
        if old is None:
            self.open_checks.append(
                "that nothing was rewritten since your last audit: verify.py FOLDER --since OLD_CHECKPOINT"
            )
        elif old[0] > size:
            self.flaw(f"the log shrank: your older checkpoint has {old[0]} entries, this one {size}")
        elif old[0] < first and (proven is None or old[0] != proven[0]):
            self.open_checks.append(
                f"--since: this export begins at entry {first}; ask for one that begins at {old[0]} or before, or "
                "for one with a consistency proof from there"
            )
        elif old[0] < first and old != proven:
            self.flaw(f"the older checkpoint over {old[0]} entries is not a beginning of this log: it was rewritten")

    def _timestamp(self, newest: str) -> None:
        """Have OpenSSL check that an authority saw this checkpoint, and compare its time with the newest entry's."""
        command = "openssl ts -verify -in checkpoint.tsr -data checkpoint -CAfile ROOT.pem"
        if "checkpoint.tsr" not in self.files:
            self.open_checks.append(f"when the checkpoint existed: no timestamp is in this export ({command})")
            return
        openssl = shutil.which("openssl")
        if openssl is None or self.tsa is None:
            lacking = "OpenSSL is not installed here" if self.tsa else "give the authority's root, --tsa ROOT.pem"
            self.open_checks.append(f"the timestamp: {lacking}, or run {command}")
            return
        token = str(self.path / "checkpoint.tsr")
        text = self._openssl(openssl, "-reply", "-in", token, "-text")[1]
        found = re.search(r"^Time stamp: (.+?) GMT$", text, re.M)
        try:
            stamped = datetime.strptime(re.sub(r"\.\d+", "", found[1]) if found else "", "%b %d %H:%M:%S %Y")
            latest = datetime.strptime(newest, "%Y-%m-%dT%H:%M:%SZ") if newest else stamped
        except ValueError:
            self.flaw("checkpoint.tsr or the newest entry's recorded_at: no readable time")
            return
        chain = ["-untrusted", str(self.path / "tsa-chain.pem")] if "tsa-chain.pem" in self.files else []
        data = ["-data", str(self.path / "checkpoint"), "-CAfile", str(self.tsa)]
        verifying = ["-verify", "-in", token, *data, *chain]
        # An authority's certificate lives some years, evidence longer: what counts is that it was good at the stamp.
        then = str(int(stamped.replace(tzinfo=UTC).timestamp()))
        now_good = self._openssl(openssl, *verifying)[0]
        if not now_good and not self._openssl(openssl, *verifying, "-attime", then)[0]:
            self.flaw("checkpoint.tsr: not a timestamp of this checkpoint by an authority under the root you gave")
            return
        if stamped + CLOCKS_DIFFER < latest:
            self.flaw(f"checkpoint.tsr: stamped at {stamped} UTC, before the newest entry was recorded ({latest})")
        lapsed = "" if now_good else " (the authority's certificate was valid then and has lapsed since)"
        self.facts.append(f"timestamped {stamped.replace(tzinfo=UTC).isoformat()}{lapsed}")

    @staticmethod
    def _openssl(openssl: str, *arguments: str) -> tuple[bool, str]:
        try:
            done = subprocess.run([openssl, "ts", *arguments], capture_output=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            raise Flaw("checkpoint.tsr: OpenSSL did not come to an end over it within a minute") from None
        return done.returncode == 0, done.stdout.decode("utf-8", "replace")

    def _left(self, first: int) -> list[bytes]:
        if "left.txt" not in self.files:
            if first:
                raise Flaw(f"left.txt: missing, though the export begins at {first}")
            return []
        text = self._small("left.txt").decode("ascii", "replace")
        roots = [_decode(line, "left.txt") for line in text.split("\n")[:-1]]
        if not text.endswith("\n") or len(roots) != first.bit_count() or any(len(r) != 32 for r in roots):
            raise Flaw(f"left.txt: not the {first.bit_count()} subtree roots before entry {first}")
        return roots

    def _walk(self, lines: Digested, rows: Digested, walk: Walk, old: tuple[int, bytes] | None) -> None:
        """Read entries and ledger side by side: each destruction's row must stand next, to the byte."""
        tree, meeting = walk.tree, old[0] if old is not None else -1
        ledger = Ledger(self.manifest["size"], self._titles())
        if rows.line(MAX_SMALL) != ledger.header():
            self.flaw("ledger.csv: the header was changed")
        self._meet(old, tree)
        for index, line in enumerate(lines.entries(), tree.size):
            tree.add(line)
            try:
                entry, problem = walk.take(index, line)
            except Flaw as flaw:
                self.flaw(f"entry {index} {flaw}")
                continue
            if problem is not None:
                self.flaw(f"entry {index} {problem}")
            if "disposal_id" in entry:
                expected = ledger.line(index, entry)
                if expected is not None and rows.line(MAX_SMALL) != expected:
                    self.flaw(f"ledger.csv: the row for entry {index} is missing, moved or changed")
            if tree.size == meeting:
                self._meet(old, tree)
            if self.progress and not index % 100_000:
                print(f"\r{index:,} entries", end="", file=sys.stderr)  # noqa: T201
        if rows.line(MAX_SMALL):
            self.flaw("ledger.csv: rows that no entry stands for")
            rows.rest()

    def _meet(self, old: tuple[int, bytes] | None, tree: Tree) -> None:
        """When the tree is as large as the older checkpoint, its root must be the older one."""
        if old is not None and old[0] == tree.size and old[1] != tree.root():
            self.flaw(f"the older checkpoint over {old[0]} entries is not a beginning of this log: it was rewritten")

    def _titles(self) -> dict[str, str]:
        if "titles.json" not in self.files:
            return {}
        titles = read_json("titles.json", self._small("titles.json"))
        if not isinstance(titles, dict) or not all(isinstance(v, str) for v in titles.values()):
            raise Flaw("titles.json: not titles by code")
        return titles

    def _digest(self, name: str) -> None:
        with (self.path / name).open("rb") as file:
            read = Digested(file)
            read.rest()
        self._compare(name, read)
        named = re.fullmatch(r"schedules/([0-9a-f]{64})\.yaml", name)
        if named and named[1] != read.hexdigest():
            self.flaw(f"{name}: not the schedule that was approved under this digest")

    def _compare(self, name: str, read: Digested) -> None:
        expected, rows = self.files[name], read.lines - (name in ("ledger.csv", "open.csv"))
        if read.hexdigest() != expected["sha256"]:
            self.flaw(f"{name!a}: its digest is not the manifest's")
        elif expected["rows"] is not None and rows != expected["rows"]:
            self.flaw(f"{name!a}: {rows} rows, the manifest says {expected['rows']}")

    def _tell(self, walk: Walk, *, first: int, size: int) -> None:
        lives, rules = walk.lives, walk.rules
        still = Counter(str(life["last"][0]) for life in lives.open.values())
        self.facts += [
            f"entries {first} to {size - 1} of {size}" if size > first else f"no entries; the log has {size}",
            "ended: " + (", ".join(f"{n} {e}" for e, n in sorted(lives.ended.items())) or "none"),
            f"open: {len(lives.open)}" + "".join(f", {n} {e}" for e, n in sorted(still.items())),
            f"destroyed after their date: {lives.late}",
        ]
        if walk.opening is not None:
            self._tell_of(walk.opening)
        if walk.terminations.nights:
            self.facts.append(
                f"terminated accounts, {walk.terminations.nights} nights, newest: {walk.terminations.newest}"
            )
        if rules is None:
            self.open_checks.append("the dates: no rules.json is in this export; ask for one that has it")
            return
        moved = f", {rules.moved} of them moved by a floor or a released hold" if rules.moved else ""
        self.facts.append(f"dates recomputed: {rules.checked}{moved}")
        for policy, count in sorted(rules.unknown.items()):
            self.open_checks.append(
                f"the dates of {count} disposals under schedule {policy[:12] or '(none)'}: rules.json lacks it; ask "
                "for an export made where that schedule's holiday table is installed"
            )
        if rules.unplanned:
            self.open_checks.append(
                f"{rules.unplanned} last days later than their rule, whose plans lie before entry {first}: ask for an "
                "export that begins at 0"
            )

    def _tell_of(self, opened: Opening) -> None:
        head = f"the opened subject has tag {opened.tag} under epoch {ascii(opened.epoch)[1:-1]}"
        found = f"{opened.entries} entries" if opened.entries else "no record under this epoch in these entries"
        self.facts.append(f"{head}: {found}")
        self.facts += [f"  {words}" for words in opened.newest.values()]


def _is_list_of_files(files: Any) -> TypeGuard[dict[str, dict[str, Any]]]:
    return isinstance(files, dict) and all(_is_listed(name, value) for name, value in files.items())


def _is_listed(name: str, value: Any) -> bool:
    parts = name.split("/")
    if not name or "\\" in name or "\x00" in name or any(p in ("", ".", "..") for p in parts):
        return False
    if name in ("manifest.json", "manifest.note") or not isinstance(value, dict) or value.keys() != {"sha256", "rows"}:
        return False
    digest, rows = value["sha256"], value["rows"]
    return (
        isinstance(digest, str) and bool(re.fullmatch(r"[0-9a-f]{64}", digest)) and (rows is None or type(rows) is int)
    )


def verdict(folder: Folder, *, strict: bool) -> tuple[str, bool]:
    """Return the verdict in words and whether the folder passed."""
    lines = [f"  {fact}" for fact in folder.facts]
    lines += [f"  FLAW: {flaw}" for flaw in folder.flaws]
    lines += [f"  NOT CHECKED: {what}" for what in folder.open_checks]
    if folder.flaws:
        return "\n".join([f"FLAWED: {len(folder.flaws)} flaw(s)", *lines]), False
    signer = "signed by the key you gave" if folder.given else "intact as exported; signer not established"
    passed = not (strict and folder.open_checks)
    return "\n".join([f"{'VERIFIED' if passed else 'INCOMPLETE'}: {signer}", *lines]), passed


def _text_or_file(value: str) -> str:
    """Return a vkey given as text or as the name of a file."""
    if value.count("+") >= 2 and not Path(value).is_file():
        return value
    try:
        return Path(value).read_bytes()[:MAX_SMALL].decode()
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"neither a key nor a readable file: {value!a}") from error


def _file(value: str) -> bytes:
    try:
        return Path(value).read_bytes()[:MAX_SMALL]
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"not a readable file: {value!a}") from error


def main(arguments: list[str] | None = None) -> int:
    """Verify a folder named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="verify", description="Verify an exported evidence folder offline.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).resolve().parent)
    parser.add_argument(
        "--vkey", type=_text_or_file, help="the log's public key, as text or file, got by another route"
    )
    parser.add_argument("--since", type=_file, help="the checkpoint file of your last audit")
    parser.add_argument("--tsa", type=Path, help="the timestamp authority's root certificate (PEM)")
    parser.add_argument("--opening", type=_file, help="one subject's opening, as `ask open-tag` prints it")
    parser.add_argument("--strict", action="store_true", help="fail when anything could not be checked")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{str(options.folder)!a} is not a folder")
    if options.tsa is not None and not options.tsa.is_file():
        parser.error(f"{str(options.tsa)!a} is not a file")
    gc.disable()  # nothing here makes cycles, and looking for them among open disposals costs a tenth of the time
    folder = Folder(
        options.folder,
        vkey=options.vkey,
        since=options.since,
        tsa=options.tsa,
        opening=options.opening,
        progress=sys.stderr.isatty(),
    )
    try:
        folder.examine()
    finally:
        gc.enable()
        if folder.progress:
            print(file=sys.stderr)  # noqa: T201
    text, passed = verdict(folder, strict=options.strict)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a Korean console of code page 949 lacks some characters
    print(text)  # noqa: T201
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

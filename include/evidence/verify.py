#!/usr/bin/env python3
"""Verify an exported evidence folder offline, with nothing but Python 3.11 and that folder.

    python3 verify.py [FOLDER] [--vkey FILE_OR_TEXT] [--since OLD_CHECKPOINT] [--strict]

It recomputes everything it says: file digests, each entry's canonical bytes, the Merkle root, the signatures, every
ledger row, and whether each destruction was planned, intended before it was done, and not early. Exit 0: no flaw. 1: a
flaw. 2: wrong usage. This file is longer than the others of the project and imports none of them, because it is handed
to auditors alone; the exporter writes the ledger with `Ledger` from here, so that both sides mean the same row.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

SCHEMA = "erasure-evidence/1"
MANIFEST_SCHEMA = "erasure-evidence-export/1"
MANIFEST_NOTE = "erasure-evidence/manifest/v1"
MAX_ENTRY, MAX_SMALL, MAX_FLAWS = 65_535, 1_000_000, 20
DESTROYED = frozenset({"confirmed_absent", "confirmed_anonymised"})
CLOSING = DESTROYED | {"retained_by_processor", "manual_attested", "cancelled"}
OFFICIAL = ("번호", "개인정보 파일명", "자료의 종류", "생성일", "폐기일", "폐기사유", "처리담당자", "처리부서장")
OURS = (
    "rule id", "legal basis", "trigger date", "last day", "destroy by", "days late", "system", "method",
    "verify result", "outcome", "log index", "subject tag", "checkpoint size",
)  # fmt: skip
_LINE = re.compile(rb"[\x20-\x3f\x41-\x5b\x5d-\x7e]+")  # printable ASCII without @ and backslash
_SIGNATURE = re.compile("\u2014 ([^\\s+]+) ([A-Za-z0-9+/]+={0,2})")


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
    good = False
    for line in text[at + 2 : -1].split("\n"):
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise Flaw(f"{what}: a signature line has another form")
        payload = _decode(match[2], what)
        if match[1] == name and payload[:4] == key_id:
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


class Tree:
    """The Merkle tree of RFC 6962, growing leaf by leaf: only its perfect subtrees' roots are kept."""

    def __init__(self, size: int, roots: list[bytes]) -> None:
        self.size, self._roots = size, roots

    def add(self, entry: bytes) -> None:
        """Append the leaf of one entry."""
        node, size = hashlib.sha256(b"\x00" + entry).digest(), self.size
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
            if event in CLOSING:
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


def _csv(cells: list[str]) -> bytes:
    return (",".join(map(_cell, cells)) + "\r\n").encode("utf-8", "replace")


def _cell(value: str) -> str:
    """Return a cell that stays on its line and cannot start a formula."""
    if not value.isprintable():
        value = "".join(c if c.isprintable() else " " for c in value)
    if value[:1] in ("=", "+", "-", "@"):
        value = "'" + value
    return '"' + value.replace('"', '""') + '"' if "," in value or '"' in value else value


class Lives:
    """Follows every disposal from plan to end; remembers only those still open."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.open: dict[str, dict[str, Any]] = {}
        self.ended: Counter[str] = Counter()
        self.late = self.earlier = 0

    def follow(self, entry: dict[str, Any]) -> str | None:
        """Take one entry of a disposal; return what is wrong with it."""
        event, disposal_id = entry["event"], entry["disposal_id"]
        identity = tuple(
            entry[k] for k in ("subject_tag", "processor", "scope", "rule_id", "trigger_event", "trigger_date")
        )
        life = self.open.get(disposal_id)
        if event == "planned":
            if life is not None:
                return "plans a disposal that is planned already"
            self.open[disposal_id] = {"identity": identity, "planned": True, "attempted": False, "last": event}
            return None
        if life is None:
            if self.whole and (event == "attempted" or event in DESTROYED):
                return f"{event} without a plan before it"
            self.earlier += event != "reappeared"
            life = self.open[disposal_id] = {"identity": identity, "planned": False, "attempted": False}
        if life["identity"] != identity:
            return "names another subject, place or reason than the plan of the same disposal"
        life["last"] = event
        return self._judge(event, entry, life, disposal_id)

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
        if event in CLOSING or (event == "expires_by_processor" and entry.get("code") == "date_passed"):
            self.ended[event] += 1
            del self.open[disposal_id]
        return problem


def _refuse(_: str) -> None:
    raise ValueError


_decode_json = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).decode
_encode_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def read_entry(line: bytes) -> dict[str, Any]:
    """Return the entry of a line; raise unless these are its canonical bytes (RFC 8785) and no free text is in it."""
    if len(line) > MAX_ENTRY or not _LINE.fullmatch(line):
        raise Flaw("is too long or holds characters no entry may hold")
    text = line.decode("ascii")
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


def _is_person(value: object) -> bool:
    return isinstance(value, dict) and {"role", "pseudonym"} <= value.keys()


def _is_date(value: object) -> bool:
    return type(value) is str and _is_day(value)


@lru_cache(maxsize=4096)
def _is_day(value: str) -> bool:
    try:
        return len(value) == 10 and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


_DISPOSAL = [
    *((k, _is_text) for k in ("disposal_id", "subject_tag", "processor", "scope", "rule_id", "trigger_event")),
    *((k, _is_date) for k in ("trigger_date", "last_day", "free_from", "destroy_by")),
    *((k, _is_texts) for k in ("datasets", "categories")),
]
_OPTIONAL = [
    *((k, _is_person) for k in ("actor", "approver")),
    *((k, _is_date) for k in ("created_from", "created_to")),
]


class Digested:
    """A file read once, line by line, with its digest and row count."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self.lines, self.last = file, hashlib.sha256(), 0, b"\n"

    def line(self, limit: int) -> bytes:
        """Return the next line or a piece of it, at most `limit` bytes; empty at the end."""
        piece = self._file.readline(limit)
        if piece:
            self._digest.update(piece)
            self.lines += piece.endswith(b"\n")
            self.last = piece
        return piece

    def rest(self) -> None:
        """Read on to the end."""
        while self.line(MAX_SMALL):
            pass

    def hexdigest(self) -> str:
        """Return the SHA-256 of what was read."""
        return self._digest.hexdigest()


class Folder:
    """One exported folder under examination; `flaws` and `open_checks` fill as it goes."""

    def __init__(self, path: Path, *, vkey: str | None, since: bytes | None, progress: bool = False) -> None:
        self.path, self.given, self.since, self.progress = path, vkey, since, progress
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
            size, root = open_checkpoint("checkpoint", self._small("checkpoint"), vkey)
            self._signed_manifest(vkey)
            self._entries(size, root, vkey)
            for name in self.files.keys() - {"entries.jsonl", "ledger.csv"}:
                self._digest(name)
        except Flaw as flaw:
            self.flaws.append(str(flaw))
        except OSError as error:
            self.flaws.append(f"a file cannot be read ({type(error).__name__})")

    def _small(self, name: str) -> bytes:
        with (self.path / name).open("rb") as file:
            data = file.read(MAX_SMALL + 1)
        if len(data) > MAX_SMALL:
            raise Flaw(f"{name}: too large")
        return data

    def _manifest(self) -> None:
        data = self._small("manifest.json")
        try:
            manifest = json.loads(data, parse_float=_refuse, parse_constant=_refuse)
            again = (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        except (ValueError, RecursionError):
            raise Flaw("manifest.json: not JSON") from None
        if again != data or not isinstance(manifest, dict):
            raise Flaw("manifest.json: not in its canonical form")
        files = manifest.get("files")
        good = manifest.keys() == {"schema", "origin", "first_index", "size", "files"}
        if not good or manifest["schema"] != MANIFEST_SCHEMA or not _is_list_of_files(files):
            raise Flaw(f"manifest.json: not a manifest of {MANIFEST_SCHEMA}")
        if not all(type(manifest[k]) is int and 0 <= manifest[k] < 2**53 for k in ("first_index", "size")):
            raise Flaw("manifest.json: first_index or size is not a number")
        for name in ("entries.jsonl", "checkpoint", "vkey", "ledger.csv"):
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
            own = self._small("vkey").decode()
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
            self.open_checks.append(
                "the manifest's signature (no manifest.note): titles in ledger.csv rest on digests only"
            )
            return
        lines = open_note("manifest.note", self._small("manifest.note"), vkey)
        if lines != [MANIFEST_NOTE, hashlib.sha256(self._small("manifest.json")).hexdigest()]:
            self.flaw("manifest.note: signed over another manifest.json")

    def _entries(self, size: int, root: bytes, vkey: str) -> None:
        first = self.manifest["first_index"]
        if size != self.manifest["size"] or first > size:
            raise Flaw(f"manifest.json: size {self.manifest['size']} is not the checkpoint's {size}")
        tree = Tree(first, self._left(first))
        old = open_checkpoint("the older checkpoint", self.since, vkey) if self.since is not None else None
        lives = Lives(whole=first == 0)
        with (self.path / "entries.jsonl").open("rb") as entries, (self.path / "ledger.csv").open("rb") as ledger:
            lines, rows = Digested(entries), Digested(ledger)
            self._walk(lines, rows, tree, lives, old=old)
        if tree.size != size:
            self.flaw(f"entries.jsonl: {tree.size - first} entries, the checkpoint has {size - first}")
        elif tree.root() != root:
            self.flaw("entries.jsonl: the Merkle root is not the checkpoint's: an entry was changed, dropped or moved")
        self._compare("entries.jsonl", lines)
        self._compare("ledger.csv", rows)
        self._tell(lives, old, first=first, size=size)

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

    def _walk(
        self, lines: Digested, rows: Digested, tree: Tree, lives: Lives, *, old: tuple[int, bytes] | None
    ) -> None:
        """Read entries and ledger side by side: each destruction's row must stand next, to the byte."""
        ledger = Ledger(self.manifest["size"], self._titles())
        if rows.line(MAX_SMALL) != ledger.header():
            self.flaw("ledger.csv: the header was changed")
        self._meet(old, tree)
        for index, line in enumerate(_lines(lines), tree.size):
            tree.add(line)
            try:
                entry = read_entry(line)
            except Flaw as flaw:
                self.flaw(f"entry {index} {flaw}")
                continue
            self._live(index, entry, lives)
            self._row(index, entry, ledger, rows)
            self._meet(old, tree)
            if self.progress and not index % 100_000:
                print(f"\r{index:,} entries", end="", file=sys.stderr)  # noqa: T201
        if rows.line(MAX_SMALL):
            self.flaw("ledger.csv: rows that no entry stands for")
            rows.rest()

    def _live(self, index: int, entry: dict[str, Any], lives: Lives) -> None:
        if "disposal_id" in entry:
            problem = lives.follow(entry)
            if problem:
                self.flaw(f"entry {index} {problem}")

    def _row(self, index: int, entry: dict[str, Any], ledger: Ledger, rows: Digested) -> None:
        if "disposal_id" not in entry:
            return
        expected = ledger.line(index, entry)
        if expected is not None and rows.line(MAX_SMALL) != expected:
            self.flaw(f"ledger.csv: the row for entry {index} is missing, moved or changed")

    def _meet(self, old: tuple[int, bytes] | None, tree: Tree) -> None:
        """When the tree is as large as the older checkpoint, its root must be the older one."""
        if old is not None and old[0] == tree.size and old[1] != tree.root():
            self.flaw(f"the older checkpoint over {old[0]} entries is not a beginning of this log: it was rewritten")

    def _titles(self) -> dict[str, str]:
        if "titles.json" not in self.files:
            return {}
        try:
            titles = json.loads(self._small("titles.json"))
        except (ValueError, RecursionError):
            raise Flaw("titles.json: not JSON") from None
        if not isinstance(titles, dict) or not all(isinstance(v, str) for v in titles.values()):
            raise Flaw("titles.json: not titles by code")
        return titles

    def _digest(self, name: str) -> None:
        with (self.path / name).open("rb") as file:
            read = Digested(file)
            read.rest()
        self._compare(name, read)

    def _compare(self, name: str, read: Digested) -> None:
        expected, rows = self.files[name], read.lines - (name == "ledger.csv")
        if read.hexdigest() != expected["sha256"]:
            self.flaw(f"{name!a}: its digest is not the manifest's")
        elif expected["rows"] is not None and rows != expected["rows"]:
            self.flaw(f"{name!a}: {rows} rows, the manifest says {expected['rows']}")

    def _tell(self, lives: Lives, old: tuple[int, bytes] | None, *, first: int, size: int) -> None:
        if old is None:
            self.open_checks.append("that nothing was rewritten since your last audit: --since OLD_CHECKPOINT")
        elif old[0] > size:
            self.flaw(f"the log shrank: your older checkpoint has {old[0]} entries, this one {size}")
        elif old[0] < first:
            self.open_checks.append(
                f"--since: this export begins at entry {first}; ask for one that begins at {old[0]}"
            )
        still = Counter(str(life.get("last")) for life in lives.open.values())
        self.facts += [
            f"entries {first} to {size - 1} of {size}" if size > first else f"no entries; the log has {size}",
            "ended: " + (", ".join(f"{n} {e}" for e, n in sorted(lives.ended.items())) or "none"),
            f"open: {len(lives.open)}" + "".join(f", {n} {e}" for e, n in sorted(still.items())),
            f"destroyed after their date: {lives.late}",
        ]


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


def _lines(file: Digested) -> Iterator[bytes]:
    while line := file.line(MAX_ENTRY + 2):
        if not line.endswith(b"\n"):
            raise Flaw("entries.jsonl: a line is too long or has no end")
        yield line[:-1]


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
    parser.add_argument("--strict", action="store_true", help="fail when anything could not be checked")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{str(options.folder)!a} is not a folder")
    folder = Folder(options.folder, vkey=options.vkey, since=options.since, progress=sys.stderr.isatty())
    folder.examine()
    text, passed = verdict(folder, strict=options.strict)
    print(text)  # noqa: T201
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

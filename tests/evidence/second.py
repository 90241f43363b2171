"""A second implementation of the log's formats, from the specifications alone and in another style than ours.

RFC 6962 2.1 as recursion over slices; RFC 9162's verification turned round (fold the proof by the path of splits);
C2SP tlog-tiles, tlog-checkpoint, signed-note and tlog-proof as one dictionary of files. It imports nothing of ours.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Files = dict[str, bytes]


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    return 1 << (n - 1).bit_length() - 1


def mth(d: list[bytes]) -> bytes:
    """MTH(D[n]) over entries."""
    if not d:
        return sha()
    if len(d) == 1:
        return sha(b"\0", d[0])
    k = split(len(d))
    return sha(b"\1", mth(d[:k]), mth(d[k:]))


def path(m: int, d: list[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(d) == 1:
        return []
    k = split(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: list[bytes]) -> list[bytes]:
    """PROOF(m, D[n])."""
    return subproof(m, d, whole=True)


def subproof(m: int, d: list[bytes], *, whole: bool) -> list[bytes]:
    if m == len(d):
        return [] if whole else [mth(d)]
    k = split(len(d))
    if m <= k:
        return [*subproof(m, d[:k], whole=whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], whole=False), mth(d[:k])]


def root_by(leaf: bytes, m: int, n: int, hashes: list[bytes]) -> bytes:
    """Follow an inclusion proof from the root's split downwards."""
    if n == 1:
        assert not hashes, "a hash too many"
        return leaf
    k, last = split(n), hashes[-1]
    if m < k:
        return sha(b"\1", root_by(leaf, m, k, hashes[:-1]), last)
    return sha(b"\1", last, root_by(leaf, m - k, n - k, hashes[:-1]))


def roots_by(m: int, n: int, hashes: list[bytes], old: bytes, *, whole: bool = True) -> tuple[bytes, bytes]:
    """Follow a consistency proof; return the roots of m and of n entries that it leads to."""
    if m == n:
        top = old if whole else hashes[0]
        assert len(hashes) == (0 if whole else 1), "a proof of another length"
        return top, top
    k, last = split(n), hashes[-1]
    if m <= k:
        before, after = roots_by(m, k, hashes[:-1], old, whole=whole)
        return before, sha(b"\1", after, last)
    before, after = roots_by(m - k, n - k, hashes[:-1], old, whole=False)
    return sha(b"\1", last, before), sha(b"\1", last, after)


def name_of(level: str, n: int, width: int) -> str:
    """The path of a tile: 3-digit groups, all but the last with an x."""
    digits = f"{n:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return "/".join(["tile", level, *(f"x{g}" for g in groups[:-1]), groups[-1]]) + (
        f".p/{width}" if width < 256 else ""
    )


def tiles_of(entries: list[bytes]) -> Files:
    """Every tile and bundle of a log in its final state."""
    files: Files = {}
    for at in range(0, len(entries), 256):
        part = entries[at : at + 256]
        files[name_of("entries", at // 256, len(part))] = b"".join(len(e).to_bytes(2, "big") + e for e in part)
    level, span = 0, 1
    while span <= max(len(entries), 1):
        hashes = [mth(entries[i : i + span]) for i in range(0, len(entries) // span * span, span)]
        for at in range(0, len(hashes), 256):
            part = hashes[at : at + 256]
            files[name_of(str(level), at // 256, len(part))] = b"".join(part)
        level, span = level + 1, span * 256
    return files


def read_log(fetch: Callable[[str], bytes | None], vkey: str) -> tuple[int, bytes, list[bytes]]:
    """Read a whole log over its public files as a client does; return size, root and entries, all proven."""
    note = fetch("checkpoint")
    assert note is not None
    origin, size, root = open_note(note, vkey).split("\n")[:3]
    count, entries = int(size), list[bytes]()
    for at in range(0, count, 256):
        width = min(256, count - at)
        bundle = fetch(name_of("entries", at // 256, width)) or fetch(name_of("entries", at // 256, 256))
        hashes = fetch(name_of("0", at // 256, width)) or fetch(name_of("0", at // 256, 256))
        assert bundle is not None and hashes is not None
        while bundle and len(entries) < count:
            length = int.from_bytes(bundle[:2], "big")
            entry, bundle = bundle[2 : 2 + length], bundle[2 + length :]
            place = 32 * (len(entries) - at)
            assert hashes[place : place + 32] == sha(b"\0", entry)
            entries.append(entry)
    assert origin == vkey.split("+")[0]
    assert mth(entries) == base64.b64decode(root)
    return count, base64.b64decode(root), entries


def vkey_of(name: str, seed: bytes) -> str:
    public = b"\1" + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    key_id = sha(name.encode(), b"\n", public)[:4].hex()
    return f"{name}+{key_id}+{base64.b64encode(public).decode()}"


def sign(name: str, seed: bytes, text: str) -> bytes:
    """A signed note."""
    key_id = bytes.fromhex(vkey_of(name, seed).split("+")[1])
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(text.encode())
    return f"{text}\n\u2014 {name} {base64.b64encode(key_id + signature).decode()}\n".encode()


def open_note(note: bytes, vkey: str) -> str:
    """The text of a note, once the key's signature holds."""
    name, key_id, public = vkey.strip().split("+", 2)
    text, _, lines = note.decode().rpartition("\n\n")
    for line in lines.splitlines():
        _, signer, payload = line.split(" ")
        raw = base64.b64decode(payload)
        if signer == name and raw[:4].hex() == key_id:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(public)[1:]).verify(raw[4:], f"{text}\n".encode())
            return f"{text}\n"
    raise AssertionError("nobody known signed this note")


def checkpoint(name: str, seed: bytes, entries: list[bytes]) -> bytes:
    return sign(name, seed, f"{name}\n{len(entries)}\n{base64.b64encode(mth(entries)).decode()}\n")


def tlog_proof(m: int, entries: list[bytes], note: bytes, extra: str = "") -> str:
    """A `.tlog-proof` file."""
    hashes = [base64.b64encode(h).decode() for h in path(m, entries)]
    lines = ["c2sp.org/tlog-proof@v1", *([f"extra {extra}"] if extra else []), f"index {m}", *hashes]
    return "\n".join(lines) + "\n\n" + note.decode()


def check_proof(text: str, entry: bytes, vkey: str) -> int:
    """The index a `.tlog-proof` proves an entry to have."""
    head, _, note = text.partition("\n\n")
    first, *rest = head.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    rest = rest[1:] if rest[0].startswith("extra ") else rest
    index = int(rest[0].removeprefix("index "))
    _, size, root = open_note(note.encode(), vkey).split("\n")[:3]
    assert root_by(sha(b"\0", entry), index, int(size), list(map(base64.b64decode, rest[1:]))) == base64.b64decode(root)
    return index

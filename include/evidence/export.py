"""Exports: a folder an auditor can verify without us.

entries.jsonl        canonical bytes of one entry per line, in log order
checkpoint           the signed checkpoint the entries end in
left.txt             where the export does not begin at 0: the subtree roots before it, base64, left to right
ledger.csv           개인정보파일 파기 관리대장: what was read back as gone or anonymised (see `verify.Ledger`)
open.csv             every disposal that these entries leave open (`verify.Lives`)
counts.json          entries by event, those of disposals by processor (`verify.Counts`)
rules.json           periods, floors and holidays of every schedule version, to recompute each date
schedules/<sha>.yaml the schedules themselves, named by the sha256 that was approved
titles.json          the titles the ledger shows, by code
checkpoint-prev.txt, consistency.txt   an earlier checkpoint, and the proof that its log is the beginning of this one
checkpoint.tsr, tsa-chain.pem          an authority's RFC 3161 timestamp of `checkpoint`, where there is one
proofs/<n>.tlog-proof                  the proof of one entry (C2SP tlog-proof v1), where asked for
vkey                 the log's public key, for convenience; an auditor brings their own
verify.py            the verifier, for a bare Python
manifest.json        first_index, size, and SHA-256 and rows of every file (rows: lines; of the CSVs without header)
manifest.note        the log's signature over the manifest, where a signer is given

What people read besides (workbook, report, certificates) is written by `extras` before the manifest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from include.database import checkpoint
from include.errors import EvidenceError
from include.evidence import proofs, tree, verify
from include.evidence.anchors import CHAIN, stamp_key
from include.evidence.log import Sealed, bodies, frontier_at, latest
from include.evidence.note import Checkpoint, Signer, open_checkpoint
from include.evidence.store import EvidenceStore

logger = logging.getLogger(__name__)
TOLD = 100_000
"""A long export says how far it is after so many entries."""

Extras = Callable[[Path], Sequence[Path]]
"""Writes more files into the folder it is given, after everything but the manifest, and names them."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Where an export lies and what it covers: entries [first_index, size), `destroyed` rows in the ledger."""

    folder: Path
    first_index: int
    size: int
    destroyed: int


class _File:
    """A file being written, with its digest and lines."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self._digest = path, 0, hashlib.sha256()
        self._file = path.open("wb")

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.rows += data.count(b"\n")

    def close(self) -> dict[str, Any]:
        self._file.close()
        return {"sha256": self._digest.hexdigest(), "rows": self.rows}


@dataclass(frozen=True, slots=True)
class More:
    """What an export may hold besides the entries: see the module's list of files.

    `rules` is the plain data of `rules.json`; `schedules` maps sha256 to a schedule's bytes; `proof_rows` names entries
    to prove one by one; `previous` is the size of an earlier checkpoint. Proofs and timestamps need `store`.
    """

    rules: Mapping[str, Any] | None = None
    schedules: Mapping[str, bytes] | None = None
    store: EvidenceStore | None = None
    proof_rows: Collection[int] = ()
    previous: int | None = None


def export(
    engine: Engine,
    folder: Path,
    *,
    vkey: str,
    first_index: int = 0,
    titles: Mapping[str, str] | None = None,
    signer: Signer | None = None,
    more: More | None = None,
    extras: Extras | None = None,
) -> Exported:
    """Write the entries from `first_index` up to the newest checkpoint into `folder`, replacing an export there.

    `titles` maps codes (rules, datasets, categories) to what people read; `law:R-01` is a rule's legal basis, `handler`
    and `head` the roles shown as 처리담당자 and 처리부서장. Memory stays flat. The folder appears whole or not at all.
    """
    sealed, more = latest(engine), more or More()
    if not 0 <= first_index <= sealed.size or not sealed.size:
        raise EvidenceError(
            f"Nothing to export from entry {first_index}: {sealed.size} entries are sealed. Seal first."
        )
    origin = open_checkpoint(sealed.note, [vkey]).origin
    _may_replace(folder)
    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    shown = dict(titles or {})
    files = _entries(engine, building, first_index=first_index, size=sealed.size, titles=shown)
    texts = {
        "checkpoint": sealed.note.encode(),
        "titles.json": verify.spelled(shown),
        "vkey": f"{vkey.strip()}\n".encode(),
        "verify.py": Path(verify.__file__).read_bytes(),
        **_beside(engine, sealed, vkey, first_index=first_index, more=more),
    }
    for name, content in texts.items():
        files[name] = _write(building / name, content)
    for path in extras(building) if extras else ():
        name = path.relative_to(building).as_posix()
        if name in files or name in ("manifest.json", "manifest.note"):
            raise EvidenceError(f"{name} is written by the export itself. Nothing was exported.")
        files[name] = _listed(path)
    manifest = {
        "schema": verify.MANIFEST_SCHEMA,
        "origin": origin,
        "first_index": first_index,
        "size": sealed.size,
        "files": files,
    }
    _manifest(building, manifest, signer)
    _put_in_place(building, folder)
    return Exported(folder, first_index, sealed.size, files["ledger.csv"]["rows"])


def _entries(
    engine: Engine, folder: Path, *, first_index: int, size: int, titles: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Write entries, ledger, open items and counts in one pass; return their digests and rows."""
    entries, rows, still = (_File(folder / name) for name in ("entries.jsonl", "ledger.csv", "open.csv"))
    ledger, lives, counts = verify.Ledger(size, titles), verify.Lives(whole=first_index == 0), verify.Counts()
    rows.write(ledger.header())
    index = first_index
    for page in bodies(engine, first_index, size):
        entries.write(b"".join(body + b"\n" for body, _ in page))
        for body, _ in page:
            read = json.loads(body)
            counts.add(read)
            if "disposal_id" in read:
                lives.follow(index, read)  # what is wrong with it is for the verifier to say
                line = ledger.line(index, read)
                if line is not None:
                    rows.write(line)
            index += 1
            if not index % TOLD:
                logger.info("export entries=%d of=%d", index, size)
    for line in lives.rows():
        still.write(line)
    rows.rows -= 1  # the header
    still.rows -= 1
    return {
        "entries.jsonl": entries.close(),
        "ledger.csv": rows.close(),
        "open.csv": still.close(),
        "counts.json": _write(folder / "counts.json", counts.body()),
    }


def _beside(engine: Engine, sealed: Sealed, vkey: str, *, first_index: int, more: More) -> dict[str, bytes]:
    """Return the files that make dates, history, time and single rows checkable."""
    found: dict[str, bytes] = {}
    if first_index:
        left = frontier_at(engine, first_index)
        found["left.txt"] = _lines_of(left)
    if more.rules is not None:
        found["rules.json"] = verify.spelled(more.rules)
    for sha256, body in (more.schedules or {}).items():
        found[f"schedules/{sha256}.yaml"] = body
    if more.store is None:
        if more.proof_rows or more.previous:
            raise EvidenceError("Proofs are read from the evidence bucket. Name its store, or ask for none.")
        return found
    shown = open_checkpoint(sealed.note, [vkey])
    if more.previous:
        found |= _consistency(engine, more.store, vkey, shown, more.previous)
    for index in sorted(set(more.proof_rows)):
        proof = proofs.row_proof_at(more.store, sealed.note, sealed.size, index)
        found[f"proofs/{index:09d}.tlog-proof"] = proof.encode()
    for name, key in (("checkpoint.tsr", stamp_key(sealed.size)), ("tsa-chain.pem", CHAIN)):
        stored = more.store.get(key)
        if stored is not None and (name != "tsa-chain.pem" or "checkpoint.tsr" in found):
            found[name] = stored.body
    return found


def _consistency(engine: Engine, store: EvidenceStore, vkey: str, shown: Checkpoint, previous: int) -> dict[str, bytes]:
    with engine.connect() as connection:
        note = connection.execute(select(checkpoint.c.note).where(checkpoint.c.size == previous)).scalar()
    if note is None or previous > shown.size:
        raise EvidenceError(f"There is no checkpoint over {previous} entries. Name one that was signed.")
    old = open_checkpoint(note, [vkey])
    proof = tree.consistency_proof(proofs.TileReader(store, shown.size).node, old.size, shown.size)
    tree.verify_consistency(old.size, old.root, shown.size, shown.root, proof)
    head = f"{old.size} {shown.size}\n".encode()
    return {"checkpoint-prev.txt": note.encode(), "consistency.txt": head + _lines_of(proof)}


def checkpoint_before(engine: Engine, size: int) -> int | None:
    """Return the size of the newest checkpoint over at most `size` entries, other than the newest of all."""
    with engine.connect() as connection:
        found = connection.execute(
            select(checkpoint.c.size)
            .where(checkpoint.c.size <= size, checkpoint.c.size < latest(engine).size)
            .order_by(checkpoint.c.size.desc())
            .limit(1)
        ).scalar()
    return int(found) if found else None


def _lines_of(hashes: Sequence[bytes]) -> bytes:
    return b"".join(base64.b64encode(value) + b"\n" for value in hashes)


def _write(path: Path, content: bytes) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _File(path)
    file.write(content)
    return file.close()


def _listed(path: Path) -> dict[str, Any]:
    """Return what the manifest says of a file that is there: its digest, and rows where it has lines."""
    digest, rows = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            rows += block.count(b"\n")
    lines = path.suffix in (".csv", ".jsonl", ".txt", ".json", ".tlog-proof")
    return {"sha256": digest.hexdigest(), "rows": rows if lines else None}


def _manifest(folder: Path, manifest: dict[str, Any], signer: Signer | None) -> None:
    body = verify.spelled(manifest)
    (folder / "manifest.json").write_bytes(body)
    if signer is not None:
        digest = hashlib.sha256(body).hexdigest()
        note = signer.sign(f"{verify.MANIFEST_NOTE}\n{digest}\n")
        (folder / "manifest.note").write_text(note, encoding="utf-8", newline="\n")


def _put_in_place(building: Path, folder: Path) -> None:
    """Give the finished folder its name; the one before leaves it whole, so that no crash leaves half of one there."""
    before = folder.with_name(f".{folder.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    if folder.exists():
        os.replace(folder, before)
    os.replace(building, folder)
    shutil.rmtree(before, ignore_errors=True)


def _may_replace(folder: Path) -> None:
    """Refuse to replace a folder that is not an export of ours."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "manifest.json").is_file():
        raise EvidenceError(f"{folder} holds other files. Name a folder that is empty or does not exist.")

"""Exports: a folder an auditor can verify without us.

entries.jsonl   canonical bytes of one entry per line, in log order
checkpoint      the signed checkpoint the entries end in
left.txt        where the export does not begin at 0: the subtree roots before it, base64, left to right
ledger.csv      개인정보파일 파기 관리대장: what was read back as gone or anonymised (see `verify.Ledger`)
titles.json     the titles the ledger shows, by code
vkey            the log's public key, for convenience; an auditor brings their own
verify.py       the verifier, for a bare Python
manifest.json   first_index, size, and SHA-256 and rows of every file (rows: lines; the ledger's without its header)
manifest.note   the log's signature over the manifest, where a signer is given
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from include.errors import EvidenceError
from include.evidence import verify
from include.evidence.log import bodies, frontier_at, latest
from include.evidence.note import Signer, open_checkpoint


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


def export(
    engine: Engine,
    folder: Path,
    *,
    vkey: str,
    first_index: int = 0,
    titles: Mapping[str, str] | None = None,
    signer: Signer | None = None,
) -> Exported:
    """Write the entries from `first_index` up to the newest checkpoint into `folder`, replacing an export there.

    `titles` maps codes (rules, datasets, categories) to what people read; `law:R-01` is a rule's legal basis, `handler`
    and `head` the roles shown as 처리담당자 and 처리부서장. Memory stays flat. The folder appears whole or not at all.
    """
    sealed = latest(engine)
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
        "checkpoint": sealed.note,
        "titles.json": json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
        "vkey": f"{vkey.strip()}\n",
        "verify.py": Path(verify.__file__).read_text(encoding="utf-8"),
    }
    if first_index:
        left = frontier_at(engine, first_index)
        texts["left.txt"] = "".join(base64.b64encode(root).decode() + "\n" for root in left)
    for name, content in texts.items():
        file = _File(building / name)
        file.write(content.encode())
        files[name] = file.close()
    manifest = {
        "schema": verify.MANIFEST_SCHEMA,
        "origin": origin,
        "first_index": first_index,
        "size": sealed.size,
        "files": files,
    }
    _manifest(building, manifest, signer)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(building, folder)
    return Exported(folder, first_index, sealed.size, files["ledger.csv"]["rows"])


def _entries(
    engine: Engine, folder: Path, *, first_index: int, size: int, titles: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Write entries and ledger in one pass; return their digests and rows."""
    entries, rows = _File(folder / "entries.jsonl"), _File(folder / "ledger.csv")
    ledger = verify.Ledger(size, titles)
    rows.write(ledger.header())
    index = first_index
    for page in bodies(engine, first_index, size):
        entries.write(b"".join(body + b"\n" for body, _ in page))
        for body, _ in page:
            if b'"disposal_id"' in body:
                line = ledger.line(index, json.loads(body))
                if line is not None:
                    rows.write(line)
            index += 1
    rows.rows -= 1  # the header
    return {"entries.jsonl": entries.close(), "ledger.csv": rows.close()}


def _manifest(folder: Path, manifest: dict[str, Any], signer: Signer | None) -> None:
    body = (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    (folder / "manifest.json").write_bytes(body)
    if signer is not None:
        digest = hashlib.sha256(body).hexdigest()
        note = signer.sign(f"{verify.MANIFEST_NOTE}\n{digest}\n")
        (folder / "manifest.note").write_text(note, encoding="utf-8", newline="\n")


def _may_replace(folder: Path) -> None:
    """Refuse to replace a folder that is not an export of ours."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "manifest.json").is_file():
        raise EvidenceError(f"{folder} holds other files. Name a folder that is empty or does not exist.")

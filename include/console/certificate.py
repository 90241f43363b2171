"""The certificate of one account as a download: PDF and text, and a proof for every line it calls proven.

The same certificate as an export's, from the same entries; only the account's own are read, not the whole log.
"""

from __future__ import annotations

import io
import zipfile

from include import keys
from include.console.asking import Ask
from include.console.reading import account as reading
from include.disposals.context import Decision
from include.disposals.reporting import titles
from include.errors import EvidenceError
from include.evidence.certificates import certify, cover_of
from include.evidence.note import Signer
from include.evidence.proofs import row_proof
from include.evidence.sheets import Titles
from include.evidence.store import CHECKPOINT, EvidenceStore


def vkey(ask: Ask) -> str:
    """Return the log's public key, in the form of a C2SP vkey."""
    signing = ask.services.connection("evidence_signing")
    return Signer(keys.signing_seed(signing), signing.require("origin")).vkey


def proof(ask: Ask, index: int) -> bytes:
    """Return the `.tlog-proof` of one entry, towards the published checkpoint."""
    store = EvidenceStore.of(ask.services.connection("evidence_store"))
    return row_proof(store, vkey(ask), index).encode()


def archive(ask: Ask, tag: str) -> bytes:
    """Return a zip with the certificate of the account behind a tag, the checkpoint and the proofs."""
    store = EvidenceStore.of(ask.services.connection("evidence_store"))
    published = store.get(CHECKPOINT)
    if published is None:
        raise EvidenceError("Nothing is sealed yet, so there is nothing to certify. Try again after the next run.")
    note = published.body.decode()
    cover = cover_of(note, 0, ask.services.schedule.sha256)
    with ask.services.reading() as connection:
        as_of = ask.services.as_of(connection)
        entries = [(i, e) for i, e in reading.entries_of(connection, [tag]) if i < cover.size]
    named = Titles(titles(Decision(ask.services.engine, ask.services.schedule, as_of)))
    made = certify(entries, cover, titles=named, subject_tag=tag)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"certificates/{made.name}.pdf", made.pdf)
        packed.writestr(f"certificates/{made.name}.txt", made.text)
        packed.writestr("checkpoint", note)
        packed.writestr("vkey", vkey(ask))
        for index in made.indexes:
            packed.writestr(f"proofs/{index:09d}.tlog-proof", row_proof(store, vkey(ask), index))
    return content.getvalue()

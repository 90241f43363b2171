"""The certificate of one account as a download: PDF and text, and a proof for every line it calls proven.

The same certificate as an export's, from the same entries; only the account's own are read, not the whole log.
"""

from __future__ import annotations

import io
import zipfile

from include.console.asking import Ask
from include.console.pages.evidence import places
from include.disposals.context import Decision
from include.disposals.reporting import titles
from include.errors import EvidenceError
from include.evidence.answers import Asked
from include.evidence.certificates import certify, cover_of
from include.evidence.narrowing import NarrowSource
from include.evidence.proofs import TileReader, proof_text
from include.evidence.sheets import Titles
from include.evidence.store import CHECKPOINT


def archive(ask: Ask, tag: str) -> bytes:
    """Return a zip with the certificate of the account behind a tag, the checkpoint and the proofs that lead to it.

    The checkpoint is read once: a seal meanwhile changes nothing of what is in the zip.
    """
    store, vkey = places(ask.services)
    published = store.get(CHECKPOINT)
    if published is None:
        raise EvidenceError("Nothing is sealed yet, so there is nothing to certify. Try again after the next run.")
    note, schedule = published.body.decode(), ask.services.schedule
    cover = cover_of(note, 0, schedule.sha256)
    with ask.services.reading() as connection:
        as_of = ask.services.as_of(connection)
    found = NarrowSource(ask.services.engine).about("was-destroyed", Asked(tags=frozenset({tag})))
    entries = [(index, entry) for index, entry in found if index < cover.size]
    named = Titles(titles(Decision(ask.services.engine, schedule, as_of)))
    made = certify(entries, cover, titles=named, subject_tag=tag)
    nodes, content = TileReader(store, cover.size).node, io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"certificates/{made.name}.pdf", made.pdf)
        packed.writestr(f"certificates/{made.name}.txt", made.text)
        packed.writestr("checkpoint", note)
        packed.writestr("vkey", vkey)
        for index in made.indexes:
            packed.writestr(f"proofs/{index:09d}.tlog-proof", proof_text(nodes, note, cover.size, index))
    return content.getvalue()

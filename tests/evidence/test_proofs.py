"""Proofs come from the bucket alone, in the published form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import EvidenceError, VerificationError
from include.evidence import tiles, tree
from include.evidence.entries import canonical
from include.evidence.note import Checkpoint
from include.evidence.proofs import check_row, consistency, row_proof
from include.evidence.store import EvidenceStore, Stored
from tests.evidence import samples, vectors
from tests.evidence.conftest import Log

PUBLISHED = "\n".join(["c2sp.org/tlog-proof@v1", "index 6", *vectors.INCLUSION_6, "", vectors.CHECKPOINT])


class Memory(EvidenceStore):
    """A bucket in memory."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects, self.bucket = objects, "memory"

    def get(self, key: str) -> Stored | None:
        return Stored(self.objects[key], "") if key in self.objects else None


def published() -> Memory:
    builder = tiles.Builder()
    made = [t for x in vectors.INPUTS for t in builder.add(x, tree.leaf_hash(x))] + list(builder.finish())
    return Memory({t.key: t.body for t in made} | {"checkpoint": vectors.CHECKPOINT.encode()})


def test_the_published_proof_to_the_byte() -> None:
    assert row_proof(published(), vectors.VKEY, 6) == PUBLISHED


def test_the_published_proof_holds_for_its_entry_only() -> None:
    assert check_row(PUBLISHED, vectors.INPUTS[6], vectors.VKEY) == 6
    with pytest.raises(VerificationError, match="not in the log"):
        check_row(PUBLISHED, vectors.INPUTS[5], vectors.VKEY)


def test_every_single_bit_flip_of_a_proof_is_refused() -> None:
    data = PUBLISHED.encode()
    for at in range(0, len(data) * 8, 3):
        bent = bytearray(data)
        bent[at // 8] ^= 1 << at % 8
        with pytest.raises((VerificationError, UnicodeDecodeError)):
            check_row(bent.decode(), vectors.INPUTS[6], vectors.VKEY)


@given(st.text(max_size=200))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(VerificationError):
        check_row(text, b"", vectors.VKEY)


def test_the_published_consistency() -> None:
    old = Checkpoint(vectors.NAME, 7, bytes.fromhex(vectors.ROOTS[7]))
    _, proof = consistency(published(), vectors.VKEY, old)
    assert len(proof) == len(vectors.CONSISTENCY_7_8)
    with pytest.raises(VerificationError, match="shrank"):
        consistency(published(), vectors.VKEY, Checkpoint(vectors.NAME, 9, bytes(32)))
    with pytest.raises(VerificationError, match="does not extend"):
        consistency(published(), vectors.VKEY, Checkpoint(vectors.NAME, 7, bytes(32)))


def test_nothing_sealed_gives_no_proof() -> None:
    with pytest.raises(EvidenceError, match="nothing is sealed"):
        row_proof(Memory({}), vectors.VKEY, 0)
    with pytest.raises(EvidenceError, match="not in a log of 8"):
        row_proof(published(), vectors.VKEY, 8)


def test_rows_of_a_real_log_over_several_tiles_are_proven_from_the_bucket(log: Log) -> None:
    entries: list[dict[str, Any]] = [samples.disposal(i, "planned") for i in range(700)]
    log.stage(entries[:300])
    old = log.seal()
    log.stage(entries[300:])
    log.seal()
    for index in (0, 255, 256, 511, 512, 699):
        assert check_row(row_proof(log.store, vectors.VKEY, index), canonical(entries[index]), vectors.VKEY) == index
    assert consistency(log.store, vectors.VKEY, old)[0].size == 700

"""Another implementation reads our log, and ours reads a log it wrote: tiles, notes, proofs, both directions."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import VerificationError
from include.evidence import tiles, tree, verify
from include.evidence.entries import canonical
from include.evidence.note import Checkpoint, Signer, open_checkpoint
from include.evidence.proofs import check_row, consistency, row_proof
from include.evidence.rebuild import bucket_entries
from tests.evidence import samples, second, vectors
from tests.evidence.conftest import Log
from tests.evidence.test_proofs import PUBLISHED, Memory

SIZES = (1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 700)


def some(count: int) -> list[bytes]:
    return [canonical(samples.disposal(n, "planned")) for n in range(count)]


def test_the_second_reads_the_published_vector() -> None:
    assert second.mth(vectors.INPUTS).hex() == vectors.ROOTS[8]
    assert second.vkey_of(vectors.NAME, vectors.SEED) == vectors.VKEY
    assert second.checkpoint(vectors.NAME, vectors.SEED, vectors.INPUTS).decode() == vectors.CHECKPOINT
    assert second.check_proof(PUBLISHED, vectors.INPUTS[6], vectors.VKEY) == 6
    hashes = [base64.b64encode(h).decode() for h in second.proof(7, vectors.INPUTS)]
    assert hashes == vectors.CONSISTENCY_7_8


def test_the_second_reads_our_sealed_log_from_the_bucket(log: Log) -> None:
    entries = [samples.disposal(n, "planned") for n in range(700)]
    for low, high in ((0, 3), (3, 256), (256, 257), (257, 700)):
        log.stage(entries[low:high])
        log.seal()

    def fetch(key: str) -> bytes | None:
        stored = log.store.get(key)
        return stored.body if stored else None

    size, root, found = second.read_log(fetch, vectors.VKEY)
    assert found == [canonical(e) for e in entries]
    expected = second.tiles_of(found)
    assert {k: fetch(k) for k in expected} == expected
    for index in (0, 255, 256, 699):
        assert second.check_proof(row_proof(log.store, vectors.VKEY, index), found[index], vectors.VKEY) == index
    for old in (1, 3, 256, 257, 513, 699):
        shown, proof = consistency(log.store, vectors.VKEY, Checkpoint(vectors.NAME, old, second.mth(found[:old])))
        assert second.roots_by(old, size, proof, second.mth(found[:old])) == (second.mth(found[:old]), root)
        assert shown.root == root


@pytest.mark.parametrize("size", SIZES)
def test_we_read_a_log_that_the_second_wrote(size: int) -> None:
    entries = some(size)
    note = second.checkpoint(vectors.NAME, vectors.SEED, entries)
    bucket = Memory(second.tiles_of(entries) | {"checkpoint": note})
    shown = open_checkpoint(note.decode(), [vectors.VKEY])
    assert list(bucket_entries(bucket, size)) == entries
    frontier = tree.frontier_of(map(tree.leaf_hash, entries))
    assert (shown.size, shown.root) == (size, tree.fold(frontier))
    assert verify.open_checkpoint("checkpoint", note, vectors.VKEY) == (size, shown.root)
    for index in {0, size // 2, size - 1}:
        proof = second.tlog_proof(index, entries, note)
        assert check_row(proof, entries[index], vectors.VKEY) == index
        assert row_proof(bucket, vectors.VKEY, index) == proof
        assert verify.follows_inclusion(tree.leaf_hash(entries[index]), index, size, second.path(index, entries)) == (
            shown.root
        )
    for old in {0, 1, size // 2, size - 1, size}:
        if 0 < old < size:
            hashes = second.proof(old, entries)
            tree.verify_consistency(old, second.mth(entries[:old]), size, shown.root, hashes)
            assert verify.is_consistent((old, second.mth(entries[:old])), (size, shown.root), hashes)
            assert (
                consistency(bucket, vectors.VKEY, Checkpoint(vectors.NAME, old, second.mth(entries[:old])))[1] == hashes
            )


@pytest.mark.parametrize("size", SIZES)
def test_our_tiles_are_those_of_the_second(size: int) -> None:
    builder, made = tiles.Builder(), dict[str, bytes]()
    for entry in some(size):
        made |= {t.key: t.body for t in builder.add(entry, tree.leaf_hash(entry))}
    made |= {t.key: t.body for t in builder.finish()}
    assert made == second.tiles_of(some(size))


@given(st.integers(0, 10**13), st.integers(1, 256), st.sampled_from(["entries", "0", "5"]))
def test_tiles_have_the_same_names(index: int, width: int, level: str) -> None:
    assert tiles.path(level, index, width) == second.name_of(level, index, width)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.data())
def test_proofs_are_the_same_and_bent_ones_lead_to_another_root(size: int, data: Any) -> None:
    entries = [str(n).encode() for n in range(size)]
    nodes, root = tree.nodes_of([tree.leaf_hash(e) for e in entries]), second.mth(entries)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    proof = tree.inclusion_proof(nodes, index, size)
    assert proof == second.path(index, entries)
    assert second.root_by(tree.leaf_hash(entries[index]), index, size, proof) == root
    if proof:
        bent = [bytes([proof[0][0] ^ 1]) + proof[0][1:], *proof[1:]]
        assert second.root_by(tree.leaf_hash(entries[index]), index, size, bent) != root
    assert tree.consistency_proof(nodes, old, size) == second.proof(old, entries)


def test_a_note_with_the_marks_of_witnesses_and_a_proof_with_extra_are_read() -> None:
    """C2SP lets others sign a checkpoint too, and lets a proof carry bytes that nobody trusts."""
    entries = vectors.INPUTS
    note = second.checkpoint(vectors.NAME, vectors.SEED, entries)
    witness = second.sign("witness.example/w", bytes(32), "cosignature/v1\ntime 1\n").decode().rpartition("\n\n")[2]
    marked = note + witness.encode()
    assert open_checkpoint(marked.decode(), [vectors.VKEY]).size == 8
    assert verify.open_checkpoint("checkpoint", marked, vectors.VKEY)[0] == 8
    extra = base64.b64encode(b"whatever").decode()
    assert check_row(second.tlog_proof(6, entries, marked, extra), entries[6], vectors.VKEY) == 6
    with pytest.raises(VerificationError):
        check_row(second.tlog_proof(6, entries, marked, "not base64!"), entries[6], vectors.VKEY)


def test_each_refuses_what_the_others_key_did_not_sign() -> None:
    ours = Signer(bytes(32), vectors.NAME).sign(Checkpoint(vectors.NAME, 8, bytes(32)).body())
    forged = ours.replace(Signer(bytes(32), vectors.NAME).vkey.split("+")[1], "")
    with pytest.raises(AssertionError, match="nobody known"):
        second.open_note(forged.encode(), vectors.VKEY)
    bent = vectors.CHECKPOINT.replace("\n8\n", "\n9\n")
    with pytest.raises(InvalidSignature):
        second.open_note(bent.encode(), vectors.VKEY)
    with pytest.raises(VerificationError):
        open_checkpoint(bent, [vectors.VKEY])

"""The tree agrees with RFC 6962's own definition and its proofs cannot be bent."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import EvidenceError, VerificationError
from include.evidence import tree
from tests.evidence import vectors

LEAVES = [tree.leaf_hash(x) for x in vectors.INPUTS]


def naive(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, as it is written there."""
    if not leaves:
        return tree.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return tree.node_hash(naive(leaves[:k]), naive(leaves[k:]))


def some(count: int) -> list[bytes]:
    return [tree.leaf_hash(str(i).encode()) for i in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_public_inputs(size: int) -> None:
    assert tree.root(LEAVES[:size]).hex() == vectors.ROOTS[size]


def test_the_published_inclusion_proof() -> None:
    proof = tree.inclusion_proof(tree.nodes_of(LEAVES), 6, 8)
    assert [b64encode(h).decode() for h in proof] == vectors.INCLUSION_6
    tree.verify_inclusion(LEAVES[6], 6, 8, proof, bytes.fromhex(vectors.ROOTS[8]))


def test_the_published_consistency_proof() -> None:
    proof = tree.consistency_proof(tree.nodes_of(LEAVES), 7, 8)
    assert [b64encode(h).decode() for h in proof] == vectors.CONSISTENCY_7_8


@pytest.mark.parametrize("size", [*range(34), 63, 64, 65, 255, 256, 257, 300])
def test_the_frontier_gives_the_root_of_the_definition(size: int) -> None:
    leaves = some(size)
    frontier = tree.frontier_of(leaves)
    assert tree.fold(frontier) == naive(leaves)
    assert len(frontier) == size.bit_count()


def test_every_proof_of_every_small_tree_verifies() -> None:
    leaves = some(20)
    for size in range(1, 21):
        nodes, root = tree.nodes_of(leaves[:size]), naive(leaves[:size])
        for index in range(size):
            tree.verify_inclusion(leaves[index], index, size, tree.inclusion_proof(nodes, index, size), root)
        for old in range(size + 1):
            proof = tree.consistency_proof(nodes, old, size)
            tree.verify_consistency(old, naive(leaves[:old]), size, root, proof)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_bent_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    leaves = some(size)
    proof = tree.inclusion_proof(tree.nodes_of(leaves), index, size)
    root, leaf = naive(leaves), leaves[index]
    bend = data.draw(st.sampled_from(["flip", "drop", "add", "index", "leaf"]))
    if bend == "flip" and proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        proof[at] = bytes([proof[at][0] ^ 1]) + proof[at][1:]
    elif bend == "drop" and proof:
        proof.pop(data.draw(st.integers(0, len(proof) - 1)))
    elif bend == "add":
        proof.append(proof[-1] if proof else root)
    elif bend == "index" and size > 1:
        index = (index + 1) % size
    else:
        leaf = tree.leaf_hash(b"another")
    with pytest.raises(VerificationError):
        tree.verify_inclusion(leaf, index, size, proof, root)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_bent_consistency_proof_is_refused(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, new - 1))
    leaves = some(new)
    proof = tree.consistency_proof(tree.nodes_of(leaves), old, new)
    old_root, new_root = naive(leaves[:old]), naive(leaves)
    bend = data.draw(st.sampled_from(["flip", "drop", "add", "history"]))
    if bend == "flip":
        at = data.draw(st.integers(0, len(proof) - 1))
        proof[at] = bytes([proof[at][0] ^ 128]) + proof[at][1:]
    elif bend == "drop":
        proof.pop(data.draw(st.integers(0, len(proof) - 1)))
    elif bend == "add":
        proof.append(proof[0])
    else:
        old_root = naive([tree.leaf_hash(b"rewritten"), *leaves[1:old]])
    with pytest.raises(VerificationError):
        tree.verify_consistency(old, old_root, new, new_root, proof)


def test_a_log_that_shrank_is_not_consistent() -> None:
    with pytest.raises(VerificationError, match="shrank"):
        tree.verify_consistency(3, naive(some(3)), 2, naive(some(2)), [])


def test_no_proof_for_what_is_not_there() -> None:
    with pytest.raises(EvidenceError, match="not in a log of 3"):
        tree.inclusion_proof(tree.nodes_of(some(3)), 3, 3)
    with pytest.raises(EvidenceError, match="from 4 to 3"):
        tree.consistency_proof(tree.nodes_of(some(3)), 4, 3)

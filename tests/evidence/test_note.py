"""Notes are signed to the published bytes, and any other byte is refused."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigurationError, VerificationError
from include.evidence.note import Checkpoint, Signer, open_checkpoint, open_note, parse_vkey
from tests.evidence import vectors

SIGNER = Signer(vectors.SEED, vectors.NAME)
OTHER = Signer(bytes(32), vectors.NAME)


def test_the_published_vkey() -> None:
    assert SIGNER.vkey == vectors.VKEY


def test_the_published_checkpoint_to_the_byte() -> None:
    body = Checkpoint(vectors.NAME, 8, bytes.fromhex(vectors.ROOTS[8])).body()
    assert SIGNER.sign(body).encode() == vectors.CHECKPOINT.encode()


def test_a_checkpoint_opens_with_its_key() -> None:
    opened = open_checkpoint(vectors.CHECKPOINT, [vectors.VKEY])
    assert (opened.size, opened.root.hex()) == (8, vectors.ROOTS[8])


def test_every_single_bit_flip_is_refused() -> None:
    data = vectors.CHECKPOINT.encode()
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises((VerificationError, UnicodeDecodeError)):
            open_checkpoint(flipped.decode(), [vectors.VKEY])


def test_an_unknown_key_is_ignored_beside_a_known_one() -> None:
    body = "a log\n"
    both = SIGNER.sign(body) + OTHER.sign(body).split("\n\n")[1]
    assert open_note(both, [vectors.VKEY]) == body


def test_a_note_signed_by_nobody_known_is_refused() -> None:
    with pytest.raises(VerificationError, match="No known key"):
        open_note(OTHER.sign("a log\n"), [vectors.VKEY])


def test_a_bad_signature_of_a_known_key_rejects_a_note_that_another_known_key_signed() -> None:
    good, bad = OTHER.sign("a log\n"), SIGNER.sign("another\n").split("\n\n")[1]
    with pytest.raises(VerificationError, match="is wrong"):
        open_note(good + bad, [vectors.VKEY, OTHER.vkey])


def test_base64_of_another_spelling_is_refused() -> None:
    # The last character before `=` carries two bits that no byte needs.
    spelled = vectors.CHECKPOINT.replace("WlBYSQ0=", "WlBYSQ1=")
    with pytest.raises(VerificationError, match="canonical"):
        open_note(spelled, [vectors.VKEY])


@pytest.mark.parametrize("size", ["08", "+8", "-1", "", "8.0", "٨"])
def test_a_size_of_another_form_is_refused(size: str) -> None:
    body = f"{vectors.NAME}\n{size}\n{b64encode(bytes(32)).decode()}\n"
    with pytest.raises(VerificationError):
        open_checkpoint(SIGNER.sign(body), [vectors.VKEY])


def test_a_checkpoint_with_extension_lines_is_refused() -> None:
    body = f"{vectors.NAME}\n8\n{b64encode(bytes(32)).decode()}\nextra\n"
    with pytest.raises(VerificationError):
        open_checkpoint(SIGNER.sign(body), [vectors.VKEY])


def test_a_checkpoint_of_another_log_is_refused() -> None:
    body = Checkpoint("another.example/log", 8, bytes(32)).body()
    with pytest.raises(VerificationError, match="another log"):
        open_checkpoint(SIGNER.sign(body), [vectors.VKEY])


@given(st.text(max_size=300))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(VerificationError):
        open_checkpoint(text, [vectors.VKEY])
    with pytest.raises(VerificationError):
        parse_vkey(text)


def test_a_seed_or_a_name_that_cannot_sign_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Signer(b"short", vectors.NAME)
    with pytest.raises(ConfigurationError, match="one word"):
        Signer(bytes(32), "two words")


def test_a_signer_never_shows_its_seed() -> None:
    assert vectors.SEED.hex() not in repr(SIGNER)

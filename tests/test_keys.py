"""Keys come from private files or a key service, and open only what they sealed for the same purpose."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from include import keys
from include.connections import Connection
from include.errors import ConfigurationError, Unreachable

KEK = bytes(range(32))


def connection(name: str = "archive_kek", **extra: Any) -> Connection:
    return Connection(name=name, login="key", password="secret", extra=extra)


def key_file(folder: Path, value: bytes = KEK, name: str = "kek.key") -> Path:
    path = folder / name
    path.write_bytes(value)
    path.chmod(0o600)
    return path


def test_a_created_key_file_is_private_and_loads(tmp_path: Path) -> None:
    path = keys.create(tmp_path / "new" / "kek.key")
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.load(connection(file=str(path))) == path.read_bytes()
    assert len(path.read_bytes()) == 32


def test_creating_again_keeps_the_key(tmp_path: Path) -> None:
    path = keys.create(tmp_path / "kek.key")
    before = path.read_bytes()
    assert keys.create(path).read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o660, 0o400, 0o700])
def test_a_file_others_could_read_or_replace_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 0600"):
        keys.load(connection(file=str(path)))


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigurationError, match="belongs to user"):
        keys.load(connection(file=str(path)))


def test_a_missing_file_and_a_wrong_length_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"archive_kek: .*cannot be read"):
        keys.load(connection(file=str(tmp_path / "none")))
    with pytest.raises(ConfigurationError, match="31 bytes instead of 32"):
        keys.load(connection(file=str(key_file(tmp_path, b"x" * 31))))
    with pytest.raises(ConfigurationError, match="lacks 'file'"):
        keys.load(connection())


def test_a_wrapped_key_opens_under_its_own_context_only() -> None:
    wrapper = keys.LocalWrapper(KEK)
    wrapped = wrapper.wrap(b"d" * 32, "locator:1")
    assert wrapper.unwrap(wrapped, "locator:1") == b"d" * 32
    for context in ("locator:2", "archive-row:1", "locator"):
        with pytest.raises(ConfigurationError, match="does not open"):
            wrapper.unwrap(wrapped, context)


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_wrapped_key_is_refused(damage: bytes | None) -> None:
    wrapper = keys.LocalWrapper(KEK)
    wrapped = wrapper.wrap(b"d" * 32, "locator:1")
    with pytest.raises(ConfigurationError):
        wrapper.unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]) if damage is None else damage, "locator:1")


def test_sealed_bytes_open_again_and_say_nothing() -> None:
    wrapper = keys.LocalWrapper(KEK)
    first, second = (keys.seal_bytes(b"sample person", wrapper, "locator:1") for _ in range(2))
    assert keys.open_sealed(first, wrapper, "locator:1") == b"sample person"
    assert b"sample" not in first.ciphertext
    assert first.ciphertext != second.ciphertext
    with pytest.raises(ConfigurationError):
        keys.open_sealed(first, wrapper, "locator:2")
    mixed = keys.Sealed(first.wrapped_key, second.nonce, second.ciphertext)
    with pytest.raises(ConfigurationError, match="damaged or were moved"):
        keys.open_sealed(mixed, wrapper, "locator:1")


def test_derived_keys_differ_by_purpose_and_stay_the_same() -> None:
    assert keys.LocalWrapper(KEK).derive("a") == keys.LocalWrapper(KEK).derive("a")
    assert keys.LocalWrapper(KEK).derive("a") != keys.LocalWrapper(KEK).derive("b")


def test_a_derived_key_is_plain_hkdf_so_that_any_tool_can_rebuild_it() -> None:
    extracted = hmac.new(bytes(32), KEK, "sha256").digest()  # RFC 5869, no salt, one block
    assert keys.LocalWrapper(KEK).derive("a") == hmac.new(extracted, b"retention/v1/a\x01", "sha256").digest()


def test_no_key_is_in_a_repr() -> None:
    shown = repr([keys.LocalWrapper(KEK), keys.KmsWrapper(lambda: KEK)])
    assert KEK.hex() not in shown
    assert repr(KEK) not in shown


def test_epochs_are_the_years_of_a_folder(tmp_path: Path) -> None:
    for year in ("2025", "2026"):
        key_file(tmp_path, year.encode() * 8, f"{year}.key")
    (tmp_path / "readme.txt").write_text("not a key")
    assert keys.epochs(connection("evidence_tags", folder=str(tmp_path))) == {"2025": b"2025" * 8, "2026": b"2026" * 8}


def test_a_folder_without_epochs_or_with_an_open_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no <year>\.key"):
        keys.epochs(connection("evidence_tags", folder=str(tmp_path)))
    key_file(tmp_path, name="2026.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 0600"):
        keys.epochs(connection("evidence_tags", folder=str(tmp_path)))


@dataclass
class KeyService:
    """A key service that speaks KMS's JSON protocol for Decrypt; its ciphertext is the plaintext reversed."""

    url: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    fault: tuple[int, str] | None = None

    def answer(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append(asked)
        if self.fault:
            return self.fault[0], {"__type": self.fault[1], "message": "person0001@example.com"}
        if asked.get("EncryptionContext") != {"retention": "archive_kek"} or asked.get("KeyId") != "key-1":
            return 400, {"__type": "InvalidCiphertextException"}
        plain = base64.b64decode(asked["CiphertextBlob"])[::-1]
        return 200, {"KeyId": "key-1", "Plaintext": base64.b64encode(plain).decode()}


@pytest.fixture
def service() -> Iterator[KeyService]:
    state = KeyService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = state.answer(asked)
            encoded = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def kms(service: KeyService, name: str = "archive_kek") -> Connection:
    blob = base64.b64encode(KEK[::-1]).decode()
    return connection(name, endpoint_url=service.url, kms_key_id="key-1", kek=blob)


def test_a_key_service_is_asked_once_per_process_and_only_when_needed(service: KeyService) -> None:
    wrapper = keys.wrapper(kms(service))
    assert isinstance(wrapper, keys.KmsWrapper)
    assert service.calls == []
    wrapped = [wrapper.wrap(b"d" * 32, f"locator:{n}") for n in range(20)]
    assert wrapper.unwrap(wrapped[3], "locator:3") == b"d" * 32
    assert wrapper.derive("a") == keys.LocalWrapper(KEK).derive("a")
    assert len(service.calls) == 1


def test_a_file_holds_the_encrypted_key_when_a_key_service_is_named(service: KeyService, tmp_path: Path) -> None:
    given = connection(endpoint_url=service.url, kms_key_id="key-1", file=str(key_file(tmp_path, KEK[::-1])))
    assert keys.load(given) == KEK


def test_a_key_of_another_purpose_is_refused_by_the_service(service: KeyService) -> None:
    with pytest.raises(ConfigurationError, match="InvalidCiphertextException"):
        keys.load(kms(service, "evidence_signing"))


@pytest.mark.parametrize(("status", "code"), [(400, "AccessDeniedException"), (400, "DisabledException")])
def test_a_refusal_needs_a_person_and_quotes_no_text(service: KeyService, status: int, code: str) -> None:
    service.fault = (status, code)
    with pytest.raises(ConfigurationError, match=code) as caught:
        keys.wrapper(kms(service)).derive("a")
    assert "example.com" not in str(caught.value)


def test_a_service_that_is_down_can_be_tried_again(service: KeyService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    wrapper = keys.wrapper(kms(service))
    service.fault = (500, "KMSInternalException")
    with pytest.raises(Unreachable, match="kms"):
        wrapper.derive("a")
    service.fault = None
    assert wrapper.derive("a") == keys.LocalWrapper(KEK).derive("a")


def test_a_stored_key_that_is_not_base64_is_named(service: KeyService) -> None:
    with pytest.raises(ConfigurationError, match="not base64"):
        keys.wrapper(connection(endpoint_url=service.url, kms_key_id="key-1", kek="not base64!"))

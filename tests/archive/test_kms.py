"""The archive under a key of AWS KMS (moto's), behind the same small interface as the key file."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include import keys
from include.archive.keyring import ArchiveKeys
from include.archive.staging import ready
from include.connections import Connection
from include.errors import ConfigurationError, Unreachable
from include.sandbox.servers import free_ports
from tests.archive.conftest import Desk, payment, short
from tests.archive.test_disposal import names_in

KEK = b"k" * 32  # that of every desk: they share one bucket, and its key backups


@dataclass(frozen=True, slots=True)
class Service:
    """A key in KMS, and the key-encryption key it encrypted."""

    client: Any
    key_id: str
    blob: bytes

    def connection(self, **extra: Any) -> Connection:
        given = {"kms_key_id": self.key_id, "kek": base64.b64encode(self.blob).decode()} | extra
        return Connection("archive_kek", login="key", password="secret", extra=given)


@pytest.fixture
def service() -> Iterator[Service]:
    with mock_aws():
        client = boto3.client("kms", "ap-northeast-2", aws_access_key_id="key", aws_secret_access_key="secret")
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        context = {"retention": "archive_kek"}
        blob = client.encrypt(KeyId=key_id, Plaintext=KEK, EncryptionContext=context)["CiphertextBlob"]
        yield Service(client, key_id, blob)


def under(desk: Desk, connection: Connection) -> Desk:
    return replace(desk, keys=ArchiveKeys.of(keys.wrapper(connection)))


def test_one_decryption_serves_a_whole_night(desk: Desk, service: Service) -> None:
    asked: list[str] = []
    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register("before-call.kms.Decrypt", lambda **_: asked.append("Decrypt"))
    night = under(desk, service.connection())
    assert asked == []
    for n in range(30):
        night.stage(f"a{n}", payment(n), terms_of=short(3600))
    (key,) = night.pack().keys
    assert len(names_in(night, key)) == 30
    assert asked == ["Decrypt"]


def test_what_kms_sealed_opens_with_the_same_key_from_a_file(desk: Desk, service: Service) -> None:
    night = under(desk, service.connection())
    night.stage("a0", payment(0), terms_of=short(3600))
    (key,) = night.pack().keys
    assert names_in(replace(night, keys=ArchiveKeys.of(keys.LocalWrapper(KEK))), key) == {"Sample Person 0000"}


def test_a_blob_of_another_purpose_is_refused_by_name_and_nothing_is_staged(desk: Desk, service: Service) -> None:
    other = {"retention": "evidence_signing"}
    blob = service.client.encrypt(KeyId=service.key_id, Plaintext=KEK, EncryptionContext=other)["CiphertextBlob"]
    with pytest.raises(ConfigurationError, match="archive_kek: KMS refused to decrypt"):
        under(desk, replace(service, blob=blob).connection()).stage("a1", payment(1), terms_of=short(3600))
    assert desk.count("archive_row") == 0


def test_a_key_service_that_does_not_answer_leaves_the_rows_for_the_next_night(desk: Desk, service: Service) -> None:
    disposal_id = under(desk, service.connection()).stage("a1", payment(1), terms_of=short(3600))
    down = under(desk, service.connection(endpoint_url=f"http://127.0.0.1:{free_ports(1)[0]}"))
    with pytest.raises(Unreachable, match="kms"):
        down.pack()
    with desk.engine.connect() as connection:
        assert ready(connection, [disposal_id]) == set()
    (key,) = under(desk, service.connection()).pack().keys
    assert desk.store.head(key) is not None

"""A checkpoint is stamped by an authority whose word is checked before it is kept, and again by the auditor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.connections import Connection
from include.errors import ConfigurationError, Unreachable, VerificationError
from include.evidence import verify
from include.evidence.anchors import Authority, anchor, check_stamp, request_stamp, stamp_key
from include.evidence.audit import audit
from include.evidence.entries import parse
from include.evidence.export import More, export
from include.evidence.log import seal
from tests.evidence import authority, samples
from tests.evidence.conftest import NOW, Log
from tests.programs import needs

PAST = {"recorded_at": "2026-01-02T03:04:05Z"}
BASE = {k: v for k, v in samples.base("anchored").items() if k != "policy_sha256"} | PAST


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tsa")
    authority.certify(folder, "ours")
    return folder


def named(folder: Path, url: str) -> Authority:
    extra = {"endpoint_url": url, "roots": str(folder / "root.pem"), "chain": str(folder / "tsa.pem")}
    return Authority.of(Connection("evidence_tsa", extra=extra))


def stamped(log: Log, ours: Path) -> bool:
    with authority.served(ours) as url:
        return anchor(log.engine, log.store, named(ours, url), vkey=log.signer.vkey, entry=BASE)


def test_a_checkpoint_is_stamped_once_and_an_entry_says_so(log: Log, ours: Path) -> None:
    log.stage([samples.base("run_started") | PAST])
    shown = log.seal()
    assert stamped(log, ours)
    assert not stamped(log, ours)
    kept = log.store.get(stamp_key(1))
    assert kept is not None
    assert log.seal().size == 2
    from include.evidence.log import bodies

    body = next(b for page in bodies(log.engine, 1, 2) for b, _ in page)
    entry = parse(body)
    assert (entry["event"], entry["log_size"], entry["log_root"]) == ("anchored", 1, shown.root.hex())


@needs("openssl")
def test_an_exported_stamp_is_checked_against_the_auditors_root(log: Log, ours: Path, tmp_path: Path) -> None:
    log.stage([samples.base("run_started") | PAST])
    log.seal()
    stamped(log, ours)
    folder = exported(log, tmp_path)
    assert (folder / "checkpoint.tsr").is_file()
    good = examine(folder, ours / "root.pem", log)
    assert good.flaws == []
    assert any(f.startswith("timestamped 20") for f in good.facts)
    unnamed = examine(folder, None, log)
    assert any("--tsa ROOT.pem" in c for c in unnamed.open_checks)


@needs("openssl")
@pytest.mark.parametrize(("days", "found"), [(2, 0), (3, 1)])
def test_an_authority_silent_for_days_is_found_by_the_audit(log: Log, ours: Path, days: int, found: int) -> None:
    log.stage([samples.base("run_started") | PAST])
    log.seal()
    with authority.served(ours) as url:
        known = named(ours, url)
        anchor(log.engine, log.store, known, vkey=log.signer.vkey, entry=BASE)
    log.stage([samples.base("run_finished") | PAST])
    later = NOW + timedelta(days=days)
    seal(log.engine, log.store, log.signer, now=later)
    done = audit(
        log.engine, log.store, vkey=log.signer.vkey, as_of=date(2026, 11, 25), now=datetime.now(UTC), authority=known
    )
    assert done.stamped == 1
    assert sum("the newest timestamp is over a checkpoint of 2026-11-24" in f for f in done.findings) == found


@needs("openssl")
def test_a_stamp_of_another_authority_or_checkpoint_is_found(log: Log, ours: Path, tmp_path: Path) -> None:
    log.stage([samples.base("run_started") | PAST])
    log.seal()
    stamped(log, ours)
    folder = exported(log, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    authority.certify(other, "other")
    assert "not a timestamp" in examine(folder, other / "root.pem", log).flaws[0]
    log.stage([samples.base("run_finished") | PAST])
    log.seal()
    kept = (folder / "checkpoint.tsr").read_bytes()
    log.store.put_new(stamp_key(log.seal().size), kept)
    assert "not a timestamp" in examine(exported(log, tmp_path), ours / "root.pem", log).flaws[0]


@needs("openssl")
def test_a_stamp_older_than_the_newest_entry_is_found(log: Log, ours: Path, tmp_path: Path) -> None:
    log.stage([samples.base("run_started") | {"recorded_at": "2199-01-01T00:00:00Z"}])
    log.seal()
    stamped(log, ours)
    assert "before the newest entry" in examine(exported(log, tmp_path), ours / "root.pem", log).flaws[0]


def test_a_reply_to_another_question_is_not_kept(ours: Path) -> None:
    with authority.served(ours) as url:
        reply = request_stamp(named(ours, url), b"one")
    with authority.served(ours, body=reply) as url, pytest.raises(VerificationError, match="not kept"):
        request_stamp(named(ours, url), b"one")


@pytest.mark.parametrize("bend", [lambda b: b[:-1], lambda b: b"", lambda b: b[:90] + bytes([b[90] ^ 1]) + b[91:]])
def test_a_bent_stamp_is_refused(ours: Path, bend: Callable[[bytes], bytes]) -> None:
    with authority.served(ours) as url:
        known = named(ours, url)
        reply = request_stamp(known, b"one")
    assert check_stamp(known, b"one", reply).year >= 2026
    with pytest.raises(VerificationError):
        check_stamp(known, b"one", bend(reply))
    with pytest.raises(VerificationError):
        check_stamp(known, b"two", reply)


def test_an_authority_that_is_down_is_unreachable(ours: Path) -> None:
    with authority.served(ours, status=503) as url, pytest.raises(Unreachable, match="HTTP 503"):
        request_stamp(named(ours, url), b"one")
    with pytest.raises(Unreachable):
        request_stamp(named(ours, url), b"one")


@pytest.mark.parametrize("extra", [{}, {"endpoint_url": "ftp://127.0.0.1"}, {"roots": "/nowhere.pem"}])
def test_a_connection_that_names_no_authority_is_refused(ours: Path, extra: dict[str, Any]) -> None:
    full = {"endpoint_url": "http://127.0.0.1:1", "roots": str(ours / "root.pem")}
    with pytest.raises(ConfigurationError):
        Authority.of(Connection("evidence_tsa", extra={**(full if extra else {}), **extra}))


def exported(log: Log, tmp_path: Path) -> Path:
    more = More(store=log.store)
    return export(log.engine, tmp_path / "x", vkey=log.signer.vkey, signer=log.signer, more=more).folder


def examine(folder: Path, tsa: Path | None, log: Log) -> verify.Folder:
    found = verify.Folder(folder, vkey=log.signer.vkey, since=None, tsa=tsa)
    found.examine()
    return found


@needs("openssl")
@pytest.mark.parametrize(("days", "root", "good"), [(60, "ours", True), (60, "other", False), (0, "ours", True)])
def test_a_stamp_outlives_its_authoritys_certificate(
    log: Log, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, root: str, good: bool
) -> None:
    """Evidence is read for years, certificates live for some: OpenSSL looks at the chain of the day of the stamp."""
    log.stage([samples.base("run_started") | PAST])
    log.seal()
    stamped(log, ours)
    (tmp_path / "other").mkdir()
    authority.certify(tmp_path / "other", "other")
    later, real = str(int(datetime.now(UTC).timestamp()) + days * 86_400), verify.Folder._openssl

    def on_a_later_day(openssl: str, *arguments: str) -> tuple[bool, str]:
        dated = "-verify" in arguments and "-attime" not in arguments
        return real(openssl, *arguments, *(["-attime", later] if dated else []))

    monkeypatch.setattr(verify.Folder, "_openssl", staticmethod(on_a_later_day))
    found = examine(exported(log, tmp_path), (ours if root == "ours" else tmp_path / "other") / "root.pem", log)
    assert (found.flaws == []) == good
    assert any("has lapsed since" in f for f in found.facts) == (good and days > 0)

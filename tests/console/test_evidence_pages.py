"""Evidence as compliance reads it: search, a row with its proof, verification, exports, the thirty questions."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from include.connections import Connection
from include.console import certificate
from include.console.asking import Ask
from include.console.pages.evidence_questions import buttons
from include.console.roles import User
from include.console.services import Services
from include.console.words import Words
from include.database import access_log
from include.errors import ConfigurationError
from include.evidence import audits, narrowing
from include.evidence.audit import Audit
from include.evidence.export import export
from include.evidence.proofs import check_row
from include.evidence.store import CHECKPOINT
from include.evidence.tags import SubjectTags
from include.keys import LocalWrapper
from tests.console.conftest import FakeGate, Visit, capabilities
from tests.evidence import samples
from tests.evidence.conftest import Log, log  # noqa: F401
from tests.evidence.test_finding import MORE, keep_disposals
from tests.evidence.test_questions import ENTRIES, KEY, TAG

NOW_DAY = date(2026, 11, 24)
SIZE = len([*ENTRIES, *MORE])
ACCOUNT = "a0001"
DETAILS = {"params": {"full": {"value": True, "schema": {"type": "boolean", "title": "Whole log · 전체 기록"}}}}


@pytest.fixture
def evidence(log: Log, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:  # noqa: F811
    """A sealed log of everything a question is about, its keys, and one export."""
    log.stage([*ENTRIES, *MORE])
    log.seal()
    keep_disposals(log.engine)
    audits.keep(
        log.engine, Audit(SIZE, "cm9vdA==", 1, 0, ["3 intents older than a day have no outcome"]), as_of=NOW_DAY
    )
    store = replace(log_connection(log), name="evidence_store")
    known = {
        "evidence_store": store,
        "evidence_signing": Connection("evidence_signing", extra={"vkey": log.signer.vkey}),
    }

    def connect(name: str) -> Connection:
        if name not in known:
            raise ConfigurationError(f"There is no Airflow connection {name!r}. (test)")
        return known[name]

    monkeypatch.setattr(services, "_connect", connect)
    monkeypatch.setattr(Services, "tags", SubjectTags({"2026": KEY}))
    services.__dict__["wrapper"] = LocalWrapper(bytes(range(32)))
    monkeypatch.setenv("RETENTION_EXPORTS", str(tmp_path))
    export(log.engine, tmp_path / "2026-11-24-night", vkey=log.signer.vkey)
    monkeypatch.setattr("include.console.pages.evidence.EvidenceStore.of", lambda _: log.store)
    return log


def log_connection(log: Log) -> Connection:  # noqa: F811
    return Connection("evidence_store", extra={"bucket": log.store.bucket, "prefix": log.store.prefix})


def test_a_viewer_sees_the_state_and_neither_search_nor_findings(evidence: Log, visit: Callable[[str], Visit]) -> None:
    text = visit("viewer").get("/evidence?lang=en").text
    assert f"<strong>{SIZE}</strong>" in text
    assert "1 found" in text
    assert "intents older" not in text
    assert "evidence/search" not in text
    assert visit("viewer").get("/evidence/search").status_code == 403
    assert "intents older" in visit("compliance").get("/evidence?lang=en").text


def test_a_search_narrows_and_pages(
    evidence: Log, visit: Callable[[str], Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.console.pages.evidence.SIZE", 3)
    browser = visit("compliance")
    first = browser.get("/evidence/search?processor=own_database&lang=en").text
    assert "salesforce</td>" not in first
    assert 'rel="next"' in first
    assert "after=" in first
    assert "entries</caption>" in first
    assert "salesforce</td>" in browser.get("/evidence/search?processor=salesforce&event=blocked").text
    assert browser.get("/evidence/search?from=yesterday").status_code == 400


def test_a_row_is_shown_verified_and_its_proof_checks_with_our_verifier(
    evidence: Log, visit: Callable[[str], Visit]
) -> None:
    browser = visit("compliance")
    page = browser.get("/evidence/row?n=6&lang=en").text
    assert "confirmed_absent" in page
    done = browser.post("/evidence/row/verify?lang=en", {"n": "6"}, page="/evidence/row?n=6").text
    assert "Everything that was looked at holds." in done
    assert "auditor runs verify.py" in done
    proof = browser.get("/evidence/row/proof?n=6")
    body = browser.get("/evidence/row/entry?n=6").content
    assert check_row(proof.text, body, evidence.signer.vkey) == 6
    assert browser.get("/evidence/row?n=99999").status_code == 400
    assert browser.get("/evidence/row?n=-1").status_code == 400


def test_a_certificates_proofs_lead_to_its_own_checkpoint_whatever_is_sealed_meanwhile(
    evidence: Log, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        """The bucket of a log that is sealed again each time somebody has read its checkpoint."""

        def get(self, key: str) -> Any:
            found = evidence.store.get(key)
            if key == CHECKPOINT:
                evidence.stage([samples.base("restored", code="meanwhile")])
                evidence.seal()
            return found

    monkeypatch.setattr("include.console.pages.evidence.EvidenceStore.of", lambda _: Busy())
    user = User("c", "c", capabilities("compliance"))
    ask = Ask("/accounts/certificate", user, Words("en"), services, "", lambda *_: (404, None))
    packed = zipfile.ZipFile(io.BytesIO(certificate.archive(ask, TAG)))
    note, vkey = packed.read("checkpoint").decode(), packed.read("vkey").decode()
    assert vkey == evidence.signer.vkey
    proofs = [n for n in packed.namelist() if n.startswith("proofs/")]
    assert proofs
    for name in proofs:
        proof = packed.read(name).decode()
        index = int(name.split("/")[1].split(".")[0])
        assert proof.endswith("\n\n" + note)
        assert check_row(proof, narrowing.one(evidence.engine, index)[0], vkey) == index  # type: ignore[index]


def test_a_changed_tile_is_seen_when_a_row_or_the_checkpoint_is_verified(
    evidence: Log, visit: Callable[[str], Visit]
) -> None:
    tile = next(k for k in evidence.objects() if k.startswith("tile/0/"))
    evidence.overwrite(tile, bytes(32 * SIZE))
    browser = visit("compliance")
    for path, form in (("/evidence/row/verify", {"n": "6"}), ("/evidence/verify", {})):
        text = browser.post(f"{path}?lang=en", form, page="/evidence/row?n=6").text
        assert "Something does not hold." in text
        assert "does not hold</span>" in text


def test_the_checkpoint_is_verified_and_what_was_not_checked_is_said(
    evidence: Log, visit: Callable[[str], Visit]
) -> None:
    text = visit("compliance").post("/evidence/verify?lang=en", page="/evidence").text
    assert "Everything that was looked at holds." in text
    assert "its locked copy is there" in text
    assert "no timestamp authority" in text.lower()


def test_a_timestamp_authority_that_is_named_wrongly_is_told_and_not_taken_for_none(
    evidence: Log, services: Services, visit: Callable[[str], Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = services._connect
    wrong = Connection("evidence_tsa")
    monkeypatch.setattr(services, "_connect", lambda name: wrong if name == wrong.name else known(name))
    reply = visit("compliance").post("/evidence/verify?lang=en", page="/evidence")
    assert reply.status_code == 503
    assert "evidence_tsa" in reply.text


def test_exports_are_listed_and_downloaded_and_nothing_else_is(evidence: Log, visit: Callable[[str], Visit]) -> None:
    browser = visit("compliance")
    assert "2026-11-24-night" in browser.get("/evidence/exports").text
    one = browser.get("/evidence/exports/file?name=2026-11-24-night&file=entries.jsonl")
    assert len(one.content.splitlines()) == SIZE
    zipped = zipfile.ZipFile(io.BytesIO(browser.get("/evidence/exports/zip?name=2026-11-24-night").content))
    assert "2026-11-24-night/manifest.json" in zipped.namelist()
    for name, file in (("2026-11-24-night", "../x"), ("..", "passwd"), ("2026-11-24-night", "nothing")):
        assert browser.get("/evidence/exports/file", params={"name": name, "file": file}).status_code == 503


def test_an_export_is_started_as_the_person_who_asks(
    evidence: Log, visit: Callable[[str], Visit], gate: FakeGate
) -> None:
    gate.answers[("GET", "/dags/evidence_export/details")] = (200, DETAILS)
    gate.answers[("POST", "/dags/evidence_export/dagRuns")] = (200, {"dag_run_id": "manual__1"})
    reply = visit("compliance").post("/evidence/exports/new", {"full": "yes", "x": "y"}, page="/evidence/exports/new")
    assert "manual__1" in reply.text
    assert gate.asked[-1][:3] == ("compliance", "POST", "/dags/evidence_export/dagRuns")
    assert gate.asked[-1][3]["conf"] == {"full": True}


def test_every_one_of_the_thirty_questions_has_a_button_or_a_page(evidence: Log, visit: Callable[[str], Visit]) -> None:
    assert [b.number for b in buttons()] == list(range(1, 31))
    browser = visit("compliance")
    for button in buttons():
        if button.page is not None or button.name in ("was-destroyed", "still-held", "not-rewritten"):
            continue
        form = {"question": button.name, "index": "6", "run_id": str(UUID(int=7))}
        reply = browser.post("/evidence/questions/ask?lang=en", form, page="/evidence/questions")
        assert reply.status_code == 200, button.name
        assert 'id="answer"' in reply.text


def test_a_question_about_an_account_is_recorded_and_the_id_is_not_shown_again(
    evidence: Log, visit: Callable[[str], Visit]
) -> None:
    form = {"question": "was-destroyed", "account_id": ACCOUNT}
    reply = visit("compliance").post("/evidence/questions/account?lang=en", form, page="/evidence/questions")
    assert "own_database/account" in reply.text
    assert ACCOUNT not in reply.text
    with evidence.engine.connect() as connection:
        rows: Any = connection.execute(select(access_log)).all()
    assert [(r.role, r.action) for r in rows] == [("compliance", "tag_opened")]
    assert rows[0].who.startswith("e-")
    evidence.seal()
    assert (
        "1 tags opened by compliance"
        in visit("compliance")
        .post("/evidence/questions/ask?lang=en", {"question": "keys"}, page="/evidence/questions")
        .text
    )
    refused = visit("operator").post("/evidence/questions/account", form)
    assert refused.status_code == 403


def test_an_old_checkpoint_is_the_beginning_of_the_log_or_it_is_said_loudly(
    evidence: Log, visit: Callable[[str], Visit]
) -> None:
    old = visit("compliance").get("/evidence/checkpoint").text
    evidence.stage([samples.base("restored")])
    evidence.seal()
    form = {"question": "not-rewritten", "checkpoint": old.replace("\n", "\r\n")}

    def ask(data: dict[str, str]) -> Any:
        return visit("compliance").post("/evidence/questions/ask?lang=en", data, page="/evidence/questions")

    assert "nothing was removed or changed" in ask(form).text
    assert ask({**form, "checkpoint": old.replace(str(SIZE), str(SIZE - 1), 1)}).status_code == 400
    shown = ask(form).text
    told = [line for line in old.splitlines()[2:] if line]  # its root and its signature
    assert len(told) == 2
    assert [line for line in told if line in shown] == []

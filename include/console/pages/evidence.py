"""Evidence: the log's state, a search over its entries, one row with its proof, and verification in place."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from starlette.responses import Response

from include.console.asking import Ask
from include.console.pages import Page
from include.console.paging import Rows
from include.console.reading import evidence as reading
from include.console.roles import Capability
from include.console.services import Services
from include.errors import ConfigurationError, DecisionRefused
from include.evidence import finding, narrowing
from include.evidence.anchors import Authority
from include.evidence.proofs import row_proof
from include.evidence.store import EvidenceStore

page = Page("evidence", order=30)
SIZE = 50


@page.get("", Capability.COUNTS)
def show(ask: Ask) -> Response:
    """Show the log's size, its last checkpoint, the last audit and its anchors."""
    with ask.services.reading() as connection:
        return ask.render("evidence.html", state=reading.state(connection))


@page.get("search", Capability.EVIDENCE)
def search(ask: Ask) -> Response:
    """Search entries by period, place, rule and outcome, newest first."""
    wanted = wanted_of(ask)
    before = number_of(ask, "after") if ask.after else None
    with ask.services.reading() as connection:
        rows = finding.find(connection, wanted, before=before, limit=SIZE + 1)
        values: dict[str, Any] = {
            "total": finding.count(connection, wanted),
            "places": finding.places(connection),
            "rules": finding.rules(connection),
            "events": finding.events(connection),
        }
    more = str(rows[SIZE - 1].log_index) if len(rows) > SIZE else None
    return ask.render(
        "evidence_search.html",
        rows=Rows(rows[:SIZE], more, not ask.after),
        asked={k: v for k, v in ask.query.items() if k in ASKED and v},
        counted=finding.COUNTED,
        **values,
    )


ASKED = ("from", "to", "processor", "rule", "event", "flag", "run")


def wanted_of(ask: Ask) -> finding.Wanted:
    """Return the search of a query; what is not of the form a log can hold is refused without being repeated."""
    query = ask.query
    return finding.Wanted(
        start=day_of(ask, "from"),
        end=day_of(ask, "to"),
        processor=query.get("processor") or None,
        rule_id=query.get("rule") or None,
        event=query.get("event") or None,
        run_id=uuid_of(ask, "run"),
        late=query.get("flag") == "late",
        early=query.get("flag") == "early",
    )


def day_of(ask: Ask, name: str) -> date | None:
    """Return a date of the query, or refuse what is none."""
    try:
        return date.fromisoformat(ask.query[name]) if ask.query.get(name) else None
    except ValueError:
        raise DecisionRefused(ask.words("evidence.not_a_date")) from None


def uuid_of(ask: Ask, name: str) -> UUID | None:
    """Return an id of the query, or refuse what is none."""
    try:
        return UUID(ask.query[name]) if ask.query.get(name) else None
    except ValueError:
        raise DecisionRefused(ask.words("evidence.not_an_id")) from None


def number_of(ask: Ask, name: str, given: str | None = None) -> int:
    """Return a log index of the query (or `given`), or refuse what is none."""
    text = ask.query.get(name, "") if given is None else given
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise DecisionRefused(ask.words("evidence.not_a_row"))
    return int(text)


# -- one row -------------------------------------------------------------------------------------------------------
@page.get("row", Capability.EVIDENCE)
def row(ask: Ask) -> Response:
    """Show one entry with its fields and the other entries of its disposal."""
    return _row(ask, number_of(ask, "n"))


@page.post("row/verify", Capability.EVIDENCE)
def verify_row(ask: Ask) -> Response:
    """Prove one row here and now, and show what was looked at."""
    index = number_of(ask, "n", ask.value("n"))
    store, vkey = places(ask.services)
    return _row(ask, index, verified=reading.verify_row(ask.services.engine, store, vkey, index))


def _row(ask: Ask, index: int, verified: reading.Verified | None = None) -> Response:
    found = narrowing.one(ask.services.engine, index)
    if found is None:
        raise DecisionRefused(ask.words("evidence.no_row"))
    body, entry = found
    others = narrowing.life_of(ask.services.engine, UUID(entry["disposal_id"])) if "disposal_id" in entry else []
    facts = [(key, _shown(value)) for key, value in entry.items()]
    return ask.render(
        "evidence_row.html", index=index, entry=entry, facts=facts, body=body.decode(), others=others,
        verified=verified,
    )  # fmt: skip


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value))
    return str(value)


@page.get("row/proof", Capability.EVIDENCE)
def proof(ask: Ask) -> Response:
    """Download the inclusion proof of one row, as the shipped verifier reads it."""
    index = number_of(ask, "n")
    store, vkey = places(ask.services)
    return ask.file(row_proof(store, vkey, index).encode(), f"{index}.tlog-proof", "text/plain; charset=utf-8")


@page.get("row/entry", Capability.EVIDENCE)
def entry(ask: Ask) -> Response:
    """Download the exact bytes of one row, over which its proof is made."""
    index = number_of(ask, "n")
    found = narrowing.one(ask.services.engine, index)
    if found is None:
        raise DecisionRefused(ask.words("evidence.no_row"))
    return ask.file(found[0], f"{index}.json", "application/json")


# -- the checkpoint ------------------------------------------------------------------------------------------------
@page.post("verify", Capability.EVIDENCE)
def verify(ask: Ask) -> Response:
    """Look at the newest checkpoint here and now, and show what was looked at and what was not."""
    store, vkey = places(ask.services)
    done = reading.verify_checkpoint(ask.services.engine, store, vkey, authority=_authority(ask.services))
    with ask.services.reading() as connection:
        return ask.render("evidence.html", state=reading.state(connection), verified=done)


@page.get("checkpoint", Capability.EVIDENCE)
def checkpoint(ask: Ask) -> Response:
    """Download the newest signed checkpoint, for an auditor to keep where we cannot reach."""
    from include.evidence.log import latest

    sealed = latest(ask.services.engine)
    if not sealed.size:
        raise DecisionRefused(ask.words("evidence.nothing_sealed"))
    return ask.file(sealed.note.encode(), f"checkpoint-{sealed.size}.txt", "text/plain; charset=utf-8")


def places(services: Services) -> tuple[EvidenceStore, str]:
    """Return the evidence bucket and the log's public key."""
    return (
        EvidenceStore.of(services.connection("evidence_store")),
        reading.vkey_of(services.connection("evidence_signing")),
    )


def _authority(services: Services) -> Authority | None:
    """Return the timestamp authority, or None where there is no connection to one; a wrong connection is an error."""
    try:
        found = services.connection("evidence_tsa")
    except ConfigurationError:
        return None
    return Authority.of(found)

"""The thirty questions as buttons: each answered from the log's own entries, with the rows that prove it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from starlette.responses import Response

from include.console import looking_up
from include.console.asking import Ask
from include.console.pages import Page
from include.console.pages.evidence import number_of, places
from include.console.roles import Capability
from include.errors import DecisionRefused, VerificationError
from include.evidence.answers import Answer, Asked
from include.evidence.ask import EVERY
from include.evidence.narrowing import NarrowSource
from include.evidence.note import open_checkpoint
from include.evidence.sources import DatabaseSource, same_history

page = Page("evidence/questions")
ACCOUNTS = ("was-destroyed", "still-held")
ELSEWHERE = {8: "evidence/search", 17: "schedule", 29: ""}
"""Questions that another page answers: a row's proof, the lint, tonight."""
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Button:
    """One question as the page lists it; `name` is its command, empty where another page answers."""

    number: int
    name: str
    needs: tuple[str, ...]
    page: str | None = None


def buttons() -> list[Button]:
    """Return the thirty questions in their order."""
    found = [Button(q.number, name, q.needs) for name, q in EVERY.items()]
    found.append(Button(7, "not-rewritten", ("checkpoint",)))
    found += [Button(number, "", (), target) for number, target in ELSEWHERE.items()]
    return sorted(found, key=lambda b: b.number)


@page.get("", Capability.EVIDENCE)
def show(ask: Ask) -> Response:
    """Show the questions."""
    return _page(ask)


@page.post("ask", Capability.EVIDENCE)
def answer(ask: Ask) -> Response:
    """Answer one question that is about nobody in particular."""
    name = ask.value("question")
    if name == "not-rewritten":
        return _page(ask, name, _not_rewritten(ask))
    if name not in EVERY or name in ACCOUNTS:
        raise DecisionRefused(ask.words("questions.unknown"))
    source = NarrowSource(ask.services.engine)
    asked = _asked(ask)
    return _page(ask, name, EVERY[name].answer(source.about(name, asked), asked), source=source)


@page.post("account", Capability.TAGS)
def account(ask: Ask) -> Response:
    """Answer what became of one account: a look-up, recorded with who asked before anything is shown."""
    name = ask.value("question")
    if name not in ACCOUNTS:
        raise DecisionRefused(ask.words("questions.unknown"))
    tags = looking_up.opened(ask, looking_up.account_of(ask, "account_id"))
    asked = Asked(tags=frozenset(tags.values()), epochs=tuple(tags), language=ask.words.language)
    source = NarrowSource(ask.services.engine)
    return _page(ask, name, EVERY[name].answer(source.about(name, asked), asked), source=source)


def _asked(ask: Ask) -> Asked:
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
    try:
        on, until = (date.fromisoformat(ask.value(k) or str(today)).isoformat() for k in ("on", "until"))
        run_id = str(UUID(ask.value("run_id"))) if ask.value("run_id") else ""
    except ValueError:
        raise DecisionRefused(ask.words("evidence.not_an_id")) from None
    if ask.value("question") == "run" and not run_id:
        raise DecisionRefused(ask.words("evidence.not_an_id"))
    index = number_of(ask, "index", ask.value("index")) if ask.value("question") == "policy-of" else -1
    # "late" asks about everything unless a date is typed; the others mean today.
    on = "" if ask.value("question") == "late" and not ask.value("on") else on
    return Asked(on=on, until=until, index=index, run_id=run_id, language=ask.words.language)


def _not_rewritten(ask: Ask) -> Answer:
    """Answer whether the log of an old checkpoint is the beginning of this one; the note comes from the asker."""
    _, vkey = places(ask.services)
    try:
        old = open_checkpoint(ask.value("checkpoint").replace("\r\n", "\n").strip() + "\n", [vkey])
    except VerificationError as error:
        raise DecisionRefused(str(error)) from None
    source = DatabaseSource(ask.services.engine)
    same = same_history(source, old)
    words = ask.words("questions.same" if same else "questions.not_same", old=f"{old.size:,}", now=f"{source.size:,}")
    return Answer([words])


def _page(ask: Ask, name: str = "", answer: Answer | None = None, source: NarrowSource | None = None) -> Response:
    with ask.services.reading() as connection:
        today = ask.services.as_of(connection)
    return ask.render(
        "evidence_questions.html", buttons=buttons(), accounts=ACCOUNTS, name=name, answer=answer, source=source,
        shown=SHOWN, today=today,
    )  # fmt: skip

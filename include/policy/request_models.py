"""The shape of the schedule's section `requests`: what a person may ask for, how far each reaches, and by when."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from include.policy.parts import APeriod, Basis, Many, Part, Text, Title, Word

Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Place = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$", max_length=100)]
AccountState = Literal["LIVE", "REQUESTED", "WITHHELD", "TERMINATED"]


class AnswerClock(Part):
    """One law's clock. How it counts differs: 민법 157-161, Regulation 1182/71, days from receipt, or business days.

    `duty` says what ends it: the answer, or (11 CCR 7021(a)) the confirmation that the request came in.
    """

    id: Annotated[str, Field(pattern=r"^[A-Z][A-Z-]{1,15}$")]
    period: APeriod
    count: Literal["civil_act", "eu_1182_71", "from_receipt", "business_days"]
    duty: Literal["answer", "confirm"] = "answer"
    law: Text
    law_en: Text
    article: Text


class Reach(Part):
    """Scopes of one rule that a kind of request reaches; no scopes named means all of them."""

    rule: str
    scopes: Many[Word] = ()


class Refusal(Part):
    """Why the rest is refused: a reason code, the law behind it, and the kind of request offered instead."""

    code: Code
    law: Text
    article: Text
    offer: Word | None = None


class RequestKind(Part):
    """One kind of request for accounts in some states. `listed`: an order names what it is about.

    `withheld` is what remains when a debt withholds the termination (H-4). `overrides` says whether it is the person's
    own request to erase, which lifts a pending correction (H-5).
    """

    id: Word
    title: Title
    basis: Annotated[tuple[Basis, ...], Strict(False), Field(min_length=1)]
    states: Annotated[tuple[AccountState, ...], Strict(False), Field(min_length=1)]
    reaches: Many[Reach] = ()
    withheld: Many[Reach] = ()
    rest: Refusal | None = None
    listed: bool = False
    needs: Literal["child", "instruction"] | None = None
    ends_contract: bool = False
    overrides: bool = True
    hold: str | None = None


class Contact(Part):
    """Which dataset holds the address a notice goes to; it is erased last. A guardian has an address of their own."""

    dataset: Word
    address: Place
    guardian_dataset: Word
    guardian_address: Place


class Requests(Part):
    """The whole section."""

    clocks: Annotated[tuple[AnswerClock, ...], Strict(False), Field(min_length=1)]
    alert_days: Annotated[int, Field(ge=1, le=9)]
    notice_margin_days: Annotated[int, Field(ge=1, le=9)]
    conf_days: Annotated[int, Field(ge=1, le=365)]
    names_days: Annotated[int, Field(ge=1, le=730)] = 90
    objection: Title
    contact: Contact
    kinds: Annotated[tuple[RequestKind, ...], Strict(False), Field(min_length=1)]

"""The small shapes that every part of a schedule is built from."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from include.errors import ConfigurationError
from include.policy.periods import Period

T = TypeVar("T")

Problem = tuple[tuple[str | int, ...], str]
"""Where a schedule is wrong, and why."""

Many = Annotated[tuple[T, ...], Strict(False)]
"""A YAML list, kept as a tuple."""

Text = Annotated[str, Field(min_length=1, max_length=400)]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$", max_length=60)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Subject = Literal["individual", "business", "end_user", "child"]


def period_of(value: object) -> Period:
    """Return the period in `value`; pydantic wants a ValueError."""
    try:
        return value if isinstance(value, Period) else Period.parse(value)  # type: ignore[arg-type]
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


APeriod = Annotated[Period, BeforeValidator(period_of)]


class Part(BaseModel):
    """A part of the schedule: frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Title(Part):
    """A name in the two languages of every export."""

    ko: Text
    en: Text


class Basis(Part):
    """The law and article a rule stands on."""

    law: Text
    law_en: Text
    article: Text

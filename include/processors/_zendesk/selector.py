"""How policy recognises a complaint or dispute among tickets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import ConfigurationError, NeedsPerson
from include.processors._zendesk.gate import NAME, Row


@dataclass(frozen=True, slots=True)
class Selector:
    """Complaints by tag, ticket form or type; `dispute_tags` are those that mark a dispute, `unclear_tags` nobody can
    read without a person.
    """

    tags: frozenset[str] = frozenset()
    forms: frozenset[int] = frozenset()
    types: frozenset[str] = frozenset()
    dispute_tags: frozenset[str] = frozenset({"dispute"})
    unclear_tags: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Selector:
        """Read `complaint_selector`; without one nobody could tell which tickets the three-year rule keeps."""
        raw = settings.get("complaint_selector")
        known = {"tags", "forms", "types"}
        more = {"dispute_tags", "unclear_tags"}
        if not isinstance(raw, Mapping) or not set(raw) <= known | more or not any(raw.get(k) for k in known):
            raise ConfigurationError(
                "The retention schedule's processors.zendesk.settings.complaint_selector is missing or wrong. "
                "Name the tags, forms or types that mark complaint and dispute tickets."
            )
        return cls(
            frozenset(map(str, raw.get("tags", ()))),
            frozenset(map(int, raw.get("forms", ()))),
            frozenset(map(str, raw.get("types", ()))),
            frozenset(map(str, raw.get("dispute_tags", ("dispute",)))),
            frozenset(map(str, raw.get("unclear_tags", ()))),
        )

    def is_complaint(self, ticket: Row) -> bool:
        """Return whether the ticket is one; raise where nobody can tell."""
        tags = ticket.get("tags")
        if not isinstance(tags, list) or self.unclear_tags & set(map(str, tags)):
            raise NeedsPerson(NAME, "unclassifiable_ticket")
        return bool(
            self.tags & set(map(str, tags))
            or ticket.get("ticket_form_id") in self.forms
            or ticket.get("type") in self.types
        )

    def kind(self, ticket: Row) -> str:
        """Return `dispute` or `complaint`."""
        return "dispute" if self.dispute_tags & set(map(str, ticket.get("tags") or ())) else "complaint"

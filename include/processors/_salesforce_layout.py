"""Which objects and fields a Salesforce organisation has, from `describe`.

What a feature that is off does not have (person accounts, Individual, e-mail to case) is not searched; what every
organisation has and our user does not see is an error, because not seeing is not proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.errors import Refused
from include.processors._salesforce_client import Client
from include.processors._salesforce_session import NAME, Rejected

PEOPLE = ("Account", "Contact", "Lead")
REQUIRED = ("Account", "Contact", "Lead", "Case", "Task", "Event", "CampaignMember")


@dataclass(frozen=True, slots=True)
class CustomObject:
    """A custom object that refers to people, or carries an e-mail address of its own."""

    name: str
    parents: tuple[tuple[str, tuple[str, ...]], ...]
    emails: tuple[str, ...]


@dataclass(slots=True)
class Layout:
    """Which objects and fields this organisation has, from `describe`; asked once."""

    client: Client
    key_field: str
    custom: tuple[str, ...] | None = None
    _objects: dict[str, Mapping[str, Any]] | None = None
    _described: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    _asked: bool = False

    def objects(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Return all objects of the organisation."""
        if not self._asked:
            self._objects, self._asked = self.client.objects(), True
        return self._objects

    def has(self, kind: str) -> bool:
        """Tell whether the object exists for our user; features that are off have no objects."""
        objects = self.objects()
        return objects is None or kind in objects

    def require(self) -> None:
        """Refuse an API user who cannot see the objects every organisation has: not seeing is not proof."""
        missing = [k for k in REQUIRED if not self.has(k)]
        if missing:
            raise Refused(NAME, "objects_hidden", advice=f"Let the API user read and delete {', '.join(missing)}.")

    def fields(self, kind: str) -> Mapping[str, Mapping[str, Any]] | None:
        """Return an object's fields by name; None when it cannot be described."""
        if kind not in self._described:
            self._described[kind] = self.client.describe(kind)
        described = self._described[kind]
        return None if described is None else {f["name"]: f for f in described["fields"]}

    def knows(self, kind: str, name: str, *, default: bool) -> bool:
        """Tell whether an object has a field; `default` where nothing can be described."""
        fields = self.fields(kind)
        return default if fields is None else name in fields

    def emails(self, kind: str) -> tuple[str, ...]:
        """Return the e-mail fields of an object, custom ones too."""
        fields = self.fields(kind)
        if fields is None:
            return {"Account": ("PersonEmail",), "Contact": ("Email",), "Lead": ("Email",)}.get(kind, ())
        return tuple(n for n, f in fields.items() if f["type"] == "email" and f.get("filterable", True))

    def person_accounts(self) -> bool:
        """Tell whether the organisation has person accounts; without the feature the column does not exist."""
        if self.fields("Account") is not None:
            return self.knows("Account", "IsPersonAccount", default=False)
        try:
            self.client.query("SELECT Id FROM Account WHERE IsPersonAccount = true LIMIT 1")
        except Rejected as error:
            if error.code == "INVALID_FIELD":
                return False
            raise
        return True

    def custom_objects(self) -> tuple[CustomObject, ...]:
        """Return the custom objects that refer to people or carry an e-mail address."""
        names = self.custom
        if names is None:
            names = tuple(
                n for n, o in (self.objects() or {}).items()
                if n.endswith("__c") and o.get("queryable", True) and o.get("deletable", True)
            )  # fmt: skip
        found = []
        for name in names:
            fields = self.fields(name) or {}
            parents = tuple(
                (n, tuple(k for k in f.get("referenceTo") or () if k in {*PEOPLE, "Case"}))
                for n, f in fields.items()
                if set(f.get("referenceTo") or ()) & {*PEOPLE, "Case"}
            )
            if parents or self.emails(name):
                found.append(CustomObject(name, parents, self.emails(name)))
        return tuple(found)

"""Which objects and fields a Salesforce organisation has, from `describe`.

What a feature that is off does not have (person accounts, Individual, e-mail to case) is not searched; what every
organisation has and our user does not see is an error, because not seeing is not proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from include.errors import Refused
from include.processors._salesforce.client import Client
from include.processors._salesforce.session import NAME, Rejected

PEOPLE = ("Account", "Contact", "Lead")
REQUIRED = ("Account", "Contact", "Lead", "Case", "Task", "Event", "CampaignMember")
SEEN = {"Contact": ("Email",), "Lead": ("Email",), "Case": ("ContactId", "SuppliedEmail")}
"""Fields without which a person could be there unseen; field-level security hides them from `describe`."""
STANDARD = {"Account": ("PersonEmail",), "Contact": ("Email",), "Lead": ("Email",), "Case": ("SuppliedEmail",)}
SHOWN = {"Case": frozenset({"ContactEmail", "ContactPhone", "ContactMobile", "ContactFax"})}
"""Fields that only show another record's, and go with it (Object Reference, Case)."""
NOT_THEIRS = ("Fax", "Assistant")
"""Words in the names of phone fields that hold an office's or somebody else's number."""


@dataclass(frozen=True, slots=True)
class CustomObject:
    """A custom object that refers to people, or carries an e-mail address or a phone number of its own."""

    name: str
    parents: Mapping[str, tuple[str, ...]]
    emails: tuple[str, ...]
    phones: tuple[str, ...]


@dataclass(slots=True)
class Layout:
    """Which objects and fields this organisation has, from `describe`; each is asked for once.

    `key_required` says that the schedule names the field with our account id, so that not seeing it is an error;
    `absent` are objects every organisation has and this one, as its schedule says, has not; `more` are standard objects
    to be treated as custom ones are.
    """

    client: Client
    key_field: str
    custom: tuple[str, ...] | None = None
    key_required: bool = False
    absent: frozenset[str] = frozenset()
    more: tuple[str, ...] = ()
    _objects: dict[str, Mapping[str, Any]] | None = None
    _described: dict[str, Mapping[str, Mapping[str, Any]] | None] = field(default_factory=dict)
    _asked: bool = False
    _persons: bool | None = None
    _customs: tuple[CustomObject, ...] | None = None

    def objects(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Return all objects of the organisation."""
        if not self._asked:
            self._objects, self._asked = self.client.objects(), True
        return self._objects

    def has(self, kind: str) -> bool:
        """Tell whether the object exists for our user; features that are off have no objects."""
        objects = self.objects()
        return kind not in self.absent and (objects is None or kind in objects)

    def lacks(self, kind: str) -> None:
        """Remember that a query called an object unknown, where no list of objects is offered."""
        self.absent |= {kind}

    def require(self) -> None:
        """Refuse an API user who cannot see what every organisation has: not seeing is not proof."""
        self.preload((*PEOPLE, "Case", *self._custom_names()))
        missing = [k for k in (*REQUIRED, *(self.custom or ()), *self.more) if k not in self.absent and not self.has(k)]
        if missing:
            raise Refused(
                NAME,
                "objects_hidden",
                advice=f"Let the API user read and delete {', '.join(missing)}; what the organisation does not have "
                "belongs in settings.absent_objects.",
            )
        hidden = [f"{k}.{n}" for k, names in SEEN.items() if self.has(k) for n in names if not self._searchable(k, n)]
        if self.key_required and not self.knows("Contact", self.key_field, default=True):
            hidden.append(f"Contact.{self.key_field}")
        if hidden:
            raise Refused(
                NAME,
                "fields_hidden",
                advice=f"Let the API user read {', '.join(hidden)} (field-level security; an encrypted field must be "
                "deterministic). Nothing was searched: a person behind a hidden field would look absent.",
            )

    def preload(self, kinds: Iterable[str]) -> None:
        """Describe several objects at once; those not seen stay unseen."""
        asked = [k for k in dict.fromkeys(kinds) if k not in self._described and self.has(k)]
        self._described |= self.client.describe_many(asked)

    def _searchable(self, kind: str, name: str) -> bool:
        fields = self.fields(kind)
        return fields is None or (name in fields and fields[name].get("filterable", True) is not False)

    def fields(self, kind: str) -> Mapping[str, Mapping[str, Any]] | None:
        """Return an object's fields by name; None when it cannot be described."""
        if kind not in self._described:
            self._described[kind] = self.client.describe(kind)
        return self._described[kind]

    def knows(self, kind: str, name: str, *, default: bool) -> bool:
        """Tell whether an object has a field; `default` where nothing can be described."""
        fields = self.fields(kind)
        return default if fields is None else name in fields

    def emails(self, kind: str) -> tuple[str, ...]:
        """Return the e-mail fields of an object, custom ones too."""
        found = self._typed(kind, "email")
        return STANDARD.get(kind, ()) if found is None else found

    def phones(self, kind: str) -> tuple[str, ...]:
        """Return the phone fields of an object that hold a number of the person."""
        found = self._typed(kind, "phone") or ()
        if kind == "Case" and self.knows(kind, "SuppliedPhone", default=False):
            found = tuple(dict.fromkeys((*found, "SuppliedPhone")))
        return tuple(n for n in found if not any(word in n for word in NOT_THEIRS))

    def _typed(self, kind: str, sort: str) -> tuple[str, ...] | None:
        fields = self.fields(kind)
        if fields is None:
            return None
        return tuple(
            n for n, f in fields.items()
            if f.get("type") == sort and f.get("filterable", True) is not False and n not in SHOWN.get(kind, ())
        )  # fmt: skip

    def person_accounts(self) -> bool:
        """Tell whether the organisation has person accounts; without the feature the column does not exist."""
        if self._persons is None:
            self._persons = self._ask_for_person_accounts()
        return self._persons

    def _ask_for_person_accounts(self) -> bool:
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
        """Return the custom objects that refer to people or carry an address; those we may not delete too, so that
        deleting their rows fails loudly instead of leaving them unseen.
        """
        if self._customs is None:
            found = map(self._custom_object, self._custom_names())
            self._customs = tuple(c for c in found if c.parents or c.emails or c.phones)
        return self._customs

    def _custom_names(self) -> tuple[str, ...]:
        if self.custom is not None:
            return (*self.custom, *self.more)
        found = (
            n for n, o in (self.objects() or {}).items()
            if n.endswith("__c") and o.get("queryable", True) and not o.get("customSetting", False)
        )  # fmt: skip
        return (*found, *self.more)

    def _custom_object(self, name: str) -> CustomObject:
        fields = self.fields(name) or {}
        targets = {n: tuple(k for k in f.get("referenceTo") or () if k in {*PEOPLE, "Case"}) for n, f in fields.items()}
        parents = {n: kinds for n, kinds in targets.items() if kinds}
        return CustomObject(name, parents, self.emails(name), self.phones(name))

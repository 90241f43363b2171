"""What the stand-in does when rows go: what blocks a delete, what goes along, and how long a row stays readable."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from include.sandbox._salesforce.people import PREFIXES, to_18
from include.sandbox._salesforce.schema import CASCADES, FIELDS, HISTORIES, RESTRICTED, UNDELETABLE
from include.sandbox.standin import Store, json_reply

BIN_DAYS = 15


class Problem(Exception):
    """An API error; `status` is the HTTP status outside of lists."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def refusal(status: int, code: str, message: str) -> Response:
    """Answer in the API's error shape: a list with one object."""
    return json_reply(status, [{"message": message, "errorCode": code}])


class Rows:
    """The row part of the stand-in; mixed into it, so it uses its store and clock."""

    if TYPE_CHECKING:
        store: Store
        visible_days: float
        history_stays: bool

        def now(self) -> dt.datetime: ...

    def kind_of(self, identifier: str) -> str:
        """Return the object of an id by its key prefix, or by the row itself where objects share one."""
        kinds = [k for k, prefix in PREFIXES.items() if identifier.startswith(prefix)]
        if len(identifier) not in {15, 18} or not identifier.isalnum() or not kinds:
            raise Problem("MALFORMED_ID", f"malformed id {identifier}")
        return next((k for k in kinds if self.store.get(k, to_18(identifier))), kinds[0])

    def _row(self, kind: str, identifier: str) -> dict[str, Any]:
        if kind not in FIELDS:
            raise Problem("NOT_FOUND", "The requested resource does not exist", 404)
        if len(identifier) not in {15, 18} or not identifier.isalnum():
            raise Problem("MALFORMED_ID", f"{kind} ID: id value of incorrect type: {identifier}")
        row = self.store.get(kind, to_18(identifier))
        if row is None:
            raise Problem("NOT_FOUND", "Provided external ID field does not exist or is not accessible", 404)
        if row.get("IsDeleted"):
            raise Problem("ENTITY_IS_DELETED", "entity is deleted", 404)
        return row

    def destroy(self, kind: str, identifier: str, *, hard: bool) -> None:
        """Delete one row and its children, softly or for good; raise `Problem` where something blocks it."""
        row = self._row(kind, identifier)
        self._blockers(kind, row)
        for child, field in CASCADES.get(kind, ()):
            for other in self._children(child, field, row["id"]):
                self._mark(child, other["id"], hard=hard)
        if kind == "Account":  # a person account takes its twin contact along
            for twin in self._children("Contact", "AccountId", row["id"]):
                for child, field in CASCADES["Contact"]:
                    for other in self._children(child, field, twin["id"]):
                        self._mark(child, other["id"], hard=hard)
        self._mark(kind, row["id"], hard=hard)

    def _blockers(self, kind: str, row: Mapping[str, Any]) -> None:
        if kind in UNDELETABLE:
            raise Problem("INSUFFICIENT_ACCESS_OR_READONLY", f"{kind} cannot be deleted")
        if kind == "Contact" and row.get("IsPersonAccount"):
            raise Problem("DELETE_FAILED", "A person contact cannot be deleted without its account.")
        contacts = (
            [row["id"]] if kind == "Contact" else [c["id"] for c in self._children("Contact", "AccountId", row["id"])]
        )
        name = row.get("Name", "")
        for child, field in RESTRICTED.get(kind, ()):
            if any(True for _ in self._children(child, field, row["id"])):
                raise Problem("DELETE_FAILED", f"Your attempt to delete {name} could not be completed: {child}")
        if kind in {"Contact", "Account"}:
            for contact in contacts:
                for user in self._children("User", "ContactId", contact):
                    raise Problem(
                        "DELETE_FAILED",
                        f"Your attempt to delete {name} could not be completed because it is associated "
                        f"with the following portal users.: {user.get('Username')}",
                    )
                for case in self._children("Case", "ContactId", contact):
                    raise Problem(
                        "DELETE_FAILED",
                        f"Your attempt to delete {name} could not be completed because it is associated "
                        f"with the following cases.: {case['id']}",
                    )

    def _children(self, kind: str, field: str, parent: str) -> Iterator[dict[str, Any]]:
        return (row for row in self.store.all(kind) if row.get(field) == parent and not row.get("IsDeleted"))

    def _mark(self, kind: str, identifier: str, *, hard: bool) -> None:
        self.store.update(kind, identifier, IsDeleted=True, SystemModstamp=self._stamp())
        days = 0 if kind == "FeedItem" else self.visible_days if hard else BIN_DAYS
        if hard:
            self._forget_history(kind, identifier)
        if days <= 0:
            self._forget(kind, identifier)
        else:
            self._bin(kind, identifier, self.now() + dt.timedelta(days=days), hard=hard)

    def _forget_history(self, kind: str, identifier: str) -> None:
        """Let field history go with its record, unless field audit trail keeps it."""
        if kind in HISTORIES and not self.history_stays:
            history, field = HISTORIES[kind]
            for row in [r for r in self.store.all(history) if r.get(field) == identifier]:
                self.store.delete(history, row["id"])

    def _bin(self, kind: str, identifier: str, until: dt.datetime, *, hard: bool = False) -> None:
        self.store.put("_bin", identifier, {"kind": kind, "id": identifier, "until": until.isoformat(), "hard": hard})

    def _forget(self, kind: str, identifier: str) -> None:
        self.store.delete(kind, identifier)
        self.store.delete("_bin", identifier)

    def _stamp(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%S.000+0000")

"""The second look before anything is called absent: a search index that was behind has caught up by then.

People of whom nobody was found are searched once more, and so is what the others wrote on tickets of others. The latter
goes for many users at once where the place proves that it understands such a query: somebody who is known to have
written stands in the middle of it, and that ticket must come back. Otherwise everybody is asked for alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from include.errors import NeedsPerson, ProcessorError
from include.processors import Work
from include.processors._zendesk.chat import chats_on
from include.processors._zendesk.find import Holdings, Search
from include.processors._zendesk.gate import Row
from include.processors._zendesk.users import Person

TOGETHER = 24  # users a query; it stands in an address, which is limited


def overlooked(search: Search, works: Sequence[Work]) -> dict[str, ProcessorError | None]:
    """Look again for people of whom nobody was found; return those who are there after all, or what hid them."""
    people = [Person(w.account_id, emails=set(w.locator["emails"])) for w in works]
    search.users.find(people)
    return {w.disposal_id: p.error for w, p in zip(works, people, strict=True) if p.users or p.error}


def missed(search: Search, works: Sequence[Work]) -> dict[str, Holdings | NeedsPerson]:
    """Return by disposal what its users wrote on tickets of others that its locator does not know."""
    found: dict[str, Holdings | NeedsPerson] = {}
    for ticket in _tickets(search, works).values():
        comments = search.comments(int(ticket["id"]))
        chats = chats_on(search.client, ticket, comments)
        for work in works:
            held = found.setdefault(work.disposal_id, Holdings())
            if int(ticket["id"]) in _ids(work, "tickets") or isinstance(held, NeedsPerson):
                continue
            try:
                search.words(held, ticket, _ids(work, "users"), comments, chats)
            except NeedsPerson as error:
                found[work.disposal_id] = error
    return {w.disposal_id: _new(w, found[w.disposal_id]) for w in works if w.disposal_id in found}


def _new(work: Work, held: Holdings | NeedsPerson) -> Holdings | NeedsPerson:
    if isinstance(held, NeedsPerson):
        return held
    comments = [pair for pair in held.comments if pair not in work.locator.get("comments", ())]
    chats = [pair for pair in held.chats if pair not in work.locator.get("chats", ())]
    if not comments and not chats:  # what is known already was dealt with, whatever became of that ticket since
        return Holdings()
    return Holdings({}, held.complaints - _ids(work, "complaints"), comments, chats, held.unsettled)


def _tickets(search: Search, works: Sequence[Work]) -> dict[int, Row]:
    users = sorted({i for w in works for i in _ids(w, "users")})
    writers = _writers(works)
    found: dict[int, Row] = {}
    for group, witness in _groups(users, writers):
        rows = {int(t["id"]): t for t in search.commented(group)}
        if witness is not None and not writers[witness] & set(rows):
            rows = {int(t["id"]): t for user_id in group for t in search.commented([user_id])}
        found |= rows
    return found


def _writers(works: Sequence[Work]) -> dict[int, set[int]]:
    """Return users who certainly wrote, and on which tickets: those alone in a disposal that found their words."""
    return {
        next(iter(_ids(w, "users"))): {int(ticket) for ticket, _ in w.locator["comments"]}
        for w in works
        if len(_ids(w, "users")) == 1 and w.locator.get("comments")
    }


def _groups(users: Sequence[int], writers: Mapping[int, set[int]]) -> Iterator[tuple[list[int], int | None]]:
    """Yield users to ask for together, with the writer who stands neither first nor last among them, or one alone."""
    witness = min(writers, default=None)
    others = [i for i in users if i != witness]
    for start in range(0, len(others), TOGETHER):
        group = others[start : start + TOGETHER]
        if witness is None or len(group) == 1:
            yield from (([user_id], None) for user_id in group)
        else:
            half = len(group) // 2
            yield [*group[:half], witness, *group[half:]], witness
    if witness is not None and len(others) < 2:
        yield [witness], None


def _ids(work: Work, key: str) -> set[int]:
    return {int(i) for i in work.locator.get(key, ())}

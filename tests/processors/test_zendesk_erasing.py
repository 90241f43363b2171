"""The Zendesk processor deletes in Zendesk's order, blacks out what stays, and ends only when it is read as gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from include.errors import RateLimited, Refused, Unreachable
from include.outcomes import Outcome
from include.processors import Work
from include.processors._zendesk.proof import Patience, Proof
from include.processors._zendesk.redact import blacked_out, is_readable
from include.sandbox.zendesk import StandIn
from tests.processors.zendesk_world import (
    EMAIL,
    NAME,
    TODAY,
    USER,
    World,
    after,
    archive,
    attach,
    call,
    carry_out,
    chat,
    erase,
    finish,
    located,
    merge,
    opened,
    subject,
)


@pytest.fixture
def world() -> Iterator[World]:
    with opened() as world:
        yield world


# -- erasing -------------------------------------------------------------------------------------------------------


def test_a_person_is_gone_and_the_bystander_untouched(world: World) -> None:
    world.seed()
    before = {k: world.standin.store.get(*k) for k in (("user", 800_000_010), ("ticket", 100), ("comment", 1001))}
    [result] = erase(world)
    assert result.outcome is Outcome.AWAITING
    assert NAME not in world.dump()
    assert "sample.person.0001" not in world.dump().replace(f"re-{EMAIL}", "")
    assert {k: world.standin.store.get(*k) for k in before} == before


def test_it_is_confirmed_only_when_every_product_has_completed(world: World) -> None:
    world.seed()
    [result] = erase(world)
    assert (result.outcome, result.until) == (Outcome.AWAITING, TODAY + timedelta(days=1))
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    work = Work("d1", "1", "support", ("support",), result.locator or {})
    [result] = later.read_back([work])
    assert (result.outcome, result.count) == (Outcome.CONFIRMED_ABSENT, 4)


def test_a_product_that_has_not_started_yet_is_waited_for(world: World) -> None:
    processor = world.processor()
    rows = [("request_deletion", "all"), ("started", "support"), ("complete", "support")]
    answers = [{"action": a, "application": p, "created_at": "2026-01-01T00:00:00Z"} for a, p in rows]
    processor.client.pages = lambda *_a, **_k: iter(answers)  # type: ignore[method-assign]
    assert Proof(processor.client, TODAY, Patience(), processor.search)._complete(1)
    assert not Proof(processor.client, TODAY, Patience(frozenset({"chat"})), processor.search)._complete(1)


def test_suspended_mails_go_too(world: World) -> None:
    world.seed("suspended")
    erase(world)
    assert world.standin.store.all("suspended_ticket") == []


def test_erasing_twice_changes_nothing_more(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    first = carry_out(processor, works)
    state = world.dump()
    again = carry_out(world.processor(), works)
    assert [r.outcome for r in again] == [r.outcome for r in first]
    assert world.dump() == state


@pytest.mark.parametrize(("age", "most"), [(0, 8.0), (200, 9.0)], ids=["recent", "archived"])
def test_requests_stay_within_eight_per_account_plus_the_single_purge(
    world: World, age: int, most: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archived ticket costs one request more: nothing but asking for it alone shows that it is gone."""
    kinds = ("nobody", "plain", "complaint", "email_only", "suspended", "plain", "plain", "plain")
    numbers = range(1, 101)
    world.standin.limit_factor = 100
    for number in numbers:
        world.seed(kinds[number % 8], number, on=TODAY - timedelta(days=age))
    processor = world.processor()
    works = located(processor, *(subject(n) for n in numbers))
    processor.extract(works)
    results = carry_out(processor, works)
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    waiting = [w for w, r in zip(after(works, results), results, strict=True) if r.outcome is Outcome.AWAITING]
    assert {r.outcome for r in later.read_back(waiting)} == {Outcome.CONFIRMED_ABSENT}
    purges = sum("/deleted_users/" in line for line in world.changing())
    assert purges == len(waiting) == 88
    counts = processor.client.counts + later.client.counts
    counts["purge_user"] -= purges
    with capsys.disabled():
        each = ", ".join(f"{step} {n / len(numbers):.2f}" for step, n in counts.items())
        print(f"\nZendesk requests per account: {each}; together {counts.total() / len(numbers):.2f}")
    assert counts.total() / len(numbers) <= most


def test_purges_respect_the_published_limit(world: World) -> None:
    world.seed()
    asked: list[tuple[str, int]] = []
    processor = world.processor(reserve=lambda quota, calls: asked.append((quota, calls)) or 0.0)
    carry_out(processor, located(processor, subject()))
    assert {"api", "purge_user", "deleted_listing", "export"} == {quota for quota, _ in asked}


def test_a_long_wait_for_a_quota_goes_back_to_the_scheduler(world: World) -> None:
    with pytest.raises(RateLimited) as error:
        world.processor(reserve=lambda _quota, _calls: 400.0).locate([subject()])
    assert error.value.retry_after == 400.0


# -- redaction -----------------------------------------------------------------------------------------------------


def test_a_comment_on_anothers_ticket_is_blacked_out(world: World) -> None:
    world.seed()
    erase(world)
    comment = world.standin.store.get("comment", 1002)
    assert not is_readable(comment)
    assert comment["html_body"].startswith('<div class="zd-comment"')


def test_a_file_on_anothers_closed_ticket_is_redacted_with_the_comment(world: World) -> None:
    world.seed()
    attach(world)
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert world.standin.store.get("comment", 1002)["attachments"][0]["file_name"] == "redacted.txt"
    assert not any("/attachments/" in line for line in world.changing())


def test_a_file_nothing_can_redact_ends_in_a_manual_step(world: World) -> None:
    world.seed()
    attach(world, content_url=None)  # on a closed ticket, and without an address to name it by
    [result] = finish(world)
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "file_left_on_ticket")
    assert not is_readable(world.standin.store.get("comment", 1002))


def test_files_that_cannot_be_named_do_not_keep_the_text_readable(world: World) -> None:
    world.seed()
    attach(world)
    world.fault(kind="status", status=422, body={"error": "RecordInvalid"}, path="/comment_redactions/")
    erase(world)
    assert not is_readable(world.standin.store.get("comment", 1002))


def test_a_file_on_anothers_open_ticket_is_redacted(world: World) -> None:
    world.seed()
    world.standin.store.update("ticket", 100, status="open")
    attach(world, content_url=None)
    erase(world)
    assert world.standin.store.get("comment", 1002)["attachments"][0]["file_name"] == "redacted.txt"


def test_call_recordings_go(world: World) -> None:
    world.seed()
    call(world, recording_url="https://sandbox.zendesk.com/api/v2/channels/voice/calls/CA55/twilio/recording")
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert world.standin.store.get("recording", 55) is None


def test_a_recording_that_is_said_to_be_gone_is_tried_again(world: World) -> None:
    world.seed()
    call(world, recording_url="https://sandbox.zendesk.com/api/v2/channels/voice/calls/CA55/twilio/recording")
    world.fault(kind="lie", method="DELETE", path="/recordings")
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert world.standin.store.get("recording", 55) is None


def test_a_call_that_keeps_numbers_or_words_is_not_called_absent(world: World) -> None:
    world.seed()
    call(world, transcription_text=f"{NAME} speaking", **{"from": "+821012345678"})
    [result] = finish(world)
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "call_data_left")


def test_a_mail_header_that_keeps_the_address_is_not_called_absent(world: World) -> None:
    world.seed()
    source = {"from": {"address": EMAIL, "name": NAME}, "to": {}, "rel": None}
    world.standin.store.update("comment", 1002, via={"channel": "email", "source": source})
    [result] = finish(world)
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "mail_header_left")


@pytest.mark.parametrize("key", ["chat_index", "message_id"])
def test_what_a_person_said_in_a_chat_of_another_is_blacked_out(world: World, key: str) -> None:
    world.seed()
    chat(world, key=key)
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    history = world.standin.store.get("audit", 70)["events"][0]["value"]["history"]
    assert history[0]["message"] == "a bystander's line"
    assert set(history[2]["message"]) == {"▇"}
    assert history[3]["filename"] == "redacted.txt"
    assert NAME not in world.dump()


def test_a_chat_that_goes_on_is_waited_for_some_nights_and_then_a_person_looks(world: World) -> None:
    world.seed()
    chat(world)
    world.standin.store.update("ticket", 100, status="open")
    works = located(world.processor(), subject())
    for _ in range(7):
        [result] = carry_out(world.processor(), works)
        assert (result.outcome, result.code) == (Outcome.AWAITING, "chat_goes_on")
        works = after(works, [result])
    [result] = carry_out(world.processor(), works)
    assert (result.code, result.needs_person) == ("chat_redaction_refused", True)
    world.standin.store.update("ticket", 100, status="solved")
    assert carry_out(world.processor(), works)[0].code == "compliance_deletion"


def test_a_chat_message_that_would_end_the_mark_needs_a_person(world: World) -> None:
    world.seed()
    chat(world)
    [audit] = world.standin.store.all("audit")
    audit["events"][0]["value"]["history"][2]["message"] = f"</redact>{NAME}"
    world.standin.store.put("audit", 70, audit)
    [result] = erase(world)
    assert (result.code, result.needs_person) == ("chat_text_unredactable", True)


def test_a_chat_that_keeps_the_name_is_not_called_absent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "forget_in_chats", lambda *_: None)
    world.seed()
    chat(world)
    [result] = finish(world)
    assert (result.outcome, result.code) == (Outcome.MANUAL_PENDING, "chat_name_left")


def test_an_empty_html_entity_is_nothing_to_read() -> None:
    assert not is_readable({"html_body": "<p>▇▇&nbsp;▇</p>", "plain_body": "▇▇\u00a0▇"})
    assert blacked_out("<p>&nbsp;</p>") == "<p>&nbsp;</p>"


def test_a_body_redacted_only_as_html_counts_as_readable() -> None:
    assert is_readable({"html_body": "<p>▇▇▇</p>", "plain_body": "still there"})


def test_links_are_marked_as_a_whole() -> None:
    html = '<a href="mailto:x@example.com">me</a>'
    assert blacked_out(html) == '<a href="mailto:x@example.com" redact><redact>me</redact></a>'


# -- merged, shared, archived --------------------------------------------------------------------------------------


def test_words_merged_into_anothers_ticket_are_blacked_out(world: World) -> None:
    world.seed()
    merge(world, 100, to={"ticket_id": 100})
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert NAME not in world.dump()
    assert world.standin.live_ticket(100)


def test_a_merge_that_does_not_say_where_to_needs_a_person(world: World) -> None:
    world.seed()
    merge(world, 100)
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.FAILED, "merged_ticket")


def test_a_merge_among_own_tickets_needs_nothing(world: World) -> None:
    world.seed()
    merge(world, 102, to={"ticket_id": 102})
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT


@pytest.mark.parametrize("unknown", ["success", "failure"])
@pytest.mark.parametrize("listed", [True, False])
def test_servers_that_answer_a_purge_of_nothing_with_a_job_are_understood(
    world: World, monkeypatch: pytest.MonkeyPatch, unknown: str, listed: bool
) -> None:
    """Nobody documents what purging an unknown ticket answers, nor does every server leave old ones out of its list."""

    def purge_ticket(self: StandIn, request: Any, ticket_id: int) -> Any:
        return self.start_job(request, "job_purge_tickets", [str(ticket_id)])

    real = StandIn.job_purge_tickets

    def job(self: StandIn, targets: Sequence[str]) -> Any:
        gone = not any(self.store.get("ticket", t) for t in targets)
        return {"success": unknown == "success"} if gone else real(self, targets)

    monkeypatch.setattr(StandIn, "purge_ticket", purge_ticket)
    monkeypatch.setattr(StandIn, "job_purge_tickets", job)
    if listed:
        monkeypatch.setattr(StandIn, "_archived", lambda *_: False)
    world.seed()
    archive(world)
    works = located(world.processor(), subject())
    results = carry_out(world.processor(), works)
    assert world.standin.store.get("ticket", 101) is None
    if listed or unknown == "success":
        assert results[0].code == "compliance_deletion"
        return
    results = carry_out(world.processor(), after(works, results))  # archived, and the place cannot tell gone from stuck
    assert (results[0].outcome, results[0].code) == (Outcome.AWAITING, "purged_by_schedule")


def test_one_404_that_is_not_true_does_not_pass_for_a_purge(world: World) -> None:
    world.seed()
    archive(world)
    world.standin.scrub_ticket(101)
    works = located(world.processor(), subject())
    world.fault(kind="status", status=404, body={"error": "RecordNotFound"}, method="DELETE", path="/deleted_tickets/")
    carry_out(world.processor(), works)
    assert world.standin.store.get("ticket", 102) is None


def test_comments_that_are_not_shown_of_a_ticket_that_is_there_are_no_answer(world: World) -> None:
    world.seed()
    works = located(world.processor(), subject())
    processor = world.processor()
    for step in ("delete_tickets", "purge_tickets", "delete_user", "purge_user"):
        works = after(works, processor.act(step, works))
    body = {"error": "RecordNotFound", "description": "Not found"}
    world.fault(kind="status", status=404, body=body, method="GET", path="/tickets/100/comments")
    with pytest.raises(Unreachable, match="not_shown"):
        processor.read_back(works)


def test_an_archived_ticket_that_a_purge_silently_left_is_found_out(world: World) -> None:
    world.seed()
    archive(world)
    world.standin.stubborn = frozenset({102})
    processor = world.processor()
    works = located(processor, subject())
    results = carry_out(processor, works)
    assert (results[0].outcome, results[0].code) == (Outcome.FAILED, "purge_not_reported")
    [result] = world.processor().act("purge_tickets", after(works, results))
    assert (result.outcome, result.code) == (Outcome.AWAITING, "purged_by_schedule")
    assert result.until == TODAY + timedelta(days=31)
    world.standin.set_date(TODAY + timedelta(days=31))
    [result] = world.processor(TODAY + timedelta(days=31)).act("purge_tickets", after(works, [result]))
    assert result.outcome is Outcome.ACCEPTED
    assert world.standin.store.get("ticket", 102) is None


def test_a_listed_ticket_that_a_purge_silently_left_is_found_out(world: World) -> None:
    world.seed()
    world.standin.stubborn = frozenset({102})
    works = located(world.processor(), subject())
    results = carry_out(world.processor(), works)
    assert (results[0].outcome, results[0].code) == (Outcome.FAILED, "still_present")
    world.standin.stubborn = frozenset()
    [result] = carry_out(world.processor(), after(works, results))
    assert result.outcome is Outcome.AWAITING
    assert world.standin.store.get("ticket", 102) is None


def test_a_server_that_shows_deleted_tickets_as_deleted_is_understood(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    real = processor.client.show_many

    def show_many(kind: str, wanted: Any, **more: str) -> Any:
        found, side = real(kind, wanted, **more)
        for row in world.standin.store.all("ticket") if kind == "tickets" else ():
            if row["id"] in set(wanted) and row.get("_deleted_at"):
                found[row["id"]] = {**row, "status": "deleted"}
        return found, side

    processor.client.show_many = show_many  # type: ignore[method-assign]
    [result] = carry_out(processor, works)
    assert result.outcome is Outcome.AWAITING
    assert world.standin.store.get("ticket", 101) is None


def test_a_bulk_read_that_hides_deleted_users_leaves_nobody_unpurged(world: World) -> None:
    world.seed()
    world.standin.hides_deleted = True
    [result] = finish(world)
    assert result.outcome is Outcome.CONFIRMED_ABSENT
    assert world.standin.store.get("user", USER)["_purged_at"]


def test_a_user_who_is_active_again_before_the_purge_is_deleted_first(world: World) -> None:
    world.seed()
    processor = world.processor()
    works = located(processor, subject())
    for step in ("redact", "delete_tickets", "purge_tickets", "delete_user"):
        works = after(works, processor.act(step, works))
    world.standin.store.update("user", USER, active=True, _deleted_at=None)
    [result] = world.processor().act("purge_user", works)
    assert result.outcome is Outcome.ACCEPTED
    assert world.standin.store.get("user", USER)["_purged_at"]


# -- the second look -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [1, 2, 3, 30])
def test_words_that_a_stale_index_hid_are_found_before_the_end(world: World, people: int) -> None:
    numbers = [1 + 6 * n for n in range(people)]  # each of these wrote on a bystander's ticket
    for number in numbers:
        world.seed(number=number)
    world.standin.store.update("ticket", 100, email_cc_ids=[], collaborator_ids=[])  # only the index knows of the first
    world.fault(kind="stale_index", path="/search/export")
    subjects = [subject(n) for n in numbers]
    works = located(world.processor(), *subjects)
    assert "comments" not in works[0].locator
    results = carry_out(world.processor(), works)
    works = after(works, results)
    world.standin.set_date(TODAY + timedelta(days=1))
    tomorrow = TODAY + timedelta(days=1)
    results = world.processor(tomorrow).read_back(works)
    assert results[0].outcome is Outcome.FAILED
    assert {r.outcome for r in results[1:]} <= {Outcome.CONFIRMED_ABSENT}
    works = after(works, results)
    assert carry_out(world.processor(tomorrow), works[:1])[0].outcome is Outcome.CONFIRMED_ABSENT
    assert not is_readable(world.standin.store.get("comment", 1002))


@pytest.mark.parametrize("understood", ["first", "last", "none", "all"])
def test_the_second_look_asks_alone_where_a_query_for_many_is_not_understood(world: World, understood: str) -> None:
    numbers = [1, 7, 13, 19]
    for number in numbers:
        world.seed(number=number)
    world.standin.store.update("ticket", 100, email_cc_ids=[], collaborator_ids=[])  # only the index knows of the first
    world.fault(kind="stale_index", path="/search/export")
    processor = world.processor()
    works = after(w := located(processor, *(subject(n) for n in numbers)), carry_out(processor, w))
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    real = later.search.commented

    def commented(users: Sequence[int]) -> Any:
        taken = {"first": users[:1], "last": users[-1:], "none": [], "all": users}[understood]
        return real(users if len(users) == 1 else taken) if len(users) == 1 or taken else []

    later.search.commented = commented  # type: ignore[method-assign]
    assert later.read_back(works)[0].code == "still_present"


def test_somebody_a_stale_index_hid_is_found_by_looking_again(world: World) -> None:
    world.seed("email_only")
    world.fault(kind="stale_index", path="/users/search")
    processor = world.processor()
    works = located(processor, subject())
    assert processor.steps(works[0]) == ()
    [result] = processor.read_back(works)
    assert (result.outcome, result.code) == (Outcome.FAILED, "still_present")


def test_trouble_in_the_second_look_is_no_case_for_a_person(world: World) -> None:
    for number in (1, 2):
        world.seed("nobody", number)
    processor = world.processor()
    works = located(processor, subject(1), subject(2))
    world.fault(kind="status", status=503, path="/users/search", times=3)
    results = processor.read_back(works)
    assert [(r.outcome, r.needs_person) for r in results] == [
        (Outcome.FAILED, False),
        (Outcome.CONFIRMED_ABSENT, False),
    ]


@pytest.mark.parametrize(("path", "code"), [("/comment_redactions/", "redaction"), ("/deleted_users/", "purge")])
def test_a_right_that_is_lacking_stops_the_processor(world: World, path: str, code: str) -> None:
    world.seed()
    world.fault(kind="status", status=403, body={"error": "Forbidden"}, path=path, times=99)
    with pytest.raises(Refused, match=f"{code}_not_permitted"):
        erase(world)


def test_a_complaint_of_another_is_kept_before_words_in_it_are_blacked_out(world: World) -> None:
    world.seed()
    world.standin.store.update("ticket", 100, tags=["complaint"])
    processor = world.processor()
    works = located(processor, subject())
    assert works[0].locator["complaints"] == [100]
    [record] = processor.extract(works)
    assert (record.source_id, record.items["name"]) == ("100", NAME)
    assert f"{NAME} adds a line" in record.items["case.body"]
    assert erase(world)[0].outcome is Outcome.AWAITING


def test_an_open_complaint_of_another_with_words_of_ours_is_a_hold(world: World) -> None:
    world.seed()
    world.standin.store.update("ticket", 100, tags=["complaint"], status="pending")
    [found] = world.processor().locate([subject()])
    assert (found.outcome, found.code) == (Outcome.BLOCKED, "open_complaint")
    assert world.changing() == []


def test_compliance_that_never_ends_goes_to_a_person_and_is_asked_again(world: World) -> None:
    world.seed()
    world.standin.slow_products = timedelta(days=10_000)
    works = located(world.processor(), subject())
    works = after(works, carry_out(world.processor(), works))
    for days, code in ((1, "compliance_deletion"), (29, "compliance_deletion"), (30, "compliance_overdue")):
        world.standin.set_date(TODAY + timedelta(days=days))
        [result] = world.processor(TODAY + timedelta(days=days)).read_back(works)
        works = after(works, [result])
        assert (result.code, result.needs_person) == (code, code == "compliance_overdue")


def test_a_name_that_is_not_replaced_yet_is_waited_for(world: World) -> None:
    world.seed()
    works = located(world.processor(), subject())
    works = after(works, carry_out(world.processor(), works))
    shell = {"id": USER, "name": NAME, "email": None, "external_id": None, "role": "end-user", "active": False}
    world.standin.set_date(TODAY + timedelta(days=1))
    later = world.processor(TODAY + timedelta(days=1))
    real = later.client.show_many
    later.client.show_many = lambda k, i, **m: ({USER: shell} if k == "users" else {}, []) if i else real(k, i, **m)  # type: ignore[method-assign]
    [result] = later.read_back(works)
    assert (result.outcome, result.code) == (Outcome.AWAITING, "name_not_scrubbed")


def test_redaction_marks_text_and_images_and_leaves_tags() -> None:
    html = '<p>a &lt;b<br>c</p><img src="x.png"/>'
    marked = '<p><redact>a &lt;b</redact><br><redact>c</redact></p><img src="x.png" redact>'
    assert blacked_out(html) == marked


def test_an_unknown_comment_body_counts_as_readable() -> None:
    assert is_readable({"id": 1})

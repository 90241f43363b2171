"""The packaged schedule says what law and policy text say; a wrong one is refused with file, key and reason."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from include.errors import ScheduleError
from include.policy.document import Document
from include.policy.periods import Period
from include.policy.schedule import PACKAGE, PACKAGED, Schedule, check, load, parse

BODY = PACKAGED.read_bytes()
SCHEDULE = load()
PLAIN = Document.parse(BODY, file="s").value
MODULES = tuple(name for name, section in SCHEDULE.processors.items() if section.module)

Change = Callable[[dict[str, Any]], object]


def written(value: Any) -> bytes:
    """Return `value` as YAML; JSON is YAML too, and is written much faster."""
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def refused(change: Change, *, processors: tuple[str, ...] | None = None) -> ScheduleError:
    """Return why the packaged schedule is refused after `change`."""
    value = Document.parse(BODY, file="s").value
    change(value)
    body = written(value)
    problems = check(body, file="changed.yaml", processors=processors)
    with pytest.raises(ScheduleError) as caught:
        parse(body, file="changed.yaml", processors=processors)
    assert str(caught.value) == str(problems[0])
    return caught.value


def rule(value: dict[str, Any], identity: str) -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in value["rules"] if r["id"] == identity)
    return found


def test_the_packaged_schedule_is_sound() -> None:
    assert check(BODY, file=PACKAGED.name, processors=MODULES) == []


def test_a_schedule_is_known_by_the_digest_of_its_bytes() -> None:
    assert SCHEDULE.body == BODY
    assert SCHEDULE.sha256 == hashlib.sha256(BODY).hexdigest()


def test_the_policy_text_is_bound_by_its_digest() -> None:
    text = (PACKAGE / "privacy_policy.ko.txt").read_bytes()
    assert SCHEDULE.policy_text_sha256 == hashlib.sha256(text).hexdigest()


def test_every_part_of_the_policy_is_there() -> None:
    assert list(SCHEDULE.categories) == [f"D-{n:02}" for n in range(1, 18)]
    assert list(SCHEDULE.rules) == (["R-01", "R-02i", "R-02b"] + [f"R-{n:02}" for n in range(3, 16)] + ["R-99"])
    assert list(SCHEDULE.holds) == [f"H-{n}" for n in range(1, 8)]
    assert sorted(s.id for s in SCHEDULE.processors.values()) == sorted(
        [f"V-{n}" for n in range(1, 7)] + [f"O-{n}" for n in range(1, 4)]
    )
    assert list(SCHEDULE.contradictions) == [f"C-{n:02}" for n in range(1, 19)]


@pytest.mark.parametrize(
    ("identity", "kind", "periods", "article"),
    [
        ("R-01", "max", {"terminated": "P6M"}, "3(1)"),
        ("R-02i", "min", {"transaction": "P5Y"}, "85의3(2)"),
        ("R-02b", "min", {"transaction": "P5Y"}, "85의3(2)"),
        ("R-03", "min", {"contract_ended": "P5Y", "withdrawal_recorded": "P5Y"}, "6"),
        ("R-04", "min", {"paid_and_supplied": "P5Y"}, "6"),
        ("R-05", "min", {"case_closed": "P3Y"}, "6"),
        ("R-06", "min", {"advertisement_ended": "P6M"}, "6(1)1"),
        ("R-07", "min", {"credit_record": "P3Y"}, "20(2)"),
        ("R-08", "max", {"terminated": "P5Y", "credit_purpose_achieved": "P3M"}, "20의2(2)"),
        ("R-09", "min", {"access_logged": "P3M"}, "41(2)2"),
        ("R-10", "min", {"operator_log": "P2Y"}, "8"),
        (
            "R-11",
            "max",
            {"consent_withdrawn": "P0D", "requested": "P0D", "terminated": "P0D", "event_ended": "P0D"},
            "21(1)",
        ),
        ("R-12", "max", {"terminated": "P0D", "instruction": "P0D"}, "26(8)"),
        ("R-13", "max", {"guardian_refused": "P5D", "guardian_request_closed": "P0D"}, "13"),
        ("R-14", "max", {"terminated": "P0D", "processor_contract_ended": "P0D"}, "5"),
        ("R-15", "deadline", {"expired": "P3Y"}, "21(2)"),
        ("R-99", "deadline", {"expired": "P5D"}, "21(1)"),
    ],
)
def test_a_rule_has_its_kind_periods_and_article(
    identity: str, kind: str, periods: dict[str, str], article: str
) -> None:
    found = SCHEDULE.rules[identity]
    assert found.kind == kind
    assert {t.event: t.period for t in found.triggers} == {e: Period.parse(p) for e, p in periods.items()}
    assert found.basis[0].article.startswith(article)


def test_offshore_transactions_are_kept_seven_years() -> None:
    for identity in ("R-02i", "R-02b"):
        assert SCHEDULE.rules[identity].triggers[0].offshore_period == Period.parse("P7Y")


def test_the_closed_lists_are_those_of_the_policy_text() -> None:
    fee = {"fee.billed", "fee.received", "fee.received_at", "fee.method"}
    assert set(SCHEDULE.closed_lists["K-I"].items) == {"name", "billing_address", "phone", "email"} | fee
    assert (
        set(SCHEDULE.closed_lists["K-B"].items)
        == {
            "company_name",
            "trade_name",
            "representative",
            "business_no",
            "corporation_no",
        }
        | fee
    )


def test_no_law_keeps_contact_data_of_a_business() -> None:
    for identity, found in SCHEDULE.rules.items():
        if found.store:
            kept = set(SCHEDULE.kept_items(identity, "business"))
            assert not kept & {"email", "phone", "billing_address", "name"}, identity


def test_only_settlement_fields_are_reached_by_a_settlement_hold() -> None:
    for kind in ("H-1", "H-2"):
        reached = set(SCHEDULE.holds[kind].datasets)
        assert reached == {"payment", "contract", "billing_contact", "business_identity", "payments"}


def test_a_hold_is_reviewed_within_ninety_days() -> None:
    assert all(h.review_days <= 90 for h in SCHEDULE.holds.values())


def test_every_part_has_a_title_in_both_languages() -> None:
    parts: list[Any] = [*SCHEDULE.categories.values(), *SCHEDULE.rules.values(), *SCHEDULE.holds.values()]
    parts += [*SCHEDULE.closed_lists.values()]
    for part in parts:
        assert re.search("[가-힣]", part.title.ko), part.id
        assert not re.search("[가-힣]", part.title.en), part.id
    for section in SCHEDULE.processors.values():
        assert section.title.ko
        assert section.title.en


def test_the_schedule_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        SCHEDULE.settings.roll_max = True  # type: ignore[misc]
    with pytest.raises(Exception, match="cannot assign"):
        SCHEDULE.version = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        SCHEDULE.rules["R-01"] = SCHEDULE.rules["R-02i"]  # type: ignore[index]


def set_to(*path: Any, to: Any) -> Change:
    def change(value: dict[str, Any]) -> None:
        here: Any = value
        for part in path[:-1]:
            here = here[part]
        here[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (set_to("surprise", to=1), "surprise", "unknown key"),
        (set_to("rules", 0, "surprise", to=1), "rules[R-01].surprise", "unknown key"),
        (lambda v: v["rules"][0].pop("basis"), "rules[R-01].basis", "missing"),
        (lambda v: v.pop("holds"), "holds", "missing"),
        (set_to("rules", 0, "kind", to="forever"), "rules[R-01].kind", "'max', 'min' or 'deadline'"),
        (set_to("rules", 0, "version", to="1"), "rules[R-01].version", "valid integer"),
        (set_to("rules", 0, "triggers", 0, "period", to="6 months"), "rules[R-01].triggers[0].period", "P6M"),
        (set_to("rules", 0, "triggers", 0, "period", to="PT5H"), "rules[R-01].triggers", "not by hours"),
        (
            set_to("rules", 0, "triggers", 0, "event", to="bored"),
            "rules[R-01].triggers[0].event",
            "'bored' is no event",
        ),
        (lambda v: v["rules"].append(v["rules"][0]), "rules[R-01].id", "R-01 is used twice"),
        (lambda v: v["holds"].append(v["holds"][0]), "holds[H-1].id", "H-1 is used twice"),
        (lambda v: v["rules"][0]["scopes"].append(v["rules"][0]["scopes"][0]), "rules[R-01].scopes", "listed twice"),
        (set_to("processors", "stripe", "id", to="V-4"), "processors.zendesk.id", "V-4 is used twice"),
        (
            set_to("processors", "stripe", "datasets", "support", to=["D-05"]),
            "processors.zendesk.datasets.support",
            "is a dataset of stripe already",
        ),
        (set_to("rules", 0, "categories", 0, to="D-77"), "rules[R-01].categories", "'D-77' is no category"),
        (set_to("categories", 0, "purposes", 0, to="P9"), "categories[D-01].purposes", "'P9' is no purpose"),
        (
            set_to("closed_lists", 0, "items", 0, to="shoe_size"),
            "closed_lists[K-I].items",
            "'shoe_size' is no field of any category",
        ),
        (set_to("closed_lists", 0, "items", 0, to="*"), "closed_lists[K-I].items[0]", "pattern"),
        (set_to("closed_lists", 0, "items", 0, to="fee.etc"), "closed_lists[K-I].items", "fee.etc"),
        (set_to("categories", 0, "fields", 0, to="other"), "categories[D-01].fields[0]", "leaves the list open"),
        (set_to("closed_lists", 0, "items", to=[]), "closed_lists[K-I].items", "at least 1 item"),
        (set_to("closed_lists", 2, "items", to="all"), "closed_lists[EC-I].items", "valid tuple"),
        (lambda v: set_to("items", to="all")(rule(v, "R-04")), "rules[R-04].items", "open-ended"),
        (lambda v: set_to("items", to=["K-X"])(rule(v, "R-04")), "rules[R-04].items", "'K-X' is no closed list"),
        (
            lambda v: set_to("items", to=["K-I"])(rule(v, "R-02b")),
            "rules[R-02b].items",
            "keeps nothing of a subject of type business",
        ),
        (
            set_to("rules", 0, "scopes", 0, "processor", to="nowhere"),
            "rules[R-01].scopes[account].processor",
            "no processor 'nowhere'",
        ),
        (
            set_to("rules", 0, "scopes", 0, "processor", to="backups"),
            "rules[R-01].scopes[account].processor",
            "its module is false",
        ),
        (
            set_to("rules", 0, "scopes", 0, "datasets", 0, to="profiles"),
            "rules[R-01].scopes[account].datasets",
            "'profiles' is no dataset of own_database",
        ),
        (
            lambda v: rule(v, "R-01")["scopes"][0]["datasets"].append("payment"),
            "rules[R-01].scopes[settlement]",
            "overlaps scope account: both destroy payment",
        ),
        (
            lambda v: rule(v, "R-09")["floors"][0].update(scope="nothing"),
            "rules[R-09].floors[0]",
            "rule R-01 has no scope nothing",
        ),
        (lambda v: v["rules"].remove(rule(v, "R-12")), "contradictions[C-03].by", "'R-12' is no rule"),
        (lambda v: rule(v, "R-01")["categories"].remove("D-16"), "rules[R-01].scopes[paper].datasets", "no category"),
        (
            lambda v: rule(v, "R-14")["scopes"].pop(2),
            "processors.zendesk.datasets.support",
            "no rule has a scope with this dataset",
        ),
        (
            lambda v: rule(v, "R-14")["scopes"].pop(4),
            "processors.adroll.datasets.audience",
            "R-14 has no scope with it, so adroll would keep it",
        ),
        (
            lambda v: v["processors"]["zendesk"]["settings"].pop("complaint_selector"),
            "processors.zendesk.settings.complaint_selector",
            "is missing",
        ),
        (
            set_to("processors", "zendesk", "settings", "complaint_selector", to={"unclear_tags": ["x"]}),
            "processors.zendesk.settings.complaint_selector",
            "recognises nothing",
        ),
        (
            set_to("processors", "zendesk", "settings", "complaint_selector", "tags", to="complaint"),
            "processors.zendesk.settings.complaint_selector.tags",
            "must be a list of str",
        ),
        (
            set_to("processors", "zendesk", "settings", "complaint_selector", "tag", to=["complaint"]),
            "processors.zendesk.settings.complaint_selector.tag",
            "is not known",
        ),
        (lambda v: v["holds"].pop(), "holds", "H-7 is missing"),
        (set_to("holds", 0, "datasets", to=["nothing"]), "holds[H-1].datasets", "'nothing' is no dataset"),
        (set_to("holds", 0, "datasets", to=[]), "holds[H-1].datasets", "reaches nothing"),
        (set_to("holds", 0, "review_days", to=91), "holds[H-1].review_days", "less than or equal to 90"),
        (set_to("settings", "hold_review_days", to=30), "holds[H-1].review_days", "more than 30 days"),
        (set_to("holds", 2, "starts", to="R-55"), "holds[H-3].starts", "'R-55' is no rule"),
        (set_to("holds", 4, "overridden_by", to="whim"), "holds[H-5].overridden_by", "'whim' is no event"),
        (set_to("contradictions", 0, "by", to=["settings.mood"]), "contradictions[C-01].by", "'settings.mood' is no"),
        (set_to("settings", "destroy_within_days", to=6), "settings.destroy_within_days", "less than or equal to 5"),
        (set_to("settings", "destroy_within_days", to=4), "rules[R-99].triggers", "P4D"),
        (set_to("settings", "destroy_within_days", to=3), "settings.destroy_within_days", "half-week on Monday"),
        (
            set_to("settings", "archive", "lock_mode", to="COMPLIANCE"),
            "settings.archive.lock_mode",
            "must be GOVERNANCE",
        ),
        (set_to("settings", "evidence_term_years", to=9), "settings.evidence_term_years", "less than or equal to 5"),
        (set_to("policy_text", "sha256", to="0" * 64), "policy_text.sha256", "has sha256 45d8"),
        (set_to("policy_text", "file", to="absent.txt"), "policy_text.file", "neither beside"),
        (set_to("policy_text", "file", to="../x.txt"), "policy_text.file", "pattern"),
        (set_to("settings", "holiday_table", "sha256", to="0" * 64), "settings.holiday_table.sha256", "has sha256"),
        (set_to("time_zone", to="UTC"), "time_zone", "Asia/Seoul"),
        (set_to("settings", "metadata_days", to=10), "settings.metadata_days", "shorter than requests.conf_days"),
        (set_to("settings", "metadata_days", to=3), "settings.metadata_days", "greater than or equal to 7"),
        (
            set_to("processors", "s3", "settings", to={"buckets": ["live", "archive"]}),
            "processors.s3.settings.buckets[1]",
            "'archive' is a bucket of ours",
        ),
        (
            set_to("processors", "s3", "settings", to={"places": [{"bucket": "evidence"}]}),
            "processors.s3.settings.places[0].bucket",
            "'evidence' is a bucket of ours",
        ),
        (
            set_to("processors", "s3", "settings", to={"prefixes": ["accounts/{account_id}"]}),
            "processors.s3.settings.prefixes[0]",
            "between delimiters",
        ),
        (
            set_to("processors", "own_database", "settings", to={"tables": {"retention.entry": {}}}),
            "processors.own_database.settings.tables",
            "our own schema retention",
        ),
        (
            set_to("processors", "own_database", "settings", to={"tables": {"x": {"schema": "Retention"}}}),
            "processors.own_database.settings.tables.x.schema",
            "our own schema retention",
        ),
        (
            set_to("processors", "own_database", "settings", to={"tables": {"x": {"method": "keyed_replacement"}}}),
            "processors.own_database.settings.tables.x.method",
            "no erasure and no anonymisation",
        ),
        (
            set_to(
                "processors", "own_database", "settings", to={"stores": {"w": {"tables": {"x": {"action": "hmac"}}}}}
            ),
            "processors.own_database.settings.stores.w.tables.x.action",
            "no erasure and no anonymisation",
        ),
    ],
)
def test_a_wrong_schedule_is_refused_with_file_key_and_reason(change: Change, key: str, reason: str) -> None:
    error = refused(change)
    assert error.file == "changed.yaml"
    assert error.key.startswith(key), error
    assert reason in error.reason, error


def test_a_category_that_no_rule_names_is_refused() -> None:
    def drop(value: dict[str, Any]) -> None:
        for one in value["rules"]:
            one["categories"] = [c for c in one["categories"] if c != "D-03"]

    assert any("would be kept for ever" in e.reason for e in _problems(drop))


def _problems(change: Change) -> list[ScheduleError]:
    value = Document.parse(BODY, file="s").value
    change(value)
    return check(written(value), file="changed.yaml")


def test_a_processor_without_a_module_and_a_module_without_a_section_are_refused() -> None:
    error = refused(lambda v: None, processors=tuple(n for n in MODULES if n != "adroll"))
    assert (error.key.split()[0], error.reason) == ("processors.adroll", "no module include/processors/adroll.py")
    error = refused(lambda v: None, processors=(*MODULES, "newcomer"))
    assert "include/processors/newcomer.py has no section here" in error.reason


def test_the_wrong_line_is_named() -> None:
    text = BODY.decode()
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "destroy_within_days" in row and ":" in row)
    with pytest.raises(ScheduleError) as caught:
        parse(text.replace("destroy_within_days: 5", "destroy_within_days: 50").encode(), file="s.yaml")
    assert caught.value.key == f"settings.destroy_within_days (line {line})"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is empty"),
        (b"# nothing", "is empty"),
        (b"[]", "must be a mapping"),
        (b"just words", "must be a mapping"),
        (b"version: 1\nversion: 2", "version (line 2): is written twice, first on line 1"),
        (b"a: &x 1\nb: *x", "anchors and aliases"),
        (b"a: !!python/object/apply:os.system [id]", "tags are not allowed"),
        (b"a: 1\n---\nb: 2", "second document"),
        (b"a: {<<: {b: 1}}", "nothing is merged in"),
        (b"? [a, b]\n: 1", "a key must be a word"),
        (b"a: [" * 30 + b"]" * 30, "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b"a: \xff\xfe", "is not UTF-8"),
        (b"a: b: c", "is not YAML"),
        (b"a: \x00", "is not YAML"),
        (b"\ta: 1", "is not YAML"),
        (b"x" * 2_000_000, "larger than 256 KiB"),
    ],
)
def test_a_file_that_cannot_be_read_plainly_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(body, file="bad.yaml")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("bad.yaml: ")


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match=r"absent\.yaml: \(file\): cannot be read"):
        load(tmp_path / "absent.yaml")


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path, *(p for k, v in value.items() for p in paths_of(v, (*path, k)))]
    if isinstance(value, list):
        return [path, *(p for n, v in enumerate(value) for p in paths_of(v, (*path, n)))]
    return [path]


PATHS = [p for p in paths_of(PLAIN) if p]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PATHS), JUNK, st.booleans())
def test_a_mutilated_schedule_is_accepted_or_refused_never_crashes(
    path: tuple[Any, ...], junk: Any, drop: bool
) -> None:
    value = Document.parse(BODY, file="s").value
    here: Any = value
    for part in path[:-1]:
        here = here[part]
    if drop:
        del here[path[-1]]
    else:
        here[path[-1]] = junk
    body = written(value)
    _accepted_or_refused(body)


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(BODY) - 1), st.binary(max_size=6), st.integers(0, 40))
@example(0, b"\xef\xbb\xbf", 0)
def test_damaged_bytes_are_accepted_or_refused_never_crash(at: int, put: bytes, cut: int) -> None:
    _accepted_or_refused(BODY[:at] + put + BODY[at + cut :])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_order(body: bytes) -> None:
    with pytest.raises(ScheduleError):
        parse(body, file="any.yaml")


def _accepted_or_refused(body: bytes) -> None:
    found = check(body, file="fuzz.yaml")
    for error in found:
        assert isinstance(error, ScheduleError)
        assert error.file == "fuzz.yaml"
        assert error.key
        assert error.reason
    if not found:
        assert isinstance(parse(body, file="fuzz.yaml"), Schedule)

"""Hostile bytes for whatever reads a file: a clear refusal or a sound value, never a crash, never without end."""

from __future__ import annotations

import copy
import json
import os
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from include.errors import ConfigurationError, RetentionError, ScheduleError
from include.policy.document import MAX_BYTES, Document
from include.policy.holidays import PACKAGED as HOLIDAYS
from include.policy.holidays import Holidays, parse_holidays
from include.policy.schedule import PACKAGED, Schedule, check, parse
from include.processors._paper.importing import COLUMNS, Paper
from include.processors._paper.importing import parse as parse_papers

BODY = PACKAGED.read_bytes()
PLAIN = Document.parse(BODY, file="s").value
TABLE = HOLIDAYS.read_bytes()
SECONDS = 60
"""What nothing may take longer than, on a busy machine; on an idle one it is two."""
MORE = int(os.environ.get("CRASH_EXAMPLES", "1"))
"""How many times as many examples are tried."""
QUICK = settings(max_examples=60 * MORE, suppress_health_check=[HealthCheck.too_slow])

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["", "0", "-1", "1e400", "1:30", "0x10", "2026-02-30", "9" * 5000, "R-01", ".inf", "<<", "~"])
)  # fmt: skip
values = st.recursive(
    scalars, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside)
)


def judged(body: bytes) -> Schedule | None:
    """Return the schedule, or None where it was refused; both ways of reading must say the same."""
    started, found, refused = time.monotonic(), None, ""
    problems = [str(p) for p in check(body, file="hostile.yaml")]
    try:
        found = parse(body, file="hostile.yaml")
    except ScheduleError as error:
        refused = str(error)
    assert time.monotonic() - started < SECONDS
    assert [refused] == problems[:1] or (not problems and not refused), "one way of reading refuses, the other does not"
    return found


# -- the schedule ------------------------------------------------------------------------------------------------------
@QUICK
@given(st.binary(max_size=400))
@example(b"\xff\xfe")
@example(b"a: &x [1]\nb: *x\n")
@example(b"a: !!python/object/apply:os.system ['true']\n")
@example(b"a: \x00\n")
@example(b"? [a, b]\n: c\n")
@example(b"--- {}\n--- {}\n")
@example(b"%YAML 9.9\n---\na: b\n")
@example(b"a: 1:30\n")
@example(b"\xef\xbb\xbfversion: 1\n")
@example(b"[" * 5000)
@example(b"- " * 5000 + b"a")
@example(b"{a: " * 3000)
@example(b"a: " + b"9" * 5000)
@example(b"a: 0x_\nb: 0b_\n")
@example(b"\xc2\x85: \xe2\x80\xa8\n")
def test_any_bytes_are_refused_or_a_schedule(body: bytes) -> None:
    assert judged(body) is None


def test_a_billion_laughs_and_a_megabyte_are_refused_at_once() -> None:
    laughs = b"a0: &a0 [lol]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
    )
    assert judged(laughs) is None
    assert judged(b"#" * (MAX_BYTES + 1)) is None
    assert judged(b"a: b\n" * (MAX_BYTES // 5)) is None
    assert judged(b"x" * MAX_BYTES) is None


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything in a plain value."""
    found = [path]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in children:
        found += places(inside, (*path, key))
    return found


PLACES = [p for p in places(PLAIN) if p]


def changed(path: tuple[Any, ...], value: Any, how: str) -> bytes:
    """Return the packaged schedule with one place of it changed, taken out, doubled or named anew."""
    whole = copy.deepcopy(PLAIN)
    here = whole
    for key in path[:-1]:
        here = here[key]
    if how == "remove":
        del here[path[-1]]
    elif how == "rename" and isinstance(here, dict):
        here[str(value)] = here.pop(path[-1])
    elif how == "double" and isinstance(here, list):
        here.append(here[path[-1]])
    else:
        here[path[-1]] = value
    return json.dumps(whole, ensure_ascii=False).encode("utf-8", "surrogatepass")


@settings(max_examples=25 * MORE, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), values, st.sampled_from(["set", "set", "remove", "rename", "double"]))
def test_a_schedule_changed_anywhere_is_refused_or_sound(path: tuple[Any, ...], value: Any, how: str) -> None:
    found = judged(changed(path, value, how))
    if found is not None:
        assert found.rules
        assert set(found.processors)


# -- the holiday table -------------------------------------------------------------------------------------------------
def holidays(body: bytes) -> Holidays | None:
    try:
        return parse_holidays(body, file="h.yaml")
    except ScheduleError:
        return None


@QUICK
@given(st.binary(max_size=200), st.integers(0, len(TABLE) - 1))
def test_a_holiday_table_is_refused_or_covers_its_years(noise: bytes, at: int) -> None:
    for body in (noise, TABLE[:at] + noise + TABLE[at:], TABLE[:at] + noise + TABLE[at + len(noise) :]):
        table = holidays(body)
        if table is not None:
            assert all(table.first_year <= d.year <= table.last_year for d in table.days)


@pytest.mark.parametrize("day", ["20260301", "2026-W09-7", "2026-060", " 2026-03-01", "２０２６-03-01"])
def test_a_holiday_is_written_in_one_way(day: str) -> None:
    body = TABLE.replace(b"holidays:\n", f"holidays:\n  '{day}': somewhere\n".encode(), 1)
    assert body != TABLE
    with pytest.raises(ScheduleError, match="is not a date YYYY-MM-DD"):
        parse_holidays(body, file="h.yaml")


# -- the box list ------------------------------------------------------------------------------------------------------
def papers(body: bytes) -> list[Paper] | None:
    told = ""
    try:
        return parse_papers(body, categories={"D-16"})
    except ConfigurationError as refused:
        told = str(refused)
    assert len(told) < 5000
    return None


HEAD = ",".join(COLUMNS).encode() + b"\n"


@settings(max_examples=100 * MORE)
@given(st.binary(max_size=300))
@example(b'"' + b"x" * 140_000)
@example(b"b,r,D-16," + b"1" * 140_000)
@example(b'b,r,D-16,"1\n')
@example(b"b,r\x00,D-16,1\n")
@example(b"b\rr,D-16,1\r")
@example("b,r,D-16,\u202e1\n".encode())
@example("b,r,D-16,a＠example.com\n".encode())
@example(b"b,r,D-16,010-0000-0001\n")
def test_a_box_list_is_refused_or_knows_people_by_account_only(line: bytes) -> None:
    for body in (line, HEAD + line, HEAD + b"b,r,D-16,1\n" + line):
        for paper in papers(body) or []:
            assert paper.account_id
            assert paper.box
            assert paper.category == "D-16"
            assert "@" not in paper.account_id + paper.box + paper.location
            assert "\uff20" not in paper.account_id


def test_refusals_are_ours() -> None:
    assert issubclass(ScheduleError, RetentionError)
    assert issubclass(ConfigurationError, RetentionError)

"""Quotas: one row a quota, shared by all workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from include.disposals.quotas import reserver
from include.processors import Quota


def test_calls_within_the_window_need_not_wait(engine: Engine) -> None:
    reserve = reserver(engine, "zendesk", [Quota("api", 600, 60)])
    assert reserve("api", 50) == 0


def test_what_exceeds_the_limit_waits_its_share_of_the_window(engine: Engine) -> None:
    reserve = reserver(engine, "zendesk", [Quota("api", 600, 60)], share=0.5)
    reserve("api", 300)
    assert reserve("api", 1) == pytest.approx(60 - 6, abs=2)


def test_many_workers_together_never_exceed_the_limit(engine: Engine) -> None:
    reserve = reserver(engine, "zendesk", [Quota("api", 100, 60)])
    with ThreadPoolExecutor(4) as pool:
        waits = sorted(pool.map(lambda _: reserve("api", 1), range(200)))
    at_once = sum(w == 0 for w in waits)
    assert at_once <= 100 / 10 + 2
    assert waits[-1] == pytest.approx(200 * 0.6 - 6, abs=3)

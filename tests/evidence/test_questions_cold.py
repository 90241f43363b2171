"""What is asked of cold storage beyond its own entries: items beyond their list, and keys in backups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.evidence.answers import Asked
from include.evidence.ask import ask
from include.evidence.entries import canonical
from include.evidence.export import export
from include.evidence.questions import QUESTIONS
from include.evidence.questions_cold import COLD
from include.evidence.questions_records import RECORDS
from tests.evidence import samples
from tests.evidence.test_verify import SIGNER, sealed


def inventory(rule_id: str, beyond: int, *, unread: int = 0) -> dict[str, Any]:
    counts = {"objects": 2, "beyond_list": beyond, "unread": unread, "outlived": 0, "billed_early": 0}
    return samples.base("archive_inventory", rule_id=rule_id, rows=9, counts=counts)


def destroyed(event: str, digest: str, **more: Any) -> dict[str, Any]:
    return samples.base(event, rule_id="R-04", object_digest=digest * 32, subjects=3, **more)


def answered(name: str, *entries: dict[str, Any], on: str = "2026-12-01") -> list[str]:
    return COLD[name].answer(enumerate(entries), Asked(on=on)).lines


def test_the_newest_inventory_of_each_law_answers() -> None:
    lines = answered("beyond-list", inventory("R-04", 2), inventory("R-02i", 0), inventory("R-04", 1, unread=1))
    assert lines == [
        "R-02i: 0 of 9 rows exceed their list, 0 of 2 objects not readable without a restore, looked at on 2026-11-25, "
        "entry 1",
        "R-04: 1 of 9 rows exceed their list, 1 of 2 objects not readable without a restore, looked at on 2026-11-25, "
        "entry 2",
    ]


def test_an_archive_nobody_looked_into_is_not_called_right() -> None:
    assert "no inventory was taken" in answered("beyond-list", samples.base("restored"))[0]


GROUP = {"method": "delete", "until": "2026-12-30"}
ERASED = {"method": "crypto_erase", "code": "accepted", "until": "2026-11-30"}


def test_destroyed_keys_stay_in_backups_until_confirmed() -> None:
    entries = [
        destroyed("archive_destroyed", "aa", **GROUP),
        destroyed("archive_destroyed", "bb", **GROUP),
        destroyed("key_destroyed", "aa", code="confirmed"),
        destroyed("key_destroyed", "cc", **ERASED),
        destroyed("key_destroyed", "cc", **ERASED | {"until": "2026-12-02"}),
        destroyed("key_destroyed", "cc", method="crypto_erase", code="confirmed"),
        samples.base("key_destroyed", key_epoch="2023", code="confirmed_absent"),
    ]
    assert answered("backups", *entries)[1:] == [
        "2 destructions whose keys a backup may still hold on 2026-12-01, 0 past their date",
        "  R-04: keys of 3 subjects (delete), in database backups until 2026-12-30, entry 1",
        "  R-04: keys of 3 subjects (crypto_erase), in database backups until 2026-12-02, entry 4",
    ]
    assert answered("backups", *entries, on="2026-12-15")[1].endswith("1 past their date")


def test_erased_rows_stay_in_our_own_backups_until_their_day() -> None:
    life = [*samples.life(1)[:-1], samples.life(1)[-1] | {"backup_expires_on": "2026-12-30"}]
    assert answered("backups", *life)[::2] == [
        "1 destructions whose rows a backup may still hold on 2026-12-01",
        "  own_database: 1 destroyed, in backups until 2026-12-30, entry 4",
    ]
    assert answered("backups", *life, on="2026-12-31")[0].startswith("0 ")


def test_two_groups_with_one_end_are_both_told() -> None:
    same = [destroyed("archive_destroyed", d, **GROUP) for d in ("aa", "bb")]
    assert len(answered("backups", *same)) == 4


def test_every_command_stands_on_the_page_of_questions() -> None:
    page = (Path(__file__).parents[2] / "docs/questions.md").read_text(encoding="utf-8")
    for name, question in COLD.items():
        assert f"| {question.number} |" in next(line for line in page.splitlines() if f"`ask {name}" in line)
        assert name not in QUESTIONS | RECORDS


@pytest.mark.parametrize("name", ["beyond-list", "backups"])
def test_an_answer_comes_with_proofs(engine: Any, tmp_path: Path, capsys: Any, name: str) -> None:
    entries = [inventory("R-04", 0), destroyed("archive_destroyed", "aa", **GROUP)]
    assert [canonical(e) for e in entries]
    sealed(engine, entries)
    folder = export(engine, tmp_path / "x", vkey=SIGNER.vkey, signer=SIGNER).folder
    assert ask([name, "--folder", str(folder)]) == 0
    assert "c2sp.org/tlog-proof@v1" in capsys.readouterr().out

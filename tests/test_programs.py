"""What a bare machine cannot run is named by `make test` and installed by CI."""

from __future__ import annotations

import re
from pathlib import Path

from include.sandbox.__main__ import NEEDS_MORE

ROOT = Path(__file__).parents[1]


def test_every_program_a_test_needs_is_named_and_installed_in_ci() -> None:
    asked = {
        program
        for path in (ROOT / "tests").rglob("test_*.py")
        for program in re.findall(r"needs\(\"([a-z-]+)\"\)", path.read_text(encoding="utf-8"))
    }
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert asked
    assert asked == set(NEEDS_MORE)
    assert [p for p in sorted(asked) if f"{p}:" not in ci] == []

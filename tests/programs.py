"""Programs a test may need beyond Python and make; what is missing is named by `make test` in its last lines."""

from __future__ import annotations

import shutil

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    """Return a mark that leaves a test out where `program` is not installed; `.ci/run` fails when any was left out."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"not run here: {program} is not installed")

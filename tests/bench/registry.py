"""The bench's processor beside the product's own."""

from __future__ import annotations

from pathlib import Path

from include import processors

PLACE = "sixcalls"
PLACES = Path(__file__).parent / "places"


def register() -> None:
    """Add the bench's folder to the registry of processors; a second time nothing changes."""
    if str(PLACES) not in processors.__path__:
        processors.__path__.append(str(PLACES))


def forget() -> None:
    """Take the bench's folder out of the registry again: what runs after it in this process has the product's own."""
    if str(PLACES) in processors.__path__:
        processors.__path__.remove(str(PLACES))

"""Which stand-ins there are: the files of this folder that carry a processor's name; no list is edited.

names()                                     # ("adroll", "clarity", "salesforce", "stripe", "zendesk")
load("stripe")                              # its class `StandIn`
connection("stripe", "http://127.0.0.1:1")  # the Airflow connection that reaches it
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from include import processors
from include.connections import Connection
from include.sandbox.standin import Frame

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the processors that have a stand-in here, sorted."""
    return tuple(n for n in processors.names() if (FOLDER / f"{n}.py").exists())


def load(name: str) -> type[Frame]:
    """Return the class `StandIn` of `include/sandbox/<name>.py`."""
    kind: type[Frame] = import_module(f"include.sandbox.{name}").StandIn
    return kind


def connection(name: str, endpoint_url: str, **extra: Any) -> Connection:
    """Return the connection of a stand-in at `endpoint_url`, with the credentials it asks for."""
    asked = load(name).credentials
    return Connection(
        name,
        login=asked.login,
        password=asked.password,
        extra={"endpoint_url": endpoint_url, **asked.extra, **extra},
    )

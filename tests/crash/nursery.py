"""A nursery of processes: each job runs in a child of its own, which may be killed at a point.

    with Nursery() as nursery:
        ended = nursery.run(tests.crash.work.advance, night, die_at=17)

One process with everything imported (and no threads) forks a child for each job. A rehearsal runs a job in that process
itself, so that what a job does once in a process (models of SDKs, compiled SQL) is not done in every child. Jobs and
their arguments are pickled; what a child returns comes back pickled too.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
REHEARSAL = -1
LONGEST = 120
"""Seconds after which a child is called stuck."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: the points it passed, whether it was killed, what it returned or raised (name and trace)."""

    points: tuple[str, ...]
    killed: bool
    returned: Any = None
    error: str = ""
    trace: str = ""


class Nursery:
    """The parent's side; may be used by several threads, one job at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.crash.nursery import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        return self

    def __exit__(self, *_exc: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def rehearse(self, job: Callable[..., Any], *arguments: Any) -> Ended:
        """Run `job(*arguments)` where the children come from; return how that ended."""
        return self._asked(job, arguments, REHEARSAL)

    def run(self, job: Callable[..., Any], *arguments: Any, die_at: int | None = None, of: str = "") -> Ended:
        """Run `job(*arguments)` in a new process, to die at a point that begins with `of`; return how that ended."""
        return self._asked(job, arguments, die_at, of)

    def _asked(self, job: Callable[..., Any], arguments: tuple[Any, ...], die_at: int | None, of: str = "") -> Ended:
        assert self._process is not None
        with self._lock:
            _write(self._process.stdin, (job, arguments, die_at, of))
            ended = _read(self._process.stdout)
        assert isinstance(ended, Ended)
        return ended


def _write(stream: IO[bytes] | None, value: Any) -> None:
    assert stream is not None
    body = pickle.dumps(value)
    stream.write(struct.pack(">I", len(body)) + body)
    stream.flush()


def _read(stream: IO[bytes] | None) -> Any:
    assert stream is not None
    head = stream.read(4)
    if not head:
        return None
    return pickle.loads(stream.read(struct.unpack(">I", head)[0]))


def _child(pipe: int, job: Callable[..., Any], arguments: tuple[Any, ...], die_at: int | None, of: str) -> None:
    from tests.crash.points import Points, install

    signal.alarm(LONGEST)
    install(Points(pipe, die_at, of))
    ended: dict[str, Any] = {}
    try:
        ended["returned"] = job(*arguments)
    except BaseException as error:
        ended |= {"error": type(error).__name__, "trace": "".join(traceback.format_exception(error))}
    body = pickle.dumps(ended)
    os.write(pipe, b"ended %d\n" % len(body))
    while body:
        body = body[os.write(pipe, body) :]
    os._exit(0)


def _rehearsed(work: Any, job: Callable[..., Any], arguments: tuple[Any, ...]) -> Ended:
    try:
        return Ended((), False, job(*arguments))
    except Exception as error:
        return Ended((), False, None, type(error).__name__, "".join(traceback.format_exception(error)))
    finally:
        work.hang_up()


def _born(job: Callable[..., Any], arguments: tuple[Any, ...], die_at: int | None, of: str) -> Ended:
    mine, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(mine)
        _child(theirs, job, arguments, die_at, of)
    os.close(theirs)
    points, ended = [], {}
    with os.fdopen(mine, "rb") as lines:
        for line in lines:
            word, _, rest = line.decode().rstrip("\n").partition(" ")
            if word == "point":
                points.append(rest)
            else:
                ended = pickle.loads(lines.read(int(rest)))
    _pid, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and not ended:
        ended = {"error": "Died", "trace": f"status {status}"}
    return Ended(tuple(points), killed, **ended)


def main() -> None:
    """Fork a child for every job that comes in, one after the other, until there are no more."""
    from tests.crash import work  # everything a child needs is imported once, here

    # The pipe is kept apart, so that nothing a child prints gets into it.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (asked := _read(sys.stdin.buffer)) is not None:
        job, arguments, die_at, of = asked
        _write(out, _rehearsed(work, job, arguments) if die_at == REHEARSAL else _born(job, arguments, die_at, of))

"""Commands behind the Makefile: `run`, `ui`, `stop`, `serve` (the stand-ins), `not-run` (what the tests could not run
here).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import threading
from datetime import date
from pathlib import Path
from typing import NoReturn

from include.errors import RetentionError
from include.sandbox.mail import MailServer
from include.sandbox.standin import Serving
from include.sandbox.standins import load

ROOT = Path(__file__).parents[2]
NEEDS_MORE = {
    "openssl": "timestamps checked by openssl itself: apt-get install openssl",
    "docker-compose": "the compose file read by docker-compose itself: apt-get install docker-compose",
    "mariadbd": "the accounts database read from MariaDB: apt-get install mariadb-server",
    "soffice": "the workbook opened in LibreOffice: apt-get install libreoffice-calc-nogui",
}
"""What the suite checks with a program that is neither Python nor make, and how to get it."""


def main() -> None:
    """Run one command; trouble is one clear line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m include.sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "ui", "stop", "not-run"):
        commands.add_parser(name)
    serve = commands.add_parser("serve")
    serve.add_argument("folder", type=Path)
    serve.add_argument("standins", nargs="+", help="name=port")
    arguments = parser.parse_args()
    # SIGTERM ends through the same `finally` as Ctrl-C, so nothing that was started stays behind.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if arguments.command == "serve":
            _serve(arguments.folder, arguments.standins)
        elif arguments.command == "not-run":
            _not_run()
        else:
            _stack(arguments.command)
    except (RetentionError, RuntimeError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; everything that was started is stopped.")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _stack(command: str) -> None:
    from include.sandbox import night
    from include.sandbox.stack import Stack

    folder = os.environ.get("SANDBOX_FOLDER")
    stack = Stack(ROOT, Path(folder) if folder else None)
    if command == "stop":
        print("Stopped: " + (", ".join(stack.stop_remembered()) or "nothing was running") + ".")
    elif command == "ui":
        night.ui(stack)
    else:
        as_of = os.environ.get("AS_OF", "")
        try:
            day = date.fromisoformat(as_of) if as_of else None
        except ValueError:
            raise RuntimeError(f"AS_OF={as_of!r} is not a date. Write it like AS_OF=2027-03-01.") from None
        night.run(
            stack, as_of=day, accounts=int(os.environ.get("ACCOUNTS", "1000")), seed=int(os.environ.get("SEED", "7"))
        )


def _serve(folder: Path, standins: list[str]) -> None:
    """Serve stand-ins until the process is told to end; their published limits are scaled up for one fast night."""
    factor = float(os.environ.get("SANDBOX_LIMIT_FACTOR", "1"))
    serving: list[object] = []
    for item in standins:
        name, _, port = item.partition("=")
        if name == "mail":
            serving.append(MailServer(folder.parent / "mail", int(port)).__enter__())
            continue
        serving.append(Serving(load(name)(folder, limit_factor=factor), int(port)).__enter__())
    threading.Event().wait()


def _not_run() -> None:
    """Name what was not run here for want of a program, and how to get it."""
    missing = [f"  not run here: {text}" for program, text in NEEDS_MORE.items() if not shutil.which(program)]
    print("\n".join(missing) if missing else "Every program the suite can use is here.")


if __name__ == "__main__":
    main()

"""Create the demo users and their roles in Airflow's FAB auth manager; run as `python -m include.sandbox.users`.

One process does what `airflow roles import` and five times `airflow users create` would, in a tenth of the time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from include.sandbox.airflow import DEMO_USERS
from include.sandbox.stack import Stack

ROLES = Path(__file__).parents[2] / "roles.json"


def main() -> None:
    """Create what is not there yet."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    stack = Stack(ROLES.parent, Path(os.environ["RETENTION_LOCAL"]))
    with get_application_builder() as builder:
        security = builder.sm
        security.sync_roles()
        for row in json.loads(ROLES.read_text()):
            role = security.add_role(row["name"])
            for action in row["action"].split(","):
                security.add_permission_to_role(role, security.create_permission(action, row["resource"]))
        for user, role_name in DEMO_USERS.items():
            if security.find_user(username=user) is None:
                security.add_user(
                    user, "Demo", user.title(), f"{user}@example.com", security.find_role(role_name),
                    password=stack.secret(f"user-{user}"),
                )  # fmt: skip


if __name__ == "__main__":
    main()

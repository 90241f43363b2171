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
        wanted: dict[str, set[tuple[str, str]]] = {}
        for row in json.loads(ROLES.read_text()):
            wanted.setdefault(row["name"], set()).update((a, row["resource"]) for a in row["action"].split(","))
        for name, rights in wanted.items():
            role = security.add_role(name)
            for action, resource in rights:
                security.add_permission_to_role(role, security.create_permission(action, resource))
            for held in list(role.permissions):
                given = (held.action.name, held.resource.name)
                # Rights on single DAGs come from their access_control.
                if given not in rights and ":" not in given[1]:
                    security.remove_permission_from_role(role, held)
        for user, role_name in DEMO_USERS.items():
            found, role = security.find_user(username=user), security.find_role(role_name)
            if found is None:
                security.add_user(
                    user, "Demo", user.title(), f"{user}@example.com", role, password=stack.secret(f"user-{user}")
                )
            elif found.roles != [role]:
                found.roles = [role]
                security.update_user(found)


if __name__ == "__main__":
    main()

"""Create the demo users and their roles in Airflow's FAB auth manager; run as `python -m include.sandbox.users`.

Roles are what `include.install` makes of roles.json; the users are for trying only, and never made in production.
"""

from __future__ import annotations

import os
from pathlib import Path

from include import install
from include.sandbox.airflow import DEMO_USERS
from include.sandbox.stack import Stack

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Create what is not there yet."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    stack = Stack(ROOT, Path(os.environ["RETENTION_LOCAL"]))
    with get_application_builder() as builder:
        security = builder.sm
        install.sync_roles(security)
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

"""Airflow's side of the console: its login, FAB's permissions, and its own REST API as the person who is logged in.

Everything here is imported in the api-server alone and only when the first request comes, so that the plugin costs the
scheduler and the workers nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from include.console.roles import Capability, User


class Gate:
    """Who is logged in to Airflow, and what FAB lets them do here.

    Another auth manager than FAB's has no permissions of ours: there nobody may open anything, which is the safe answer.
    """

    @cached_property
    def secret(self) -> bytes:
        """The key of form tokens, derived from the api-server's own secret: every api-server has the same."""
        from airflow.configuration import conf

        return hmac.new(str(conf.get("api", "secret_key")).encode(), b"retention-console/v1", sha256).digest()

    async def user(self, request: Request) -> User:
        """Return who asks; 401 for nobody, an expired or a forged login."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.core_api.security import bearer_scheme, get_user

        try:
            found = await get_user(request, None, await bearer_scheme(request))
        except HTTPException:
            raise HTTPException(401) from None
        manager = get_auth_manager()
        may = frozenset(
            c
            for c in Capability
            if manager.is_authorized_custom_view(method=c.action, resource_name=c.resource, user=found)
        )
        return User(str(found.get_id()), str(found.get_name()), may)

    async def call(
        self, request: Request, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Call `/api/v2` + `path` of this very api-server with the login of `request`; return status and JSON.

        It goes through Airflow's whole app in this process, so its permissions, validation and audit log hold as for
        any other client, and no address needs to be known.
        """
        import httpx
        from airflow.api_fastapi.main import app

        headers = {"accept": "application/json"}
        if bearer := request.headers.get("authorization"):
            headers["authorization"] = bearer
        elif login := request.cookies.get("_token"):
            headers["authorization"] = f"Bearer {login}"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api-server") as client:
            reply = await client.request(method, f"/api/v2{path}", headers=headers, json=body)
        try:
            return reply.status_code, reply.json() if reply.content else None
        except ValueError:
            return reply.status_code, None

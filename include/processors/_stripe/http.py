"""The SDK's way to the network: urllib3 with kept-alive connections, no retry, no redirect.

The SDK's own client goes through `requests`, which spends more time on one call than the call itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from include.errors import ConfigurationError

CONNECTIONS = 16
"""Kept alive at most; more threads than these would connect anew."""

Seen = Callable[[int, Mapping[str, str]], None]


def http_client(address: str | None, timeout: float, seen: Seen) -> Any:
    """Return an HTTP client for the SDK; `seen` is told status and headers of an answer, whatever its body is."""
    import stripe

    pool = pool_for(address, timeout)

    class Client(stripe.HTTPClient):  # type: ignore[misc]  # the SDK loads its classes lazily, untyped
        name = "urllib3"

        def request(
            self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_unused: Any
        ) -> tuple[bytes, int, Mapping[str, str]]:
            try:
                reply = pool.request(
                    method.upper(), url, body=post_data, retries=False, redirect=False,
                    headers={**(headers or {}), "Accept-Encoding": "gzip, deflate"},
                )  # fmt: skip
            except (urllib3.exceptions.HTTPError, OSError) as error:  # kept as the cause only: it quotes the address
                raise stripe.APIConnectionError("no answer", should_retry=False) from error
            seen(reply.status, reply.headers)
            return reply.data, reply.status, reply.headers

        def close(self) -> None:
            pool.clear()

    return Client()


def pool_for(address: str | None, timeout: float) -> urllib3.PoolManager:
    """Return connections to Stripe, or to the address all traffic goes to instead."""
    import stripe

    return _pool(address, timeout, stripe.ca_bundle_path, str(urlsplit(stripe.DEFAULT_API_BASE).hostname))


def _pool(address: str | None, timeout: float, authorities: str, host: str) -> urllib3.PoolManager:
    """Return a pool, behind the machine's proxy unless the address is our own."""
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=timeout, read=timeout),
        "maxsize": CONNECTIONS,
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": authorities,
    }
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if address or not proxy or proxy_bypass(host):
        return urllib3.PoolManager(**options)
    user = urlsplit(proxy)
    login = f"{unquote(user.username)}:{unquote(user.password or '')}" if user.username else None
    try:
        return urllib3.ProxyManager(
            proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None, **options
        )
    except urllib3.exceptions.HTTPError:
        raise ConfigurationError("stripe: HTTPS_PROXY names no http or https proxy.") from None

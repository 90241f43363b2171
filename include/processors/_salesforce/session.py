"""One Salesforce session in which every answer becomes a value or one of our errors.

`simple-salesforce` brings the calls; this file brings what it lacks: all traffic through one adapter (address and
time-out), one new login after an expired token instead of an endless loop, Bulk 2.0 driven call by call so that a
job's id is ours before any row is sent, and errors without the vendor's text, which quotes people."""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter

from include.connections import TIMEOUT_SECONDS, Connection
from include.errors import ConfigurationError, ProcessorError, RateLimited, Refused, Unreachable
from include.processors._answers import request_id

T = TypeVar("T")
NAME = "salesforce"
LONG = 3600.0
"""Seconds to wait for a limit that lifts only with time: the daily calls are counted over a rolling 24 hours."""
TRIES, PAUSE, PATIENCE = 3, 0.2, 5.0
"""How often a read is asked again, after how many seconds, and how long a short limit is sat out in place."""
QUERY_SECONDS = 125.0
"""Seconds to wait for an answer: a query may run for two minutes before it is given up (SOQL limits)."""
HOSTS = re.compile(r"([a-z0-9-]+\.)+(salesforce|force|cloudforce)\.(com|mil)(:443)?", re.IGNORECASE)
"""Where the token of a login may be sent, whatever address the login's answer names."""
CODE = re.compile(r"[A-Z][A-Z0-9_]{2,59}")
BULK_CODES = frozenset(
    {
        "ClientInputError",
        "ExceededQuota",
        "FeatureNotEnabled",
        "InvalidBatch",
        "InvalidEntity",
        "InvalidJob",
        "InvalidJobState",
        "InvalidOperation",
        "InvalidSessionId",
        "InvalidUrl",
        "InvalidUser",
        "Timeout",
        "TooManyLockFailure",
    }
)
PASSING = frozenset(
    {
        "UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "API_TEMPORARILY_UNAVAILABLE", "UNKNOWN_EXCEPTION",
        "TIMEOUT", "TOOMANYLOCKFAILURE", "INVALID_QUERY_LOCATOR",
    }
)  # fmt: skip
"""Errors that say nothing about the request itself: the next run asks again."""
SAME_AGAIN = frozenset({"QUERY_TIMEOUT", "INVALID_QUERY_LOCATOR", "no_answer_in_time"})
"""What the same request would meet again at once."""
LATER = frozenset({"TXN_SECURITY_METERING_ERROR", "EXCEEDEDQUOTA"})
EXPIRED = frozenset({"INVALID_SESSION_ID", "INVALIDSESSIONID"})


class Rejected(Refused):
    """Salesforce refused one request with a code; a caller may know that code, otherwise the processor stops."""


class Expired(Refused):
    """The token was not taken."""


@dataclass(slots=True)
class _Seen:
    """The last answer's status and headers, which the vendor's exceptions do not carry."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class _Adapter(HTTPAdapter):
    """Sends everything to `endpoint_url` when there is one, always with a time-out, and never again on its own."""

    def __init__(self, endpoint_url: str | None, timeout: tuple[float, float]) -> None:
        super().__init__(max_retries=0)
        self.endpoint_url, self.timeout, self.seen = endpoint_url, timeout, _Seen()

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """Send one request."""
        if self.endpoint_url:
            request.url = self.endpoint_url + request.path_url
        self.seen = _Seen()
        response = super().send(request, **{**options, "timeout": self.timeout})
        self.seen = _Seen(response.status_code, response.headers)
        return response


def clean_code(code: object) -> str:
    """Return an error code only if it looks like one of the vendor's words; anything else could quote a person."""
    text = str(code).removeprefix("sf:")
    return text if CODE.fullmatch(text) or text in BULK_CODES else "unrecognised"


class Session:
    """Logs in and runs calls; every method raises only our errors."""

    def __init__(
        self,
        connection: Connection,
        *,
        daily_share: float = 0.9,
        patience: float = QUERY_SECONDS,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection, self._daily_share, self._go_on = connection, daily_share, go_on
        self._adapter = _Adapter(connection.endpoint_url, (TIMEOUT_SECONDS, patience))
        self._sf: Any = None
        for vendor in (
            "urllib3",
            "simple_salesforce",
            "requests",
        ):  # their lines quote addresses, and those quote e-mails
            logging.getLogger(vendor).setLevel(logging.WARNING)

    # -- logging in ----------------------------------------------------------------------------------------------------
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)
        session.max_redirects = 0
        session.trust_env = self._connection.endpoint_url is None
        return session

    def _credentials(self) -> dict[str, Any]:
        connection, extra = self._connection, self._connection.extra
        domain = str(extra.get("domain") or connection.host).removeprefix("https://").rstrip("/")
        domain = domain.removesuffix(".salesforce.com")
        if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", domain):
            raise ConfigurationError(
                f"Connection {connection.name}: its extra lacks a usable 'domain'. Give My Domain, e.g. 'acme.my'."
            )
        key = connection.require("consumer_key")
        private_key, key_file = extra.get("private_key"), extra.get("private_key_file_path")
        if private_key or key_file:
            if not connection.login:
                raise ConfigurationError(
                    f"Connection {connection.name}: login is empty. The JWT flow needs the API user's name."
                )
            found = {"username": connection.login, "consumer_key": key, "domain": domain}
            return {**found, **({"privatekey": private_key} if private_key else {"privatekey_file": key_file})}
        if domain in {"login", "test"}:
            raise ConfigurationError(
                f"Connection {connection.name}: client credentials work only on My Domain, not on {domain!r}. "
                "Set extra 'domain', e.g. 'acme.my'."
            )
        secret = extra.get("consumer_secret") or connection.password
        if not secret:
            raise ConfigurationError(
                f"Connection {connection.name}: give 'consumer_secret' or 'private_key' in its extra."
            )
        return {"consumer_key": key, "consumer_secret": str(secret), "domain": domain}

    def _login(self) -> None:
        credentials = self._credentials()
        version = str(self._connection.extra.get("version") or "67.0").removeprefix("v")

        def log_in() -> Any:
            from simple_salesforce import Salesforce

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the library warns with the consumer key in the text
                return Salesforce(**credentials, version=version, session=self._session(), object_pairs_hook=dict)

        self._sf = self._guard(log_in)
        if not self._connection.endpoint_url and not HOSTS.fullmatch(str(self._sf.sf_instance)):
            self._sf = None
            raise Refused(NAME, "foreign_host", advice="The login led to a host that is not Salesforce's.")
        self._sf._salesforce_login_partial = None  # its own refresh can loop for ever; ours logs in once

    def token_bytes(self) -> int:
        """Return how long the token in each request's headers is; tokens that are JWTs take kilobytes."""
        if self._sf is None:
            self._login()
        return len(self._sf.session_id.encode())

    # -- calling -------------------------------------------------------------------------------------------------------
    def _call(self, work: Callable[[Any], T]) -> T:
        """Run one call; after an expired token log in once and run it again (a 401 means that nothing was done)."""
        if self._sf is None:
            self._login()
        self._spare_the_daily_limit()
        try:
            return self._guard(lambda: work(self._sf))
        except Expired:
            self._login()
        try:
            return self._guard(lambda: work(self._sf))
        except Expired:
            self._sf = None
        raise Refused(
            NAME,
            "INVALID_SESSION_ID",
            status=401,
            request_id=self._request_id(),
            advice="A fresh token is refused too: check the API user.",
        )

    def _ask(self, work: Callable[[Any], T]) -> T:
        """Run one read; no answer, or a limit that passes in seconds, is asked again a few times."""
        for attempt in range(1, TRIES):
            try:
                return self._call(work)
            except Unreachable as error:
                if error.code in SAME_AGAIN:
                    raise
                time.sleep(PAUSE * attempt)
            except RateLimited as limited:
                if limited.retry_after > PATIENCE:
                    raise
                time.sleep(limited.retry_after)
        return self._call(work)

    def shielded(self, work: Callable[[], T]) -> T:
        """Run what reads answers; one that lacks what was asked for is no answer, and its text stays here."""
        return self._guard(work)

    def _spare_the_daily_limit(self) -> None:
        match = re.search(r"api-usage=(\d+)/(\d+)", self._adapter.seen.headers.get("Sforce-Limit-Info", ""))
        if match and int(match[2]) > 0 and int(match[1]) / int(match[2]) >= self._daily_share:
            self._adapter.seen = _Seen()
            raise RateLimited(NAME, retry_after=LONG, code="daily_api_share", status=None)

    def _guard(self, work: Callable[[], T]) -> T:
        """Run `work`; raise ours *after* the handler so that no vendor exception hangs on to it."""
        from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError

        failure: ProcessorError
        try:
            return work()
        except ProcessorError:
            raise
        except SalesforceAuthenticationFailed as error:
            failure = self._login_failure(error.code)
        except SalesforceError as error:
            failure = self.failure(getattr(error, "content", None))
        except requests.exceptions.JSONDecodeError:
            failure = self._no_json()
        except requests.exceptions.Timeout:
            failure = Unreachable(NAME, "no_answer_in_time")
        except requests.exceptions.RequestException:
            failure = Unreachable(
                NAME, "no_answer", status=self._adapter.seen.status or None, request_id=self._request_id()
            )
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            failure = self._no_json()
        except Exception as error:
            if not type(error).__module__.startswith("simple_salesforce"):
                raise
            failure = self.failure(None)
        raise failure

    def _no_json(self) -> ProcessorError:
        if self._adapter.seen.status in {401, 403, 429}:
            return self.failure(None)
        return Unreachable(
            NAME, "unexpected_answer", status=self._adapter.seen.status or None, request_id=self._request_id()
        )

    def _login_failure(self, code: object) -> ProcessorError:
        status = self._adapter.seen.status
        if status == 429 or status >= 500 or status in {0, 200, 406, 420}:
            return self.failure(None)
        known = (
            str(code)
            if re.fullmatch(r"(invalid|unsupported|inactive|unauthorized)_[a-z_]{2,40}", str(code))
            else "login_refused"
        )
        return Refused(
            NAME,
            known,
            status=status,
            request_id=self._request_id(),
            advice="Check consumer key, secret or key file, and the app's run-as user.",
        )

    def failure(self, content: object) -> ProcessorError:
        """Translate an error answer; `content` is its parsed body, or text when it was not JSON.

        Salesforce answers with a list of errors that have codes. Anything else comes from what stands in between: it
        says nothing about objects, jobs or rows, even with a 404.
        """
        status, first = self._adapter.seen.status, content[0] if isinstance(content, list) and content else None
        known = first if isinstance(first, Mapping) and isinstance(first.get("errorCode"), str) else {}
        code = clean_code(known.get("errorCode", "unrecognised"))
        word = code.upper()
        failure: ProcessorError
        named = self._request_id()
        if status == 429 or word == "REQUEST_LIMIT_EXCEEDED" or word in LATER:
            failure = self._limited(code, status, str(known.get("message", "")))
        elif status >= 500 or status in {0, 406, 420} or word in PASSING:
            failure = Unreachable(NAME, code, status=status or None, request_id=named)
        elif status == 401 or word in EXPIRED:
            failure = Expired(NAME, code, status=status, request_id=named)
        elif not known and status not in {403, 410, 414, 431}:
            failure = Unreachable(NAME, "not_json", status=status, request_id=named)
        else:
            advice = "Check the API user's permissions and the API version."
            failure = Rejected(NAME, code, status=status, request_id=named, advice=advice)
        return failure

    def _request_id(self) -> str | None:
        """Return the last answer's request id, for the vendor's support."""
        return request_id(self._adapter.seen.headers)

    def _limited(self, code: str, status: int, message: str) -> RateLimited:
        """The concurrent limit passes in seconds; the rolling 24-hour limit only with time."""
        wait = 30.0 if "concurrent" in message.lower() else LONG
        if status == 429:
            wait, code = _retry_after(self._adapter.seen.headers), "rate_limited"
        return RateLimited(NAME, retry_after=wait, code=code, status=status, request_id=self._request_id())


def _retry_after(headers: Mapping[str, str]) -> float:
    """Read `Retry-After` as seconds or as a date; a minute when it is missing or nonsense."""
    value = headers.get("Retry-After", "")
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 60.0
    return max(1.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())

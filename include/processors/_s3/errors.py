"""What S3 says went wrong, as one of our errors: by its code, never by its text, which quotes keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from include.errors import ConfigurationError, ProcessorError, RateLimited, Refused, Unreachable
from include.processors._answers import request_id as named
from include.processors._json_api import retry_after
from include.processors._s3.places import Place

NAME = "s3"
NO_ANSWER = "no_answer"
SLOW = frozenset({"SlowDown", "503", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ThrottlingException"})
AGAIN = SLOW | {"InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted"}
"""Per-entry codes that may succeed a moment later."""
GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchUpload"})
DENIED = frozenset({"AccessDenied", "403", "Forbidden"})
CLIENT = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "401"}
)
ELSEWHERE = frozenset(
    {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
"""Codes of a bucket that lies in another region."""
UNFIT = frozenset({"MalformedXML", "InvalidRequest", "InvalidArgument", "InvalidBucketName", "MethodNotAllowed",
                   "NotImplemented"})  # fmt: skip
"""Codes of a request that no repetition makes better."""


class Elsewhere(Exception):
    """boto3 is about to ask where the bucket lies, because the server said that it lies in another region."""


def no_search(**_event: Any) -> None:
    """Stop that search: a server that answers every request so makes boto3 ask for ever."""
    raise Elsewhere


class Plain(Exception):
    """A code the caller wants to handle itself."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@contextmanager
def translated(place: Place, *, plain: frozenset[str] = frozenset()) -> Iterator[None]:
    """Turn what boto3 raises into our errors, without its text: it quotes keys."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code") or "unknown")
        meta = error.response.get("ResponseMetadata", {})
        if code in plain:
            raise Plain(code) from None
        raise _error(place, code, meta.get("HTTPStatusCode"), meta) from None
    except Elsewhere:
        raise _elsewhere(place) from None
    except ResponseParserError:
        raise Unreachable(NAME, "odd_answer") from None
    except BotoCoreError:
        raise Unreachable(NAME, NO_ANSWER) from None


def _error(place: Place, code: str, status: int | None, meta: dict[str, Any]) -> ProcessorError | ConfigurationError:
    if code == "NoSuchBucket":
        return ConfigurationError(
            f"Bucket {place.bucket!r} of processor {NAME} does not exist. Check schedule and connection."
        )
    if code in ELSEWHERE:
        return _elsewhere(place)
    request_id = named({"x-amz-request-id": str(meta.get("RequestId") or ""), **meta.get("HTTPHeaders", {})})
    if code in SLOW or status == 429:
        wait = retry_after(meta.get("HTTPHeaders", {}).get("retry-after"), 30.0)
        return RateLimited(NAME, retry_after=wait, status=status, request_id=request_id)
    host = _host(meta)
    if code in DENIED | CLIENT or status in (401, 403):
        word = "forbidden" if code in DENIED else "unauthorized"
        advice = f"Check key and rights of the connection {place.connection or NAME} on bucket {place.bucket}.{host}"
        return Refused(NAME, word, status=status, request_id=request_id, advice=advice)
    if code in UNFIT:
        advice = f"Bucket {place.bucket} does not take this request.{host}"
        return Refused(NAME, "request_refused", status=status, request_id=request_id, advice=advice)
    word = "server_error" if status and status >= 500 else "odd_answer"
    return Unreachable(NAME, word, status=status, request_id=request_id, advice=host.strip())


def _host(meta: dict[str, Any]) -> str:
    """Return the second id AWS's support asks for; it names a machine, and goes into the message only."""
    found = str(meta.get("HostId") or meta.get("HTTPHeaders", {}).get("x-amz-id-2") or "")
    return f" x-amz-id-2 {found}" if re.fullmatch(r"[A-Za-z0-9+/=]{20,120}", found) else ""


def _elsewhere(place: Place) -> ConfigurationError:
    return ConfigurationError(
        f"Bucket {place.bucket!r} of processor {NAME} lies in another region. Name it: region_name of the place in the "
        "schedule, or of the connection."
    )

"""Every error this project raises on purpose; each message says what, where and what to do next.

RetentionError
├── ConfigurationError        a person must change a file, a connection or a permission
│   └── ScheduleError         the retention schedule is refused: file, key, reason
├── DecisionRefused           a guard said no: as_of, approval, hold, global stop
├── NotAccepted               a mail server certainly took nothing; it may be sent again
├── MailUnknown               its answer was lost: the mail may have gone out, a person looks
├── ProcessorError            something went wrong at a processor; carries code, HTTP status, request id
│   ├── RateLimited           retry after `retry_after` seconds
│   ├── Unreachable           no answer, or an answer that says nothing; read before assuming
│   ├── Refused               this processor must not be called again tonight (key, permission, plan error)
│   └── NeedsPerson           one record needs a decision; the rest of the batch goes on
├── ArchiveError              the statutory archive could not be proven; nothing may be destroyed at the source
│   └── ArchiveUnreachable    its store gave no answer; the next run looks again
└── EvidenceError             the log is not what it should be
    └── VerificationError     a check of exported evidence failed

Messages never hold personal data: no names, e-mails, phones, processor object ids, nor a processor's own message text.
"""

from __future__ import annotations

from enum import StrEnum


class Remedy(StrEnum):
    """What is done about an error: one of four, by its class alone."""

    RETRY_NOW = "retry now"
    NEXT_NIGHT = "retry next night"
    STOP_PROCESSOR = "stop this processor"
    NEEDS_PERSON = "needs a person"


class RetentionError(Exception):
    """The base of all our errors."""


class ConfigurationError(RetentionError):
    """A file, a connection or a permission is wrong; nothing was changed."""


class ScheduleError(ConfigurationError):
    """The retention schedule is refused."""

    def __init__(self, file: str, key: str, reason: str) -> None:
        super().__init__(f"{file}: {key}: {reason}")
        self.file, self.key, self.reason = file, key, reason


class DecisionRefused(RetentionError):
    """A guard refused to go on; the message says which and what would allow it."""


class NotAccepted(RetentionError):
    """A mail server certainly took nothing, so the mail may be sent again."""


class MailUnknown(RetentionError):
    """Nobody knows whether a mail went out, so it is not sent again."""


class ProcessorError(RetentionError):
    """A call to a processor failed. Only codes are kept, because processors quote people in their messages."""

    def __init__(
        self,
        processor: str,
        code: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        advice: str = "",
    ) -> None:
        parts = [f"{processor}: {code}"]
        if status is not None:
            parts.append(f"HTTP {status}")
        if request_id:
            parts.append(f"request {request_id}")
        super().__init__(", ".join(parts) + (f". {advice}" if advice else ""))
        self.processor, self.code, self.status, self.request_id = processor, code, status, request_id


class RateLimited(ProcessorError):
    """The processor asked us to wait `retry_after` seconds."""

    def __init__(
        self,
        processor: str,
        *,
        retry_after: float,
        code: str = "rate_limited",
        status: int | None = 429,
        request_id: str | None = None,
    ) -> None:
        advice = f"Waits {retry_after:.0f} s, then tries again."
        super().__init__(processor, code, status=status, request_id=request_id, advice=advice)
        self.retry_after = retry_after


class Unreachable(ProcessorError):
    """No answer, or one that says nothing about the result: 5xx, HTML, a cut connection, a time-out."""


class Refused(ProcessorError):
    """The processor refuses us as a client (401, 403, a plan error): stop it and ask a person."""


class NeedsPerson(ProcessorError):
    """One record needs a person's decision, for example two people behind one e-mail."""


class ArchiveError(RetentionError):
    """The statutory archive could not be written or proven; the source stays untouched."""


class ArchiveUnreachable(ArchiveError):
    """The archive's store gave no answer, or one that says nothing; it is read before anything is assumed."""


class EvidenceError(RetentionError):
    """The evidence log is not what it should be; sealing stops."""


class VerificationError(EvidenceError):
    """A check of exported evidence failed."""


LONGEST_WAIT_SECONDS = 600.0
"""A longer wait is not waited for by a task: the next run takes up what is left."""


def remedy(error: BaseException) -> Remedy:
    """Return what is done about an error; one that is none of ours is tried again by its task and left to the next run.

    `RETRY_NOW` is bounded: a task's retries, then the next run. Nothing is assumed in between, the place is read first.
    """
    if isinstance(error, RateLimited) and error.retry_after > LONGEST_WAIT_SECONDS:
        return Remedy.NEXT_NIGHT
    if isinstance(error, NeedsPerson | DecisionRefused):
        return Remedy.NEEDS_PERSON
    if isinstance(error, Refused | ConfigurationError):
        return Remedy.STOP_PROCESSOR
    return Remedy.RETRY_NOW

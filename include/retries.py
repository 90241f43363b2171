"""From exception to Airflow's retry decision, in one place.

| error | decision |
|---|---|
| `RateLimited` | again after the processor's own wait (at most ten minutes; longer waits are left to the next run) |
| `Unreachable` | again with the task's backoff; what is left is taken up by the next run |
| `Refused`, `NeedsPerson`, `ConfigurationError`, `DecisionRefused` | fail now: somebody must change something |
| anything else | the task's own retries |
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from include.errors import ConfigurationError, DecisionRefused, NeedsPerson, RateLimited, Refused

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

LONGEST_WAIT = 600.0


class ByErrorClass(RetryPolicy):
    """Decides by our error classes; holds no state."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return the decision for one failure; `reason` names only our error class."""
        reason = type(exception).__name__
        if isinstance(exception, RateLimited):
            if exception.retry_after > LONGEST_WAIT:
                return RetryDecision.fail(reason)
            return RetryDecision.retry(timedelta(seconds=max(1.0, exception.retry_after)), reason)
        if isinstance(exception, (Refused, NeedsPerson, ConfigurationError, DecisionRefused)):
            return RetryDecision.fail(reason)
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the (empty) state Airflow stores with the DAG."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ByErrorClass:
        """Return the policy again."""
        return cls()
